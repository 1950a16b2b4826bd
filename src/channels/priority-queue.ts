import { describeValue, UsageError } from "../core/index.ts";
import { PriorityHeap } from "../data/priority-heap.ts";
import type { Store } from "./handover.ts";
import { WorkQueue } from "./work-queue.ts";
import type { QueueOptions } from "./work-queue.ts";

/** Which item is first: by a number, or by comparing two. */
export type PriorityQueueOptions<T> = QueueOptions &
  (
    | {
        /** The smallest comes first. Called once, when the item enters the queue. */
        readonly priority: (item: T) => number;
        readonly compare?: never;
      }
    | {
        /** Negative when `a` comes before `b`, as for sorting arrays. */
        readonly compare: (a: T, b: T) => number;
        readonly priority?: never;
      }
  );

/**
 * A queue that gives the item that comes first by its priority; among equals, the one that was put in first.
 *
 * The priority counts among the items in the queue: those who wait for room are served in the order in which they came. When `priority` or
 * `compare` throws for an item, that is thrown by its `put`, and the queue stays as it was.
 * @example
 * const jobs = new PriorityQueue<Job>(100, { name: "jobs", priority: (job) => job.dueAt });
 */
export class PriorityQueue<T> extends WorkQueue<T> {
  /**
   * @param capacity How many items it holds before `put` waits. Default: 1,024; `Infinity` for no bound.
   * @throws {UsageError} when the capacity is no such number, or not exactly one of `priority` and `compare` is given.
   */
  constructor(capacity: number | undefined, options: PriorityQueueOptions<T>) {
    super("priority queue", new Ranking<T>(options), capacity, options);
  }
}

interface Ranked<T> {
  readonly item: T;
  readonly rank: number;
}

class Ranking<T> implements Store<T> {
  readonly #heap: PriorityHeap<Ranked<T>>;
  readonly #priority: ((item: T) => number) | undefined;

  constructor(options: PriorityQueueOptions<T> | undefined) {
    const { priority, compare } = options ?? {};
    if ((typeof priority === "function") === (typeof compare === "function")) {
      throw new UsageError(
        "a priority queue needs either { priority: (item) => number } or { compare: (a, b) => number }",
      );
    }
    this.#priority = priority;
    this.#heap = new PriorityHeap<Ranked<T>>(compare === undefined ? byRank : (a, b) => compare(a.item, b.item));
  }

  get size(): number {
    return this.#heap.size;
  }

  add(item: T): void {
    this.#heap.push({ item, rank: this.#priority === undefined ? 0 : checkedRank(this.#priority(item)) });
  }

  take(): T {
    return this.#heap.shift()!.item;
  }
}

// Between equal infinities it is NaN, which the heap takes for equal.
function byRank(a: Ranked<unknown>, b: Ranked<unknown>): number {
  return a.rank - b.rank;
}

function checkedRank(rank: unknown): number {
  if (typeof rank === "number" && !Number.isNaN(rank)) return rank;
  throw new UsageError(`the priority of an item must be a number, got ${describeValue(rank)}`);
}
