/**
 * A first-in first-out queue over one growing array: the ready queue of the event loop.
 *
 * Why not an array with `shift()`: that moves every element once the array is large. Why not a linked list: a
 * million ready tasks would need a million nodes. The capacity is a power of two, so an index wraps with a mask.
 *
 * Invariants: elements leave in the order in which they came, except through `takeAt`, which closes the gap and keeps
 * the order of the rest; a slot that is not in use holds `undefined`, so the buffer keeps nothing alive.
 */
const SMALLEST_CAPACITY = 16; // a power of two; most loops never grow beyond it

export class RingBuffer<T extends object> {
  #slots: (T | undefined)[] = new Array<T | undefined>(SMALLEST_CAPACITY).fill(undefined);
  #mask: number = SMALLEST_CAPACITY - 1;
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: T): void {
    if (this.#size > this.#mask) this.#resize((this.#mask + 1) * 2);
    this.#slots[(this.#head + this.#size) & this.#mask] = item;
    this.#size++;
  }

  /** Takes the oldest element; `undefined` when there is none. */
  shift(): T | undefined {
    if (this.#size === 0) return undefined;
    const item = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & this.#mask;
    this.#size--;
    return item;
  }

  /** Takes the element at `index` (0 is the oldest) in O(index); the others keep their order. */
  takeAt(index: number): T | undefined {
    if (index < 0 || index >= this.#size) return undefined;
    const item = this.#slots[(this.#head + index) & this.#mask];
    for (let i = index; i > 0; i--) {
      this.#slots[(this.#head + i) & this.#mask] = this.#slots[(this.#head + i - 1) & this.#mask];
    }
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & this.#mask;
    this.#size--;
    return item;
  }

  /** Gives memory back after a burst. Call it when the queue has drained; it does nothing otherwise. */
  trim(): void {
    if (this.#size === 0 && this.#mask >= SMALLEST_CAPACITY * 64) this.#resize(SMALLEST_CAPACITY);
  }

  #resize(capacity: number): void {
    const slots = new Array<T | undefined>(capacity).fill(undefined);
    for (let i = 0; i < this.#size; i++) slots[i] = this.#slots[(this.#head + i) & this.#mask];
    this.#slots = slots;
    this.#mask = capacity - 1;
    this.#head = 0;
  }
}
