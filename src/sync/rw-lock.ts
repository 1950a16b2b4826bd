/**
 * Many readers or one writer.
 *
 * Who goes first, exactly: there is one line, first come first served. A reader is let in at once only if no task writes and
 * nobody stands in line, so a writer that waits stops the readers that come after it, and a steady flow of readers cannot
 * starve it. A writer never overtakes readers that came before it. When the lock becomes free, the first in line is served, and
 * if it is a reader, also the readers right behind it, up to the next writer. When a writer that waits is cancelled, the readers
 * behind it are let in.
 *
 * A task holds at most one permit, of either kind: a second one could wait for the first (a reader that reads again behind a
 * waiting writer), and whether it does would depend on who else is there. It is refused always.
 *
 * A writer may become a reader (`downgrade`), since nobody can have read or written in between. A reader cannot become a
 * writer: two that tried would wait for each other for ever, and giving the read permit up in between would let others write,
 * so that what was read is out of date. Release, acquire to write, and look again.
 *
 * A holder that ends without giving back breaks the lock as in `Lock`: a writer for all, a reader for writers only, since
 * nothing is half changed then but nobody knows whether somebody still reads. Holders are watched while somebody waits.
 */
import { currentTask, QueuedWait, taskOf, UsageError, WaitQueue } from "../core/index.ts";
import type { Body, Coroutine, Operation, Started, Task, Waiter, Watcher } from "../core/index.ts";
import { BrokenLockError } from "./errors.ts";
import { nameIn, titleOf } from "./naming.ts";
import type { NameOptions } from "./naming.ts";
import { holding } from "./permit.ts";
import type { Permit } from "./permit.ts";

/** The right to write; it can be turned into the right to read. */
export interface WritePermit extends Permit {
  /**
   * Goes on as a reader: readers at the front of the line are let in, nobody could write in between. The permit is the same.
   * @throws {UsageError} when it is no write permit any more: released or downgraded (`LOCK_NOT_OWNED`).
   */
  downgrade(): void;
}

export interface RwLockStatistics {
  readonly name: string;
  /** How many tasks read. */
  readonly readers: number;
  /** Name of the task that writes, or that broke it while it wrote. */
  readonly writer: string | null;
  readonly waitingReaders: number;
  readonly waitingWriters: number;
  /** Whether a task ended while it held the lock. */
  readonly isBroken: boolean;
}

/**
 * @example
 * const config = new RwLock({ name: "config" });
 * const port = yield* config.read(() => readPort());
 * yield* config.write(() => reload());
 */
export class RwLock {
  readonly name: string;
  private readonly line: WaitQueue<WritePermit, RwAcquire> = new WaitQueue();
  private readonly holders: Map<Waiter, RwPermit> = new Map();
  /** The one holder that writes. */
  private writer: RwPermit | null = null;

  constructor(options: NameOptions = {}) {
    this.name = nameIn("rw-lock", options);
  }

  /** How many tasks read. */
  get readers(): number {
    return this.writer === null ? this.holders.size : 0;
  }

  /** Whether a task writes. */
  get isWriting(): boolean {
    return this.writer !== null;
  }

  /** Whether a task ended while it held the lock. */
  get isBroken(): boolean {
    return this.findDead() !== null;
  }

  /**
   * Waits in line until it may read: no task writes, and nobody who came before still waits.
   *
   * Cancelling gives up the place in line and takes nothing.
   * @throws {UsageError} when the task holds the lock already (`LOCK_REENTERED`).
   * @throws {BrokenLockError} when a writer ended while it held the lock.
   * @example
   * using permit = yield* rwLock.acquireRead();
   */
  acquireRead(): Operation<Permit> {
    return new RwAcquire(this, this.line, false);
  }

  /**
   * Waits in line until it may write: no task reads or writes. Readers that come later wait until it has.
   *
   * Cancelling gives up the place in line and takes nothing; readers that waited only because of it are let in.
   * @throws {UsageError} when the task holds the lock already (`LOCK_REENTERED`).
   * @throws {BrokenLockError} when a task ended while it held the lock.
   * @example
   * using permit = yield* rwLock.acquireWrite();
   */
  acquireWrite(): Operation<WritePermit> {
    return new RwAcquire(this, this.line, true);
  }

  /** A read permit, if no task writes and nobody stands in line; else `undefined`. Throws like `acquireRead`. */
  tryAcquireRead(): Permit | undefined {
    return this.tryAcquire(false);
  }

  /** A write permit, if nobody reads or writes; else `undefined`. Throws like `acquireWrite`. */
  tryAcquireWrite(): WritePermit | undefined {
    return this.tryAcquire(true);
  }

  /**
   * Runs `body` as a reader and gives the permit back however it ends.
   * @example
   * const port = yield* rwLock.read(function* () { return (yield* load()).port });
   */
  read<T>(body: Body<T>): Coroutine<T> {
    return holding(this.acquireRead(), body);
  }

  /**
   * Runs `body` as the writer and gives the permit back however it ends. To downgrade, take `acquireWrite`.
   * @example
   * yield* rwLock.write(function* () { yield* save(next) });
   */
  write<T>(body: Body<T>): Coroutine<T> {
    return holding(this.acquireWrite(), body);
  }

  /**
   * Takes their permits from the tasks that ended while they held the lock, so that it can be used again; does nothing when it is
   * not broken. First put in order what the lock guards; no other task runs before your next wait.
   */
  repair(): void {
    for (const permit of [...this.holders.values()]) if (permit.task.isSettled) this.remove(permit);
    this.serve();
  }

  statistics(): RwLockStatistics {
    const waitingWriters = [...this.line].filter((wait) => wait.isWrite).length;
    return Object.freeze({
      name: this.name,
      readers: this.readers,
      writer: this.writer === null ? null : this.writer.task.name,
      waitingReaders: this.line.size - waitingWriters,
      waitingWriters,
      isBroken: this.isBroken,
    });
  }

  /** `rw-lock "config" to write (2 read)`. @internal */
  describe(isWrite: boolean): string {
    const holder = this.writer === null ? `${this.holders.size} read` : `held by "${this.writer.task.name}"`;
    return `${this.title} to ${isWrite ? "write" : "read"} (${holder})`;
  }

  /** @internal */
  admit(wait: RwAcquire, task: Waiter): Started<WritePermit> | null {
    const refused = this.refuse(task.task, wait.isWrite);
    if (refused !== null) return task.fail(wait, refused);
    if (this.canServe(wait.isWrite)) return task.complete(wait, this.grant(taskOf(task), wait.isWrite));
    // Whoever stands in line already has looked at the holders, and all who were served since are watched.
    if (this.line.size === 0) for (const permit of this.holders.values()) permit.watchHolder();
    return null;
  }

  /** Serves from the front as many as can be. @internal */
  serve(): void {
    const { line } = this;
    for (let next = line.first; next !== null && this.isFree(next.isWrite); next = line.first) {
      line.shift();
      const permit = this.grant(taskOf(next.waitingTask!), next.isWrite);
      if (line.size > 0) permit.watchHolder();
      next.end(permit);
    }
  }

  /** @internal */
  giveBack(permit: RwPermit): void {
    // After the death of its holder the lock is broken, whether somebody has noticed or not.
    if (this.holders.get(permit.task) !== permit || permit.task.isSettled) return;
    this.remove(permit);
    this.serve();
  }

  /** @internal */
  downgrade(permit: RwPermit): void {
    if (this.writer !== permit) {
      throw new UsageError(
        `only a write permit that is held can be downgraded; this one of ${this.title} was released or downgraded before`,
        "LOCK_NOT_OWNED",
      );
    }
    if (permit.task.isSettled) throw this.broken(permit);
    this.writer = null;
    this.serve();
  }

  /** Fails those who will never be served now. @internal */
  holderDied(permit: RwPermit): void {
    const isForAll = this.writer === permit;
    const doomed = [...this.line].filter((wait) => isForAll || wait.isWrite);
    for (const wait of doomed) {
      if (this.line.remove(wait)) wait.fail(this.broken(permit)); // another arm of its task may have taken it out
    }
    this.serve();
  }

  private get title(): string {
    return titleOf("rw-lock", this.name);
  }

  private isFree(isWrite: boolean): boolean {
    return isWrite ? this.holders.size === 0 : this.writer === null;
  }

  private canServe(isWrite: boolean): boolean {
    return this.line.size === 0 && this.isFree(isWrite);
  }

  private tryAcquire(isWrite: boolean): WritePermit | undefined {
    const task = currentTask();
    const refused = this.refuse(task, isWrite);
    if (refused !== null) throw refused;
    return this.canServe(isWrite) ? this.grant(task, isWrite) : undefined;
  }

  /** Why a task cannot have it and must not wait for it either, or `null`. Looks for the dead only where they are in the way. */
  private refuse(task: Waiter, isWrite: boolean): Error | null {
    if (this.holders.has(task)) return this.reentered(task);
    if (this.line.size > 0 || this.isFree(isWrite)) return null;
    const dead = this.findDead();
    return dead === null ? null : this.broken(dead);
  }

  private findDead(): RwPermit | null {
    for (const permit of this.holders.values()) if (permit.task.isSettled) return permit;
    return null;
  }

  private grant(task: Task<unknown>, isWrite: boolean): RwPermit {
    const permit = new RwPermit(this, task);
    this.holders.set(task, permit);
    if (isWrite) this.writer = permit;
    return permit;
  }

  private remove(permit: RwPermit): void {
    permit.unwatchHolder();
    this.holders.delete(permit.task);
    if (this.writer === permit) this.writer = null;
  }

  private broken(permit: RwPermit): BrokenLockError {
    return new BrokenLockError(this.title, permit.task.name);
  }

  private reentered(task: Waiter): UsageError {
    return new UsageError(
      `task "${task.name}" holds ${this.title} already and could wait for itself; release it first, ` +
        "or downgrade() a write permit to read on",
      "LOCK_REENTERED",
    );
  }
}

/** One holding of the lock. Only the lock knows whether it writes, and whether it still counts. */
class RwPermit implements WritePermit, Watcher {
  before: Watcher | null = null;
  after: Watcher | null = null;
  readonly task: Task<unknown>;
  private readonly lock: RwLock;

  constructor(lock: RwLock, task: Task<unknown>) {
    this.lock = lock;
    this.task = task;
  }

  release(): void {
    this.lock.giveBack(this);
  }

  downgrade(): void {
    this.lock.downgrade(this);
  }

  [Symbol.dispose](): void {
    this.release();
  }

  watchHolder(): void {
    if (this.before === null) this.task.watch(this);
  }

  unwatchHolder(): void {
    if (this.before !== null) this.task.unwatch(this);
  }

  taskSettled(): void {
    this.lock.holderDied(this);
  }
}

class RwAcquire extends QueuedWait<WritePermit> {
  readonly isWrite: boolean;
  private readonly lock: RwLock;

  constructor(lock: RwLock, line: WaitQueue<WritePermit, RwAcquire>, isWrite: boolean) {
    super(line);
    this.lock = lock;
    this.isWrite = isWrite;
  }

  get reason(): string {
    return this.lock.describe(this.isWrite);
  }

  protected attempt(task: Waiter): Started<WritePermit> | null {
    return this.lock.admit(this, task);
  }

  protected override left(): void {
    this.lock.serve();
  }
}
