import { FifoStore } from "./fifo-store.ts";
import { WorkQueue } from "./work-queue.ts";
import type { QueueOptions } from "./work-queue.ts";

/**
 * A queue of work, first in first out: many put, many get, `join` waits until all of it is done.
 *
 * @example
 * const queue = new Queue<string>(100, { name: "urls" });
 * spawn(function* () {
 *   for (;;) { yield* visit(yield* queue.get()); queue.taskDone() }
 * });
 * yield* queue.put("https://example.org");
 * yield* queue.join();
 */
export class Queue<T> extends WorkQueue<T> {
  /**
   * @param capacity How many items it holds before `put` waits. Default: 1,024; `Infinity` for no bound.
   * @throws {UsageError} when the capacity is no such number, or the options are none.
   */
  constructor(capacity?: number, options?: QueueOptions) {
    super("queue", new FifoStore<T>(), capacity, options);
  }
}
