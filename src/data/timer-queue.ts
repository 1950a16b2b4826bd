/**
 * The timers of a loop: earliest deadline first, and among equal deadlines the one set first.
 *
 * Those that are due later than all before them, which most are, stand in a sorted run, where everything costs O(1); the others in
 * a heap, O(log n). A run that is short gives way: its few timers move to the heap, so one that is due far in the future does not
 * keep a million behind it from having their own.
 */
import { DeadlineHeap } from "./deadline-heap.ts";
import type { HeapItem } from "./deadline-heap.ts";
import { SortedRun } from "./sorted-run.ts";

const SHORT_RUN = 4;

export class TimerQueue<Item extends HeapItem> {
  readonly #heap = new DeadlineHeap<Item>();
  readonly #run = new SortedRun<Item>();
  #insertions = 0;

  get size(): number {
    return this.#heap.size + this.#run.size;
  }

  /** The earliest deadline, or `Infinity` when there is none. */
  get nextDeadline(): number {
    return Math.min(this.#heap.nextDeadline, this.#run.firstDeadline);
  }

  /** @throws {RangeError} when the deadline is not a number, or the item is set already. */
  insert(item: Item, deadline: number): void {
    if (deadline !== deadline) throw new RangeError("a deadline must be a number of milliseconds, not NaN");
    if (item.heapIndex !== -1) throw new RangeError("the timer is set already; remove it first");
    const run = this.#run;
    const order = this.#insertions++;
    if (deadline < run.lastDeadline) {
      if (run.size > SHORT_RUN) {
        this.#heap.insert(item, deadline, order);
        return;
      }
      this.#dissolveRun();
    }
    run.push(item, deadline, order);
  }

  /** `false` when the item is not set here. */
  remove(item: Item): boolean {
    if (item.heapIndex >= 0) return this.#heap.remove(item);
    if (!this.#run.has(item)) return false;
    this.#run.remove(item);
    return true;
  }

  /** Takes the item with the earliest deadline if that is not later than `now`. */
  popDue(now: number): Item | undefined {
    const run = this.#run;
    const inRun = run.firstDeadline;
    const inHeap = this.#heap.nextDeadline;
    if (run.size === 0 || inHeap < inRun || (inHeap === inRun && this.#heap.nextOrder < run.firstOrder)) {
      return this.#heap.popDue(now);
    }
    if (inRun > now) return undefined;
    const item = run.first!;
    run.remove(item);
    return item;
  }

  /** The deadline of an item that is set here, or `undefined`. */
  deadlineOf(item: Item): number | undefined {
    if (item.heapIndex >= 0) return this.#heap.deadlineOf(item);
    return this.#run.has(item) ? this.#run.deadlineOf(item) : undefined;
  }

  #dissolveRun(): void {
    const run = this.#run;
    for (let item = run.first; item !== undefined; item = run.first) {
      const deadline = run.deadlineOf(item);
      const order = run.orderOf(item);
      run.remove(item);
      this.#heap.insert(item, deadline, order);
    }
  }
}
