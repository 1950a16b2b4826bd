import { sleep } from "fibril";
import { job } from "../../../../src/executors/index.ts";
import type { Job } from "../../../../src/executors/index.ts";

export const square: Job<[n: number], number> = job(import.meta.url, function square(n: number): number {
  return n * n;
});
export const slow: Job<[ms: number], void> = job(import.meta.url, function* slow(ms: number) {
  yield* sleep(ms);
});
