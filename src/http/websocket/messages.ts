/**
 * The receiving end of a WebSocket: a bounded buffer that holds the peer back when it is full.
 *
 * It has the methods of a channel's receiver and is one for whoever takes a sequence or a `select`. It is not built on
 * `Channel`, for two reasons: one read of the socket may bring thousands of messages, which have to go somewhere although
 * the buffer is "full" already; and a broken connection has to be an error for the reader, where a channel only ends.
 *
 * Invariants: messages come out in the order in which they came in, each once; nobody waits while one is there; the
 * socket is paused from the moment in which `capacity` messages stand here until half of them are taken.
 */
import { QueuedWait, WaitQueue } from "../../core/index.ts";
import type { Operation, Sequence, Started, Waiter } from "../../core/index.ts";

/** Text comes as a string, anything else as bytes. */
export type WebSocketMessage = string | Uint8Array;

/** Whoever can be told to read on or not to. */
export interface MessageFlow {
  /** `websocket example.org/feed`. */
  readonly label: string;
  pause(): void;
  resume(): void;
}

/** A snapshot. */
export interface MessageStatistics {
  readonly capacity: number;
  /** Messages that have come and were not received yet. May exceed the capacity by what one read of the socket brings. */
  readonly buffered: number;
  /** Messages that have come, ever. */
  readonly received: number;
  /** Messages that came after this end was closed, or after `close` was called. */
  readonly dropped: number;
  /** Tasks that wait for a message. */
  readonly waiting: number;
  /** Whether the peer is being held back. */
  readonly isPaused: boolean;
}

/** What the readers are told at the end. */
interface Ending {
  /** Why, when it did not end in good order. Made anew for each reader, so that each has a stack of its own. */
  readonly brokenBy: (() => Error) | null;
}

/**
 * Many may receive; each message goes to one of them, the one that has waited longest.
 * @example
 * for (;;) {
 *   const { done, value } = yield* socket.messages.next();
 *   if (done) break;
 *   console.log(value);
 * }
 */
export class WebSocketMessages implements Sequence<WebSocketMessage> {
  readonly #flow: MessageFlow;
  readonly #capacity: number;
  /** @internal */
  readonly line: WaitQueue<never, MessageWait<never>> = new WaitQueue();
  #buffer: WebSocketMessage[] = [];
  #first = 0;
  #isPaused = false;
  #isClosed = false;
  #ending: Ending | null = null;
  readonly #closedError: () => Error;
  #received = 0;
  #dropped = 0;

  /** @param closedError What `receive` throws when the messages have ended in good order. @internal */
  constructor(flow: MessageFlow, capacity: number, closedError: () => Error) {
    this.#flow = flow;
    this.#capacity = capacity;
    this.#closedError = closedError;
  }

  /**
   * Waits for the next message, or for the end; those who wait are served in their order. Cancelling takes none.
   * What has come before the end is received first, always.
   * @throws {WebSocketClosedError} when the connection broke or was closed with a code other than 1000, 1001 and none.
   * @throws {WebSocketTimeoutError} when the peer did not answer a ping.
   */
  next(): Operation<IteratorResult<WebSocketMessage, undefined>> {
    return new NextMessage(this);
  }

  /**
   * Like `next`, but throws at the end as well.
   * @throws {WebSocketClosedError} {WebSocketTimeoutError}
   * @example
   * const greeting = yield* socket.messages.receive();
   */
  receive(): Operation<WebSocketMessage> {
    return new ReceivedMessage(this);
  }

  /**
   * Receives without waiting; `undefined` when there is no message now. An object, as with channels.
   * @throws at the end, like `receive`.
   */
  tryReceive(): { readonly value: WebSocketMessage } | undefined {
    const value = this.take();
    if (value !== undefined) return { value };
    if (!this.hasEnded) return undefined;
    throw this.endError();
  }

  /** Takes everything that is there, in order. */
  drain(): WebSocketMessage[] {
    const values: WebSocketMessage[] = [];
    for (let value = this.take(); value !== undefined; value = this.take()) values.push(value);
    return values;
  }

  /**
   * Says that nobody wants messages any more: what is there and what still comes is dropped, the connection goes on for
   * who sends. Those who wait get the end. Again changes nothing.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#dropped += this.#size;
    this.#buffer = [];
    this.#first = 0;
    this.#resume();
    this.#tellAll();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Whether this end was closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  statistics(): MessageStatistics {
    return Object.freeze({
      capacity: this.#capacity,
      buffered: this.#size,
      received: this.#received,
      dropped: this.#dropped,
      waiting: this.line.size,
      isPaused: this.#isPaused,
    });
  }

  get #size(): number {
    return this.#buffer.length - this.#first;
  }

  /** @internal */
  get label(): string {
    return this.#flow.label;
  }

  /** Whether the peer is being held back. @internal */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** A message has come. @internal */
  push(message: WebSocketMessage): void {
    this.#received++;
    if (this.#isClosed || this.#ending !== null) {
      this.#dropped++;
      return;
    }
    const waiting = this.line.shift();
    if (waiting !== null) return waiting.deliver(message);
    this.#buffer.push(message);
    if (this.#isPaused || this.#size < this.#capacity) return;
    this.#isPaused = true;
    this.#flow.pause();
  }

  /** Nothing more will come. @param brokenBy Why, when it did not end in good order. @internal */
  end(brokenBy: (() => Error) | null): void {
    if (this.#ending !== null) return;
    this.#ending = { brokenBy };
    this.#tellAll();
  }

  /** Lets the rest of the stream come in, to be dropped: only then the peer's close can be seen. @internal */
  endByUs(): void {
    this.end(null);
    this.#resume();
  }

  /** @internal */
  take(): WebSocketMessage | undefined {
    if (this.#size === 0) return undefined;
    const message = this.#buffer[this.#first]!;
    this.#buffer[this.#first++] = "";
    if (this.#first === this.#buffer.length) {
      this.#buffer = [];
      this.#first = 0;
    } else if (this.#first >= 1_024 && this.#first * 2 > this.#buffer.length) {
      this.#buffer = this.#buffer.slice(this.#first);
      this.#first = 0;
    }
    if (this.#size * 2 <= this.#capacity) this.#resume();
    return message;
  }

  /** Whether nothing more will come. @internal */
  get hasEnded(): boolean {
    return this.#isClosed || this.#ending !== null;
  }

  /** The error of `next` at the end; `null` when it ended in good order. @internal */
  brokenBy(): Error | null {
    return this.#isClosed ? null : (this.#ending?.brokenBy?.() ?? null);
  }

  /** The error of `receive` at the end. @internal */
  endError(): Error {
    return this.brokenBy() ?? this.#closedError();
  }

  #tellAll(): void {
    for (let next = this.line.shift(); next !== null; next = this.line.shift()) next.finish();
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#flow.resume();
  }
}

const END: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

abstract class MessageWait<T> extends QueuedWait<T> {
  protected readonly messages: WebSocketMessages;

  constructor(messages: WebSocketMessages) {
    super(messages.line);
    this.messages = messages;
  }

  get reason(): string {
    return `receive from ${this.messages.label}`;
  }

  /** The peer ends it. */
  override get external(): boolean {
    return true;
  }

  abstract deliver(message: WebSocketMessage): void;

  abstract finish(): void;
}

class NextMessage extends MessageWait<IteratorResult<WebSocketMessage, undefined>> {
  deliver(value: WebSocketMessage): void {
    this.end({ done: false, value });
  }

  finish(): void {
    const error = this.messages.brokenBy();
    if (error === null) this.end(END);
    else this.fail(error);
  }

  protected attempt(task: Waiter): Started<IteratorResult<WebSocketMessage, undefined>> | null {
    const value = this.messages.take();
    if (value !== undefined) return task.complete(this, { done: false, value });
    if (!this.messages.hasEnded) return null;
    const error = this.messages.brokenBy();
    if (error !== null) return task.fail(this, error);
    return task.complete<IteratorResult<WebSocketMessage, undefined>>(this, END);
  }
}

class ReceivedMessage extends MessageWait<WebSocketMessage> {
  deliver(message: WebSocketMessage): void {
    this.end(message);
  }

  finish(): void {
    this.fail(this.messages.endError());
  }

  protected attempt(task: Waiter): Started<WebSocketMessage> | null {
    const message = this.messages.take();
    if (message !== undefined) return task.complete(this, message);
    return this.messages.hasEnded ? task.fail(this, this.messages.endError()) : null;
  }
}
