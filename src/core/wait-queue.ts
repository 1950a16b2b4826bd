/**
 * A fair queue of waiting tasks: the one place where tasks park.
 *
 * Every lock, channel and pool needs the same three things: first come first served, removal on cancellation, a count for
 * the inspector. They are proven here once. A `QueuedWait` is the general form: it is served at once or stands in line.
 * Who serves takes it out of the line and ends it in one step, so a value or a permit goes from hand to hand: nobody can
 * take it in between, and since a task that has been woken gets its value even when it is cancelled, none is lost.
 *
 * Invariants: a wait is in at most one queue; it leaves served or cancelled; a cancelled one took nothing.
 * Source: parking lots (WebKit), in the form of trio's ParkingLot.
 */
import { IntrusiveList } from "../data/intrusive-list.ts";
import { sharedWait, Wait } from "./operation.ts";
import type { Started, Waiter } from "./operation.ts";

/** The line that a `QueuedWait` stands in, whatever the class of those in it. */
interface Line {
  push(entry: never): void;
  remove(entry: never): boolean;
}

export class WaitQueue<T = void, Entry extends QueuedWait<T> = QueuedWait<T>> {
  readonly #parked = new IntrusiveList<QueuedWait<T>>();

  /** How many tasks wait here. */
  get size(): number {
    return this.#parked.size;
  }

  /** The one that has waited longest, or `null`. It stays in line. */
  get first(): Entry | null {
    return this.#parked.first as Entry | null;
  }

  /** Those who wait, longest first. */
  [Symbol.iterator](): Iterator<Entry> {
    return this.#parked[Symbol.iterator]() as Iterator<Entry>;
  }

  /** Takes the one that has waited longest out of the line, or gives `null`. The caller has to end it: `end`, `fail`. */
  shift(): Entry | null {
    return this.#parked.shift() as Entry | null;
  }

  /** Takes one out of the line. The caller has to end it. `false` when it does not stand here any more. */
  remove(entry: Entry): boolean {
    return this.#parked.remove(entry);
  }

  /** For `QueuedWait`. @internal */
  push(entry: Entry): void {
    this.#parked.push(entry);
  }

  /**
   * Waits at the end of the queue until somebody unparks it. Cancelling gives up the place and takes nothing.
   * @param reason What the task waits for, for people: `"lock \"stock\""`.
   */
  park(reason: string): Wait<T> {
    return new Parked(this, reason);
  }

  /**
   * Wakes the tasks that have waited longest, at most `count` (default 1); they run in the next turn.
   * Returns how many it woke.
   */
  unpark(...[count = 1, value]: undefined extends T ? [count?: number, value?: T] : [count: number, value: T]): number {
    let woken = 0;
    while (woken < count) {
      const next = this.#parked.shift();
      if (next === null) break;
      next.end(value as T);
      woken++;
    }
    return woken;
  }

  /** Wakes all of them by throwing `error` there. Returns how many. */
  breakAll(error: unknown): number {
    let woken = 0;
    for (let next = this.#parked.shift(); next !== null; next = this.#parked.shift()) {
      next.fail(error);
      woken++;
    }
    return woken;
  }
}

/**
 * A wait that is served at once or stands in line in a `WaitQueue`. Extend it to write a primitive.
 *
 * @example
 * class Acquire extends QueuedWait<void> {
 *   constructor(readonly semaphore: Semaphore) { super(semaphore.queue) }
 *   get reason() { return `semaphore "${this.semaphore.name}"` }
 *   protected attempt(task: Waiter) { return this.semaphore.tryAcquire() ? task.complete(this, undefined) : null }
 * }
 */
export abstract class QueuedWait<T> extends Wait<T> {
  /** @internal */
  before: QueuedWait<T> | null = null;
  /** @internal */
  after: QueuedWait<T> | null = null;
  private readonly queue: Line;
  /** Who stands in line; `null` before and after. */
  protected waiter: Waiter | null = null;

  constructor(queue: Line) {
    super();
    this.queue = queue;
  }

  /** Serves the wait at once with `task.complete` or `task.fail`, or returns `null`: then it stands in line. */
  protected abstract attempt(task: Waiter): Started<T> | null;

  /** Called when it has left the line because it was cancelled: others may have stood behind it in vain. */
  protected left?(): void;

  /** The task that stands in line, or `null`. A primitive must not serve a task by its own other arm in a `select`. */
  get waitingTask(): Waiter | null {
    return this.waiter === null ? null : this.waiter.task;
  }

  protected start(task: Waiter): Started<T> {
    if (this.waiter !== null) throw sharedWait(this.reason);
    const served = this.attempt(task);
    if (served !== null) return served;
    this.queue.push(this as never);
    this.waiter = task;
    return task.park(this);
  }

  /** @internal */
  override stepAside(): void {
    this.queue.remove(this as never);
  }

  withdraw(): boolean {
    this.queue.remove(this as never);
    this.waiter = null;
    this.left?.();
    return true;
  }

  /** Ends it with a value. It must have been taken out of the line. */
  end(value: T): void {
    const waiter = this.waiter!;
    this.waiter = null;
    waiter.wake(this, value);
  }

  /** Ends it by throwing `error` in its task. It must have been taken out of the line. */
  fail(error: unknown): void {
    const waiter = this.waiter!;
    this.waiter = null;
    waiter.wakeError(this, error);
  }
}

class Parked<T> extends QueuedWait<T> {
  readonly reason: string;

  constructor(queue: Line, reason: string) {
    super(queue);
    this.reason = reason;
  }

  protected attempt(): null {
    return null;
  }
}
