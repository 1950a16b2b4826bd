/**
 * Permits, first come, first served.
 *
 * Unlike a lock it hands over: a release gives the permit to the first in line at once. One who is cancelled after that gives it
 * to the next.
 */
import { describeValue, UsageError } from "../core/index.ts";
import { CancelledError, ValueError } from "./errors.ts";
import type { Awaitable, Coroutine, Future } from "./future.ts";
import { LoopBound } from "./loop-bound.ts";

/**
 * @example
 * const slots = new Semaphore(10);
 * yield* slots.with(function* () { yield* download(url) }); // at most ten at a time
 */
export class Semaphore extends LoopBound {
  readonly #waiters = new Set<Future<void>>();
  #value: number;

  /** @param value How many permits there are. Default: 1. @throws {ValueError} when negative. */
  constructor(value = 1) {
    super();
    if (!Number.isInteger(value))
      throw new UsageError(`a semaphore takes a whole number of permits, got ${describeValue(value)}`);
    if (value < 0) throw new ValueError(`a semaphore takes at least 0 permits, got ${value}`);
    this.#value = value;
  }

  /** Free permits. @internal */
  get free(): number {
    return this.#value;
  }

  /** Whether `acquire` would have to wait: no permit is free, or somebody stands in line. */
  locked(): boolean {
    if (this.#value === 0) return true;
    for (const waiter of this.#waiters) if (!waiter.cancelled()) return true;
    return false;
  }

  /** Takes a permit, waiting in line if there is none. Cancelling leaves the line and takes no permit. */
  *acquire(): Coroutine<true> {
    if (!this.locked()) {
      this.#value--;
      return true;
    }
    const waiter = this.boundLoop().createFuture<void>();
    this.#waiters.add(waiter);
    try {
      yield* waiter;
    } catch (error) {
      this.#waiters.delete(waiter);
      if (error instanceof CancelledError && waiter.done() && !waiter.cancelled()) this.#value++;
      this.#serve();
      throw error;
    }
    this.#waiters.delete(waiter);
    this.#serve();
    return true;
  }

  /** Gives a permit back, to the first in line if there is one. */
  release(): void {
    this.#value++;
    this.#wakeNext();
  }

  /** Runs `body` with a permit; Python's `async with`. */
  *with<T>(body: () => Awaitable<T>): Coroutine<T> {
    yield* this.acquire();
    try {
      return yield* body();
    } finally {
      this.release();
    }
  }

  override toString(): string {
    const state = this.locked() ? "locked" : `unlocked, value:${this.#value}`;
    return `<${this.constructor.name} ${state} waiters:${this.#waiters.size}>`;
  }

  /** Those who came while others stood in line had to wait although a permit was free. */
  #serve(): void {
    while (this.#value > 0 && this.#wakeNext());
  }

  #wakeNext(): boolean {
    for (const waiter of this.#waiters) {
      if (waiter.done()) continue;
      this.#value--;
      waiter.setResult(undefined);
      return true;
    }
    return false;
  }
}

/** A semaphore that never has more permits than at first. */
export class BoundedSemaphore extends Semaphore {
  readonly #bound: number;

  constructor(value = 1) {
    super(value);
    this.#bound = value;
  }

  /** @throws {ValueError} when more would be given back than there were. */
  override release(): void {
    if (this.free >= this.#bound) throw new ValueError("the semaphore was released more often than acquired");
    super.release();
  }
}
