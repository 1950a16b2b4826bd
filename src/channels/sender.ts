/**
 * The end of a channel that values go in at.
 */
import type { Operation, Waiter, WaitQueue } from "../core/index.ts";
import type { ChannelState, ChannelStatistics } from "./channel-state.ts";
import { ChannelClosedError } from "./errors.ts";
import { Put } from "./put.ts";

/**
 * Many may send by the same end. A clone is an end of its own: the channel ends for its receivers when the last one is closed.
 *
 * @example
 * const { sender, receiver } = new Channel<string>(10);
 * spawn(function* () { using mine = sender; yield* mine.send("a") });
 */
export class Sender<T> {
  private readonly state: ChannelState<T>;
  private closed = false;
  /** @internal */
  waiting = 0;

  /** Made by `Channel` and `clone`. @internal */
  constructor(state: ChannelState<T>) {
    this.state = state;
  }

  /** Whether nothing can be sent any more: this end or the channel was closed, or the last receiver was. */
  get isClosed(): boolean {
    return this.isRefusing;
  }

  /**
   * Waits until a receiver has taken the value or the buffer has room for it; those who wait are served in their order.
   * Cancelling sends nothing.
   * @throws {ChannelClosedError} when the value cannot be sent any more, also while it waits.
   * @example
   * yield* sender.send("job 1");
   */
  send(value: T): Operation<void> {
    return new Put<T>(this, value);
  }

  /**
   * Sends without waiting; `false` when nobody waits for a value and the buffer is full.
   * @throws {ChannelClosedError} when nothing can be sent any more.
   */
  trySend(value: T): boolean {
    if (this.isRefusing) throw this.refusal();
    return this.state.offer(value, null);
  }

  /** Another end of the same channel. @throws {ChannelClosedError} when this one is closed. */
  clone(): Sender<T> {
    if (this.closed || this.state.openSenders === 0) {
      throw new ChannelClosedError(`clone a sender of ${this.state.label}`, "it was closed; clone it before");
    }
    this.state.openSenders++;
    return new Sender(this.state);
  }

  /**
   * Closes this end at once; again changes nothing. Sends that wait here fail. With the last sender the channel ends: what
   * is buffered can still be received.
   */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.state.senderClosed(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  statistics(): ChannelStatistics {
    return this.state.statistics();
  }

  /** @internal */
  get putters(): WaitQueue<void, Put<T>> {
    return this.state.putters;
  }

  /** @internal */
  get external(): boolean {
    return this.state.external;
  }

  /** @internal */
  get putReason(): string {
    return `send to ${this.state.label}`;
  }

  /** @internal */
  get isRefusing(): boolean {
    return this.closed || this.state.openReceivers === 0 || this.state.openSenders === 0;
  }

  /** @internal */
  refusal(): Error {
    return new ChannelClosedError(this.putReason, this.#why());
  }

  /** @internal */
  offer(value: T, task: Waiter | null): boolean {
    return this.state.offer(value, task);
  }

  #why(): string {
    if (this.closed) return "this sender was closed; clone one for each task that closes its own";
    if (this.state.openReceivers === 0) return "its last receiver was closed, so nobody can receive the value";
    return "the channel was closed; close it after the last value was sent";
  }
}
