/** The job of the chaos test. Each run is written down before it has any effect, since its process may be gone the next moment. */
import { appendFileSync } from "node:fs";
import { sleep } from "fibril";
import { currentJob, job } from "../../../../src/executors/index.ts";
import type { Job } from "../../../../src/executors/index.ts";

export const double: Job<[log: string, n: number, ms: number], number> = job(
  import.meta.url,
  function* double(log: string, n: number, ms: number) {
    appendFileSync(log, `${n} ${currentJob()!.idempotencyKey}\n`);
    yield* sleep(ms);
    return n * 2;
  },
);
