// Ctrl-C: the first one cancels main and lets cleanup finish, the second ends the process at once.
import { CancelledError, run, sleep } from "fibril";
import type { Coroutine } from "fibril";

function* main(): Coroutine<void> {
  try {
    yield* sleep(50); // try it with a longer one
    console.log("done");
  } finally {
    yield* sleep(10);
    console.log("tidied up");
  }
}

try {
  await run(main, { handleSignals: true });
} catch (error) {
  if (!(error instanceof CancelledError)) throw error;
  process.exitCode = error.reason === "SIGTERM" ? 143 : 130;
}

// prints:
// done
// tidied up
