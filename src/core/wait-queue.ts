/**
 * A fair queue of waiting tasks: the one place where tasks park.
 *
 * Every lock, channel and pool needs the same three things: first come first served, removal on cancellation, a count for
 * the inspector. They are proven here once.
 *
 * Invariants: a wait is in at most one queue; it leaves unparked or cancelled; a cancelled one took nothing.
 * Source: parking lots (WebKit), in the form of trio's ParkingLot.
 */
import { IntrusiveList } from "../data/intrusive-list.ts";
import type { Linked } from "../data/intrusive-list.ts";
import { sharedWait, Wait } from "./operation.ts";
import type { Started, Waiter } from "./operation.ts";

export class WaitQueue<T = void> {
  readonly #parked = new IntrusiveList<Parked<T>>();

  /** How many tasks wait here. */
  get size(): number {
    return this.#parked.size;
  }

  /**
   * Waits at the end of the queue until somebody unparks it. Cancelling gives up the place and takes nothing.
   * @param reason What the task waits for, for people: `"lock \"stock\""`.
   */
  park(reason: string): Wait<T> {
    return new Parked(this.#parked, reason);
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

class Parked<T> extends Wait<T> implements Linked<Parked<T>> {
  before: Parked<T> | null = null;
  after: Parked<T> | null = null;
  readonly reason: string;
  readonly #queue: IntrusiveList<Parked<T>>;
  #waiter: Waiter | null = null;

  constructor(queue: IntrusiveList<Parked<T>>, reason: string) {
    super();
    this.#queue = queue;
    this.reason = reason;
  }

  protected start(task: Waiter): Started<T> {
    if (this.before !== null) throw sharedWait(this.reason);
    this.#queue.push(this);
    this.#waiter = task;
    return task.park(this);
  }

  withdraw(): boolean {
    this.#queue.remove(this);
    return true;
  }

  end(value: T): void {
    this.#waiter!.wake(this, value);
  }

  fail(error: unknown): void {
    this.#waiter!.wakeError(this, error);
  }
}
