/**
 * A program for process.test.ts: starts a process that would run on, prints its pid, and ends without any cleanup: by itself,
 * or as the first argument says, by the signals that it gets.
 */
import { run } from "fibril";
import { spawnProcess } from "../../../src/interop/node/process.ts";

const [mode] = process.argv.slice(2);
// As signal-exit does, of which many programs have a copy: it does nothing while there is a listener that it does not know.
if (mode === "beside a helper") {
  const listener = (): void => {
    if (process.listenerCount("SIGINT") !== 1) return;
    process.stdout.write(" helped");
    process.off("SIGINT", listener);
    process.kill(process.pid, "SIGINT");
  };
  process.on("SIGINT", listener);
}

function* main() {
  // Its stdout is ours: whoever reads that sees the end only when both are gone.
  const started = yield* spawnProcess(process.execPath, ["-e", "setTimeout(() => {}, 15_000)"], { stdout: "inherit" });
  process.stdout.write(String(started.pid), () => {
    if (mode === undefined) process.exit(3);
    process.stderr.write("up");
  });
  if (mode === "handled by others") process.once("SIGINT", () => process.stdout.write(" kept", () => process.exit(4)));
  try {
    yield* started.wait();
  } finally {
    if (mode === "in cleanup") {
      process.stderr.write("up");
      yield* started.wait();
    }
  }
}

await run(main, { handleSignals: mode === "in cleanup" });
