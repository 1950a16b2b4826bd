/**
 * First in, first out: the store of channels and of `Queue`. It allocates nothing until something is stored, so a channel
 * that hands everything over directly stays small.
 */
import { FifoQueue } from "../data/fifo-queue.ts";
import type { Store } from "./handover.ts";

export class FifoStore<T> implements Store<T> {
  // The queue only moves what it holds; its type wants objects so that its `undefined` means "empty".
  private queue: FifoQueue<object> | null = null;
  size = 0;

  add(value: T): void {
    (this.queue ??= new FifoQueue()).push(value as object);
    this.size++;
  }

  take(): T {
    this.size--;
    return this.queue!.shift() as T;
  }
}
