/**
 * Waiting for a promise. It is in the core because releases may be asynchronous (`Symbol.asyncDispose`).
 */
import type { Cancelled } from "./cancelled.ts";
import { CancelledError, describeValue, UsageError } from "./errors.ts";
import { Wait } from "./operation.ts";
import type { Operation, Started, Waiter } from "./operation.ts";

/**
 * Waits for a promise, or for what `start` makes when it is called with an `AbortSignal`.
 *
 * Cancelling aborts the signal with a `CancelledError` as reason and does not wait for the promise any longer; its value is
 * dropped and its rejection is not reported. A promise that was passed in itself cannot be stopped: it goes on, unseen.
 * The `AbortController` is made only for the second form (it costs 3 µs, aborting 10–20 µs).
 *
 * @throws what the promise rejects with.
 * @example
 * const response = yield* until((signal) => fetch(url, { signal }));
 */
export function until<T>(promise: PromiseLike<T> | ((signal: AbortSignal) => PromiseLike<T>)): Operation<T> {
  return new PromiseWait(promise);
}

class PromiseWait<T> extends Wait<T> {
  readonly #source: PromiseLike<T> | ((signal: AbortSignal) => PromiseLike<T>);
  #controller: AbortController | null = null;
  /** Whose end counts: the operation may be used again while an earlier promise is still pending. */
  #awaited: PromiseLike<T> | null = null;

  constructor(source: PromiseLike<T> | ((signal: AbortSignal) => PromiseLike<T>)) {
    super();
    this.#source = source;
  }

  get reason(): string {
    return typeof this.#source === "function" && this.#source.name !== ""
      ? `promise of ${this.#source.name}`
      : "promise";
  }

  override get external(): boolean {
    return true;
  }

  protected start(task: Waiter): Started<T> {
    const promise = typeof this.#source === "function" ? this.#begin(this.#source) : this.#source;
    if (typeof (promise as Partial<PromiseLike<T>> | null | undefined)?.then !== "function") {
      throw new UsageError(`until() takes a promise or a function that returns one, got ${describeValue(promise)}`);
    }
    // Before parking: a `then` of somebody else's may throw. It never calls back in the same step; should it, nothing waits yet.
    this.#awaited = promise;
    const parked = (): boolean => task.wait === (this as Wait<unknown>) && this.#awaited === promise;
    let early: (() => void) | null = null;
    const settle = (end: () => void): void => {
      if (parked()) end();
      else if (task.wait === null) early = end;
    };
    promise.then(
      (value) => settle(() => void task.wake(this, value)),
      (error: unknown) => settle(() => void task.wakeError(this, error)),
    );
    const started = task.park(this);
    if (early !== null) (early as () => void)();
    return started;
  }

  withdraw(_task: Waiter, cancelled: Cancelled | null): boolean {
    this.#controller?.abort(new CancelledError(this.reason, cancelled?.reason));
    return true;
  }

  #begin(source: (signal: AbortSignal) => PromiseLike<T>): PromiseLike<T> {
    this.#controller = new AbortController();
    return source(this.#controller.signal);
  }
}
