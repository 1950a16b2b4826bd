import type { Awaitable, Future } from "./future.ts";
import { currentTask, ensureFuture } from "./task.ts";
import type { TaskLoop } from "./task.ts";

/**
 * A future that gets what `awaitable` comes to and does not pass cancellation on: cancelling the task that awaits it ends the wait at
 * once, and what is inside goes on. Cancelling what is inside cancels the shield.
 *
 * If what is inside fails after the shield was cancelled, the loop's exception handler is told. When the loop is shut down, it is
 * cancelled all the same. A coroutine becomes a task, and begins even if nobody awaits the shield.
 * @example
 * yield* shield(save(order)); // runs to its end even if this task is cancelled
 */
export function shield<T>(awaitable: Awaitable<T>): Future<T> {
  const inner = ensureFuture(awaitable);
  if (inner.done()) return inner;
  const loop = inner.loop as TaskLoop;
  const outer = loop.createFuture<T>();
  const task = currentTask(loop) as Future<unknown> | null;
  if (task !== null) {
    inner.addAwaiter(task);
    inner.addDoneCallback(() => inner.discardAwaiter(task));
  }
  const innerDone = (): void => {
    if (outer.cancelled()) return;
    if (inner.cancelled()) outer.cancel();
    else if (inner.hasFailed) outer.setException(inner.exception());
    else outer.setResult(inner.result());
  };
  inner.addDoneCallback(innerDone);
  outer.addDoneCallback(() => {
    if (inner.done()) return;
    inner.removeDoneCallback(innerDone);
    inner.removeDoneCallback(reportFailure); // of several shields around it only one reports
    inner.addDoneCallback(reportFailure);
  });
  return outer;
}

function reportFailure(inner: Future<unknown>): void {
  if (inner.cancelled() || !inner.hasFailed) return;
  const exception = inner.exception();
  const name = exception instanceof Error ? exception.constructor.name : typeof exception;
  inner.loop.callExceptionHandler({
    message: `${name} exception in shielded future`,
    exception,
    future: inner,
    ...(inner.sourceTraceback === undefined ? {} : { sourceTraceback: inner.sourceTraceback }),
  });
}
