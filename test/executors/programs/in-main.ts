import { isMainThread } from "node:worker_threads";
import { run, UsageError, use } from "fibril";
import { job, ThreadPool } from "../../../src/executors/index.ts";
import type { Job } from "../../../src/executors/index.ts";

const bare: Job<[], number> = job(import.meta.url, function bare() {
  return 42;
});
const guarded: Job<[], number> = job(
  import.meta.url,
  function guarded() {
    return 42;
  },
  { inMain: true },
);

if (isMainThread) {
  await run(function* () {
    const pool = yield* use(new ThreadPool({ maxWorkers: 1 }));
    try {
      yield* pool.call(bare);
    } catch (error) {
      if (error instanceof UsageError) console.log(`${error.code} ${error.message}`);
    }
    console.log(`guarded: ${yield* pool.call(guarded)}`);
  });
}
