/**
 * A broadcast: every subscription gets every value from its beginning on.
 *
 * The values stand once, in a ring; a subscription is a position in it. What happens when one is too slow has to be chosen,
 * because every answer is wrong for somebody: tell it what it has missed (the default), drop silently, or let those who
 * publish wait for the slowest. Memory is bounded in each case.
 *
 * Rejected: a buffer for each subscription (the values of a slow one would stand as often as there are subscriptions).
 * Source: Tokio's `broadcast`, which counts the readers of each slot in the same way.
 */
import { describeValue, UsageError, WaitQueue } from "../core/index.ts";
import type { Operation, Waiter } from "../core/index.ts";
import { BroadcastRing } from "./broadcast-ring.ts";
import { checkCapacity, checkOptions, DEFAULT_CAPACITY, titleOf } from "./capacity.ts";
import type { FeedOptions } from "./capacity.ts";
import { firstOfOthers } from "./counterpart.ts";
import { ChannelClosedError } from "./errors.ts";
import { Put, refuseAll } from "./put.ts";
import { Subscription } from "./subscription.ts";
import { finishAll } from "./take.ts";

/**
 * What becomes of a subscription that is more than the capacity behind. `error`: its next receive throws `LaggedError`, once.
 * `dropOldest`: it goes on with the oldest value that is left. `wait`: there is none, who publishes waits for the slowest.
 */
export type LagPolicy = "error" | "dropOldest" | "wait";

const LAG_POLICIES: readonly string[] = ["error", "dropOldest", "wait"];

export interface BroadcastOptions extends FeedOptions {
  /** Default: `"error"`. */
  readonly onLag?: LagPolicy;
}

/** A snapshot. */
export interface BroadcastStatistics {
  readonly name: string;
  readonly capacity: number;
  readonly subscriptions: number;
  /** Values that were published, ever. */
  readonly published: number;
  /** How many values the slowest subscription has not received; what it has missed does not count. */
  readonly unread: number;
  /** Tasks that wait to publish, with `onLag: "wait"`. */
  readonly waitingPublishers: number;
  /** Tasks that wait to receive, on all subscriptions. */
  readonly waitingReceivers: number;
  readonly isClosed: boolean;
}

/**
 * @example
 * const prices = new Broadcast<number>(100, { name: "prices" });
 * const mine = prices.subscribe();
 * yield* prices.publish(7);
 * console.log(yield* mine.receive());   // 7
 */
export class Broadcast<T> {
  readonly name: string;
  /** @internal */
  readonly external: boolean;
  /** @internal */
  readonly label: string;
  /** @internal */
  readonly ring: BroadcastRing<T>;
  /** @internal */
  readonly putters: WaitQueue<void, Put<T>> = new WaitQueue();
  /** @internal */
  waiting = 0;
  readonly #subscriptions = new Set<Subscription<T>>();
  readonly #onLag: LagPolicy;
  #isClosed = false;

  /**
   * @param capacity How many values a subscription may be behind. Default: 1,024.
   * @throws {UsageError} when it is no whole number from 1 up, or `onLag` is no policy.
   */
  constructor(capacity: number = DEFAULT_CAPACITY, options: BroadcastOptions = {}) {
    const { name, external } = checkOptions("broadcast", options);
    this.name = name;
    this.external = external;
    this.label = titleOf("broadcast", this.name);
    checkCapacity(this.label, capacity, 1, false);
    this.#onLag = options.onLag ?? "error";
    if (!LAG_POLICIES.includes(this.#onLag)) {
      throw new UsageError(`onLag must be "error", "dropOldest" or "wait", got ${describeValue(this.#onLag)}`);
    }
    this.ring = new BroadcastRing(capacity);
  }

  get capacity(): number {
    return this.ring.capacity;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * Gives the value to every subscription there is now; to nobody, when there is none. Waits only with `onLag: "wait"`,
   * while the slowest subscription has no room; those who wait are served in their order. Cancelling publishes nothing.
   * @throws {ChannelClosedError} when the broadcast is closed, also while it waits.
   */
  publish(value: T): Operation<void> {
    return new Put<T>(this, value);
  }

  /**
   * Publishes without waiting; `false` only with `onLag: "wait"`, when the slowest subscription has no room.
   * @throws {ChannelClosedError} when the broadcast is closed.
   */
  tryPublish(value: T): boolean {
    if (this.#isClosed) throw this.refusal();
    return this.offer(value, null);
  }

  /** A subscription that gets every value that is published from now on. Of a closed broadcast: one that has ended. */
  subscribe(): Subscription<T> {
    const subscription = new Subscription<T>(this);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  /** Nothing more is published. Publishers that wait fail; subscriptions end after they have received the rest. Again changes nothing. */
  close(): void {
    if (!this.#isClosed) {
      this.#isClosed = true;
      refuseAll(this.putters, null);
      for (const subscription of [...this.#subscriptions]) finishAll(subscription.takers, null);
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  statistics(): BroadcastStatistics {
    const { ring } = this;
    let slowest = ring.head;
    let waitingReceivers = 0;
    for (const { position, takers } of this.#subscriptions) {
      slowest = Math.min(slowest, position);
      waitingReceivers += takers.size;
    }
    return Object.freeze({
      name: this.name,
      capacity: ring.capacity,
      subscriptions: this.#subscriptions.size,
      published: ring.head,
      unread: ring.head - Math.max(slowest, ring.oldest),
      waitingPublishers: this.putters.size,
      waitingReceivers,
      isClosed: this.#isClosed,
    });
  }

  /** @internal */
  get putReason(): string {
    return `publish to ${this.label}`;
  }

  /** @internal */
  get isRefusing(): boolean {
    return this.#isClosed;
  }

  /** @internal */
  refusal(): Error {
    return new ChannelClosedError(this.putReason, "it was closed; close it after the last value was published");
  }

  /** @internal */
  get tellsLag(): boolean {
    return this.#onLag === "error";
  }

  /** @internal */
  offer(value: T, task: Waiter | null): boolean {
    if (this.#onLag === "wait" && !this.ring.hasRoom) return false;
    this.#push(value, task);
    return true;
  }

  /** @internal */
  unsubscribe(subscription: Subscription<T>): void {
    this.#subscriptions.delete(subscription);
  }

  /** @internal */
  admit(task: Waiter | null): void {
    while (this.putters.size > 0 && this.ring.hasRoom) {
      const put = firstOfOthers(this.putters, task);
      if (put === null) return;
      this.putters.remove(put);
      put.end(undefined); // before the value goes round: a receive that is an arm of the same select must not get it
      this.#push(put.value, task);
    }
  }

  /** Everybody who waits has read all before it, so the value goes to one of the waiting of each subscription at once. */
  #push(value: T, task: Waiter | null): void {
    const position = this.ring.head;
    this.ring.push(value, this.#subscriptions.size);
    for (const subscription of this.#subscriptions) {
      const taker = firstOfOthers(subscription.takers, task);
      if (taker === null) continue; // it stays in the ring for this one
      subscription.takers.remove(taker);
      subscription.position = position + 1;
      taker.deliver(this.ring.read(position));
    }
  }
}
