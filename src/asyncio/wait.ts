/**
 * Waiting for several futures without touching them.
 */
import { describeValue, UsageError } from "../core/index.ts";
import { ValueError } from "./errors.ts";
import { getRunningLoop } from "./event-loop.ts";
import { Future, isFuture } from "./future.ts";
import type { Coroutine } from "./future.ts";
import { currentTask } from "./task.ts";

export const FIRST_COMPLETED = "FIRST_COMPLETED";
export const FIRST_EXCEPTION = "FIRST_EXCEPTION";
export const ALL_COMPLETED = "ALL_COMPLETED";

export type ReturnWhen = typeof FIRST_COMPLETED | typeof FIRST_EXCEPTION | typeof ALL_COMPLETED;

export interface WaitOptions {
  /** In seconds. Default: forever. */
  readonly timeout?: number | null;
  /** Default: `ALL_COMPLETED`. For `FIRST_EXCEPTION` a cancelled future is none that failed. */
  readonly returnWhen?: ReturnWhen;
}

/**
 * Waits until the futures are done, or one of them is, or the time is up. Throws none of their exceptions, cancels none of them, and a
 * timeout is no error.
 *
 * Cancelling leaves the futures as they are.
 * @returns Those that are done and those that are not, each in the order given. More may be done than what ended the wait.
 * @throws {ValueError} for no futures. @throws {UsageError} for coroutines: make tasks of them.
 * @example
 * const [done, pending] = yield* wait(tasks, { timeout: 2, returnWhen: FIRST_COMPLETED });
 */
export function* wait<F extends Future<unknown>>(
  futures: Iterable<F>,
  options: WaitOptions = {},
): Coroutine<[done: Set<F>, pending: Set<F>]> {
  const { timeout = null, returnWhen = ALL_COMPLETED } = options;
  if (isFuture(futures)) throw new UsageError("wait takes a list of futures, got one future: wait([future])");
  const all = new Set(futures);
  if (all.size === 0) throw new ValueError("wait takes at least one future");
  if (returnWhen !== FIRST_COMPLETED && returnWhen !== FIRST_EXCEPTION && returnWhen !== ALL_COMPLETED) {
    throw new ValueError(
      `returnWhen is FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED, not ${describeValue(returnWhen)}`,
    );
  }
  for (const it of all) {
    if (!(it instanceof Future))
      throw new UsageError(`wait takes futures and tasks, got ${describeValue(it)}; write createTask()`);
  }
  const loop = getRunningLoop();
  const task = currentTask() as Future<unknown> | null;
  const waiter = loop.createFuture<void>();
  const timer = timeout === null ? null : loop.callLater(timeout, releaseWaiter, waiter);
  let left = all.size;
  const completed = (future: Future<unknown>): void => {
    left--;
    if (
      left <= 0 ||
      returnWhen === FIRST_COMPLETED ||
      (returnWhen === FIRST_EXCEPTION && !future.cancelled() && future.exception() !== null)
    ) {
      timer?.cancel();
      releaseWaiter(waiter);
    }
    if (task !== null) future.discardAwaiter(task);
  };
  for (const future of all) {
    future.addDoneCallback(completed);
    if (task !== null) future.addAwaiter(task);
  }
  try {
    yield* waiter;
  } finally {
    timer?.cancel();
    for (const future of all) {
      future.removeDoneCallback(completed);
      if (task !== null) future.discardAwaiter(task);
    }
  }
  const done = new Set<F>();
  const pending = new Set<F>();
  for (const future of all) (future.done() ? done : pending).add(future);
  return [done, pending];
}

function releaseWaiter(waiter: Future<void>): void {
  if (!waiter.done()) waiter.setResult(undefined);
}

/** Cancels the future and waits until it is done. Cancelling this leaves the future to itself. @package */
export function* cancelAndWait(future: Future<unknown>): Coroutine<void> {
  const waiter = getRunningLoop().createFuture<void>();
  const release = (): void => releaseWaiter(waiter);
  future.addDoneCallback(release);
  try {
    future.cancel();
    yield* waiter;
  } finally {
    future.removeDoneCallback(release);
  }
}
