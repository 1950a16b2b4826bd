import { CancelledError, run, sleep, use } from "fibril";
import { ThreadPool } from "../../../src/executors/index.ts";
import { napWithCleanup } from "../jobs.ts";

const ended = new Int32Array(new SharedArrayBuffer(8));
try {
  await run(
    function* () {
      const pool = yield* use(new ThreadPool({ maxWorkers: 1 }));
      const handle = yield* pool.submit(napWithCleanup, ended);
      while (ended[1] === 0) yield* sleep(1);
      console.log("running");
      yield* handle;
    },
    { handleSignals: true },
  );
} catch (error) {
  if (!(error instanceof CancelledError)) throw error;
  console.log(`cleaned up: ${ended[0]}`);
  process.exitCode = 130;
}
