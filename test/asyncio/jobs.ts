/** Jobs of the tests of threads: a worker imports this file, and nothing else of the tests. */
import { sleep } from "fibril";
import { job } from "../../src/executors/index.ts";
import type { Job } from "../../src/executors/index.ts";

export const double: Job<[value: number], number> = job(import.meta.url, function double(value: number): number {
  if (Number.isNaN(value)) throw new RangeError("not a number");
  return value * 2;
});

/** Counts in `seen`: [begun, cleaned up]. */
export const longSleep: Job<[seen: Int32Array], void> = job(import.meta.url, function* longSleep(seen: Int32Array) {
  Atomics.add(seen, 0, 1);
  Atomics.notify(seen, 0);
  try {
    yield* sleep(60_000);
  } finally {
    yield* sleep(5);
    Atomics.add(seen, 1, 1);
  }
});
