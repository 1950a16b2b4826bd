/** A thread of the pool in `threads.ts`: takes a job, blocks until it is done, takes the next. */
import { parentPort, workerData } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";
import { requestSync } from "./request-sync.ts";

export type PoolMessage =
  | { readonly type: "ready" }
  | { readonly type: "begin"; readonly index: number }
  | { readonly type: "end"; readonly index: number; readonly ok: boolean };

export interface Job {
  readonly index: number;
  readonly url: string;
}

const network = workerData as MessagePort;
const tell = (message: PoolMessage): void => parentPort?.postMessage(message);

parentPort?.on("message", ({ index, url }: Job) => {
  tell({ type: "begin", index });
  tell({ type: "end", index, ok: requestSync(network, url).status === 200 });
});
tell({ type: "ready" });
