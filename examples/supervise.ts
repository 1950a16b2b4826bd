// Children that are started again when they fail, as Erlang's supervisors do it: here the one that failed and those after it.
import { Channel, forEach, run, sleep, supervise } from "fibril";
import type { Coroutine } from "fibril";

const readings = new Channel<number>(10, { name: "readings" });
let plugged = 0;

function* sensor(): Coroutine<void> {
  const attempt = ++plugged;
  for (let value = 1; value <= 2; value++) {
    yield* sleep(10);
    if (attempt < 3) throw new Error(`no signal (${attempt})`);
    yield* readings.send(value);
  }
  readings.close();
}

function* display(): Coroutine<void> {
  try {
    // A clone: `forEach` closes what it went through when it is cancelled, and the next display needs a receiver, too.
    yield* forEach(readings.receiver.clone(), function* (value) {
      console.log(`display: ${value}`);
    });
  } finally {
    console.log("display: off");
  }
}

await run(() =>
  supervise(
    { sensor, display },
    {
      strategy: "restForOne",
      maxRestarts: 5, // in 5 seconds; one more and `supervise` gives up with a RestartLimitError
      delayMs: (restart) => Math.min(1_000, 10 * 2 ** restart),
      onRestart: ({ child, outcome, restart, delayMs }) => {
        const why = outcome.status === "failed" ? String(outcome.error) : outcome.status;
        console.log(`restart ${restart} in ${delayMs} ms, because of "${child}": ${why}`);
      },
    },
  ),
);

// prints:
// restart 1 in 20 ms, because of "sensor": Error: no signal (1)
// display: off
// restart 2 in 40 ms, because of "sensor": Error: no signal (2)
// display: off
// display: 1
// display: 2
// display: off
