/**
 * Waiting for a promise. It is in the core because releases may be asynchronous (`Symbol.asyncDispose`).
 */
import type { Cancelled } from "./cancelled.ts";
import { CancelledError, describeValue, UsageError } from "./errors.ts";
import { running, sharedWait, Wait } from "./operation.ts";
import type { Operation, Started, Suspend, Waiter } from "./operation.ts";
import { INTERRUPTED } from "./task-state.ts";

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
  /** What the promise tells; replaced at each use, and let go of when the wait ends: the promise may live long. */
  #settlement: Settlement<T> | null = null;

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

  override next(): IteratorResult<Suspend, T> {
    const task = running.task;
    if (task !== null && task.wait === null && (task.flags & INTERRUPTED) !== 0 && typeof this.#source !== "function") {
      // The cancellation is thrown before the wait begins; nobody will ever hear of the promise, which may reject.
      (this.#source as Partial<PromiseLike<T>> | null | undefined)?.then?.(undefined, () => {});
    }
    return super.next();
  }

  protected start(task: Waiter): Started<T> {
    if (this.#settlement !== null && this.#settlement.task !== null) throw sharedWait(this.reason);
    const promise = typeof this.#source === "function" ? this.#begin(this.#source) : this.#source;
    if (typeof (promise as Partial<PromiseLike<T>> | null | undefined)?.then !== "function") {
      throw new UsageError(`until() takes a promise or a function that returns one, got ${describeValue(promise)}`);
    }
    const settlement = new Settlement<T>(task, this);
    // Before parking: a `then` of somebody else's may throw, or call back in the same step.
    promise.then(settlement.resolved, settlement.rejected);
    this.#settlement = settlement;
    const started = task.park(this);
    settlement.begin();
    return started;
  }

  withdraw(_task: Waiter, cancelled: Cancelled | null): boolean {
    if (this.#settlement !== null) this.#settlement.task = null;
    this.#settlement = null;
    this.#controller?.abort(new CancelledError(this.reason, cancelled?.reason));
    return true;
  }

  #begin(source: (signal: AbortSignal) => PromiseLike<T>): PromiseLike<T> {
    this.#controller = new AbortController();
    return source(this.#controller.signal);
  }
}

/**
 * What a promise calls back. The promise keeps it for as long as it lives, so it lets go of the task when the wait ends:
 * otherwise each given-up wait on a promise that never settles would keep a whole task.
 */
class Settlement<T> {
  task: Waiter | null;
  readonly #wait: Wait<T>;
  #isParked = false;
  #early: ((task: Waiter) => void) | null = null;

  constructor(task: Waiter, wait: Wait<T>) {
    this.task = task;
    this.#wait = wait;
  }

  readonly resolved = (value: T): void => this.#end((task) => void task.wake(this.#wait, value));
  readonly rejected = (error: unknown): void => this.#end((task) => void task.wakeError(this.#wait, error));

  /** The task is parked now; a promise that has called back already ends the wait at once. */
  begin(): void {
    this.#isParked = true;
    if (this.#early !== null) this.#end(this.#early);
  }

  #end(wake: (task: Waiter) => void): void {
    if (!this.#isParked) {
      this.#early ??= wake;
      return;
    }
    const { task } = this;
    this.task = null;
    if (task !== null) wake(task);
  }
}
