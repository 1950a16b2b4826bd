/**
 * The end of a channel that values come out at.
 */
import type { Operation, Sequence, Waiter, WaitQueue } from "../core/index.ts";
import type { ChannelState, ChannelStatistics } from "./channel-state.ts";
import { ChannelClosedError } from "./errors.ts";
import { NOTHING, Take, takeNow, TakeNext } from "./take.ts";
import type { Taken, Taker } from "./take.ts";

/**
 * Many may receive from the same end; each value goes to one of them, the one that has waited longest. A clone is an end
 * of its own: senders fail when the last one is closed.
 *
 * @example
 * for (;;) {
 *   const { done, value } = yield* receiver.next();
 *   if (done) break;
 *   yield* work(value);
 * }
 */
export class Receiver<T> implements Sequence<T> {
  private readonly state: ChannelState<T>;
  private closed = false;
  /** @internal */
  waiting = 0;

  /** Made by `Channel` and `clone`. @internal */
  constructor(state: ChannelState<T>) {
    this.state = state;
  }

  /** Whether this end was closed. */
  get isClosed(): boolean {
    return this.closed;
  }

  /**
   * Waits for a value; those who wait are served in their order. Cancelling takes none.
   * @throws {ChannelClosedError} when the last sender was closed and everything was received, or this end was closed.
   * @example
   * const job = yield* receiver.receive();
   */
  receive(): Operation<T> {
    return new Take<T>(this);
  }

  /** Like `receive`, with the end as a result: `{ done: true }`. This makes a receiver a `Sequence`. */
  next(): Operation<IteratorResult<T, undefined>> {
    return new TakeNext<T>(this);
  }

  /**
   * Receives without waiting; `undefined` when there is no value now.
   * @throws {ChannelClosedError} at the end, like `receive`.
   * @example
   * const job = receiver.tryReceive()?.value;
   */
  tryReceive(): Taken<T> | undefined {
    return takeNow(this);
  }

  /**
   * Takes everything that can be received without waiting, in order; `[]` at the end too. On a closed receiver: what nobody
   * can receive any more, so it is empty while another receiver is open.
   */
  drain(): T[] {
    const values: T[] = [];
    if (this.closed && this.state.openReceivers > 0) return values;
    for (let value = this.state.take(null); value !== NOTHING; value = this.state.take(null)) values.push(value);
    return values;
  }

  /** Another end of the same channel. @throws {ChannelClosedError} when this one is closed. */
  clone(): Receiver<T> {
    if (this.closed) {
      throw new ChannelClosedError(`clone a receiver of ${this.state.label}`, "it was closed; clone it before");
    }
    this.state.openReceivers++;
    return new Receiver(this.state);
  }

  /**
   * Closes this end at once; again changes nothing. Those who receive
   * here get the end. With the last receiver everybody who sends fails, and what stands in the buffer goes to
   * `onUndelivered`; without one it stays for `drain`.
   */
  close(): void {
    if (!this.closed) {
      this.closed = true;
      this.state.receiverClosed(this);
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  statistics(): ChannelStatistics {
    return this.state.statistics();
  }

  /** @internal */
  get takers(): WaitQueue<unknown, Taker<T>> {
    return this.state.takers;
  }

  /** @internal */
  get external(): boolean {
    return this.state.external;
  }

  /** @internal */
  get takeReason(): string {
    return `receive from ${this.state.label}`;
  }

  /** @internal */
  get hasEnded(): boolean {
    return this.state.openSenders === 0;
  }

  /** @internal */
  endError(): Error {
    const why = this.closed
      ? "this receiver was closed"
      : "every sender was closed and all values were received; next() gives the end as a result";
    return new ChannelClosedError(this.takeReason, why);
  }

  /** @internal */
  take(task: Waiter | null): T | typeof NOTHING {
    return this.state.take(task);
  }
}
