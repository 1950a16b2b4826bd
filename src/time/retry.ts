/**
 * Tries again what failed, after a while that grows.
 *
 * A retry is a promise to the caller and a burden to the service, so everything is bounded by default: the attempts, the delays,
 * and, with a `RetryBudget`, what all callers together may add. The last failure is thrown as it is, the same object, so that the
 * caller's `catch` does not have to know of the retries. The ones before it are not in `suppressedErrors`, which are
 * failures that came *after* an error; `earlierFailures` has them.
 *
 * Each attempt is a scope: what it has spawned and taken is gone before the next one begins.
 */
import {
  Cancelled,
  CancelledError,
  currentTask,
  EventLoop,
  isOperation,
  Scope,
  toOperation,
  UsageError,
  Wait,
} from "../core/index.ts";
import type { Coroutine, Operation, Started, Waiter } from "../core/index.ts";
import { Backoff } from "./backoff.ts";
import type { BackoffOptions } from "./backoff.ts";
import { checkFunction, checkNumber } from "./limits.ts";
import type { RetryBudget } from "./retry-budget.ts";

/** A failed attempt that will be followed by another one. */
export interface FailedAttempt {
  /** Counted from 1. */
  readonly attempt: number;
  readonly error: unknown;
  /** How long it will wait now. */
  readonly delayMs: number;
}

export interface RetryOptions extends BackoffOptions {
  /** How many attempts are made at most, the first one counted. `Infinity` is allowed. Default: 3. */
  readonly attempts?: number;
  /** No attempt begins later than this after the first one, in milliseconds. It cuts none off: `timeout` does. Default: `Infinity`. */
  readonly totalMs?: number;
  /**
   * Whether to try again after `error`, the failure of attempt number `attempt`. `Cancelled` is never asked about: it passes.
   * Default: after everything but a `UsageError`, which does not heal, and a `CancelledError` or the platform's `AbortError`, which
   * somebody wanted.
   */
  readonly when?: (error: unknown, attempt: number) => boolean;
  /**
   * How long the other side wants to be left alone, in milliseconds: the delay is not shorter. When it is longer than
   * `maxDelayMs`, `retry` gives up. Default: the error's own `retryAfterMs`, if that is a number.
   */
  readonly retryAfterMs?: (error: unknown) => number | undefined;
  /** What this caller shares with others, see `RetryBudget`. Default: none. */
  readonly budget?: RetryBudget;
  /** Called before each delay. What it throws ends the retries. */
  readonly onRetry?: (failed: FailedAttempt) => void;
  /** From 0 up to 1, for jitter. Default: the loop's, so that simulated runs repeat. */
  readonly random?: () => number;
  /** Shown in the wait's reason. Default: the name of the function. */
  readonly name?: string;
}

/** Makes the operation of one attempt. @param attempt Counted from 1. */
type Attempt<T> = (attempt: number) => Operation<T>;

const MOST_EARLIER = 16; // with attempts without end they would be kept without end

/**
 * Runs `body` until an attempt succeeds, with exponential backoff and full jitter in between.
 *
 * Gives up when the attempts, the total time or the budget are used up, or `when` says no, and throws the failure of the last
 * attempt as it is; `earlierFailures(error)` lists those before. Cancelling cancels the attempt, or the delay; nothing is
 * retried then, not even when a cleanup throws: that is thrown.
 * @throws {UsageError} when `body` is not a function: a generator object runs only once.
 * @example
 * const page = yield* retry(() => timeout(2_000, session.get(url)), { attempts: 5, name: "load" });
 */
export function retry<T>(body: (attempt: number) => Operation<T>, options: RetryOptions = {}): Coroutine<T> {
  checkFunction("retry", body, "a function that makes a coroutine for each attempt, such as retry(() => load(url))");
  const { attempts = 3, totalMs = Infinity } = options;
  checkNumber("attempts", attempts, { least: 1, whole: true, infinite: true });
  checkNumber("totalMs", totalMs, { least: 0, infinite: true });
  const name = options.name ?? (body.name === "" ? "the operation" : `"${body.name}"`);
  return run(body, new Backoff(options), { ...options, attempts, totalMs, name });
}

/** What `run` needs to be there. */
type Plan = RetryOptions & { readonly attempts: number; readonly totalMs: number; readonly name: string };

function* run<T>(body: Attempt<T>, backoff: Backoff, plan: Plan): Coroutine<T> {
  const self = currentTask();
  const held = self.unwinding; // of the cleanup that calls it
  const startedAt = self.loop.now();
  const earlier: unknown[] = [];
  plan.budget?.deposit();
  for (let attempt = 1; ; attempt++) {
    let failure: unknown;
    try {
      return yield* runAttempt(body, attempt, plan.name);
    } catch (error) {
      // Also when the cleanup of a cancelled attempt has thrown an error of its own: nobody wants another one.
      if (error instanceof Cancelled || self.unwinding !== held) throw error;
      failure = error;
    }
    const delayMs = delayAfter(failure, attempt, startedAt, backoff, plan);
    if (delayMs === null) {
      noteEarlier(failure, earlier);
      throw failure;
    }
    earlier.push(failure);
    if (earlier.length > MOST_EARLIER) earlier.shift();
    plan.onRetry?.({ attempt, error: failure, delayMs });
    yield* new Pause(
      `retry ${attempt}${plan.attempts === Infinity ? "" : ` of ${plan.attempts - 1}`} of ${plan.name}`,
      delayMs,
    );
  }
}

function* runAttempt<T>(body: Attempt<T>, attempt: number, name: string): Coroutine<T> {
  const scope = Scope.enter({ name: attempt === 1 ? name : `attempt ${attempt} of ${name}` });
  const value = yield* scope.run(begin(body, attempt));
  if (scope.isCaught) throw scope.asError();
  return value as T;
}

// A generator object that was made only once is refused by `toOperation`, and so is what is no operation.
function* begin<T>(body: Attempt<T>, attempt: number): Coroutine<T> {
  const operation = body(attempt);
  return yield* toOperation(isOperation(operation) ? operation : () => operation);
}

/** How long to wait before the next attempt, or `null` to give up. */
function delayAfter(error: unknown, attempt: number, startedAt: number, backoff: Backoff, plan: Plan): number | null {
  if (attempt >= plan.attempts || !(plan.when ?? mayHeal)(error, attempt)) return null;
  const loop = EventLoop.current();
  const asked = (plan.retryAfterMs ?? askedByError)(error);
  if (asked !== undefined) {
    checkNumber(`what retryAfterMs gives for ${plan.name}`, asked, { least: 0, infinite: true });
    if (asked > backoff.maxDelayMs) return null;
  }
  const delayMs = Math.max(
    asked ?? 0,
    backoff.delayMs(attempt, plan.random === undefined ? loop.random() : plan.random()),
  );
  if (loop.now() + delayMs > startedAt + plan.totalMs) return null;
  // Last: what is taken from the budget is spent.
  return plan.budget === undefined || plan.budget.tryWithdraw() ? delayMs : null;
}

function mayHeal(error: unknown): boolean {
  if (error instanceof UsageError || error instanceof CancelledError) return false;
  return !(error instanceof Error && error.name === "AbortError");
}

function askedByError(error: unknown): number | undefined {
  const asked = (error as { readonly retryAfterMs?: unknown } | null | undefined)?.retryAfterMs;
  return typeof asked === "number" && asked >= 0 ? asked : undefined;
}

const earlierOf = new WeakMap<object, readonly unknown[]>();

/**
 * The failures of the attempts before the one whose failure `retry` has thrown, oldest first: the 16 latest. Empty for an error
 * that no `retry` has given up on. An attempt that contains a `retry` itself counts with all of its failures.
 *
 * @example
 * catch (error) { log(error, `after ${earlierFailures(error).length} earlier failures`) }
 */
export function earlierFailures(error: unknown): readonly unknown[] {
  return isObject(error) ? (earlierOf.get(error) ?? []) : [];
}

function noteEarlier(last: unknown, earlier: readonly unknown[]): void {
  if (!isObject(last) || earlier.length === 0) return;
  // An inner retry has given up on the same error: its attempts came after ours.
  const all = [...earlier.flatMap((error) => [...earlierFailures(error), error]), ...earlierFailures(last)];
  const others = [...new Set(all)].filter((error) => error !== last);
  earlierOf.set(last, Object.freeze(others.slice(-MOST_EARLIER)));
}

function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** The time between two attempts. Its state lives in the task, which is its own timer. */
class Pause extends Wait<void> {
  readonly #what: string;
  readonly #delayMs: number;

  constructor(what: string, delayMs: number) {
    super();
    this.#what = what;
    this.#delayMs = delayMs;
  }

  get reason(): string {
    return `${this.#what} in ${Math.round(this.#delayMs)} ms`;
  }

  protected start(task: Waiter): Started<void> {
    if (this.#delayMs <= 0) return task.pass(this, undefined);
    task.loop.addTimer(task, task.loop.now() + this.#delayMs);
    return task.park(this);
  }

  withdraw(task: Waiter): boolean {
    task.loop.removeTimer(task);
    return true;
  }
}
