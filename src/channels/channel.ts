/**
 * A channel: values go from those who send to those who receive, each to exactly one.
 *
 * The two ends can be given away and closed by themselves; the methods of the channel are those of its first two ends, for
 * programs as small as Go's. Closing belongs to who sends: it says that nothing more will come. Closing the receiving side
 * says that nobody listens, so those who send fail instead of waiting for ever.
 *
 * Rejected: `close` as a value in the channel (it would overtake nothing, but fill the buffer), and values left in the buffer
 * being dropped when the last receiver goes: a channel may carry connections.
 * Sources: Go's channels; the ends and clones of trio's memory channels.
 */
import type { Operation, Sequence } from "../core/index.ts";
import { checkCapacity, titleOf } from "./capacity.ts";
import { ChannelState } from "./channel-state.ts";
import type { ChannelStatistics } from "./channel-state.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";
import type { Taken } from "./take.ts";

export interface ChannelOptions<T> {
  /** Shown to those who wait. Default: `"channel"`. */
  readonly name?: string;
  /**
   * Called when the last receiver is closed while values stand in the buffer, with these, in order: nobody can receive them
   * any more. What it throws comes out of `close`. Default: they stay in the channel, for `drain`.
   */
  readonly onUndelivered?: (values: T[]) => void;
}

/**
 * @example
 * const jobs = new Channel<string>(10, { name: "jobs" });
 * spawn(function* () { yield* jobs.send("a"); jobs.close() });
 * yield* forEachConcurrent(jobs, work, { limit: 4 });
 */
export class Channel<T> implements Sequence<T> {
  readonly #state: ChannelState<T>;
  /** The first sending end. Give a task `sender.clone()` if it should close its own; then close this one too. */
  readonly sender: Sender<T>;
  /** The first receiving end. */
  readonly receiver: Receiver<T>;

  /**
   * @param capacity How many values can be sent before somebody receives. 0, the default, is a rendezvous: a send ends when
   * the value is received. `Infinity`: sending never waits, and memory is the limit.
   * @throws {UsageError} when the capacity is no such number.
   */
  constructor(capacity: number = 0, options: ChannelOptions<T> = {}) {
    const { name = "channel", onUndelivered } = options;
    checkCapacity(titleOf("channel", name), capacity, 0, true);
    this.#state = new ChannelState(name, capacity, onUndelivered);
    this.sender = new Sender(this.#state);
    this.receiver = new Receiver(this.#state);
  }

  get name(): string {
    return this.#state.name;
  }

  get capacity(): number {
    return this.#state.capacity;
  }

  /** See `Sender.send`. */
  send(value: T): Operation<void> {
    return this.sender.send(value);
  }

  /** See `Sender.trySend`. */
  trySend(value: T): boolean {
    return this.sender.trySend(value);
  }

  /** See `Receiver.receive`. */
  receive(): Operation<T> {
    return this.receiver.receive();
  }

  /** See `Receiver.next`. */
  next(): Operation<IteratorResult<T, undefined>> {
    return this.receiver.next();
  }

  /** See `Receiver.tryReceive`. */
  tryReceive(): Taken<T> | undefined {
    return this.receiver.tryReceive();
  }

  /** See `Receiver.drain`. */
  drain(): T[] {
    return this.receiver.drain();
  }

  /**
   * Closes the channel for everybody who sends, clones included; again changes nothing. Sends that wait fail. What is
   * buffered can still be received, then the channel ends.
   */
  close(): void {
    this.#state.close();
  }

  statistics(): ChannelStatistics {
    return this.#state.statistics();
  }
}
