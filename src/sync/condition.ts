/**
 * Waiting, under a lock, until another task says that what the lock guards has changed.
 *
 * A wait goes through two lines. It gives the lock away and stands in the line of the condition, in one step. Being notified
 * moves it to the end of the lock's line; it does not run before it owns the lock again, with the same permit, so a `use`
 * around it releases what it has. One wake-up for each wait, none that only finds the lock taken.
 *
 * When a wait is cancelled, the lock is acquired again before `Cancelled` goes on, since the `finally` of whoever called relies
 * on it. That happens while `Cancelled` unwinds, so it is cleanup: no cancellation interrupts it, and `cleanupMs` bounds it. A
 * shield would hold even that back, and a lock that is never released would keep a cancelled task for ever.
 *
 * A notification is never lost: one that was notified and is cancelled before it owns the lock passes it on to the next one. Only
 * then: nobody goes on without having been notified (asyncio since 3.13 wakes another one for every cancelled waiter).
 * Source: trio's Condition (moving from line to line).
 */
import { Cancelled, describeValue, sharedWait, UsageError, WaitQueue } from "../core/index.ts";
import type { Coroutine, Operation, Started, Waiter } from "../core/index.ts";
import { Lock, LockAcquire } from "./lock.ts";
import { checkCount, nameIn, titleOf } from "./naming.ts";
import type { NameOptions } from "./naming.ts";
import type { Permit } from "./permit.ts";

export interface ConditionOptions extends NameOptions {
  /** What one has to hold to wait and to notify. Several conditions may share one. Default: a lock of its own, of the same name. */
  readonly lock?: Lock;
}

export interface ConditionStatistics {
  readonly name: string;
  /** How many tasks wait to be notified. */
  readonly waiting: number;
  /** How many tasks, notified or not, wait for the lock. */
  readonly waitingForLock: number;
}

/**
 * @example
 * const changed = new Condition();
 * function* take() {
 *   return yield* changed.lock.use(function* () {
 *     yield* changed.waitFor(() => items.length > 0);
 *     return items.shift();
 *   });
 * }
 * function* put(item) {
 *   yield* changed.lock.use(function* () { items.push(item); changed.notify() });
 * }
 */
export class Condition {
  readonly name: string;
  /** The lock that one has to hold to wait and to notify. */
  readonly lock: Lock;
  readonly #line: WaitQueue<Permit, ConditionWait> = new WaitQueue();

  /**
   * @param options A lock stands for `{ lock }`.
   * @throws {UsageError} when the options are none, or `lock` is no `Lock`.
   */
  constructor(options: ConditionOptions | Lock = {}) {
    const given: ConditionOptions = options instanceof Lock ? { lock: options } : options;
    this.name = nameIn("condition", given);
    const { lock } = given;
    if (lock !== undefined && !(lock instanceof Lock)) {
      throw new UsageError(`the lock of a condition must be a Lock, got ${describeValue(lock)}`);
    }
    this.lock = lock ?? new Lock({ name: this.name });
  }

  /**
   * Gives the lock away, waits until it is notified, and acquires the lock again before it returns or throws. What was true
   * when it was notified need not be true any more: look again, or use `waitFor`.
   *
   * Cancelling leaves the line, and waits for the lock; a notification that it had got goes to the next one. When `cleanupMs`
   * has passed before the lock is free, the task goes on without it.
   * @throws {UsageError} when the running task does not hold the lock (`LOCK_NOT_OWNED`).
   * @throws {BrokenLockError} when another task ended while it held the lock; this one does not hold it then.
   * @example
   * yield* condition.wait();
   */
  *wait(): Coroutine<void> {
    const wait = new ConditionWait(this, this.#line);
    try {
      yield* wait;
    } catch (error) {
      if (error instanceof Cancelled && wait.gaveAway) yield* wait.takeBack();
      throw error;
    }
  }

  /**
   * Waits until `predicate` is true; does not wait when it is. It is called with the lock held, now and after every notification.
   * @throws {UsageError} and {BrokenLockError} like `wait`.
   * @example
   * yield* condition.waitFor(() => items.length > 0);
   */
  *waitFor(predicate: () => boolean): Coroutine<void> {
    this.lock.checkOwned("wait for a condition of");
    while (!predicate()) yield* this.wait();
  }

  /**
   * Notifies the `count` tasks that have waited longest, or all if there are fewer. They go on when they get the lock.
   * @throws {UsageError} when the running task does not hold the lock, or `count` is not a whole number of at least 1.
   */
  notify(count = 1): void {
    checkCount("notify takes a number of tasks: it", count, 1);
    this.lock.checkOwned("notify a condition of");
    for (let left = count; left > 0 && this.passOn(); left--);
  }

  /** Notifies all who wait now. @throws {UsageError} when the running task does not hold the lock. */
  notifyAll(): void {
    this.lock.checkOwned("notify a condition of");
    while (this.passOn());
  }

  statistics(): ConditionStatistics {
    return Object.freeze({ name: this.name, waiting: this.#line.size, waitingForLock: this.lock.line.size });
  }

  /** Moves the first one to the line of the lock, which somebody holds. `false` when nobody waits. @internal */
  passOn(): boolean {
    const wait = this.#line.shift();
    if (wait === null) return false;
    wait.isNotified = true;
    this.lock.enqueue(wait);
    return true;
  }
}

/** Stands in the line of the condition, then in that of the lock. */
class ConditionWait extends LockAcquire {
  isNotified = false;
  private readonly condition: Condition;
  private readonly unnotified: WaitQueue<Permit, ConditionWait>;

  constructor(condition: Condition, unnotified: WaitQueue<Permit, ConditionWait>) {
    super(condition.lock, null);
    this.condition = condition;
    this.unnotified = unnotified;
  }

  override get reason(): string {
    const title = titleOf("condition", this.condition.name);
    return this.isNotified ? `${this.lock.describe()} after ${title}` : title;
  }

  /** Whether the lock was given away. */
  get gaveAway(): boolean {
    return this.permit !== null;
  }

  /** Waits for the lock with the permit that was given away. */
  takeBack(): Operation<Permit> {
    return new LockAcquire(this.lock, this.permit);
  }

  protected override start(task: Waiter): Started<Permit> {
    if (this.waiter !== null) throw sharedWait(this.reason);
    this.permit = this.lock.checkOwned("wait for a condition of");
    this.lock.handOver();
    this.unnotified.push(this);
    this.waiter = task;
    return task.park(this);
  }

  override stepAside(): void {
    if (this.isNotified) super.stepAside();
    else this.unnotified.remove(this);
  }

  override withdraw(): boolean {
    this.stepAside();
    this.waiter = null;
    if (this.isNotified) this.condition.passOn();
    return true;
  }
}
