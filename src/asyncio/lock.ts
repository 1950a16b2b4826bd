/**
 * A lock. Whoever waits is served first come, first served, and nobody who comes later slips in.
 *
 * A release does not hand the lock over: it wakes the first in line, who takes it in its own step. In between `locked()` is false
 * although nobody else can take it. It has no owner: any task may release it.
 */
import { CancelledError, RuntimeError } from "./errors.ts";
import type { Awaitable, Coroutine, Future } from "./future.ts";
import { LoopBound } from "./loop-bound.ts";

/**
 * @example
 * const lock = new Lock();
 * yield* lock.with(function* () { yield* update(stock) });
 */
export class Lock extends LoopBound {
  readonly #waiters = new Set<Future<void>>();
  #locked = false;

  locked(): boolean {
    return this.#locked;
  }

  /** Takes the lock; without a wait if it is free and nobody stands in line. Cancelling leaves the line, and the next is served. */
  *acquire(): Coroutine<true> {
    if (!this.#locked && this.#onlyCancelledWaiters()) {
      this.#locked = true;
      return true;
    }
    const waiter = this.boundLoop().createFuture<void>();
    this.#waiters.add(waiter);
    try {
      yield* waiter;
    } catch (error) {
      this.#waiters.delete(waiter);
      // It may have been its turn: then it is the next one's.
      if (error instanceof CancelledError && !this.#locked) this.#wakeFirst();
      throw error;
    }
    this.#waiters.delete(waiter);
    this.#locked = true;
    return true;
  }

  /** Frees the lock and wakes the first in line. @throws {RuntimeError} when it is free. */
  release(): void {
    if (!this.#locked) throw new RuntimeError("the lock is not acquired; release it once for each acquire");
    this.#locked = false;
    this.#wakeFirst();
  }

  /** Runs `body` while holding the lock; Python's `async with`. */
  *with<T>(body: () => Awaitable<T>): Coroutine<T> {
    yield* this.acquire();
    try {
      return yield* body();
    } finally {
      this.release();
    }
  }

  override toString(): string {
    return `<Lock ${this.#locked ? "locked" : "unlocked"} waiters:${this.#waiters.size}>`;
  }

  #onlyCancelledWaiters(): boolean {
    for (const waiter of this.#waiters) if (!waiter.cancelled()) return false;
    return true;
  }

  #wakeFirst(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.done()) waiter.setResult(undefined);
      return;
    }
  }
}
