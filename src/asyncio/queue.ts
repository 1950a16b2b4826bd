/**
 * Queues between tasks.
 *
 * Unbounded unless told otherwise, and not fair, as in Python: an item is not handed to who waits for it; the first in line is woken,
 * and who comes before it has run may take the item away, and sends it to the end of the line. A woken task that is cancelled
 * wakes the next one, so no item is lost. Fibril's own `Queue` and `Channel` are bounded and hand over.
 */
import { describeValue, UsageError } from "../core/index.ts";
import { QueueEmpty, QueueFull, QueueShutDown, ValueError } from "./errors.ts";
import { Event } from "./event.ts";
import type { Coroutine, Future } from "./future.ts";
import { LoopBound } from "./loop-bound.ts";

type Waiters = Set<Future<void>>;

/** Where the items are; what makes one kind of queue differ from another. @package */
export interface ItemStore<T> {
  readonly size: number;
  push(item: T): void;
  take(): T;
}

class FifoStore<T> implements ItemStore<T> {
  #items: T[] = [];
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  take(): T {
    const item = this.#items[this.#head]!;
    this.#items[this.#head++] = undefined as T;
    if (this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

/**
 * First in, first out.
 * @example
 * const jobs = new Queue<string>(100);
 * yield* jobs.put("a"); const job = yield* jobs.get(); jobs.taskDone();
 */
export class Queue<T> extends LoopBound {
  /** How many items fit; 0 or less for any number. */
  readonly maxsize: number;
  readonly #items: ItemStore<T>;
  readonly #getters: Waiters = new Set();
  readonly #putters: Waiters = new Set();
  readonly #finished = new Event();
  #unfinishedTasks = 0;
  #isShutDown = false;

  /** @param maxsize How many items fit. Default: 0, any number. */
  constructor(maxsize?: number);
  /** @internal */
  constructor(maxsize?: number, store?: ItemStore<T>);
  constructor(maxsize = 0, store: ItemStore<T> = new FifoStore<T>()) {
    super();
    if (typeof maxsize !== "number" || Number.isNaN(maxsize)) {
      throw new UsageError(`maxsize must be a number of items, got ${describeValue(maxsize)}`);
    }
    this.maxsize = maxsize;
    this.#items = store;
    this.#finished.set();
  }

  /** How many items are in it. */
  qsize(): number {
    return this.#items.size;
  }

  empty(): boolean {
    return this.#items.size === 0;
  }

  full(): boolean {
    return this.maxsize > 0 && this.#items.size >= this.maxsize;
  }

  /**
   * Puts an item in, waiting while the queue is full. Cancelling puts nothing in.
   * @throws {QueueShutDown} once it is shut down.
   */
  *put(item: T): Coroutine<void> {
    while (this.full()) {
      if (this.#isShutDown) throw new QueueShutDown();
      const putter = this.boundLoop().createFuture<void>();
      this.#putters.add(putter);
      try {
        yield* putter;
      } catch (error) {
        if (leaveLine(putter, this.#putters) && !this.full()) wakeNext(this.#putters);
        throw error;
      }
    }
    this.putNowait(item);
  }

  /** @throws {QueueFull} when it is full. @throws {QueueShutDown} once it is shut down. */
  putNowait(item: T): void {
    if (this.#isShutDown) throw new QueueShutDown();
    if (this.full()) throw new QueueFull();
    this.#items.push(item);
    this.#unfinishedTasks++;
    this.#finished.clear();
    wakeNext(this.#getters);
  }

  /**
   * Takes an item, waiting while there is none. Cancelling takes none.
   * @throws {QueueShutDown} once it is shut down and empty.
   */
  *get(): Coroutine<T> {
    while (this.empty()) {
      if (this.#isShutDown) throw new QueueShutDown();
      const getter = this.boundLoop().createFuture<void>();
      this.#getters.add(getter);
      try {
        yield* getter;
      } catch (error) {
        if (leaveLine(getter, this.#getters) && !this.empty()) wakeNext(this.#getters);
        throw error;
      }
    }
    return this.getNowait();
  }

  /** @throws {QueueEmpty} when there is none. @throws {QueueShutDown} once it is shut down and empty. */
  getNowait(): T {
    if (this.empty()) throw this.#isShutDown ? new QueueShutDown() : new QueueEmpty();
    const item = this.#items.take();
    wakeNext(this.#putters);
    return item;
  }

  /** Says that the work on one item that was taken is done. @throws {ValueError} when called more often than items were put in. */
  taskDone(): void {
    if (this.#unfinishedTasks <= 0) throw new ValueError("taskDone() was called more often than items were put in");
    if (--this.#unfinishedTasks === 0) this.#finished.set();
  }

  /** Waits until the work on every item that was put in is done. Cancelling leaves no trace. */
  *join(): Coroutine<void> {
    if (this.#unfinishedTasks > 0) yield* this.#finished.wait();
  }

  /**
   * Ends it: nothing goes in any more; what is in can be taken out, then `get` throws. All who wait look again.
   * @param immediate Drops what is in, and counts the work on it as done. Default: `false`.
   */
  shutdown(immediate = false): void {
    this.#isShutDown = true;
    if (immediate) {
      while (!this.empty()) {
        this.#items.take();
        if (this.#unfinishedTasks > 0) this.#unfinishedTasks--;
      }
      if (this.#unfinishedTasks === 0) this.#finished.set();
    }
    wakeAll(this.#getters);
    wakeAll(this.#putters);
  }

  override toString(): string {
    const waiting = `getters:${this.#getters.size} putters:${this.#putters.size}`;
    return `<${this.constructor.name} maxsize=${this.maxsize} items:${this.qsize()} ${waiting} tasks=${this.#unfinishedTasks}${this.#isShutDown ? " shutdown" : ""}>`;
  }
}

/** After an exception. `true` for one that was woken before it could leave: what woke it is for the next one then. */
function leaveLine(waiter: Future<void>, waiters: Waiters): boolean {
  waiter.cancel();
  waiters.delete(waiter);
  return !waiter.cancelled();
}

/** Wakes the first who still waits; it leaves the line at once. */
function wakeNext(waiters: Waiters): void {
  for (const waiter of waiters) {
    waiters.delete(waiter);
    if (waiter.done()) continue;
    waiter.setResult(undefined);
    return;
  }
}

function wakeAll(waiters: Waiters): void {
  for (const waiter of waiters) if (!waiter.done()) waiter.setResult(undefined);
  waiters.clear();
}

class LifoStore<T> implements ItemStore<T> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  take(): T {
    return this.#items.pop()!;
  }
}

/** A queue that gives the newest item first. */
export class LifoQueue<T> extends Queue<T> {
  constructor(maxsize = 0) {
    super(maxsize, new LifoStore<T>());
  }
}
