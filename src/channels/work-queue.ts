/**
 * What the three queues share: a hand-over whose items are accounted for until they are done.
 *
 * A channel ends with its senders; a queue belongs to nobody and is shut down. It counts what was put in and not yet reported
 * done, so `join` can wait for the work and not only for the queue to be empty.
 *
 * Differences to asyncio: bounded unless told otherwise; an item goes to the getter that has waited longest, and nobody who
 * comes later can take it; a shutdown gives back what it throws out.
 */
import { describeValue, QueuedWait, UsageError, WaitQueue } from "../core/index.ts";
import type { Operation, Sequence, Started, Waiter } from "../core/index.ts";
import { checkCapacity, checkOptions, DEFAULT_CAPACITY, titleOf } from "./capacity.ts";
import type { FeedOptions } from "./capacity.ts";
import { QueueShutDownError } from "./errors.ts";
import { Handover } from "./handover.ts";
import type { Store } from "./handover.ts";
import { Put, refuseAll } from "./put.ts";
import { finishAll, Take, takeNow, TakeNext } from "./take.ts";
import type { NOTHING, Taken, Taker } from "./take.ts";

export interface QueueOptions extends FeedOptions {}

export interface ShutdownOptions {
  /** Whether what is still in the queue is thrown out. Default: `false`, it can be got. */
  readonly immediate?: boolean;
}

/** A snapshot. */
export interface QueueStatistics {
  readonly name: string;
  readonly capacity: number;
  /** Items in the queue. */
  readonly size: number;
  /** Items that were put in and not reported done. */
  readonly unfinished: number;
  /** Tasks that wait for room. */
  readonly waitingPutters: number;
  /** Tasks that wait for an item. */
  readonly waitingGetters: number;
  /** Tasks that wait until everything is done. */
  readonly waitingJoiners: number;
  readonly isShutDown: boolean;
}

export abstract class WorkQueue<T> implements Sequence<T> {
  readonly name: string;
  /** @internal */
  readonly external: boolean;
  readonly #label: string;
  readonly #handover: Handover<T>;
  /** Putters and getters; both lines are its own. @internal */
  waiting = 0;
  readonly #joiners = new WaitQueue();
  #done = 0;
  #isShutDown = false;

  /** @internal */
  protected constructor(
    kind: string,
    store: Store<T>,
    capacity: number = DEFAULT_CAPACITY,
    options: QueueOptions = {},
  ) {
    const { name, external } = checkOptions(kind, options);
    this.name = name;
    this.external = external;
    this.#label = titleOf(kind, this.name);
    checkCapacity(this.#label, capacity, 1, true);
    this.#handover = new Handover(capacity, store);
  }

  get capacity(): number {
    return this.#handover.capacity;
  }

  /** How many items are in it. */
  get size(): number {
    return this.#handover.store.size;
  }

  get isFull(): boolean {
    return this.#handover.isFull;
  }

  get isShutDown(): boolean {
    return this.#isShutDown;
  }

  /** How many items were put in and not reported done. */
  get unfinished(): number {
    return this.#handover.accepted - this.#done;
  }

  /**
   * Puts an item in, waiting in line while the queue is full. Cancelling puts nothing in.
   * @throws {QueueShutDownError} when the queue is shut down, also while it waits.
   * @example
   * yield* queue.put(job);
   */
  put(item: T): Operation<void> {
    return new Put<T>(this, item);
  }

  /** Puts an item in without waiting; `false` when the queue is full. @throws {QueueShutDownError} when it is shut down. */
  tryPut(item: T): boolean {
    if (this.#isShutDown) throw this.refusal();
    return this.#handover.offer(item, null);
  }

  /**
   * Takes the next item, waiting in line while there is none. Cancelling takes none.
   * @throws {QueueShutDownError} when the queue is shut down and empty.
   * @example
   * const job = yield* queue.get();
   */
  get(): Operation<T> {
    return new Take<T>(this);
  }

  /** Like `get`, with the end as a result: `{ done: true }` once it is shut down and empty. This makes a queue a `Sequence`. */
  next(): Operation<IteratorResult<T, undefined>> {
    return new TakeNext<T>(this);
  }

  /** Takes the next item without waiting; `undefined` when there is none. @throws {QueueShutDownError} like `get`. */
  tryGet(): Taken<T> | undefined {
    return takeNow(this);
  }

  /**
   * Says that an item that was got is done. `join` waits for as many as were put in.
   * @throws {UsageError} when it is called more often than items were put in.
   */
  taskDone(): void {
    if (this.unfinished === 0) {
      throw new UsageError(`taskDone() of ${this.#label}: all its items are done already; call it once for each get`);
    }
    this.#finish(1);
  }

  /**
   * Waits until every item that was put in has been got and reported done. At once when there is none.
   * Cancelling stops the waiting only.
   */
  join(): Operation<void> {
    return new Join(this, this.#joiners, this.#label);
  }

  /**
   * Takes no more items: who puts fails; who gets receives what is left, then fails. Again changes nothing. `immediate` also throws
   * out what is left, counts it as done, and returns it; otherwise the result is empty. When the `compare` of a priority queue throws,
   * that is thrown: the queue is shut down, and everything is still in it.
   * @throws {UsageError} when `immediate` is no boolean.
   */
  shutdown(options: ShutdownOptions = {}): T[] {
    const { immediate = false } = options;
    if (typeof immediate !== "boolean") {
      throw new UsageError(
        `shutdown takes { immediate: true } or { immediate: false }, got ${describeValue(immediate)}`,
      );
    }
    if (!this.#isShutDown) {
      this.#isShutDown = true;
      refuseAll(this.putters, null);
      finishAll(this.takers, null);
    }
    if (!immediate) return [];
    const thrownOut = this.#handover.empty();
    this.#finish(Math.min(thrownOut.length, this.unfinished)); // some may have been reported done before they were got
    return thrownOut;
  }

  statistics(): QueueStatistics {
    return Object.freeze({
      name: this.name,
      capacity: this.capacity,
      size: this.size,
      unfinished: this.unfinished,
      waitingPutters: this.putters.size,
      waitingGetters: this.takers.size,
      waitingJoiners: this.#joiners.size,
      isShutDown: this.#isShutDown,
    });
  }

  /** @internal */
  get putters(): WaitQueue<void, Put<T>> {
    return this.#handover.putters;
  }

  /** @internal */
  get takers(): WaitQueue<unknown, Taker<T>> {
    return this.#handover.takers;
  }

  /** @internal */
  get putReason(): string {
    return `put into ${this.#label}`;
  }

  /** @internal */
  get takeReason(): string {
    return `get from ${this.#label}`;
  }

  /** @internal */
  get isRefusing(): boolean {
    return this.#isShutDown;
  }

  /** @internal */
  get hasEnded(): boolean {
    return this.#isShutDown;
  }

  /** A queue ends by being shut down; a getter cannot close it. @internal */
  get isClosed(): boolean {
    return false;
  }

  /** @internal */
  refusal(): Error {
    return new QueueShutDownError(this.putReason, "it is shut down; shut it down after the last item was put in");
  }

  /** @internal */
  endError(): Error {
    return new QueueShutDownError(this.takeReason, "it is shut down and empty; next() gives the end as a result");
  }

  /** @internal */
  offer(item: T, task: Waiter | null): boolean {
    return this.#handover.offer(item, task);
  }

  /** @internal */
  take(task: Waiter | null): T | typeof NOTHING {
    return this.#handover.take(task);
  }

  #finish(count: number): void {
    this.#done += count;
    if (this.unfinished === 0) this.#joiners.unpark(this.#joiners.size);
  }
}

interface Joinable {
  readonly unfinished: number;
  readonly external: boolean;
}

class Join extends QueuedWait<void> {
  readonly #queue: Joinable;
  readonly #label: string;

  constructor(queue: Joinable, joiners: WaitQueue, label: string) {
    super(joiners);
    this.#queue = queue;
    this.#label = label;
  }

  get reason(): string {
    return `all items of ${this.#label} to be done`;
  }

  override get external(): boolean {
    return this.#queue.external;
  }

  protected attempt(task: Waiter): Started<void> | null {
    return this.#queue.unfinished === 0 ? task.complete(this, undefined) : null;
  }
}
