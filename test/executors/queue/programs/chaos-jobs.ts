/** The job of the chaos test. Each run is written down before it has any effect, with its process, since that may be gone the next moment. */
import { appendFileSync, readFileSync } from "node:fs";
import { sleep } from "fibril";
import { currentJob, job } from "../../../../src/executors/index.ts";
import type { Job } from "../../../../src/executors/index.ts";

/** Instead of a time: the job ends when it has been begun twice, so not before its first worker is gone. */
export const UNTIL_RUN_AGAIN = -1;

export const double: Job<[log: string, n: number, ms: number], number> = job(
  import.meta.url,
  function* double(log: string, n: number, ms: number) {
    appendFileSync(log, `${n} ${currentJob()!.idempotencyKey} ${process.pid}\n`);
    if (ms === UNTIL_RUN_AGAIN) while (runnersOf(log, n).length < 2) yield* sleep(20);
    else yield* sleep(ms);
    return n * 2;
  },
);

/** The processes that have begun a job, in order. */
export function runnersOf(log: string, n: number): number[] {
  const lines = readFileSync(log, { encoding: "utf8", flag: "a+" }).split("\n");
  return lines.filter((line) => line.startsWith(`${n} `)).map((line) => Number(line.slice(line.lastIndexOf(" ") + 1)));
}
