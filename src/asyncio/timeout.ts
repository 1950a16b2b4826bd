/**
 * Time limits for a block of code.
 *
 * A timeout cancels the task that has entered it, and turns the `CancelledError` that comes out of the block into a `TimeoutError`,
 * if nobody else has asked the task to end meanwhile. That is an edge, with all that follows: code in the block that
 * swallows the cancellation has swallowed the timeout; of two nested ones that are due together only the outer one is heard of.
 *
 * Difference from CPython: an error other than `CancelledError` leaves the block as it is. CPython puts a `TimeoutError` into its
 * chain of contexts, which JavaScript's errors do not have.
 */
import { describeValue, UsageError } from "../core/index.ts";
import { CancelledError, RuntimeError, TimeoutError, ValueError } from "./errors.ts";
import { getRunningLoop } from "./event-loop.ts";
import type { Awaitable, Coroutine } from "./future.ts";
import type { Handle } from "./handle.ts";
import { currentTask } from "./task.ts";
import type { Task } from "./task.ts";

type TimeoutState = "created" | "active" | "expiring" | "expired" | "finished";

/** Made by `timeout()` and `timeoutAt()`; can be used once. */
export class Timeout {
  #state: TimeoutState = "created";
  #handle: Handle | null = null;
  #task: Task<unknown> | null = null;
  #cancellingBefore = 0;
  #when: number | null;

  /** @param when In seconds of the loop's clock; `null` for no limit. */
  constructor(when: number | null) {
    checkTime(when);
    this.#when = when;
  }

  /** When it is due, in seconds of the loop's clock; `null` when never. */
  when(): number | null {
    return this.#when;
  }

  /** Whether it has cut the block short, or is about to. */
  expired(): boolean {
    return this.#state === "expiring" || this.#state === "expired";
  }

  /**
   * Moves it.
   * @param when In seconds of the loop's clock; `null` for never. A time that has passed is due in the next iteration.
   * @throws {RuntimeError} outside the block, and once it has expired.
   */
  reschedule(when: number | null): void {
    checkTime(when);
    if (this.#state === "created") throw new RuntimeError("the timeout has not been entered yet");
    if (this.#state !== "active") throw new RuntimeError(`the timeout is ${this.#state}; it cannot be moved any more`);
    this.#when = when;
    this.#handle?.cancel();
    this.#handle = null;
    if (when === null) return;
    const loop = getRunningLoop();
    const expire = (): void => this.#expire();
    this.#handle = when <= loop.time() ? loop.callSoon(expire) : loop.callAt(when, expire);
  }

  /**
   * Runs `body` within the limit; Python's `async with`. Even a limit of 0 lets it run to its first suspension.
   *
   * @throws {TimeoutError} when the time is up before the body is done; its `cause` is the `CancelledError`.
   * @example
   * const page = yield* timeout(3).with(function* () { return yield* download(url) });
   */
  *with<T>(body: (timeout: this) => Awaitable<T>): Coroutine<T> {
    this.#enter();
    let result: T;
    try {
      result = yield* body(this);
    } catch (error) {
      throw this.#exit() && error instanceof CancelledError
        ? new TimeoutError("the time is up", { cause: error })
        : error;
    }
    this.#exit();
    return result;
  }

  #enter(): void {
    if (this.#state !== "created") throw new RuntimeError("the timeout has been entered already; make a new one");
    const task = currentTask();
    if (task === null) throw new RuntimeError("a timeout is used inside a task");
    this.#state = "active";
    this.#task = task;
    this.#cancellingBefore = task.cancelling();
    this.reschedule(this.#when);
  }

  /** Whether a cancellation that comes out of the block is ours alone. */
  #exit(): boolean {
    this.#handle?.cancel();
    this.#handle = null;
    if (this.#state === "active") {
      this.#state = "finished";
      return false;
    }
    this.#state = "expired";
    return this.#task!.uncancel() <= this.#cancellingBefore;
  }

  #expire(): void {
    this.#task!.cancel();
    this.#state = "expiring";
    this.#handle = null;
  }
}

function checkTime(when: number | null): void {
  if (when !== null && typeof when !== "number") {
    throw new UsageError(`a timeout takes a number of seconds or null, got ${describeValue(when)}`);
  }
  if (Number.isNaN(when)) throw new ValueError("a timeout takes a number of seconds or null, not NaN");
}

/**
 * A time limit of `delay` seconds from now for a block of code; `null` for none.
 *
 * @throws {RuntimeError} without a running loop.
 * @example
 * yield* timeout(10).with(function* () { yield* work() }); // TimeoutError after ten seconds
 */
export function timeout(delay: number | null): Timeout {
  checkTime(delay);
  const loop = getRunningLoop();
  return new Timeout(delay === null ? null : loop.time() + delay);
}

/**
 * Like `timeout`, up to the point `when`, in seconds of the loop's clock; `null` for no limit.
 * @example
 * yield* timeoutAt(getRunningLoop().time() + 10).with(function* () { yield* work() });
 */
export function timeoutAt(when: number | null): Timeout {
  return new Timeout(when);
}
