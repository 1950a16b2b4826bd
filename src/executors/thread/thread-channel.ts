/**
 * A channel whose ends live in two threads.
 *
 * A message port has no backpressure: what is posted is in memory. So the sending end has credits, as many as the channel's capacity;
 * a send costs one, and waits while there is none; each value that is received there gives one back. At most `capacity` values are on their
 * way or lie ready, however slow the receiver.
 *
 * One of the two ends is given to a job as an argument; it is then of use there only, like a transferred buffer.
 */
import { MessageChannel as Link } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";
import { QueuedWait, UsageError, WaitQueue } from "../../core/index.ts";
import type { Operation, Sequence, Started, Waiter } from "../../core/index.ts";
import { ChannelClosedError } from "../../channels/index.ts";
import { checkWhole } from "../checks.ts";
import { Feed } from "../feed.ts";
import { isLuggage } from "./luggage.ts";
import type { Luggage } from "./luggage.ts";

export interface ThreadChannelOptions {
  /** Shown to those who wait. Default: `"thread channel"`. */
  readonly name?: string;
}

type Signal =
  | readonly [kind: "value", value: unknown]
  | readonly [kind: "credit", count: number]
  | readonly [kind: "close"];

/**
 * @example
 * const lines = new ThreadChannel<string>(16, { name: "lines" });
 * const counting = yield* pool.submit(countWords, lines.receiver);
 * yield* lines.sender.send("to be or not to be");
 * lines.sender.close();
 */
export class ThreadChannel<T> {
  readonly sender: ThreadSender<T>;
  readonly receiver: ThreadReceiver<T>;

  /** @param capacity How many values may be on their way, from 1 up. @throws {UsageError} */
  constructor(capacity: number = 1, options: ThreadChannelOptions = {}) {
    checkWhole("the capacity of a thread channel", capacity, 1);
    const { port1, port2 } = new Link();
    const name = options.name ?? "thread channel";
    this.sender = new ThreadSender<T>(port1, capacity, name);
    this.receiver = new ThreadReceiver<T>(port2, capacity, name);
  }
}

abstract class End {
  readonly name: string;
  readonly capacity: number;
  /** An own function makes structured clone refuse it, where it is no argument of its own: else it would arrive as an object without methods. */
  readonly isArgumentOfItsOwn = (): boolean => true;
  /** `null` once it was given away. */
  #port: MessagePort | null;
  #isListening = false;
  #wasGivenAway = false;

  constructor(port: MessagePort, capacity: number, name: string) {
    this.#port = port;
    this.capacity = capacity;
    this.name = name;
  }

  protected abstract readonly kind: "sender" | "receiver";

  protected abstract hear(signal: Signal): void;

  /** The other thread is gone, or has closed its end. */
  protected abstract ended(): void;

  /** Packs it for another thread; here it is of no more use. @internal */
  pack(): Luggage {
    const port = this.#port;
    if (port === null || this.#isListening) {
      const why = port === null ? "it was given away, or closed" : "it is in use here";
      throw new UsageError(`the ${this.kind} of "${this.name}" cannot go to another thread: ${why}`);
    }
    this.#port = null;
    this.#wasGivenAway = true;
    return { fibrilEnd: this.kind, port, capacity: this.capacity, name: this.name };
  }

  protected post(signal: Signal): void {
    this.#port?.postMessage(signal);
  }

  /** Begins to listen; from then on it keeps the thread alive while somebody waits here. */
  protected open(): void {
    const port = this.#port;
    if (port === null)
      throw new ChannelClosedError(`use the ${this.kind} of "${this.name}"`, "it was given away, or closed");
    if (this.#isListening) return;
    this.#isListening = true;
    port.on("message", (signal: Signal) => {
      if (signal[0] === "close") this.shut();
      else this.hear(signal);
    });
    port.on("close", () => this.shut());
    port.unref();
  }

  /** Somebody waits here (or nobody does any more): what happens there keeps this thread alive. */
  protected keepAlive(keeps: boolean): void {
    if (keeps) this.#port?.ref();
    else this.#port?.unref();
  }

  protected shut(): void {
    const port = this.#port;
    this.#port = null;
    this.ended();
    port?.close();
  }

  protected get wasGivenAway(): boolean {
    return this.#wasGivenAway;
  }

  protected get isShut(): boolean {
    return this.#port === null;
  }
}

/** Where values go in. */
export class ThreadSender<T> extends End {
  protected readonly kind = "sender";
  readonly #line = new WaitQueue<void, ThreadSend<T>>();
  #credits: number;

  /** Made by `ThreadChannel`. @internal */
  constructor(port: MessagePort, capacity: number, name: string) {
    super(port, capacity, name);
    this.#credits = capacity;
  }

  /**
   * Waits until the channel has room for the value, which is cloned. Cancelling sends nothing.
   * @throws {ChannelClosedError} when the receiving end was closed or its thread has ended, also while it waits.
   */
  send(value: T): Operation<void> {
    return new ThreadSend<T>(this, value, this.#line as never);
  }

  /** Says that nothing more comes; what was sent can still be received. */
  close(): void {
    if (this.isShut) return;
    this.post(["close"]);
    this.shut();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  offer(value: T): boolean {
    if (this.isShut) throw this.refusal();
    this.open();
    if (this.#credits === 0) {
      this.keepAlive(true);
      return false;
    }
    this.post(["value", value]);
    this.#credits--;
    return true;
  }

  /** @internal */
  noteLeft(): void {
    if (this.#line.size === 0) this.keepAlive(false);
  }

  protected hear(signal: Signal): void {
    if (signal[0] !== "credit") return;
    this.#credits += signal[1];
    while (this.#credits > 0) {
      const next = this.#line.shift();
      if (next === null) break;
      try {
        this.post(["value", next.value]);
      } catch (error) {
        next.fail(error);
        continue;
      }
      this.#credits--;
      next.end();
    }
    this.noteLeft();
  }

  protected ended(): void {
    for (let next = this.#line.shift(); next !== null; next = this.#line.shift()) next.fail(this.refusal());
  }

  refusal(): Error {
    return new ChannelClosedError(
      `send to "${this.name}"`,
      "one of its ends was closed, given away, or its thread has ended",
    );
  }
}

class ThreadSend<T> extends QueuedWait<void> {
  readonly value: T;
  readonly #sender: ThreadSender<T>;

  constructor(sender: ThreadSender<T>, value: T, line: WaitQueue<void, never>) {
    super(line);
    this.#sender = sender;
    this.value = value;
  }

  get reason(): string {
    return `send to "${this.#sender.name}" in another thread`;
  }

  override get external(): boolean {
    return true;
  }

  protected attempt(task: Waiter): Started<void> | null {
    return this.#sender.offer(this.value) ? task.complete(this, undefined) : null;
  }

  protected override left(): void {
    this.#sender.noteLeft();
  }
}

/** Where values come out. */
export class ThreadReceiver<T> extends End implements Sequence<T> {
  protected readonly kind = "receiver";
  readonly #values: Feed<T>;
  #taken = 0;

  /** Made by `ThreadChannel`. @internal */
  constructor(port: MessagePort, capacity: number, name: string) {
    super(port, capacity, name);
    this.#values = new Feed<T>({
      reason: `receive from "${name}" in another thread`,
      isOutside: true,
      capacity: Infinity, // the credits bound it
      onTaken: () => this.#giveBack(),
      onWaiting: (somebodyWaits) => this.keepAlive(somebodyWaits),
    });
  }

  /**
   * Waits for a value, or for the end: the sender was closed, or its thread has ended. Cancelling takes none.
   * @throws {ChannelClosedError} when this end was given to a job.
   */
  next(): Operation<IteratorResult<T, undefined>> {
    if (!this.isShut || this.wasGivenAway) this.open();
    return this.#values.next();
  }

  /** Says that nobody listens any more: the sender fails. Values that were not received are dropped. */
  close(): void {
    if (!this.isShut) {
      this.post(["close"]);
      this.shut();
    }
    this.#values.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  protected hear(signal: Signal): void {
    if (signal[0] === "value") this.#values.put(signal[1] as T);
  }

  protected ended(): void {
    this.#values.finish();
  }

  #giveBack(): void {
    // In halves: a message for each value would cost as much as the value.
    if (++this.#taken * 2 < this.capacity) return;
    if (!this.isShut) this.post(["credit", this.#taken]);
    this.#taken = 0;
  }
}

/** Either end. */
export type ThreadEnd = ThreadSender<unknown> | ThreadReceiver<unknown>;

/** Packs the ends among the arguments; the ports go to the transfer list. @package */
export function packEnds(args: readonly unknown[], transfer: unknown[]): readonly unknown[] {
  if (!hasEnds(args)) return args;
  return args.map((each) => {
    if (!(each instanceof End)) return each;
    const luggage = each.pack();
    transfer.push(luggage.port);
    return luggage;
  });
}

/** Whether there is an end of a channel among them. @package */
export function hasEnds(args: readonly unknown[]): boolean {
  for (const each of args) if (each instanceof End) return true;
  return false;
}

/** Makes ends of what has arrived. @package */
export function receiveEnds(args: readonly unknown[]): {
  readonly args: readonly unknown[];
  readonly ends: readonly ThreadEnd[] | null;
} {
  if (!args.some(isLuggage)) return { args, ends: null };
  const ends: ThreadEnd[] = [];
  const unpacked = args.map((each) => {
    if (!isLuggage(each)) return each;
    const end = unpack(each);
    ends.push(end);
    return end;
  });
  return { args: unpacked, ends };
}

function unpack({ fibrilEnd, port, capacity, name }: Luggage): ThreadEnd {
  return fibrilEnd === "sender" ? new ThreadSender(port, capacity, name) : new ThreadReceiver(port, capacity, name);
}
