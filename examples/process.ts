// Processes: one whose output is read line by line while it runs, one for its result, one that takes too long. None outlives its scope.
import { run, scope, TimeoutError } from "fibril";
import { exec, ProcessError, spawnProcess } from "fibril/interop/node";

const node = process.execPath; // any program; here one that every reader has

await run(function* main() {
  yield* scope(function* () {
    const upper = yield* spawnProcess(node, [
      "-e",
      "process.stdin.on('data', (it) => console.log(`${it}`.toUpperCase()))",
    ]);
    const lines = upper.stdout!.lines();
    for (const word of ["one", "two"]) {
      yield* upper.stdin!.write(word);
      console.log((yield* lines.next()).value);
    }
  }); // stopped and awaited here

  const { stdout, code } = yield* exec(node, ["-p", "6 * 7"]);
  console.log(`answer ${stdout.trim()}, exit code ${code}`);

  try {
    yield* exec(node, ["-e", "console.error('no such table'); process.exit(3)"]);
  } catch (error) {
    if (!(error instanceof ProcessError)) throw error;
    console.log(`exit code ${error.exitCode}: ${String(error.stderr).trim()}`);
  }

  try {
    yield* exec(node, ["-e", "setInterval(() => {}, 1000)"], { name: "slow", timeoutMs: 50 });
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    console.log(error.message);
  }
});

// prints:
// ONE
// TWO
// answer 42, exit code 0
// exit code 3: no such table
// process "slow" did not end within 50 ms
