import { describeValue, UsageError, Wait, yieldNow } from "../core/index.ts";
import type { Operation, Started, Waiter } from "../core/index.ts";

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
  if (latest.ms !== ms) latest = new Sleep(ms);
  return latest;
}

/** Its state lives in the sleeping task, which is its own timer: one object can serve any number of sleeps of its length. */
class Sleep extends Wait<void> {
  readonly ms: number;

  constructor(ms: number) {
    super();
    this.ms = ms;
  }

  get reason(): string {
    return `sleep ${this.ms} ms`;
  }

  // `sleep(Infinity)` is for ever: it sets no timer, so a program that only waits for it is reported as stuck.
  protected start(task: Waiter): Started<void> {
    if (this.ms !== Infinity) task.loop.addTimer(task, task.loop.now() + this.ms);
    return task.park(this);
  }

  withdraw(task: Waiter): boolean {
    task.loop.removeTimer(task);
    return true;
  }
}

// Loops and crowds of tasks sleep for the same time again and again.
let latest = new Sleep(1);
