/** The jobs of these tests. Workers import this file, so it imports nothing but Fibril. */
import { sleep } from "fibril";
import { job, LoopThread } from "../../src/executors/index.ts";
import { dumpOnSignal } from "../../src/inspector/index.ts";
import type { Job } from "../../src/executors/index.ts";
import { nap } from "../executors/jobs.ts";

const { url } = import.meta;

/** Starts a thread of its own, in which something sleeps. */
export const nest: Job<[name: string, ready: Int32Array], void> = job(
  url,
  function* nest(name: string, ready: Int32Array) {
    const thread = yield* LoopThread.start({ name });
    thread.spawn({ name: "inner nap" }, nap, 60_000);
    Atomics.store(ready, 0, 1);
    yield* sleep(60_000);
  },
);

/** Blocks its thread, and ends it when `begun[1]` says so. */
export const exitWhenTold: Job<[begun: Int32Array], void> = job(url, function exitWhenTold(begun: Int32Array): void {
  Atomics.store(begun, 0, 1);
  Atomics.wait(begun, 1, 0, 10_000);
  process.exit(3);
});

export const dumpInThread: Job<[], void> = job(url, function dumpInThread(): void {
  dumpOnSignal();
});
