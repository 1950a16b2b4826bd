/**
 * A first-in first-out queue in chunks: the ready queue of the event loop.
 *
 * Why not an array with `shift()`: that moves every element once the array is large. Why not one ring that doubles: at a
 * million ready tasks it leaves as much garbage as it holds, 16 MB at the very peak (measured). Chunks are neither copied nor
 * kept: one is spare, the others go as they are emptied.
 *
 * Invariants: elements leave in the order in which they came, except through `takeAt`, which closes the gap and keeps the
 * order of the rest; a slot that is not in use holds `undefined`, so the queue keeps nothing alive.
 * Source: the fixed queues of Node's `process.nextTick`.
 */
const CHUNK_SIZE = 512; // 4 KB: small enough for ordinary pages of the heap, large enough that changing chunks is rare

interface Chunk<T> {
  readonly slots: (T | undefined)[];
  next: Chunk<T> | null;
}

export class FifoQueue<T extends object> {
  #head: Chunk<T> = newChunk();
  #tail: Chunk<T> = this.#head;
  #headIndex = 0;
  #tailIndex = 0;
  #size = 0;
  #spare: Chunk<T> | null = null;
  /** Up to where `visitNew` has come; `null` when all of that has left. */
  #visitedChunk: Chunk<T> | null = null;
  #visitedIndex = 0;

  get size(): number {
    return this.#size;
  }

  push(item: T): void {
    if (this.#tailIndex === CHUNK_SIZE) this.#append();
    this.#tail.slots[this.#tailIndex++] = item;
    this.#size++;
  }

  /** Takes the oldest element; `undefined` when there is none. */
  shift(): T | undefined {
    if (this.#size === 0) return undefined;
    const { slots } = this.#head;
    const item = slots[this.#headIndex];
    slots[this.#headIndex++] = undefined;
    this.#size--;
    if (this.#headIndex === CHUNK_SIZE) this.#dropHead();
    return item;
  }

  /** Takes the element at `index` (0 is the oldest) in O(index); the others keep their order. */
  takeAt(index: number): T | undefined {
    if (index < 0 || index >= this.#size) return undefined;
    let chunk = this.#head;
    let at = this.#headIndex;
    let carried: T | undefined = undefined; // what has to move one place towards the tail
    for (let i = 0; i <= index; i++) {
      const here = chunk.slots[at];
      chunk.slots[at] = carried;
      carried = here;
      if (++at === CHUNK_SIZE && i < index) {
        chunk = chunk.next!;
        at = 0;
      }
    }
    this.#headIndex++;
    this.#size--;
    if (this.#headIndex === CHUNK_SIZE) this.#dropHead();
    return carried;
  }

  /**
   * Calls `visit` for each element that has come since the last call and is still here, oldest first; after `takeAt` perhaps for one
   * that was visited before. `visit` must not change the queue.
   */
  visitNew(visit: (item: T) => void): void {
    let chunk = this.#visitedChunk ?? this.#head;
    let at = this.#visitedChunk === null ? 0 : this.#visitedIndex;
    if (chunk === this.#head && at < this.#headIndex) at = this.#headIndex;
    for (;;) {
      const end = chunk === this.#tail ? this.#tailIndex : CHUNK_SIZE;
      while (at < end) visit(chunk.slots[at++]!);
      if (chunk === this.#tail) break;
      chunk = chunk.next!;
      at = 0;
    }
    this.#visitedChunk = chunk;
    this.#visitedIndex = at;
  }

  #append(): void {
    const chunk = this.#spare ?? newChunk<T>();
    this.#spare = null;
    this.#tail.next = chunk;
    this.#tail = chunk;
    this.#tailIndex = 0;
  }

  #dropHead(): void {
    const emptied = this.#head;
    this.#headIndex = 0;
    if (emptied === this.#visitedChunk) this.#visitedChunk = null;
    if (emptied.next === null) {
      this.#tailIndex = 0; // it was the only one, and full: it starts again
      return;
    }
    this.#head = emptied.next;
    emptied.next = null;
    this.#spare = emptied;
  }
}

function newChunk<T>(): Chunk<T> {
  return { slots: new Array<T | undefined>(CHUNK_SIZE).fill(undefined), next: null };
}
