/**
 * First in, first out: the store of channels and of `Queue`.
 *
 * A program may have a hundred thousand channels with room for one value each, so what stands in one costs as little as it can: a ring
 * that doubles, and nothing at all before the first value. Past `LARGEST_RING` values stand in the chunks of a `FifoQueue`,
 * which are not copied; a store that was emptied begins again with a small ring.
 */
import { FifoQueue } from "../data/fifo-queue.ts";
import type { Store } from "./handover.ts";

const SMALLEST_RING = 4;
const LARGEST_RING = 256; // half a chunk of the queue

export class FifoStore<T> implements Store<T> {
  size = 0;
  /** Its length is a power of two. */
  private ring: (T | undefined)[] | null = null;
  private head = 0;
  // The queue only moves what it holds; its type wants objects so that its `undefined` means "empty".
  private queue: FifoQueue<object> | null = null;

  add(value: T): void {
    if (this.queue === null && (this.ring === null || this.size === this.ring.length)) this.grow();
    if (this.queue !== null) this.queue.push(value as object);
    else this.ring![(this.head + this.size) & (this.ring!.length - 1)] = value;
    this.size++;
  }

  take(): T {
    this.size--;
    if (this.queue !== null) {
      const value = this.queue.shift() as T;
      if (this.size === 0) this.queue = null;
      return value;
    }
    const ring = this.ring!;
    const value = ring[this.head] as T;
    ring[this.head] = undefined;
    this.head = (this.head + 1) & (ring.length - 1);
    return value;
  }

  private grow(): void {
    const old = this.ring;
    if (old?.length === LARGEST_RING) {
      this.queue = new FifoQueue();
      for (let i = 0; i < this.size; i++) this.queue.push(this.at(i) as object);
      this.ring = null;
    } else {
      const larger = new Array<T | undefined>(old === null ? SMALLEST_RING : old.length * 2).fill(undefined);
      for (let i = 0; i < this.size; i++) larger[i] = this.at(i);
      this.ring = larger;
    }
    this.head = 0;
  }

  private at(index: number): T | undefined {
    return this.ring![(this.head + index) & (this.ring!.length - 1)];
  }
}
