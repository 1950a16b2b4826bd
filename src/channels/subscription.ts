/**
 * One reader of a broadcast: a position in its ring, and those who wait for the next value.
 *
 * Who waits here has read everything, so a value that is published can be handed over at once.
 */
import { WaitQueue } from "../core/index.ts";
import type { Operation, Sequence, Waiter } from "../core/index.ts";
import type { BroadcastRing } from "./broadcast-ring.ts";
import { ChannelClosedError, LaggedError } from "./errors.ts";
import { finishAll, NOTHING, Take, takeNow, TakeNext } from "./take.ts";
import type { Taken, Taker } from "./take.ts";

/** The broadcast, as its subscriptions need it. */
export interface Feed<T> {
  readonly name: string;
  readonly label: string;
  readonly external: boolean;
  readonly ring: BroadcastRing<T>;
  readonly isClosed: boolean;
  /** Whether one that is too slow is told. */
  readonly tellsLag: boolean;
  unsubscribe(subscription: Subscription<T>): void;
  /** Something was read: those who wait to publish may have room. */
  admit(task: Waiter | null): void;
}

/** A snapshot. */
export interface SubscriptionStatistics {
  /** Of its broadcast. */
  readonly name: string;
  /** Values that are there and not received yet. */
  readonly unread: number;
  /** Values that it has missed because it was too slow, ever. */
  readonly missed: number;
  /** Tasks that wait to receive. */
  readonly waiting: number;
}

/**
 * @example
 * using prices = broadcast.subscribe();
 * for (;;) show(yield* prices.receive());
 */
export class Subscription<T> implements Sequence<T> {
  /** @internal */
  readonly takers: WaitQueue<unknown, Taker<T>> = new WaitQueue();
  /** The value that it receives next. @internal */
  position: number;
  /** @internal */
  waiting = 0;
  readonly #feed: Feed<T>;
  #missed = 0;
  #isClosed = false;

  /** Made by `Broadcast.subscribe`. @internal */
  constructor(feed: Feed<T>) {
    this.#feed = feed;
    this.position = feed.ring.head;
  }

  /** Whether this subscription was closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * Waits for the next value. Several tasks may receive from one subscription: each value goes to one of them, in their order.
   * Cancelling takes none.
   * @throws {LaggedError} when it was too slow and has missed values (`onLag: "error"`); the next call goes on.
   * @throws {ChannelClosedError} when the broadcast was closed and everything was received, or the subscription was closed.
   */
  receive(): Operation<T> {
    return new Take<T>(this);
  }

  /** Like `receive`, with the end as a result: `{ done: true }`. This makes a subscription a `Sequence`. */
  next(): Operation<IteratorResult<T, undefined>> {
    return new TakeNext<T>(this);
  }

  /** Receives without waiting; `undefined` when there is nothing new. @throws what `receive` throws. */
  tryReceive(): Taken<T> | undefined {
    return takeNow(this);
  }

  /**
   * Closes it at once; again changes nothing. Those who receive here get the end;
   * what it has not received is dropped: the others have it too.
   */
  close(): void {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#feed.unsubscribe(this);
      finishAll(this.takers, null);
      this.#feed.ring.leave(this.position);
      this.#feed.admit(null);
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  statistics(): SubscriptionStatistics {
    const { ring } = this.#feed;
    const isBehind = this.position < ring.oldest;
    return Object.freeze({
      name: this.#feed.name,
      unread: this.#isClosed ? 0 : ring.head - Math.max(this.position, ring.oldest),
      missed: this.#missed + (isBehind && !this.#isClosed ? ring.oldest - this.position : 0),
      waiting: this.takers.size,
    });
  }

  /** @internal */
  get external(): boolean {
    return this.#feed.external;
  }

  /** @internal */
  get takeReason(): string {
    return `receive from ${this.#feed.label}`;
  }

  /** @internal */
  get hasEnded(): boolean {
    return this.#feed.isClosed;
  }

  /** @internal */
  endError(): Error {
    const why = this.#isClosed
      ? "this subscription was closed"
      : "it was closed and all values were received; next() gives the end as a result";
    return new ChannelClosedError(this.takeReason, why);
  }

  /** @internal */
  take(task: Waiter | null): T | typeof NOTHING {
    const feed = this.#feed;
    const { ring } = feed;
    if (this.position < ring.oldest) {
      const missed = ring.oldest - this.position;
      this.position = ring.oldest;
      this.#missed += missed;
      if (feed.tellsLag) throw new LaggedError(`a subscription of ${feed.label}`, missed, ring.capacity);
    }
    if (this.position === ring.head) return NOTHING;
    const value = ring.read(this.position++);
    feed.admit(task);
    return value;
  }
}
