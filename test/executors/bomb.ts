/** A job that ends its thread, or blocks it, when it is told. Workers import this file. */
import { sleep } from "fibril";
import { job } from "../../src/executors/index.ts";
import type { Job } from "../../src/executors/index.ts";

/** `fuse[0]`: 1 ends the thread, 2 blocks it for ever. */
export const bomb: Job<[fuse: Int32Array], void> = job(import.meta.url, function* bomb(fuse: Int32Array) {
  while (Atomics.load(fuse, 0) === 0) yield* sleep(1);
  if (fuse[0] === 1) process.exit(9);
  for (;;);
});
