/**
 * A queue that gives the smallest item first.
 *
 * The heap is Python's `heapq`, comparison by comparison: among equal items it has no order of its own, and which one comes first is
 * what its sifting leaves. Items are compared as Python compares numbers, strings and tuples: arrays element by element.
 */
import { describeValue, UsageError } from "../core/index.ts";
import { Queue } from "./queue.ts";
import type { ItemStore } from "./queue.ts";

class HeapStore<T> implements ItemStore<T> {
  readonly #items: T[] = [];
  readonly #isLess: (a: T, b: T) => boolean;

  constructor(isLess: (a: T, b: T) => boolean) {
    this.#isLess = isLess;
  }

  get size(): number {
    return this.#items.length;
  }

  push(item: T): void {
    this.#items.push(item);
    this.#towardsRoot(0, this.#items.length - 1);
  }

  take(): T {
    const last = this.#items.pop()!;
    if (this.#items.length === 0) return last;
    const first = this.#items[0]!;
    this.#items[0] = last;
    this.#towardsLeaf();
    return first;
  }

  #towardsRoot(root: number, start: number): void {
    const items = this.#items;
    const item = items[start]!;
    let at = start;
    while (at > root) {
      const parent = (at - 1) >> 1;
      if (!this.#isLess(item, items[parent]!)) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  /** The smaller child moves up all the way down, then the item climbs: fewer comparisons than looking where to stop. */
  #towardsLeaf(): void {
    const items = this.#items;
    const item = items[0]!;
    let at = 0;
    for (let child = 1; child < items.length; child = at * 2 + 1) {
      const right = child + 1;
      if (right < items.length && !this.#isLess(items[child]!, items[right]!)) child = right;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = item;
    this.#towardsRoot(0, at);
  }
}

export interface PriorityQueueOptions<T> {
  /** Whether `a` comes before `b`; Python's `__lt__`. Default: numbers, strings, and arrays of these, element by element. */
  readonly isLess?: (a: T, b: T) => boolean;
}

/**
 * @example
 * const jobs = new PriorityQueue<[number, string]>();
 * yield* jobs.put([2, "wash"]); yield* jobs.put([1, "sort"]);
 * yield* jobs.get(); // [1, "sort"]
 */
export class PriorityQueue<T> extends Queue<T> {
  constructor(maxsize = 0, options: PriorityQueueOptions<T> = {}) {
    super(maxsize, new HeapStore<T>(options.isLess ?? isLess));
  }
}

function isLess(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    const length = Math.min(a.length, b.length);
    for (let i = 0; i < length; i++) {
      if (isLess(a[i], b[i])) return true;
      if (isLess(b[i], a[i])) return false;
    }
    return a.length < b.length;
  }
  if (
    typeof a === typeof b &&
    (typeof a === "number" || typeof a === "string" || typeof a === "bigint" || typeof a === "boolean")
  ) {
    return a < (b as typeof a);
  }
  if ((typeof a === "number" || typeof a === "bigint") && (typeof b === "number" || typeof b === "bigint"))
    return a < b;
  throw new UsageError(`cannot compare ${describeValue(a)} with ${describeValue(b)}; give PriorityQueue an \`isLess\``);
}
