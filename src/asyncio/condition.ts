/**
 * Waiting for a change of something that a lock protects.
 *
 * A wait always takes the lock again before it ends, also when it is cancelled; further cancellations meanwhile are held back, and the
 * last of them is what it throws. A wait that ends by an exception notifies one other waiter, since it might have been notified
 * itself: so a wait may end although nobody called `notify`, and who waits for something checks it again (`waitFor` does).
 */
import { CancelledError, RuntimeError } from "./errors.ts";
import type { Awaitable, Coroutine, Future } from "./future.ts";
import { Lock } from "./lock.ts";
import { LoopBound } from "./loop-bound.ts";

/**
 * @example
 * yield* condition.with(function* () { yield* condition.waitFor(() => stock.length > 0) });
 */
export class Condition extends LoopBound {
  readonly #lock: Lock;
  readonly #waiters = new Set<Future<void>>();

  /** @param lock To share; default: one of its own. */
  constructor(lock: Lock = new Lock()) {
    super();
    this.#lock = lock;
  }

  /** Whether its lock is held. */
  locked(): boolean {
    return this.#lock.locked();
  }

  /** Takes its lock. */
  acquire(): Coroutine<true> {
    return this.#lock.acquire();
  }

  /** Frees its lock. */
  release(): void {
    this.#lock.release();
  }

  /** Runs `body` while holding the lock; Python's `async with`. */
  with<T>(body: () => Awaitable<T>): Coroutine<T> {
    return this.#lock.with(body);
  }

  /**
   * Frees the lock, waits for `notify`, takes the lock again. May end for no reason: check what you wait for.
   * @throws {RuntimeError} when the lock is not held.
   */
  *wait(): Coroutine<true> {
    if (!this.locked()) throw new RuntimeError("cannot wait without the lock; do it in condition.with()");
    const waiter = this.boundLoop().createFuture<void>();
    this.release();
    let failure: { readonly error: unknown } | null = null;
    this.#waiters.add(waiter);
    try {
      yield* waiter;
    } catch (error) {
      failure = { error };
    }
    this.#waiters.delete(waiter);
    try {
      for (let taken = false; !taken;) {
        try {
          taken = yield* this.acquire();
        } catch (error) {
          if (!(error instanceof CancelledError)) throw error;
          failure = { error };
        }
      }
      if (failure !== null) throw failure.error;
    } catch (error) {
      this.#wake(1);
      throw error;
    }
    return true;
  }

  /** Waits until `predicate` gives something true; returns that. It is asked with the lock held, at once and after each `notify`. */
  *waitFor<T>(predicate: () => T): Coroutine<T> {
    let result = predicate();
    while (!result) {
      yield* this.wait();
      result = predicate();
    }
    return result;
  }

  /** Wakes up to `n` of those who wait, first come, first served; they go on once they have the lock. @throws {RuntimeError} without the lock. */
  notify(n = 1): void {
    if (!this.locked()) throw new RuntimeError("cannot notify without the lock; do it in condition.with()");
    this.#wake(n);
  }

  /** Wakes all who wait. @throws {RuntimeError} without the lock. */
  notifyAll(): void {
    this.notify(this.#waiters.size);
  }

  override toString(): string {
    return `<Condition ${this.locked() ? "locked" : "unlocked"} waiters:${this.#waiters.size}>`;
  }

  #wake(n: number): void {
    let woken = 0;
    for (const waiter of this.#waiters) {
      if (woken >= n) return;
      if (waiter.done()) continue;
      woken++;
      waiter.setResult(undefined);
    }
  }
}
