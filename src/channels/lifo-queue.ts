import type { Store } from "./handover.ts";
import { WorkQueue } from "./work-queue.ts";
import type { QueueOptions } from "./work-queue.ts";

/**
 * A queue that gives the item that was put in last. Those who wait, on either side, are still served in the order in which they came.
 *
 * @example
 * const freshest = new LifoQueue<Request>(100, { name: "requests" });
 */
export class LifoQueue<T> extends WorkQueue<T> {
  /**
   * @param capacity How many items it holds before `put` waits. Default: 1,024; `Infinity` for no bound.
   * @throws {UsageError} when the capacity is no such number, or the options are none.
   */
  constructor(capacity?: number, options?: QueueOptions) {
    super("LIFO queue", new Stack<T>(), capacity, options);
  }
}

class Stack<T> implements Store<T> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  add(item: T): void {
    this.#items.push(item);
  }

  take(): T {
    return this.#items.pop() as T;
  }
}
