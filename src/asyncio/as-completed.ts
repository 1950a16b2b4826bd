/**
 * Awaitables in the order in which they get done.
 */
import { UsageError } from "../core/index.ts";
import { TimeoutError } from "./errors.ts";
import { getRunningLoop } from "./event-loop.ts";
import { isFuture } from "./future.ts";
import type { Awaitable, Coroutine, Future } from "./future.ts";
import type { TimerHandle } from "./handle.ts";
import { Queue } from "./queue.ts";
import { ensureFuture, isCoroutine } from "./task.ts";

export interface AsCompletedOptions {
  /** For all of them together, in seconds. Default: forever. */
  readonly timeout?: number | null;
}

/** What `asCompleted` returns: a plain iterator of coroutines, and with `anext` Python's `async for`. */
export class CompletedIterator<T> implements IterableIterator<Coroutine<T>, undefined> {
  readonly #done = new Queue<Future<T> | null>();
  readonly #pending: Set<Future<T>>;
  readonly #timer: TimerHandle | null;
  readonly #completed = (future: Future<T>): void => this.#onCompleted(future);
  #left: number;

  /** @internal */
  constructor(awaitables: Iterable<Awaitable<T>>, timeout: number | null) {
    const loop = getRunningLoop();
    this.#pending = new Set([...new Set(awaitables)].map((it) => ensureFuture(it, { loop })));
    for (const future of this.#pending) future.addDoneCallback(this.#completed);
    this.#left = this.#pending.size;
    this.#timer = timeout === null || this.#left === 0 ? null : loop.callLater(timeout, () => this.#expire());
  }

  [Symbol.iterator](): this {
    return this;
  }

  /** A coroutine for the next result: it returns it, or throws what the awaitable threw, or `TimeoutError`. */
  next(): IteratorResult<Coroutine<T>, undefined> {
    if (this.#left === 0) return { done: true, value: undefined };
    this.#left--;
    return { done: false, value: this.#nextResult() };
  }

  /**
   * Waits for the next that is done and returns it: the very future or task that was given, or the task made of a coroutine.
   * @throws {TimeoutError} when the time is up; the others go on.
   * @example
   * const tasks = asCompleted(all);
   * for (let it = yield* tasks.anext(); !it.done; it = yield* tasks.anext()) console.log(it.value.result());
   */
  *anext(): Coroutine<IteratorResult<Future<T>, undefined>> {
    if (this.#left === 0) return { done: true, value: undefined };
    this.#left--;
    return { done: false, value: yield* this.#nextDone() };
  }

  *#nextResult(): Coroutine<T> {
    return (yield* this.#nextDone()).result();
  }

  *#nextDone(): Coroutine<Future<T>> {
    const future = yield* this.#done.get();
    if (future === null) throw new TimeoutError("the time is up");
    return future;
  }

  #onCompleted(future: Future<T>): void {
    if (this.#pending.size === 0) return; // the time was up before
    this.#pending.delete(future);
    this.#done.putNowait(future);
    if (this.#pending.size === 0) this.#timer?.cancel();
  }

  #expire(): void {
    for (const future of this.#pending) {
      future.removeDoneCallback(this.#completed);
      this.#done.putNowait(null);
    }
    this.#pending.clear();
  }
}

/**
 * Runs the awaitables and gives their results in the order in which they come. Coroutines become tasks at once.
 *
 * Neither a failure nor the timeout nor leaving the loop cancels any of them.
 * @throws {RuntimeError} without a running loop.
 * @example
 * for (const next of asCompleted([slow(), fast()], { timeout: 5 })) console.log(yield* next);
 */
export function asCompleted<T>(
  awaitables: Iterable<Awaitable<T>>,
  options: AsCompletedOptions = {},
): CompletedIterator<T> {
  if (isFuture(awaitables) || isCoroutine(awaitables)) {
    throw new UsageError("asCompleted takes a list of awaitables, got one: asCompleted([it])");
  }
  return new CompletedIterator(awaitables, options.timeout ?? null);
}
