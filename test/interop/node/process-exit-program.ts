/**
 * A program for process.test.ts: starts a process that would run on, prints its pid, and exits without any cleanup.
 */
import { run } from "fibril";
import { spawnProcess } from "../../../src/interop/node/process.ts";

await run(function* () {
  // Its stdout is ours: whoever reads that sees the end only when both are gone.
  const started = yield* spawnProcess(process.execPath, ["-e", "setTimeout(() => {}, 15_000)"], { stdout: "inherit" });
  process.stdout.write(String(started.pid), () => process.exit(3));
  yield* started.wait();
});
