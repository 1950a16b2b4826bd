/**
 * A channel: values go from those who send to those who receive, each to exactly one.
 *
 * The two ends can be given away and closed by themselves; the methods of the channel are those of its first two ends, for
 * programs as small as Go's. Closing belongs to who sends: it says that nothing more will come. Closing the receiving side
 * says that nobody listens, so those who send fail instead of waiting for ever.
 *
 * A channel is no `Sequence`, though it can be given wherever a source is taken: whoever stops early there closes the source, and
 * that has to be the receiver (`sequenceOf` takes it), else the values that are left would go nowhere.
 *
 * Rejected: `close` as a value in the channel (it would overtake nothing, but fill the buffer), and values left in the buffer
 * being dropped when the last receiver goes: a channel may carry connections.
 * Sources: Go's channels; the ends and clones of trio's memory channels.
 */
import { describeValue, UsageError } from "../core/index.ts";
import type { Operation } from "../core/index.ts";
import { checkCapacity, checkOptions, titleOf } from "./capacity.ts";
import type { FeedOptions } from "./capacity.ts";
import { ChannelState } from "./channel-state.ts";
import type { ChannelStatistics } from "./channel-state.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";
import type { Taken } from "./take.ts";

export interface ChannelOptions<T> extends FeedOptions {
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
export class Channel<T> {
  readonly #state: ChannelState<T>;
  /** The first sending end. Give a task `sender.clone()` if it should close its own; then close this one too. */
  readonly sender: Sender<T>;
  /** The first receiving end. */
  readonly receiver: Receiver<T>;

  /**
   * @param capacity How many values can be sent before somebody receives. 0, the default, is a rendezvous: a send ends when
   * the value is received. `Infinity`: sending never waits, and memory is the limit.
   * @throws {UsageError} when the capacity is no such number, or the options are none.
   */
  constructor(capacity: number = 0, options: ChannelOptions<T> = {}) {
    const checked = checkOptions("channel", options);
    const { onUndelivered } = options;
    checkCapacity(titleOf("channel", checked.name), capacity, 0, true);
    if (onUndelivered !== undefined && typeof onUndelivered !== "function") {
      throw new UsageError(`onUndelivered must be a function, got ${describeValue(onUndelivered)}`);
    }
    this.#state = new ChannelState(checked, capacity, onUndelivered);
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

  [Symbol.dispose](): void {
    this.close();
  }

  statistics(): ChannelStatistics {
    return this.#state.statistics();
  }
}
