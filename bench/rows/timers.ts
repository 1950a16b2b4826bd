/**
 * A million timers: set, cancelled, fired.
 *
 * `timers`: set and cancel, durations between 1 s and 60 s, as in a server with many kinds of timeouts, since nearly every
 * request beats its timeout; `timers-set` and `timers-cancel` are its halves. `timers-same`: one duration for all, the best
 * case of `setTimeout`, which keeps a list for each duration. `timers-fire`: all are due when the thread comes back to its loop.
 * Effect and Effection have no timer that is not a task, so they do not take part.
 */
import { check, numbers, Stretch } from "../meter.ts";
import { foreign } from "../row.ts";
import type { Contestant, Foreigner, TimedProgram, TimedRow } from "../row.ts";

/** These stay: they must fire, and nothing else may. */
const CONTROLS = 10;
const CONTROL_MS = 1;
const TIMERS = 1_000_000;
const FIRE_MS = 50;

/** What is timed. The cancelling is done in any case. */
type Timed = "set" | "cancel" | "both";

export const timersRow: TimedRow = {
  ...row("timers", "set N timers of 1 to 60 s, then cancel all", contestants("both", mixed)),
  targets: [{ n: TIMERS, of: "fibril", to: "native", atMost: 0.5 }],
};

export const timersSetRow: TimedRow = row("timers-set", "set N timers of 1 to 60 s", contestants("set", mixed));

export const timersCancelRow: TimedRow = row(
  "timers-cancel",
  "cancel N timers of 1 to 60 s",
  contestants("cancel", mixed),
);

export const timersSameRow: TimedRow = {
  ...row("timers-same", "set N timers of 30 s, then cancel all", contestants("both", same)),
  targets: [{ n: TIMERS, of: "fibril", to: "native", atMost: 0.5 }],
};

export const timersFireRow: TimedRow = row(
  "timers-fire",
  `fire N timers of 1 to ${FIRE_MS} ms that are all due`,
  firing(),
);

function row(name: string, title: string, all: readonly (Contestant<TimedProgram> | Foreigner)[]): TimedRow {
  return {
    name,
    kind: "time",
    title,
    operation: "timer",
    sizeOf: "timers",
    sizes: [TIMERS],
    rounds: 3,
    contestants: all,
    targets: [],
  };
}

function mixed(n: number): Int32Array {
  const next = numbers(n);
  return Int32Array.from({ length: n }, () => 1_000 + (next() % 59_000));
}

function same(n: number): Int32Array {
  return new Int32Array(n).fill(30_000);
}

function short(n: number): Int32Array {
  const next = numbers(n);
  return Int32Array.from({ length: n }, () => 1 + (next() % FIRE_MS));
}

function contestants(timed: Timed, delays: (n: number) => Int32Array): (Contestant<TimedProgram> | Foreigner)[] {
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
          const setAt = performance.now();
          for (const timer of timers) clearTimeout(timer);
          const cancelledAt = performance.now();
          for (let i = 0; i < CONTROLS; i++) setTimeout(fire, CONTROL_MS);
          await new Promise<void>((resolve) => {
            setTimeout(resolve, CONTROL_MS * 5);
          });
          check(fired === CONTROLS, `${fired} timers fired instead of ${CONTROLS}`);
          return { ns: chosen(timed, startedAt, setAt, cancelledAt), ops: n };
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
          let setAt = 0;
          let cancelledAt = 0;
          await run(function* () {
            const loop = EventLoop.current();
            startedAt = performance.now();
            const timers = [];
            for (let i = 0; i < n; i++) timers.push(loop.callLater(delaysMs[i]!, fire));
            setAt = performance.now();
            for (const timer of timers) timer.cancel();
            cancelledAt = performance.now();
            for (let i = 0; i < CONTROLS; i++) loop.callLater(CONTROL_MS, fire);
            yield* sleep(CONTROL_MS * 5);
          });
          check(fired === CONTROLS, `${fired} timers fired instead of ${CONTROLS}`);
          return { ns: chosen(timed, startedAt, setAt, cancelledAt), ops: n };
        };
      },
    },
    foreign("python", { note: "loop.call_later" }),
    foreign("go", { note: "time.AfterFunc and Stop" }),
  ];
}

function chosen(timed: Timed, startedAt: number, setAt: number, cancelledAt: number): number {
  const from = timed === "cancel" ? setAt : startedAt;
  const to = timed === "set" ? setAt : cancelledAt;
  return (to - from) * 1e6;
}

function firing(): (Contestant<TimedProgram> | Foreigner)[] {
  return [
    {
      name: "native",
      async load() {
        return async (n) => {
          const delaysMs = short(n);
          const stretch = new Stretch(n);
          let left = n;
          await new Promise<void>((resolve) => {
            const fire = () => {
              stretch.ended();
              if (--left === 0) resolve();
            };
            for (let i = 0; i < n; i++) setTimeout(fire, delaysMs[i]);
            waitUntilDue();
            stretch.start();
          });
          stretch.stop();
          return stretch.result();
        };
      },
    },
    {
      name: "fibril",
      async load() {
        const { EventLoop, Future, run } = await import("fibril");
        return async (n) => {
          const delaysMs = short(n);
          const stretch = new Stretch(n);
          await run(function* () {
            const loop = EventLoop.current();
            const all = new Future<void>();
            let left = n;
            const fire = () => {
              stretch.ended();
              if (--left === 0) all.resolve();
            };
            for (let i = 0; i < n; i++) loop.callLater(delaysMs[i]!, fire);
            waitUntilDue();
            stretch.start();
            yield* all;
            stretch.stop();
          });
          return stretch.result();
        };
      },
    },
    foreign("python", { note: "loop.call_later" }),
  ];
}

/** Keeps the thread until every timer is due, so that only the firing is left to be timed. */
function waitUntilDue(): void {
  const until = performance.now() + FIRE_MS + 5;
  while (performance.now() < until);
}
