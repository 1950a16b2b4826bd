/**
 * Mutual exclusion between tasks, for sections that wait inside.
 *
 * - The lock goes from hand to hand: who releases it makes the first in line the owner in the same step, so it is never free
 *   while somebody waits, and nobody barges in.
 * - It belongs to a task. That is what finds a release by somebody else, an acquisition by the owner itself (which would
 *   wait for ever), and an owner that is dead.
 * - It is broken when its owner has settled; there is no state for it, `isSettled` is asked. Only who comes to a lock that is
 *   held asks, and only while somebody stands in line is the owner watched: an uncontended lock pays nothing.
 *
 * Rejected: handing the lock of a dead owner to the next one (it would work on what is half changed), and waiting on (nobody
 * would ever know). A broken lock says so to everyone until somebody answers for what it guards: `repair()`.
 * Reentrant locks were rejected too: inner code could not rely on what the outer code has left half done.
 * Source: trio's Lock (direct hand-over, broken with its owner), POSIX robust mutexes (repair before use).
 */
import { currentTask, QueuedWait, running, taskOf, UsageError, WaitQueue } from "../core/index.ts";
import type { Blocker, Body, Coroutine, Operation, Started, Task, Waiter, Watcher } from "../core/index.ts";
import { BrokenLockError } from "./errors.ts";
import { nameIn, titleOf } from "./naming.ts";
import type { NameOptions } from "./naming.ts";
import { holding } from "./permit.ts";
import type { Permit } from "./permit.ts";

export interface LockStatistics {
  readonly name: string;
  /** Whether it is held, or broken. */
  readonly isLocked: boolean;
  /** Whether the owner ended while it held it. */
  readonly isBroken: boolean;
  /** Name of the task that holds it, or that broke it. */
  readonly owner: string | null;
  /** How many tasks stand in line. */
  readonly waiting: number;
}

/**
 * @example
 * const lock = new Lock({ name: "stock" });
 * const left = yield* lock.use(function* () {
 *   const count = yield* readStock();
 *   yield* writeStock(count - 1);
 *   return count - 1;
 * });
 */
export class Lock {
  readonly name: string;
  /** Those who wait for it. @internal */
  readonly line: WaitQueue<Permit, LockAcquire> = new WaitQueue();
  /** The permit of the owner; `null` while it is free, and then nobody stands in line. @internal */
  held: LockPermit | null = null;

  constructor(options: NameOptions = {}) {
    this.name = nameIn("lock", options);
  }

  /** Whether it cannot be acquired now: it is held, or broken. */
  get isLocked(): boolean {
    return this.held !== null;
  }

  /** Whether its owner ended while it held it. */
  get isBroken(): boolean {
    return this.held !== null && this.held.task.isSettled;
  }

  /** The task that holds it, or that broke it; `null` while it is free. */
  get owner(): Task<unknown> | null {
    return this.held === null ? null : this.held.task;
  }

  /**
   * Waits in line for the lock, first come first served. The running task becomes its owner.
   *
   * Cancelling gives up the place in line and takes nothing.
   * @throws {UsageError} when the task holds it already (`LOCK_REENTERED`).
   * @throws {BrokenLockError} when its owner is dead, or dies while this task waits.
   * @example
   * using permit = yield* lock.acquire();
   */
  acquire(): Operation<Permit> {
    return new LockAcquire(this, null);
  }

  /**
   * The lock, if it is free; `undefined` when another task holds it.
   * @throws {UsageError} when the running task holds it already, or outside a coroutine: somebody has to own it.
   * @throws {BrokenLockError} when its owner is dead.
   */
  tryAcquire(): Permit | undefined {
    const task = currentTask();
    const refused = this.refuse(task);
    if (refused !== null) throw refused;
    return this.held === null ? (this.held = new LockPermit(this, task)) : undefined;
  }

  /**
   * Acquires the lock, runs `body` and releases it, however the body ends. Cancelling while it waits takes nothing.
   * @throws {UsageError} and {BrokenLockError} like `acquire`.
   * @example
   * yield* lock.use(function* () { yield* transfer(from, to) });
   */
  use<T>(body: Body<T>): Coroutine<T> {
    return holding(this.acquire(), body);
  }

  /**
   * Makes the first in line the owner, or the lock free.
   * @throws {UsageError} when the running task is not the owner (`LOCK_NOT_OWNED`).
   */
  release(): void {
    this.checkOwned("release");
    this.handOver();
  }

  /**
   * Makes a broken lock free again; does nothing to one that is not broken.
   *
   * First put in order what the lock guards: `repair()` says that you have. No other task runs before your next wait, so
   * `lock.repair(); using permit = yield* lock.acquire();` lets nobody in between. Those who waited have got their error and are
   * not in line any more; for conditions of this lock call `notifyAll()` then, since a notification may have been lost.
   */
  repair(): void {
    if (this.isBroken) this.held = null;
  }

  statistics(): LockStatistics {
    const { name, isLocked, isBroken, owner, line } = this;
    return Object.freeze({ name, isLocked, isBroken, owner: owner === null ? null : owner.name, waiting: line.size });
  }

  /** `lock "stock" (held by "writer")`. @internal */
  describe(): string {
    const title = titleOf("lock", this.name);
    return this.held === null ? title : `${title} (held by "${this.held.task.name}")`;
  }

  /** Why `task` cannot have it and must not wait for it either, or `null`. @internal */
  refuse(task: Waiter): Error | null {
    if (this.held === null) return null;
    const owner = this.held.task;
    if (owner === task) return reentered(this.name, owner.name);
    return owner.isSettled ? this.broken(owner) : null;
  }

  /** Puts it at the end of the line. Somebody holds the lock. @internal */
  enqueue(wait: LockAcquire): void {
    this.line.push(wait);
    this.held!.watchOwner();
  }

  /** The permit of the running task. @internal */
  checkOwned(what: string): LockPermit {
    const { held } = this;
    if (held !== null && (held.task as Waiter) === running.task) return held;
    throw notOwned(what, this, running.task);
  }

  /** @internal */
  handOver(): void {
    this.held!.unwatchOwner();
    const next = this.line.shift();
    if (next === null) {
      this.held = null;
      return;
    }
    const permit = next.permitFor(next.waitingTask!);
    this.held = permit;
    if (this.line.size > 0) permit.watchOwner();
    next.end(permit);
  }

  /** Nobody in line will ever be served. @internal */
  ownerDied(owner: Task<unknown>): void {
    for (let next = this.line.shift(); next !== null; next = this.line.shift()) next.fail(this.broken(owner));
  }

  // One error for each: a stack grows on the way through the frames of its task.
  private broken(owner: Task<unknown>): BrokenLockError {
    return new BrokenLockError(titleOf("lock", this.name), owner.name);
  }
}

/** One holding of the lock. The lock knows which one counts, so giving back twice cannot take it from the next owner. @package */
export class LockPermit implements Permit, Watcher {
  before: Watcher | null = null;
  after: Watcher | null = null;
  readonly task: Task<unknown>;
  private readonly lock: Lock;

  constructor(lock: Lock, task: Task<unknown>) {
    this.lock = lock;
    this.task = task;
  }

  release(): void {
    // After the death of its owner the lock is broken, whether somebody has noticed or not.
    if (this.lock.held === this && !this.task.isSettled) this.lock.handOver();
  }

  [Symbol.dispose](): void {
    this.release();
  }

  // An element of a list shows that it stands in one: `before` is set.
  watchOwner(): void {
    if (this.before === null) this.task.watch(this);
  }

  unwatchOwner(): void {
    if (this.before !== null) this.task.unwatch(this);
  }

  taskSettled(owner: Task<unknown>): void {
    this.lock.ownerDied(owner);
  }
}

/** @package */
export class LockAcquire extends QueuedWait<Permit> {
  protected readonly lock: Lock;
  /** A permit that comes back after a wait for a condition; `null` for a new one. */
  protected permit: LockPermit | null;

  constructor(lock: Lock, permit: LockPermit | null) {
    super(lock.line);
    this.lock = lock;
    this.permit = permit;
  }

  get reason(): string {
    return this.lock.describe();
  }

  override get blocker(): Blocker | null {
    return this.lock.held === null ? null : { kind: "task", task: this.lock.held.task };
  }

  permitFor(waiter: Waiter): LockPermit {
    return this.permit ?? new LockPermit(this.lock, taskOf(waiter));
  }

  protected attempt(task: Waiter): Started<Permit> | null {
    const { lock } = this;
    if (lock.held === null) return task.complete(this, (lock.held = this.permitFor(task)));
    const refused = lock.refuse(task.task);
    if (refused !== null) return task.fail(this, refused);
    lock.held.watchOwner();
    return null;
  }
}

function reentered(lock: string, task: string): UsageError {
  return new UsageError(
    `task "${task}" holds ${titleOf("lock", lock)} already and would wait for itself; ` +
      "acquire it once, in the outermost caller",
    "LOCK_REENTERED",
  );
}

function notOwned(what: string, lock: Lock, task: Waiter | null): UsageError {
  const who = task === null ? "something outside a coroutine" : `task "${task.name}"`;
  const whose = lock.owner === null ? "nobody holds it" : `task "${lock.owner.name}" holds it`;
  return new UsageError(
    `${who} cannot ${what} ${titleOf("lock", lock.name)}: ${whose}; acquire it first, in the same task`,
    "LOCK_NOT_OWNED",
  );
}
