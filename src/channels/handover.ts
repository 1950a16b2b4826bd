/**
 * Where those who bring a value and those who want one meet: two lines and a store between them.
 *
 * Channels and queues are this one thing with different stores and different ends. The rules:
 * 1. A value goes to the taker that has waited longest, past the store, which is empty then.
 * 2. Otherwise it goes into the store while there is room, otherwise its putter stands in line.
 * 3. Who takes from the store lets the longest waiting putter's value in, in the same step: nobody can barge in between.
 * 4. The arms of one select never serve each other, in neither direction.
 *
 * Invariant, between steps: nobody waits to take while something is stored or waits to be put; nobody waits to put while
 * there is room.
 */
import { WaitQueue } from "../core/index.ts";
import type { Waiter } from "../core/index.ts";
import { firstOfOthers } from "./counterpart.ts";
import type { Put } from "./put.ts";
import { NOTHING } from "./take.ts";
import type { Taker } from "./take.ts";

/** What stands between: decides which value is the next one. */
export interface Store<T> {
  readonly size: number;
  /** May throw for a value that does not belong here; then it has not been added. */
  add(value: T): void;
  /** Only called when there is one. May throw; then nothing has been taken. */
  take(): T;
  /** Puts back what was taken last, in its order; nothing was added meanwhile, nor will be. For a store whose `take` may throw. */
  takeBack?(values: readonly T[]): void;
}

export class Handover<T> {
  readonly capacity: number;
  readonly store: Store<T>;
  readonly putters: WaitQueue<void, Put<T>> = new WaitQueue();
  readonly takers: WaitQueue<unknown, Taker<T>> = new WaitQueue();
  /** How many values have come in: handed over or stored. */
  accepted = 0;

  constructor(capacity: number, store: Store<T>) {
    this.capacity = capacity;
    this.store = store;
  }

  get isFull(): boolean {
    return this.store.size >= this.capacity;
  }

  /** `false` when nobody waits for it and there is no room. */
  offer(value: T, task: Waiter | null): boolean {
    const taker = firstOfOthers(this.takers, task);
    if (taker !== null) {
      this.takers.remove(taker);
      this.accepted++;
      taker.deliver(value);
      return true;
    }
    if (this.store.size >= this.capacity) return false;
    this.store.add(value);
    this.accepted++;
    return true;
  }

  take(task: Waiter | null): T | typeof NOTHING {
    if (this.store.size > 0) {
      const stored = this.store.take();
      if (this.putters.size > 0) this.#refill(task);
      return stored;
    }
    const put = firstOfOthers(this.putters, task);
    if (put === null) return NOTHING;
    this.putters.remove(put);
    this.accepted++;
    put.end(undefined);
    return put.value;
  }

  /** Takes everything that is stored, in the order in which it would have been taken; nobody's value moves up. All or, when it throws, nothing. */
  empty(): T[] {
    const values: T[] = [];
    try {
      while (this.store.size > 0) values.push(this.store.take());
    } catch (error) {
      this.store.takeBack!(values);
      throw error;
    }
    return values;
  }

  #refill(task: Waiter | null): void {
    for (;;) {
      const put = firstOfOthers(this.putters, task);
      if (put === null) return;
      this.putters.remove(put);
      try {
        this.store.add(put.value);
      } catch (error) {
        put.fail(error); // a comparison threw: that is the affair of who brought the value, not of who takes another one
        continue;
      }
      this.accepted++;
      put.end(undefined);
      return;
    }
  }
}
