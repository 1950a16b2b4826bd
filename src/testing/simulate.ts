/**
 * Runs a program on virtual time, with a seeded order if asked: no test sleeps, and the same seed gives the same trace.
 */
import { EventLoop, run, systemHost, UsageError } from "../core/index.ts";
import type { Operation, Outcome, Report, RunOptions, Scope, Task } from "../core/index.ts";
import type { Probe } from "../lowlevel.ts";
import { seededOrder } from "./seeded-order.ts";
import { VirtualClock, VirtualHost } from "./virtual-time.ts";

export interface SimulateOptions extends Omit<RunOptions, "clock" | "host" | "loop"> {
  /** Shuffles which ready task runs next, and chooses the numbers of `random`. Default: first in, first out. `order` wins over it. */
  readonly seed?: number;
  /** Observes the run. */
  readonly probe?: Probe;
}

/**
 * Like `run`, on virtual time: `sleep(3_600_000)` takes no time at all. Promises and sockets work, and hold the clock.
 *
 * @example
 * const value = await simulate(function* () { yield* sleep(60_000); return EventLoop.current().now() });   // 60000
 */
export async function simulate<T>(main: () => Operation<T>, options: SimulateOptions = {}): Promise<T> {
  const { loop, host } = virtualLoop(options);
  let settled = false;
  const result = run(main, { ...options, loop }).finally(() => (settled = true));
  result.catch(() => {}); // it is returned below; until then a rejection is not unhandled
  while (!settled) {
    host.drain();
    await new Promise<void>((resolve) => systemHost.afterIo(resolve));
  }
  return await result;
}

/** Everything that can be said of one run. */
export interface Simulation<T> {
  readonly outcome: Outcome<T>;
  /** Virtual milliseconds that it took. */
  readonly elapsedMs: number;
  /** Steps of all tasks together. */
  readonly steps: number;
  readonly reports: readonly Report[];
  /** What was left behind; every entry is a leak. Empty is right. */
  readonly leaks: readonly string[];
}

/**
 * Runs a program in one synchronous call and says what became of it. Nothing outside the loop may be waited for.
 *
 * @param steer Called with the main task before its first step, and after every step of any task with the number of steps
 * so far; it may cancel, that is how `cancelSweep` works.
 */
export function simulateSync<T>(
  main: () => Operation<T>,
  options: SimulateOptions = {},
  steer?: (mainTask: Task<T>, stepped: Task<unknown> | null, steps: number) => void,
): Simulation<T> {
  const reports: Report[] = [];
  const { loop, host, clock } = virtualLoop({ onReport: (report) => void reports.push(report), ...options });
  const task = loop.spawn({ name: main.name === "" ? "main" : main.name }, main);
  if (options.cleanupMs !== undefined) (task.ownScope() as Scope).cleanupMs = options.cleanupMs;
  task.watch({ before: null, after: null, taskSettled: (settled) => void settled.outcome }); // looked at here and below
  let steps = 0;
  steer?.(task as Task<T>, null, 0);
  loop.addProbe({
    afterStep: (stepped) => {
      steps++;
      steer?.(task, stepped as Task<unknown>, steps);
    },
  });
  const drained = host.drain();
  const { outcome } = task;
  const stats = loop.statistics();
  const leaks = [
    ...loop.tasks().map((left) => `task "${left.name}" is ${left.state}: ${left.waitingFor ?? "not waiting"}`),
    ...(stats.timers > 0 ? [`${stats.timers} timer(s) are set`] : []),
    ...(stats.outside > 0 ? [`${stats.outside} wait(s) for something outside are pending`] : []),
    ...(drained === "outside" ? ["the program waits for something outside the loop; use simulate()"] : []),
  ];
  return {
    outcome: outcome ?? {
      status: "failed",
      error: new UsageError(`the program got stuck: ${leaks.join("; ")}`, "STUCK"),
    },
    elapsedMs: clock.now(),
    steps,
    reports,
    leaks,
  };
}

function virtualLoop(options: SimulateOptions): { loop: EventLoop; host: VirtualHost; clock: VirtualClock } {
  const clock = new VirtualClock();
  const host = new VirtualHost(clock, options.seed);
  const order = options.order ?? (options.seed === undefined ? undefined : seededOrder(options.seed));
  const loop = new EventLoop({
    clock,
    host,
    name: options.name ?? "simulation",
    ...(order === undefined ? {} : { order }),
    ...(options.onReport === undefined ? {} : { onReport: options.onReport }),
  });
  if (options.probe !== undefined) loop.addProbe(options.probe);
  return { loop, host, clock };
}
