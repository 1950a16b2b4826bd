import { describeValue, UsageError } from "../core/index.ts";
import { PriorityHeap } from "../data/priority-heap.ts";
import type { Store } from "./handover.ts";
import { WorkQueue } from "./work-queue.ts";
import type { QueueOptions } from "./work-queue.ts";

/** Which item is first: by a number, or by comparing two. */
export type PriorityOrder<T> =
  | {
      /** The smallest comes first. Called once, when the item enters the queue. */
      readonly priority: (item: T) => number;
      readonly compare?: never;
    }
  | {
      /** Negative when `a` comes before `b`, as for sorting arrays. */
      readonly compare: (a: T, b: T) => number;
      readonly priority?: never;
    };

export type PriorityQueueOptions<T> = QueueOptions &
  PriorityOrder<T> & {
    /** How many items it holds before `put` waits. Default: 1,024; `Infinity` for no bound. */
    readonly capacity?: number;
  };

/**
 * A queue that gives the item that comes first by its priority; among equals, the one that was put in first.
 *
 * The priority counts among the items in the queue: those who wait for room are served in the order in which they came. When `priority` or
 * `compare` throws for an item, that is thrown by its `put`, and the queue stays as it was.
 * @example
 * const jobs = new PriorityQueue<Job>({ name: "jobs", capacity: 100, priority: (job) => job.dueAt });
 */
export class PriorityQueue<T> extends WorkQueue<T> {
  /** @throws {UsageError} when the capacity is no such number, or not exactly one of `priority` and `compare` is given. */
  constructor(options: PriorityQueueOptions<T>);
  /** As with the other queues, the capacity may stand first. */
  constructor(capacity: number, options: QueueOptions & PriorityOrder<T>);
  constructor(first: number | PriorityQueueOptions<T>, second?: QueueOptions & PriorityOrder<T>) {
    const options =
      second === undefined ? (first as PriorityQueueOptions<T>) : { ...second, capacity: first as number };
    super("priority queue", new Ranking<T>(options), options.capacity, options);
  }
}

interface Ranked<T> {
  readonly item: T;
  readonly rank: number;
}

class Ranking<T> implements Store<T> {
  readonly #heap: PriorityHeap<Ranked<T>>;
  readonly #priority: ((item: T) => number) | undefined;
  /** Were taken and came back: they come before everything in the heap. Last first. */
  #returned: T[] = [];
  #isAsking = false;

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
    return this.#heap.size + this.#returned.length;
  }

  add(item: T): void {
    this.#beginAsking();
    try {
      this.#heap.push({ item, rank: this.#priority === undefined ? 0 : checkedRank(this.#priority(item)) });
    } finally {
      this.#isAsking = false;
    }
  }

  take(): T {
    this.#beginAsking();
    try {
      return this.#returned.length > 0 ? this.#returned.pop()! : this.#heap.shift()!.item;
    } finally {
      this.#isAsking = false;
    }
  }

  takeBack(items: readonly T[]): void {
    this.#returned.push(...items.toReversed());
  }

  /** The caller's code runs while the heap is half way: what it changed there would be overwritten. */
  #beginAsking(): void {
    if (this.#isAsking) {
      throw new UsageError(
        "`priority` or `compare` of a priority queue put into that queue or took from it; it must only look at the items that it is given",
      );
    }
    this.#isAsking = true;
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
