/**
 * Periodic jobs.
 *
 * An interval gives the times, so they do not drift; this adds what a job needs: it never overlaps with itself unless
 * asked, jitter keeps a fleet of processes from doing the same in the same moment, and a failure is not lost.
 *
 * Every run is a scope of its own: what it spawns ends with it, and does not heap up over the runs.
 * Source: tornado's `PeriodicCallback` (drift correction, jitter, a run that is still going on makes the next one be left out).
 * Jitter is added to the scheduled time and not to the schedule, where it would add up.
 */
import { Cancelled, currentTask, Future, Scope, toOperation } from "../core/index.ts";
import type { Coroutine, Operation } from "../core/index.ts";
import { Interval } from "./interval.ts";
import type { MissedTicks, Tick } from "./interval.ts";
import { checkFunction, checkNumber } from "./limits.ts";
import { sleepUntil } from "./sleep-until.ts";

export interface EveryOptions {
  /**
   * What becomes of runs that were due while there was no place for them. `"skip"` (default): they are left out. `"burst"`:
   * they follow, one after another. `"delay"`: the next one comes a period after the late one has begun.
   */
  readonly missed?: MissedTicks;
  /** How many runs may go on at the same time. Default: 1, so a job never overlaps with itself. */
  readonly limit?: number;
  /** Whether the first run comes at once, instead of one period later. Default: `false`. */
  readonly immediate?: boolean;
  /** Each run begins later by a random time from 0 up to this, in milliseconds; at most the period. Default: 0. */
  readonly jitterMs?: number;
  /** Called with what a run throws; then the runs go on. When it throws, that ends them. Default: the first failure ends them. */
  readonly onError?: (error: unknown, tick: Tick) => void;
  /** From 0 up to 1, for jitter. Default: the loop's, so that simulated runs repeat. */
  readonly random?: () => number;
  /** Shown to those who look. Default: the name of the job. */
  readonly name?: string;
}

type Job = (tick: Tick) => Operation<unknown>;

/**
 * Runs `job` every `periodMs` milliseconds, until it is cancelled or a run fails. The runs are due at multiples of the
 * period after the start, however long they take.
 *
 * Cancelling cancels the runs that go on and waits for their cleanup. Deadlines and limits of a single run belong into the job:
 * `timeout(ms, …)`.
 * @throws what a run throws, as it is, unless there is an `onError`; runs that go on beside it are cancelled first.
 * @throws {UsageError} when the period is not a positive number, or the job is no function.
 * @example
 * spawn(() => every(60_000, function* refresh() { cache = yield* load() }, { jitterMs: 5_000, immediate: true }));
 */
export function every(periodMs: number, job: Job, options: EveryOptions = {}): Coroutine<never> {
  checkFunction("every", job, "a function that makes a coroutine for each run");
  const name = options.name ?? (job.name === "" ? "job" : job.name);
  const { limit = 1, jitterMs = 0 } = options;
  const ticks = new Interval(periodMs, { ...options, name });
  checkNumber(`\`limit\` of job "${name}"`, limit, { least: 1, whole: true, infinite: true });
  checkNumber(`\`jitterMs\` of job "${name}"`, jitterMs, { least: 0, most: periodMs });
  const plan: Plan = { name, job, ticks, jitterMs, options };
  return limit === 1 ? runOneByOne(plan) : runSeveral(plan, limit);
}

interface Plan {
  readonly name: string;
  readonly job: Job;
  readonly ticks: Interval;
  readonly jitterMs: number;
  readonly options: EveryOptions;
}

function* runOneByOne(plan: Plan): Coroutine<never> {
  for (;;) yield* runOnce(plan, yield* nextTick(plan));
}

function* runSeveral(plan: Plan, limit: number): Coroutine<never> {
  const scope = Scope.enter({ name: `runs of "${plan.name}"` });
  yield* scope.run(launchRuns(plan, limit, scope));
  throw scope.asError(); // its body never returns: somebody has cancelled the scope itself
}

function* launchRuns(plan: Plan, limit: number, scope: Scope): Coroutine<never> {
  let going = 0;
  let freed: Future<void> | null = null;
  function* run(tick: Tick): Coroutine<void> {
    try {
      yield* runOnce(plan, tick);
    } finally {
      going--;
      freed?.tryResolve();
    }
  }
  for (;;) {
    if (going >= limit)
      yield* (freed = new Future<void>({ name: `the end of one of ${going} runs of "${plan.name}"` }));
    const tick = yield* nextTick(plan);
    going++;
    scope.launch(run(tick), `${plan.name} ${tick.index}`);
  }
}

function* nextTick({ ticks, jitterMs, options }: Plan): Coroutine<Tick> {
  const { value } = yield* ticks.next();
  const tick = value!; // nobody else can close it
  if (jitterMs > 0) {
    const { loop } = currentTask();
    const begin = tick.scheduledAt + (options.random ?? (() => loop.random()))() * jitterMs;
    if (begin > loop.now()) yield* sleepUntil(begin);
  }
  return tick;
}

function* runOnce({ name, job, options }: Plan, tick: Tick): Coroutine<void> {
  const self = currentTask();
  const held = self.unwinding;
  const scope = Scope.enter({ name: `run of "${name}"` });
  try {
    yield* scope.run(toOperation(job.bind(null, tick)));
    if (scope.isCaught) throw scope.asError();
  } catch (error) {
    // A cancelled run whose cleanup has thrown is cancelled all the same.
    if (error instanceof Cancelled || self.unwinding !== held || options.onError === undefined) throw error;
    options.onError(error, tick);
  }
}
