/**
 * Timers that were set in the order in which they are due: a queue, so that setting and removing one costs the same however
 * many there are.
 *
 * That is how most timers come: one timeout for every request, the same pause for every task. Each is due later than the one
 * before, so it belongs at the end, and there is nothing to sort.
 *
 * Invariants: deadlines do not decrease from head to end; the slots at the head and at the end are taken, others may be empty,
 * at most as many as are taken; an item keeps its place, counted from the beginning of the run, so nothing has to be told to
 * it when those before it go.
 */
import type { HeapItem } from "./deadline-heap.ts";

const SMALLEST_CAPACITY = 32;
const FIRST_PLACE = -2; // places count downwards from here: the numbers from 0 up are those of the heap, -1 is none

export class SortedRun<Item extends HeapItem> {
  #slots: (Item | undefined)[] = [];
  /** Deadline of slot i at 2i, insertion number at 2i + 1. */
  #keys: Float64Array = new Float64Array(SMALLEST_CAPACITY * 2);
  /** The place of slot 0. */
  #base = 0;
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get firstDeadline(): number {
    return this.#size === 0 ? Infinity : this.#keys[this.#head * 2]!;
  }

  get firstOrder(): number {
    return this.#size === 0 ? Infinity : this.#keys[this.#head * 2 + 1]!;
  }

  get lastDeadline(): number {
    return this.#size === 0 ? -Infinity : this.#keys[(this.#slots.length - 1) * 2]!;
  }

  /** The deadline must not be earlier than the last one. */
  push(item: Item, deadline: number, order: number): void {
    let slot = this.#slots.length;
    if (slot * 2 === this.#keys.length) {
      this.#makeRoom();
      slot = this.#slots.length;
    }
    this.#slots.push(item);
    this.#keys[slot * 2] = deadline;
    this.#keys[slot * 2 + 1] = order;
    this.#size++;
    item.heapIndex = FIRST_PLACE - this.#base - slot;
  }

  has(item: Item): boolean {
    return item.heapIndex <= FIRST_PLACE && this.#slots[this.#slotOf(item)] === item;
  }

  /** The deadline of an item that is here. */
  deadlineOf(item: Item): number {
    return this.#keys[this.#slotOf(item) * 2]!;
  }

  /** The insertion number of an item that is here. */
  orderOf(item: Item): number {
    return this.#keys[this.#slotOf(item) * 2 + 1]!;
  }

  /** Removes an item that is here. */
  remove(item: Item): void {
    const slot = this.#slotOf(item);
    const slots = this.#slots;
    item.heapIndex = -1;
    slots[slot] = undefined;
    if (--this.#size === 0) {
      this.#clear();
      return;
    }
    if (slot === this.#head) while (slots[this.#head] === undefined) this.#head++;
    else if (slot === slots.length - 1) while (slots[slots.length - 1] === undefined) slots.pop();
    else if (slots.length - this.#head > this.#size * 2 + SMALLEST_CAPACITY) this.#compact();
  }

  /** The first item, or `undefined`. It stays here. */
  get first(): Item | undefined {
    return this.#slots[this.#head];
  }

  #slotOf(item: Item): number {
    return FIRST_PLACE - item.heapIndex - this.#base;
  }

  #clear(): void {
    this.#slots = [];
    this.#base = 0;
    this.#head = 0;
    if (this.#keys.length > SMALLEST_CAPACITY * 2) this.#keys = new Float64Array(SMALLEST_CAPACITY * 2);
  }

  /** The end of the keys is reached: drops what is empty at the head, or takes twice as much. */
  #makeRoom(): void {
    const head = this.#head;
    if (head * 2 >= this.#slots.length) {
      this.#slots = this.#slots.slice(head);
      this.#keys.copyWithin(0, head * 2);
      this.#base += head;
      this.#head = 0;
      return;
    }
    const keys = new Float64Array(this.#keys.length * 2);
    keys.set(this.#keys);
    this.#keys = keys;
  }

  /** Closes the gaps; those who stay get new places. */
  #compact(): void {
    const { length } = this.#slots;
    let to = 0;
    for (let from = this.#head; from < length; from++) {
      const item = this.#slots[from];
      if (item === undefined) continue;
      this.#slots[to] = item;
      this.#keys[to * 2] = this.#keys[from * 2]!;
      this.#keys[to * 2 + 1] = this.#keys[from * 2 + 1]!;
      item.heapIndex = FIRST_PLACE - to;
      to++;
    }
    this.#slots.length = to;
    this.#base = 0;
    this.#head = 0;
    let capacity = this.#keys.length / 2;
    while (capacity > SMALLEST_CAPACITY && to < capacity / 4) capacity /= 2;
    if (capacity * 2 < this.#keys.length) this.#keys = this.#keys.slice(0, capacity * 2);
  }
}
