/**
 * One HTTP/2 connection, on node:http2: many exchanges at a time, each of which may end without the others noticing.
 *
 * It takes the part of undici's client (see `exchange.ts`). Undici's own HTTP/2 was rejected: it keeps what is over the server's limit in a queue
 * from which nothing can be cancelled, does not tell that limit, and 7 and 8 differ.
 *
 * Invariants: no exchange begins before the server's settings are known; after GOAWAY none begins, and those that the server has
 * taken go on; a lost connection fails its exchanges and nothing else; an idle one keeps no process alive.
 */
import { connect } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { LoopPort } from "../../lowlevel.ts";
import { ExchangeFailure } from "./exchange.ts";
import type { DispatchOptions, ExchangeClient, ExchangeHandler } from "./exchange.ts";
import { Http2Exchange, requestHeaders } from "./http2-exchange.ts";

/** Who keeps the connection. */
export interface Http2Owner {
  /** The server's settings are there: exchanges may begin. Called at most once. */
  ready(): void;
  /** No further exchange can begin; those that go on are not over yet. Called once. */
  closing(): void;
  /** It is over; exchanges that went on fail of themselves. Called once, unless it was destroyed. @param error What broke it. */
  gone(error: Error | null): void;
}

const STREAM_WINDOW_BYTES = 256 * 1024; // as undici: a gigabit over 2 ms
const CONNECTION_WINDOW_BYTES = 1024 * 1024;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const PONG_MS = 1000; // a live peer answers a PING within a round trip

export class Http2Client implements ExchangeClient {
  readonly #session: ClientHttp2Session;
  readonly #socket: Socket;
  readonly #authority: string;
  readonly #owner: Http2Owner;
  readonly #maxStreams: number;
  readonly #exchanges: Set<Http2Exchange> = new Set();
  readonly #loop: LoopPort;
  #serverStreams = 1;
  #pingedAt: number | null = null;
  #isReady = false;
  #isClosing = false;
  #isGone = false;
  #error: Error | null = null;

  constructor(loop: LoopPort, socket: Socket, origin: string, maxStreams: number, owner: Http2Owner) {
    this.#loop = loop;
    this.#socket = socket;
    this.#authority = origin.slice(origin.indexOf("//") + 2);
    this.#owner = owner;
    this.#maxStreams = maxStreams;
    const session = connect(origin, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES },
    });
    this.#session = session;
    session.on("connect", () => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
    session.on("remoteSettings", ({ maxConcurrentStreams = maxStreams }) => {
      this.#serverStreams = maxConcurrentStreams;
      if (this.#isReady || this.#isGone) return;
      this.#isReady = true;
      owner.ready();
    });
    session.on("goaway", () => this.#close());
    session.on("timeout", () => this.#close());
    session.on("error", (error: Error) => {
      this.#error ??= error;
    });
    session.on("close", () => this.#end());
  }

  /** How many exchanges it takes at a time. */
  get capacity(): number {
    if (this.#pingedAt !== null && this.#loop.now() - this.#pingedAt >= PONG_MS) this.#close();
    // A server that allows none for the moment gets one all the same, which waits for it: some answer 0 until they have started up.
    return this.#isClosing ? 0 : Math.max(1, Math.min(this.#maxStreams, this.#serverStreams));
  }

  dispatch(options: DispatchOptions, handler: ExchangeHandler): void {
    const { body } = options;
    let stream: ClientHttp2Stream;
    try {
      stream = this.#session.request(requestHeaders(options, this.#authority), { endStream: body === undefined });
    } catch (cause) {
      handler.onResponseError(null, this.#notBegun(cause as Error));
      return;
    }
    if (this.#exchanges.size === 0) this.#session.ref();
    const exchange = new Http2Exchange(this, stream, options, handler);
    this.#exchanges.add(exchange);
    exchange.begin();
  }

  #notBegun(cause: Error): ExchangeFailure {
    const code = (cause as { readonly code?: unknown }).code;
    const isClosed = code === "ERR_HTTP2_INVALID_SESSION" || code === "ERR_HTTP2_GOAWAY_SESSION";
    if (isClosed) {
      this.#close(); // or whoever asks again would be sent here again
      return new ExchangeFailure("the connection is being closed", "closed", true, { cause });
    }
    return new ExchangeFailure(cause.message, null, false, { cause });
  }

  /**
   * An exchange was given up before its answer: asks whether anybody is there at all. A connection that died silently would keep
   * all further ones waiting to their limits; the answer is looked at when the next one comes, so it takes no timer.
   * @internal
   */
  probe(): void {
    if (this.#pingedAt !== null || this.#isClosing || this.#session.destroyed) return;
    this.#pingedAt = this.#loop.now();
    this.#session.ping(() => {
      this.#pingedAt = null;
    });
  }

  /** @internal */
  exchangeEnded(exchange: Http2Exchange): void {
    if (this.#exchanges.delete(exchange) && this.#exchanges.size === 0 && !this.#isGone) this.#session.unref();
  }

  /** What broke the connection, as far as is known. @internal */
  get error(): Error | null {
    return this.#error;
  }

  /** Closes it when it has been idle for so long; any exchange ends that. */
  closeAfter(idleMs: number): void {
    this.#session.setTimeout(Math.min(Math.max(Math.ceil(idleMs), 1), LONGEST_TIMER_MS));
  }

  keepOpen(): void {
    this.#session.setTimeout(0);
  }

  destroy(error: Error): Promise<void> {
    this.#isClosing = true;
    this.#isGone = true; // nobody is told
    this.#error ??= error;
    for (const exchange of [...this.#exchanges]) exchange.abort();
    const socket = this.#socket;
    const gone = socket.closed ? Promise.resolve() : new Promise<void>((resolve) => void socket.once("close", resolve));
    this.#session.destroy();
    socket.destroy();
    return gone;
  }

  #close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#owner.closing();
    // Node does so only for a GOAWAY without error.
    if (!this.#session.closed) this.#session.close();
  }

  #end(): void {
    if (this.#isGone) return;
    this.#close();
    this.#isGone = true;
    this.#owner.gone(this.#error);
  }
}
