/** A job that ends its thread, or blocks it, when it is told. Many threads import this file, so it imports no more than it needs, as `jobs.ts`. */
import { job } from "../../src/executors/thread/worker-entry.ts";
import type { Job } from "../../src/executors/thread/worker-entry.ts";
import { sleep } from "../../src/time/sleep.ts";

/** `fuse[0]`: 1 ends the thread, 2 blocks it for ever. */
export const bomb: Job<[fuse: Int32Array], void> = job(import.meta.url, function* bomb(fuse: Int32Array) {
  while (Atomics.load(fuse, 0) === 0) yield* sleep(1);
  if (fuse[0] === 1) process.exit(9);
  for (;;);
});
