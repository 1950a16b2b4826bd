/**
 * A WebSocket as the ends of channels: what comes in is received, what goes out is sent, both are waits.
 *
 *     open → closing → closed
 *
 * This is the part that client and server share: `socketEnds` takes a socket of the package `ws` that is open, from
 * whichever side. Nothing here runs a task; the callbacks of `ws` only wake some.
 *
 * The loop's clock rules: the heartbeat and the limit of the closing handshake are timers of the loop. (`ws` sets a timer of
 * its own when it closes; the socket is gone before that one is due.)
 *
 * While the readers hold the peer back its pongs and its close cannot be seen either. So the heartbeat rests then, and
 * closing lets everything come in and drops it.
 */
import { currentScope, Future, UsageError, WaitQueue } from "../../core/index.ts";
import type { Coroutine, Operation } from "../../core/index.ts";
import type { LoopPort } from "../../lowlevel.ts";
import { Alarm } from "../../time/alarm.ts";
import { checkClose, closeFor, explain, GOOD_CODES } from "./endings.ts";
import { describeSocket, WebSocketClosedError } from "./errors.ts";
import type { WebSocketClose } from "./errors.ts";
import { Heartbeat } from "./heartbeat.ts";
import type { ByteCount } from "./heartbeat.ts";
import { checkSocketLimits } from "./limits.ts";
import type { WebSocketLimits } from "./limits.ts";
import { WebSocketMessages } from "./messages.ts";
import { Pongs } from "./pongs.ts";
import type { RawWebSocket } from "./raw.ts";
import { NO_OPTIONS, SendWait } from "./send-wait.ts";
import type { SendOptions } from "./send-wait.ts";

/** What `socketEnds` wants to know beside the limits. */
export interface SocketEndsOptions extends WebSocketLimits {
  /** Shown in messages and waits. */
  readonly url: string;
  /** The connection below, if it can be had: then a message that takes long counts as a sign of life. */
  readonly transport?: ByteCount | undefined;
  /** Answers pings, for a `raw` that was made with `autoPong: false`; see `pongs.ts`. Default: `false`, `ws` does. */
  readonly answersPings?: boolean;
}

/** A moment of a WebSocket. */
export interface WebSocketStatistics {
  readonly state: WebSocketState;
  /** Messages that stand to be received. */
  readonly buffered: number;
  readonly received: number;
  readonly sent: number;
  /** Bytes that wait to be written, with frames. */
  readonly bufferedBytes: number;
  readonly waitingReceivers: number;
  readonly waitingSenders: number;
  /** Whether the peer is being held back. */
  readonly isPaused: boolean;
}

export type WebSocketState = "open" | "closing" | "closed";

const OPEN = 1; // `readyState`

/**
 * Turns an open socket of `ws` into channel ends. Call it before the socket's first event is lost: in the handler of
 * `open` or `connection`. Whoever calls it owns the result; `ownSocket` gives it to the current scope.
 */
export function socketEnds(raw: RawWebSocket, loop: LoopPort, options: SocketEndsOptions): WebSocketChannel {
  return new WebSocketChannel(raw, loop, options);
}

/** Closes the socket at the end of the current scope: with 1000 when that ends well, with 1001 when it fails or is cancelled. */
export function ownSocket(socket: WebSocketChannel): void {
  const scope = currentScope();
  try {
    scope.defer(() => socket.leave(scope.cancelled === null && !scope.isReached ? 1000 : 1001));
  } catch (error) {
    socket.cut();
    throw error;
  }
}

/**
 * An open WebSocket. It belongs to the scope that opened it.
 *
 * @example
 * const socket = yield* session.webSocket("wss://example.org/feed");
 * yield* socket.send("hello");
 * console.log(yield* socket.messages.receive());
 */
export class WebSocketChannel {
  /** Without credentials. */
  readonly url: string;
  /** The subprotocol that was agreed on; `""` for none. */
  readonly protocol: string;
  /** The end at which messages come out. */
  readonly messages: WebSocketMessages;
  readonly #raw: RawWebSocket;
  readonly #limits: Required<WebSocketLimits>;
  readonly #loop: LoopPort;
  readonly #heartbeat: Heartbeat;
  readonly #pongs: Pongs | null;
  readonly #closeLimit: Alarm = new Alarm(() => this.cut());
  readonly #end: Future<WebSocketClose>;
  /** @internal */
  readonly line: WaitQueue<void, SendWait> = new WaitQueue();
  /** Told once when the connection is gone, for who keeps a list. @internal */
  onClosed: (() => void) | null = null;
  #state: WebSocketState = "open";
  #close: WebSocketClose | null = null;
  /** What made it end, when that was no close. */
  #failure: Error | null = null;
  /** What we closed it with, if it was us. */
  #closing: WebSocketClose | null = null;
  #sent = 0;
  /** Messages that `ws` has not written yet: for each of them `#written` will be called. */
  #unwritten = 0;

  /** Use `session.webSocket()` or `socketEnds()`. @internal */
  constructor(raw: RawWebSocket, loop: LoopPort, options: SocketEndsOptions) {
    this.#limits = checkSocketLimits(options);
    this.#raw = raw;
    this.#loop = loop;
    this.url = options.url;
    this.protocol = raw.protocol;
    const flow = { label: this.label, pause: () => this.#pause(), resume: () => this.#resume() };
    this.messages = new WebSocketMessages(flow, this.#limits.capacity, () => this.#closedError("cannot receive"));
    this.#end = new Future({ name: `the end of ${this.label}`, external: true });
    this.#heartbeat = new Heartbeat(loop, this.#limits.heartbeatMs, options.transport ?? null, {
      url: this.url,
      ping: () => raw.ping(),
      lost: (error) => this.#fail(error),
    });
    raw.on("message", this.#message as never);
    raw.on("ping", this.#alive);
    this.#pongs = options.answersPings === true ? new Pongs(raw) : null;
    if (this.#pongs !== null) raw.on("ping", this.#pongs.answer as never);
    raw.on("pong", this.#alive);
    raw.on("error", this.#error);
    raw.on("close", this.#closed as never);
    this.#heartbeat.start();
  }

  /** `websocket example.org/feed`. @internal */
  get label(): string {
    return describeSocket(this.url);
  }

  get state(): WebSocketState {
    // `ws` says nothing when the peer begins to close, but takes nothing any more from then on.
    return this.#state === "open" && this.#raw.readyState > OPEN ? "closing" : this.#state;
  }

  /** The extensions that were agreed on, such as `permessage-deflate`. */
  get extensions(): string {
    return this.#raw.extensions;
  }

  /** Waits until the connection is gone, and tells how it ended. Never throws. Cancelling changes nothing. */
  get closed(): Operation<WebSocketClose> {
    return this.#end;
  }

  /** How it ended; `null` while it has not. */
  get closeStatus(): WebSocketClose | null {
    return this.#close;
  }

  /**
   * Sends a message: text for a string, binary for bytes. Waits while `maxBufferedBytes` wait to be written already; those who
   * wait are served in their order. Cancelling the wait sends nothing. Bytes must not be changed until they were written.
   *
   * When it returns the message is on its way, not at the peer: what breaks afterwards is seen by who receives.
   * @throws {WebSocketClosedError} when nothing can be sent any more, also while it waits.
   * @throws {WebSocketTimeoutError} when the peer did not answer a ping.
   */
  send(data: string | Uint8Array, options: SendOptions = NO_OPTIONS): Operation<void> {
    if (typeof data !== "string" && !(data instanceof Uint8Array)) {
      throw new UsageError(
        "a WebSocket sends strings and bytes (Uint8Array); for anything else write JSON.stringify()",
      );
    }
    return new SendWait(this, data, options);
  }

  /**
   * Sends without waiting; `false` when `maxBufferedBytes` wait to be written already.
   * @throws {WebSocketClosedError} {WebSocketTimeoutError}
   */
  trySend(data: string | Uint8Array, options: SendOptions = NO_OPTIONS): boolean {
    const wait = this.send(data, options) as SendWait;
    const refusal = this.refusal();
    if (refusal !== null) throw refusal;
    if (!this.hasRoom(wait.bytes)) return false;
    this.write(wait);
    return true;
  }

  /**
   * Closes in good order: what was sent before goes out first, then the peer is told, and has `closeMs` to answer; then the
   * connection is cut. Returns how it ended. It begins with the call; cancelling the wait does not stop it. Again only waits.
   *
   * Messages that have come can still be received, what comes from now on is dropped. Sends that wait fail.
   * @param code 1000 (default), 1001 to 1014 without those that are never sent, or 3000 to 4999 for your own protocol.
   * @param reason At most 123 bytes of UTF-8.
   */
  close(code: number = 1000, reason: string = ""): Operation<WebSocketClose> {
    checkClose(code, reason);
    if (this.#state === "open") this.#beginClose(code, reason);
    return this.#end;
  }

  /** Cuts the connection at once, without a word to the peer. */
  cut(): void {
    if (this.#state === "closed") return;
    if (this.#state === "open") this.#becomeClosing({ code: 1006, reason: "", wasClean: false });
    this.#raw.terminate();
  }

  /** For `use(socket)` in a scope further in. */
  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.end(1000);
  }

  /** Closes it for who is in no task. @internal */
  end(code: number): PromiseLike<void> {
    return (this.close(code) as Future<WebSocketClose>).then(() => undefined);
  }

  statistics(): WebSocketStatistics {
    const { buffered, received, waiting, isPaused } = this.messages.statistics();
    return Object.freeze({
      state: this.#state,
      buffered,
      received,
      sent: this.#sent,
      bufferedBytes: this.#raw.bufferedAmount,
      waitingReceivers: waiting,
      waitingSenders: this.line.size,
      isPaused,
    });
  }

  /** The end of the scope: closes and waits; what cuts the wait short cuts the connection. @internal */
  *leave(code: number): Coroutine<void> {
    try {
      yield* this.close(code);
    } finally {
      this.cut();
    }
  }

  // For the sends that wait

  /** Whether a message of this size may be written now. @internal */
  hasRoom(bytes: number): boolean {
    return this.line.size === 0 && this.#fits(bytes);
  }

  #fits(bytes: number): boolean {
    return this.#unwritten === 0 || this.#raw.bufferedAmount + bytes <= this.#limits.maxBufferedBytes;
  }

  /** Why nothing can be sent, or `null`. @internal */
  refusal(): Error | null {
    return this.state === "open" ? null : this.#closedError("cannot send");
  }

  /** @internal */
  write({ data, options }: SendWait): void {
    this.#sent++;
    this.#unwritten++;
    this.#raw.send(data, options, this.#written);
  }

  #closedError(what: string): Error {
    if (this.#failure !== null) return this.#failure;
    if (this.#close !== null) return new WebSocketClosedError(this.url, what, this.#close);
    const close = this.#closing ?? { code: 1005, reason: "", wasClean: false };
    return new WebSocketClosedError(this.url, `${what} while it is being closed`, close);
  }

  // The flow of messages

  #pause(): void {
    this.#heartbeat.rest();
    this.#raw.pause();
  }

  #resume(): void {
    if (this.#state === "open") this.#heartbeat.start();
    this.#raw.resume();
  }

  // From `ws`

  readonly #written = (): void => {
    this.#unwritten--;
    for (let next = this.line.first; next !== null && this.state === "open"; next = this.line.first) {
      if (!this.#fits(next.bytes)) return;
      this.line.shift();
      this.write(next);
      next.end();
    }
  };

  readonly #alive = (): void => this.#heartbeat.alive();

  readonly #message = (data: Uint8Array, isBinary: boolean): void => {
    this.#heartbeat.alive();
    this.messages.push(isBinary ? data : UTF_8.decode(data));
  };

  readonly #error = (error: Error): void => {
    if (this.#state === "open") this.#becomeClosing(null);
    this.#failure ??= new WebSocketClosedError(this.url, explain(error), closeFor(error), error);
  };

  readonly #closed = (code: number, reason: Uint8Array): void => {
    this.#closeLimit.clear();
    this.#heartbeat.rest();
    const raw = this.#raw;
    raw.off("message", this.#message as never);
    raw.off("ping", this.#alive);
    if (this.#pongs !== null) raw.off("ping", this.#pongs.answer as never);
    raw.off("pong", this.#alive);
    raw.off("close", this.#closed as never);
    // "error" stays: what still comes must not end the process.
    this.#state = "closed";
    const fault = this.#failure instanceof WebSocketClosedError ? this.#failure : null;
    this.#close =
      fault === null
        ? Object.freeze({ code, reason: UTF_8.decode(reason), wasClean: code !== 1006 })
        : Object.freeze({ code: fault.closeCode, reason: fault.reason, wasClean: false });
    const isGood = this.#failure === null && (this.#closing !== null || GOOD_CODES.has(code));
    this.messages.end(isGood ? null : () => this.#closedError("the messages have ended"));
    this.#refuseAll();
    this.#end.tryResolve(this.#close);
    this.onClosed?.();
  };

  #beginClose(code: number, reason: string): void {
    this.#becomeClosing({ code, reason, wasClean: false });
    this.#closeLimit.set(this.#loop, this.#loop.now() + this.#limits.closeMs);
    this.messages.endByUs();
    this.#refuseAll();
    this.#raw.close(code, reason);
  }

  /** The peer is silent: nothing can be closed in good order. */
  #fail(error: Error): void {
    if (this.#state !== "open") return;
    this.#failure = error;
    this.cut();
  }

  /** @param closing With what, when it is us who close it. */
  #becomeClosing(closing: WebSocketClose | null): void {
    this.#state = "closing";
    this.#closing = closing;
    this.#heartbeat.rest();
  }

  #refuseAll(): void {
    for (let next = this.line.shift(); next !== null; next = this.line.shift()) {
      next.fail(this.#closedError("cannot send"));
    }
  }
}

const UTF_8 = new TextDecoder("utf-8", { ignoreBOM: true });
