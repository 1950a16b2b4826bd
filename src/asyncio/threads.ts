/**
 * Between loops and threads: `toThread` runs a job in a thread, `runCoroutineThreadsafe` adds a coroutine to a loop from outside.
 *
 * An object of JavaScript lives in one thread, so "from outside" means: from promise code, from callbacks, from another loop of the
 * same thread. To add tasks to a loop in another thread there is `LoopThread` of `fibril/executors`.
 */
import { UsageError } from "../core/index.ts";
import type { Job } from "../executors/index.ts";
import { ConcurrentFuture } from "./concurrent-future.ts";
import { getRunningLoop } from "./event-loop.ts";
import type { EventLoop } from "./event-loop.ts";
import type { Coroutine } from "./future.ts";
import { ensureFuture, isCoroutine } from "./task.ts";

/**
 * Runs a job in a thread of the loop's default executor and gives its result. Cancelling leaves the wait at once; the job is
 * cancelled, cooperatively, and what it comes to is dropped. Context variables do not go along: threads share no objects.
 * @example
 * export const digest = job(import.meta.url, function digest(text: string) { … });
 * const value = yield* toThread(digest, "secret");
 */
export function* toThread<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): Coroutine<T> {
  return yield* getRunningLoop().runInExecutor(null, job, ...args);
}

/**
 * Adds a coroutine to a loop from outside of it; a future that code outside can wait for. Cancelling the future cancels the task.
 * @throws {UsageError} when it is no coroutine object.
 * @example
 * const future = runCoroutineThreadsafe(work(), loop); // in a callback, while the loop runs
 * console.log(await future);
 */
export function runCoroutineThreadsafe<T>(coroutine: Coroutine<T>, loop: EventLoop): ConcurrentFuture<T> {
  if (!isCoroutine(coroutine))
    throw new UsageError("runCoroutineThreadsafe takes a coroutine object: call its function");
  const future = new ConcurrentFuture<T>((exception) =>
    loop.callExceptionHandler({ message: "a callback of a concurrent future failed", exception }),
  );
  loop.callSoonThreadsafe(() => {
    if (future.done()) return void coroutine.return(undefined as never);
    const task = ensureFuture(coroutine, { loop });
    future.follow({
      // Who cancels is outside of the loop: the task is told in an iteration of its own.
      cancel: (message) => {
        if (!loop.isClosed()) loop.callSoonThreadsafe(() => void task.cancel(message));
      },
    });
    task.addDoneCallback(() => {
      if (task.cancelled()) return void future.cancel();
      const exception = task.exception();
      if (exception === null || exception === undefined) future.setResult(task.result());
      else future.setException(exception);
    });
  });
  return future;
}
