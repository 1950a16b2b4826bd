/**
 * A program for signals.test.ts: says what happens to it on stdout, and cleans up for as long as its argument says.
 */
import { CancelledError, run, sleep } from "fibril";

const cleanupMs = Number(process.argv[2]);

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

try {
  await run(
    function* main() {
      try {
        say("ready");
        yield* sleep(60_000);
      } finally {
        say("cleanup begins");
        yield* sleep(150); // longer than two copies of one signal may be apart
        say("still cleaning");
        yield* sleep(cleanupMs);
        say("cleanup ends");
      }
    },
    { handleSignals: true },
  );
} catch (error) {
  say(error instanceof CancelledError ? `cancelled by ${String(error.reason)}` : String(error));
}
say(`listeners left: ${process.listenerCount("SIGINT") + process.listenerCount("SIGTERM")}`);
