import type { Coroutine, Future } from "./future.ts";
import { LoopBound } from "./loop-bound.ts";

/**
 * A flag that tasks can wait for.
 *
 * `set` wakes all who wait at that moment, even if `clear` follows at once.
 * @example
 * const ready = new Event();
 * yield* ready.wait(); // until somebody calls ready.set()
 */
export class Event extends LoopBound {
  readonly #waiters = new Set<Future<void>>();
  #value = false;

  isSet(): boolean {
    return this.#value;
  }

  set(): void {
    if (this.#value) return;
    this.#value = true;
    for (const waiter of this.#waiters) if (!waiter.done()) waiter.setResult(undefined);
  }

  clear(): void {
    this.#value = false;
  }

  /** Waits until the flag is set; not at all if it is. Cancelling leaves no trace. */
  *wait(): Coroutine<true> {
    if (this.#value) return true;
    const waiter = this.boundLoop().createFuture<void>();
    this.#waiters.add(waiter);
    try {
      yield* waiter;
      return true;
    } finally {
      this.#waiters.delete(waiter);
    }
  }

  override toString(): string {
    return `<Event ${this.#value ? "set" : "unset"} waiters:${this.#waiters.size}>`;
  }
}
