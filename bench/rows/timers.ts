/**
 * Setting a million timers and cancelling all of them: what timeouts do, since nearly every request beats its timeout.
 *
 * `timers`: durations between 1 s and 60 s, as in a server with many kinds of timeouts. `timers-same`: one duration
 * for all, the best case of `setTimeout`, which keeps a list for each duration. Effect and Effection have no
 * timer that is not a task, so they do not take part.
 */
import { check, numbers } from "../meter.ts";
import type { Contestant, TimedProgram, TimedRow } from "../row.ts";

/** These stay: they must fire, and nothing else may. */
const CONTROLS = 10;
const CONTROL_MS = 1;
const TIMERS = 1_000_000;

export const timersRow: TimedRow = {
  name: "timers",
  kind: "time",
  title: "set N timers of 1 to 60 s, then cancel all",
  operation: "timer",
  sizeOf: "timers",
  sizes: [TIMERS],
  rounds: 5,
  contestants: contestants(mixed),
  targets: [{ n: TIMERS, of: "fibril", to: "native", atMost: 0.5 }],
};

export const timersSameRow: TimedRow = {
  name: "timers-same",
  kind: "time",
  title: "set N timers of 30 s, then cancel all",
  operation: "timer",
  sizeOf: "timers",
  sizes: [TIMERS],
  rounds: 5,
  contestants: contestants(same),
  targets: [{ n: TIMERS, of: "fibril", to: "native", atMost: 0.5 }],
};

function mixed(n: number): Int32Array {
  const next = numbers(n);
  return Int32Array.from({ length: n }, () => 1_000 + (next() % 59_000));
}

function same(n: number): Int32Array {
  return new Int32Array(n).fill(30_000);
}

function contestants(delays: (n: number) => Int32Array): Contestant<TimedProgram>[] {
  return [
    {
      name: "native",
      async load() {
        return async (n) => {
          const delaysMs = delays(n);
          let fired = 0;
          const fire = () => void fired++;
          const startedAt = performance.now();
          const timers: NodeJS.Timeout[] = [];
          for (let i = 0; i < n; i++) timers.push(setTimeout(fire, delaysMs[i]));
          for (const timer of timers) clearTimeout(timer);
          const stoppedAt = performance.now();
          for (let i = 0; i < CONTROLS; i++) setTimeout(fire, CONTROL_MS);
          await new Promise<void>((resolve) => {
            setTimeout(resolve, CONTROL_MS * 5);
          });
          check(fired === CONTROLS, `${fired} timers fired instead of ${CONTROLS}`);
          return { ns: (stoppedAt - startedAt) * 1e6, ops: n };
        };
      },
    },
    {
      name: "fibril",
      async load() {
        const { EventLoop, run, sleep } = await import("fibril");
        return async (n) => {
          const delaysMs = delays(n);
          let fired = 0;
          const fire = () => void fired++;
          let startedAt = 0;
          let stoppedAt = 0;
          await run(function* () {
            const loop = EventLoop.current();
            startedAt = performance.now();
            const timers = [];
            for (let i = 0; i < n; i++) timers.push(loop.callLater(delaysMs[i]!, fire));
            for (const timer of timers) timer.cancel();
            stoppedAt = performance.now();
            for (let i = 0; i < CONTROLS; i++) loop.callLater(CONTROL_MS, fire);
            yield* sleep(CONTROL_MS * 5);
          });
          check(fired === CONTROLS, `${fired} timers fired instead of ${CONTROLS}`);
          return { ns: (stoppedAt - startedAt) * 1e6, ops: n };
        };
      },
    },
  ];
}
