import { describeValue, UsageError } from "../core/index.ts";
import { CancelledError, TimeoutError } from "./errors.ts";
import { isFuture } from "./future.ts";
import type { Awaitable, Coroutine } from "./future.ts";
import { coroutineOf, ensureFuture } from "./task.ts";
import { timeout as timeoutAfter } from "./timeout.ts";
import { cancelAndWait } from "./wait.ts";

/**
 * Awaits one thing for at most `timeout` seconds; `null` for no limit. A coroutine runs in the calling task, no new one is made.
 *
 * When the time is up, it is cancelled and waited for, cleanup included; if it then returns a value all the same, that is the value.
 * With a timeout of 0 or less a coroutine does not begin, and a future that is done already gives its result.
 * Cancelling this cancels what it waits for; put that into `shield` if it shall go on.
 * @throws {TimeoutError} when the time is up.
 * @example
 * const page = yield* waitFor(download(url), 3);
 */
export function* waitFor<T>(awaitable: Awaitable<T>, timeout: number | null): Coroutine<T> {
  if (timeout !== null && typeof timeout !== "number") {
    throw new UsageError(`waitFor takes a number of seconds or null, got ${describeValue(timeout)}`);
  }
  if (timeout !== null && timeout <= 0) {
    const future = ensureFuture(awaitable);
    if (future.done()) return future.result();
    yield* cancelAndWait(future);
    try {
      return future.result();
    } catch (error) {
      throw error instanceof CancelledError ? new TimeoutError("the time is up", { cause: error }) : error;
    }
  }
  return yield* timeoutAfter(timeout).with(() => asAwaitable(awaitable));
}

function asAwaitable<T>(awaitable: Awaitable<T>): Awaitable<T> {
  return isFuture(awaitable) ? (awaitable as Awaitable<T>) : coroutineOf(awaitable);
}
