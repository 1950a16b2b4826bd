import { describeValue, UsageError, Wait } from "../core/index.ts";
import type { Operation, Started, Waiter } from "../core/index.ts";

/**
 * Waits until the loop's clock shows `deadline`, in milliseconds (`EventLoop.current().now()`). A time that has passed gives way
 * to the other ready tasks once. Cancelling removes the timer.
 *
 * `Infinity` sets no timer, so a program that waits for nothing else is reported as stuck.
 * @throws {UsageError} when `deadline` is not a number.
 * @example
 * yield* sleepUntil(tick.scheduledAt + 250);
 */
export function sleepUntil(deadline: number): Operation<void> {
  if (typeof deadline !== "number" || Number.isNaN(deadline)) {
    throw new UsageError(`sleepUntil takes a time in milliseconds of the loop's clock, got ${describeValue(deadline)}`);
  }
  return new SleepUntil(deadline);
}

/** Like a sleep, its state lives in the task, so that any number of tasks may wait at one object. */
class SleepUntil extends Wait<void> {
  readonly #deadline: number;

  constructor(deadline: number) {
    super();
    this.#deadline = deadline;
  }

  get reason(): string {
    return `sleep until ${this.#deadline} ms`;
  }

  protected start(task: Waiter): Started<void> {
    if (this.#deadline <= task.loop.now()) return task.pass(this, undefined);
    if (this.#deadline !== Infinity) task.loop.addTimer(task, this.#deadline);
    return task.park(this);
  }

  withdraw(task: Waiter): boolean {
    task.loop.removeTimer(task);
    return true;
  }
}
