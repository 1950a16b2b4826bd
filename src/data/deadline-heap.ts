/**
 * A priority queue of timers: earliest deadline first, and among equal deadlines the one inserted first.
 *
 * The tie-break is a promise (asyncio leaves ties undefined): it makes programs on a virtual clock deterministic.
 * Each item knows its own position, so a cancelled timer is removed at once in O(log n) and never lingers; programs
 * that set a timeout for every request cancel nearly all of their timers.
 *
 * Four children a node instead of two: half the depth, and the four keys share a cache line or two. The keys live in
 * a `Float64Array` beside the items, because a double in an object field costs a heap number of its own.
 * Source: d-ary heaps (Johnson 1975); timers with an insertion counter, as in libuv.
 */
export interface HeapItem {
  /** Position in the heap, or -1; below that a place in a `SortedRun`. Owned by these; start it at -1. */
  heapIndex: number;
}

const SMALLEST_CAPACITY = 32;

export class DeadlineHeap<Item extends HeapItem> {
  #items: Item[] = [];
  /** Deadline of the item at i in slot 2i, insertion number in slot 2i + 1. */
  #keys: Float64Array = new Float64Array(SMALLEST_CAPACITY * 2);

  get size(): number {
    return this.#items.length;
  }

  /** The earliest deadline, or `Infinity` when the heap is empty. */
  get nextDeadline(): number {
    return this.#items.length === 0 ? Infinity : this.#keys[0]!;
  }

  /** The insertion number of the first, or `Infinity`. */
  get nextOrder(): number {
    return this.#items.length === 0 ? Infinity : this.#keys[1]!;
  }

  /** The item must be in no heap. @param order Its insertion number: among equal deadlines the smaller one is first. */
  insert(item: Item, deadline: number, order: number): void {
    const index = this.#items.length;
    if (index * 2 >= this.#keys.length) this.#reserve(index * 2);
    this.#items.push(item);
    this.#siftUp(index, item, deadline, order);
  }

  /** Removes the item wherever it is; `false` when it is not in this heap. */
  remove(item: Item): boolean {
    const index = item.heapIndex;
    if (index < 0 || this.#items[index] !== item) return false;
    item.heapIndex = -1;
    const last = this.#items.pop()!;
    if (last !== item) this.#fillHole(index, last);
    this.#shrink();
    return true;
  }

  /** Takes the item with the earliest deadline if that is not later than `now`. */
  popDue(now: number): Item | undefined {
    if (this.#items.length === 0 || this.#keys[0]! > now) return undefined;
    const item = this.#items[0]!;
    this.remove(item);
    return item;
  }

  /** The deadline of an item in this heap, or `undefined`. */
  deadlineOf(item: Item): number | undefined {
    const index = item.heapIndex;
    return index >= 0 && this.#items[index] === item ? this.#keys[index * 2] : undefined;
  }

  /** Puts the former last item into the hole at `index`; its keys still stand one past the end. */
  #fillHole(index: number, item: Item): void {
    const from = this.#items.length * 2;
    const deadline = this.#keys[from]!;
    const order = this.#keys[from + 1]!;
    const parent = (index - 1) >> 2;
    if (index > 0 && this.#isBefore(deadline, order, parent)) this.#siftUp(index, item, deadline, order);
    else this.#siftDown(index, item, deadline, order);
  }

  #siftUp(start: number, item: Item, deadline: number, order: number): void {
    let index = start;
    while (index > 0) {
      const parent = (index - 1) >> 2;
      if (!this.#isBefore(deadline, order, parent)) break;
      this.#move(parent, index);
      index = parent;
    }
    this.#place(index, item, deadline, order);
  }

  #siftDown(start: number, item: Item, deadline: number, order: number): void {
    const size = this.#items.length;
    const keys = this.#keys;
    let index = start;
    for (;;) {
      const first = index * 4 + 1;
      if (first >= size) break;
      const end = first + 4 < size ? first + 4 : size;
      let least = first;
      for (let child = first + 1; child < end; child++) {
        if (this.#isBefore(keys[child * 2]!, keys[child * 2 + 1]!, least)) least = child;
      }
      if (this.#isBefore(deadline, order, least)) break;
      this.#move(least, index);
      index = least;
    }
    this.#place(index, item, deadline, order);
  }

  #isBefore(deadline: number, order: number, index: number): boolean {
    const other = this.#keys[index * 2]!;
    return deadline < other || (deadline === other && order < this.#keys[index * 2 + 1]!);
  }

  #move(from: number, to: number): void {
    this.#place(to, this.#items[from]!, this.#keys[from * 2]!, this.#keys[from * 2 + 1]!);
  }

  #place(index: number, item: Item, deadline: number, order: number): void {
    this.#items[index] = item;
    this.#keys[index * 2] = deadline;
    this.#keys[index * 2 + 1] = order;
    item.heapIndex = index;
  }

  #reserve(capacity: number): void {
    this.#keys = resized(this.#keys, capacity * 2);
  }

  /** Gives memory back once three quarters stand empty, so that a burst of timers does not stay paid for. */
  #shrink(): void {
    const capacity = this.#keys.length / 2;
    if (capacity <= SMALLEST_CAPACITY || this.#items.length > capacity / 4) return;
    this.#keys = resized(this.#keys, capacity);
  }
}

/** `transfer` frees the old memory at once instead of leaving it to the garbage collector; Node 20 does not have it. */
function resized(keys: Float64Array, length: number): Float64Array {
  const buffer = keys.buffer as ArrayBuffer & { transfer?(byteLength: number): ArrayBuffer };
  if (buffer.transfer !== undefined) return new Float64Array(buffer.transfer(length * Float64Array.BYTES_PER_ELEMENT));
  const copy = new Float64Array(length);
  copy.set(length < keys.length ? keys.subarray(0, length) : keys);
  return copy;
}
