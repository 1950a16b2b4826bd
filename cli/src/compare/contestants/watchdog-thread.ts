/**
 * The thread that watches the main thread while that cannot do anything itself.
 *
 * It reads the heartbeat (see `watchdog.ts`); when the same step has gone on for longer than the limit it asks the main
 * thread's inspector, once for each step, for the stack. The session is closed after every sample: an open one keeps the
 * process from ending. What goes wrong is left out; a warning without a line is still a warning.
 */
import { Session } from "node:inspector";
import { workerData } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";

export interface WatchdogOrders {
  /** One number, odd while a step runs. */
  readonly heartbeat: Int32Array<SharedArrayBuffer>;
  readonly limitMs: number;
  readonly samples: MessagePort;
}

export interface StackSample {
  /** The heartbeat that the sample belongs to. */
  readonly beat: number;
  readonly stack: string;
}

const { heartbeat, limitMs, samples } = workerData as WatchdogOrders;
let beat = 0;
let since = 0;
let sampled = 0;

setInterval(
  () => {
    const now = performance.now();
    const current = Atomics.load(heartbeat, 0);
    if (current !== beat) {
      beat = current;
      since = now;
    } else if (beat % 2 === 1 && beat !== sampled && now - since >= limitMs) {
      sampled = beat;
      sample(beat);
    }
  },
  Math.max(1, limitMs / 4),
);

function sample(at: number): void {
  const session = new Session();
  session.connectToMainThread();
  session.post("Runtime.evaluate", { expression: "new Error().stack", returnByValue: true }, (error, answer) => {
    session.disconnect();
    // The step may have ended before the main thread came to answer: then the stack is of something else.
    if (error !== null || Atomics.load(heartbeat, 0) !== at) return;
    samples.postMessage({ beat: at, stack: String(answer.result.value) } satisfies StackSample);
  });
}
