import { describeValue, UsageError } from "../core/index.ts";
import { ValueError } from "./errors.ts";
import { getRunningLoop } from "./event-loop.ts";
import type { Awaitable, Coroutine, Future, Suspension } from "./future.ts";

/** Python's bare `yield`: the task's next step comes in the next iteration, and no future is made for it. */
class NextIteration implements Awaitable<void>, Iterator<Suspension, void, unknown> {
  #passed = false;

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<Suspension, void> {
    if (this.#passed) return { done: true, value: undefined };
    this.#passed = true;
    return { done: false, value: undefined as never };
  }

  throw(error: unknown): IteratorResult<Suspension, void> {
    throw error;
  }
}

/**
 * Waits `delay` seconds on the loop's clock, then returns `result`. Zero or less gives way once: every callback that is ready runs
 * first. Cancelling takes the timer back.
 *
 * @throws {ValueError} when `delay` is NaN.
 * @example
 * yield* sleep(0.5); // half a second
 */
export function sleep(delay: number): Coroutine<void>;
export function sleep<T>(delay: number, result: T): Coroutine<T>;
export function* sleep<T>(delay: number, result?: T): Coroutine<T> {
  if (typeof delay !== "number") throw new UsageError(`sleep takes a number of seconds, got ${describeValue(delay)}`);
  if (delay <= 0) {
    yield* new NextIteration();
    return result!;
  }
  if (Number.isNaN(delay)) throw new ValueError("sleep takes a number of seconds, not NaN");
  const loop = getRunningLoop();
  const future = loop.createFuture<T>();
  const timer = loop.callLater(delay, setUnlessCancelled<T>, future, result!);
  try {
    return yield* future;
  } finally {
    timer.cancel();
  }
}

function setUnlessCancelled<T>(future: Future<T>, result: T): void {
  if (!future.cancelled()) future.setResult(result);
}
