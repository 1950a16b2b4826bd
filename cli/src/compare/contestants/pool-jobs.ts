/** The jobs of the pool in `threads.ts`. */
import type { MessagePort } from "node:worker_threads";
import { job, progress } from "fibril/executors/worker"; // a hundred threads import this file: no more than a job needs
import type { Job } from "fibril/executors/worker";
import { requestSync } from "./request-sync.ts";

/** Makes one request and blocks its thread meanwhile; gives whether that went well, and says when it began. */
export const get: Job<[url: string, network: MessagePort], boolean> = job(
  import.meta.url,
  function get(url: string, network: MessagePort): boolean {
    progress("begun");
    return requestSync(network, url).status === 200;
  },
);

/** Blocks until as many threads are here: then each has run one. */
export const meet: Job<[arrived: Int32Array, count: number], void> = job(
  import.meta.url,
  function meet(arrived: Int32Array, count: number): void {
    let here = Atomics.add(arrived, 0, 1) + 1;
    if (here >= count) Atomics.notify(arrived, 0);
    for (; here < count; here = Atomics.load(arrived, 0)) Atomics.wait(arrived, 0, here);
  },
);
