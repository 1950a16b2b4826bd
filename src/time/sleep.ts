import { describeValue, sharedWait, UsageError, Wait, yieldNow } from "../core/index.ts";
import type { Operation, Started, Timer, Waiter } from "../core/index.ts";

/**
 * Waits `ms` milliseconds on the loop's clock, never less. Zero or less gives way to the other ready tasks once.
 * Cancelling removes the timer.
 *
 * @throws {UsageError} when `ms` is not a number.
 * @example
 * yield* sleep(100);
 */
export function sleep(ms: number): Operation<void> {
  if (typeof ms !== "number" || Number.isNaN(ms)) {
    throw new UsageError(`sleep takes a number of milliseconds, got ${describeValue(ms)}`);
  }
  if (ms <= 0) return yieldNow();
  return new Sleep(ms);
}

class Sleep extends Wait<void> implements Timer {
  heapIndex = -1;
  readonly #ms: number;
  #waiter: Waiter | null = null;

  constructor(ms: number) {
    super();
    this.#ms = ms;
  }

  get reason(): string {
    return `sleep ${this.#ms} ms`;
  }

  // `sleep(Infinity)` is for ever: it sets no timer, so a program that only waits for it is reported as stuck.
  protected start(task: Waiter): Started<void> {
    if (this.heapIndex !== -1) throw sharedWait(this.reason);
    this.#waiter = task;
    if (this.#ms !== Infinity) task.loop.addTimer(this, task.loop.now() + this.#ms);
    return task.park(this);
  }

  withdraw(task: Waiter): boolean {
    task.loop.removeTimer(this);
    return true;
  }

  fire(): void {
    this.#waiter!.wake(this, undefined);
  }
}
