/**
 * WebSockets on a server: each is a task, among the requests, with the same limits and the same end.
 *
 * The handshake and the frames are the package `ws`'; its ends as channels are shared with the client. The task is made first, the
 * handshake is its first step: so a WebSocket that has to stand in line is answered when there is room for it.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { Cancelled, describeValue, EventLoop, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation } from "../../core/index.ts";
import { ownSocket, socketEnds } from "../websocket/ends.ts";
import type { WebSocketChannel } from "../websocket/ends.ts";
import { checkSocketLimits } from "../websocket/limits.ts";
import type { WebSocketLimits } from "../websocket/limits.ts";
import { checkCount } from "../limits.ts";
import type { WebSocketPackage } from "../websocket/package.ts";
import type { RawWebSocket } from "../websocket/raw.ts";
import { CLIENT_GONE, Exchange } from "./exchange.ts";
import type { Admission, HandlerSettings } from "./exchange.ts";
import { exposedFailure, HttpFailure, titleOf } from "./failure.ts";

/** Talks with one client. The socket is closed when it ends: 1000 when it returns, 1001 when it is cancelled, 1011 when it throws. */
export type WebSocketHandler = (socket: WebSocketChannel, request: IncomingMessage) => Operation<unknown>;

export interface ServerWebSocketOptions extends WebSocketLimits {
  /** The largest message that is accepted; a larger one ends the connection with 1009. Default: 1 MiB. */
  readonly maxMessageBytes?: number;
  /** Subprotocols that the server speaks, best first. Default: none is agreed on. */
  readonly protocols?: readonly string[];
  /**
   * The origins of pages that may connect, such as `"https://app.example.org"`. Others get a 403. A browser says in the header `origin` whose
   * page connects, and sends the cookies of this server whoever's page that is; so a server that goes by cookies needs this list. A
   * client that sends no `origin` is no browser, and is let in. Default: every page may connect.
   */
  readonly origins?: readonly string[];
}

const DEFAULT_MAX_MESSAGE_BYTES = 1024 * 1024;
const LONGEST_HOST_TIMER_MS = 2 ** 31 - 1;

/** The limits that count when a socket opens. @throws {UsageError} */
export function checkServerSockets(options: ServerWebSocketOptions): {
  readonly maxMessageBytes: number;
  readonly closeMs: number;
} {
  const { maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES, origins } = options;
  checkCount("maxMessageBytes", maxMessageBytes, 1);
  if (origins !== undefined) checkOrigins(origins);
  return { maxMessageBytes, closeMs: checkSocketLimits(options).closeMs };
}

/** One that is written in another way would never fit. */
function checkOrigins(origins: readonly string[]): void {
  if (!Array.isArray(origins)) throw new UsageError(`origins must be a list of origins, got ${describeValue(origins)}`);
  for (const origin of origins) {
    if (typeof origin === "string" && URL.canParse(origin) && new URL(origin).origin === origin) continue;
    throw new UsageError(
      `origins must list origins such as "https://app.example.org" (scheme, host, port unless it is the usual one, no "/" at the end), got ${describeValue(origin)}`,
    );
  }
}

interface UpgradeServer {
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, opened: (socket: RawWebSocket) => void): void;
}

type Upgrading = Admission & { readonly settings: HandlerSettings; admit(exchange: Exchange): void };

/** The WebSockets of one server. */
export class WebSockets {
  readonly open: Set<WebSocketChannel> = new Set();
  readonly #handlers: Readonly<Record<string, WebSocketHandler>>;
  readonly #requests: Upgrading;
  readonly options: ServerWebSocketOptions;
  readonly upgrades: UpgradeServer;

  constructor(
    ws: WebSocketPackage,
    requests: Upgrading,
    handlers: Readonly<Record<string, WebSocketHandler>>,
    options: ServerWebSocketOptions,
  ) {
    this.#handlers = handlers;
    this.#requests = requests;
    this.options = options;
    const { maxMessageBytes, closeMs } = checkServerSockets(options);
    const { WebSocketServer } = ws as unknown as { readonly WebSocketServer: new (options: object) => UpgradeServer };
    this.upgrades = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      autoPong: false, // the ends answer, one ping at a time: see pongs.ts
      maxPayload: maxMessageBytes === Infinity ? 0 : maxMessageBytes, // 0 is how `ws` writes "no limit"
      closeTimeout: Math.min(closeMs, LONGEST_HOST_TIMER_MS), // a second timer, which `ws` sets by itself
      handleProtocols: (offered: ReadonlySet<string>) => options.protocols?.find((it) => offered.has(it)) ?? false,
    });
  }

  /** For the event `upgrade` of a server. */
  readonly upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on("error", ignore); // until `ws` listens
    const path = request.url?.split("?", 1)[0] ?? "/";
    const handler = Object.hasOwn(this.#handlers, path) ? this.#handlers[path]! : null;
    if (handler === null) refuse(socket, new HttpFailure(404));
    else if (!this.#mayConnect(request.headers.origin)) refuse(socket, FOREIGN_PAGE);
    else this.#requests.admit(new SocketExchange(this.#requests, this, handler, request, socket, head));
  };

  #mayConnect(origin: string | undefined): boolean {
    return origin === undefined || this.options.origins?.includes(origin) !== false;
  }

  /** Tells every client that the server goes away; the handlers see the end of the messages. */
  goAway(): void {
    for (const socket of this.open) void socket.close(1001);
  }
}

const FOREIGN_PAGE = new HttpFailure(403, { detail: "pages of this origin may not open a WebSocket here" });

class SocketExchange extends Exchange {
  readonly #sockets: WebSockets;
  readonly #handler: WebSocketHandler;
  readonly #connection: Duplex;
  readonly #head: Buffer;
  #channel: WebSocketChannel | null = null;
  #status = 101;

  constructor(
    admission: Upgrading,
    sockets: WebSockets,
    handler: WebSocketHandler,
    request: IncomingMessage,
    connection: Duplex,
    head: Buffer,
  ) {
    super(admission, admission.settings, request, null);
    this.#sockets = sockets;
    this.#handler = handler;
    this.#connection = connection;
    this.#head = head;
    connection.on("close", this.#left);
    connection.on("end", this.#left);
    connection.read(0); // nobody reads it until there is room; this lets its end be seen, and keeps what comes
  }

  /** There is no response that would tell. */
  readonly #left = (): void => {
    if (this.task === null && this.admission.leaveLine(this)) {
      this.#status = 499;
      this.#connection.destroy();
      this.drop();
    }
  };

  override get name(): string {
    return `websocket ${this.path}`;
  }

  override get status(): number {
    return this.#status;
  }

  protected *body(): Coroutine<void> {
    const request = this.request!;
    this.#connection.off("close", this.#left);
    this.#connection.off("end", this.#left);
    let raw: RawWebSocket | null = null;
    const opened = (socket: RawWebSocket): void => void (raw = socket);
    this.#sockets.upgrades.handleUpgrade(request, this.#connection, this.#head, opened); // calls back at once
    if (raw === null) {
      this.#status = 400; // it was no proper handshake, and `ws` has said so
      return;
    }
    const { open, options } = this.#sockets;
    const url = `ws://${request.headers.host ?? "localhost"}${request.url ?? "/"}`;
    const transport = request.socket;
    const channel = socketEnds(raw, EventLoop.current(), { ...options, url, transport, answersPings: true });
    this.#channel = channel;
    open.add(channel);
    (raw as RawWebSocket).on("close", (code: number) => this.#socketClosed(channel, code));
    ownSocket(channel);
    if (this.admission.isDraining) void channel.close(1001);
    try {
      yield* this.#handler(channel, request);
    } catch (error) {
      if (!(error instanceof Cancelled)) void channel.close(1011); // the first code counts
      throw error;
    }
  }

  protected succeeded(): void {}

  protected failed(error: unknown): void {
    if (this.#channel !== null) return; // its scope has closed it
    this.#status = exposedFailure(error).status;
    refuse(this.#connection, exposedFailure(error));
  }

  /** After a close in good order the handler sees the end of the messages; a broken connection has nothing more to say. */
  #socketClosed(channel: WebSocketChannel, code: number): void {
    this.#sockets.open.delete(channel);
    if (code === 1006 && this.onDisconnect === "cancel") this.task?.cancel(CLIENT_GONE);
  }
}

function ignore(): void {}

/** An answer by hand: there is no response object for a request to upgrade. */
function refuse(socket: Duplex, failure: HttpFailure): void {
  const body = JSON.stringify(failure.toProblem());
  const headers = Object.entries({
    ...failure.headers,
    connection: "close",
    "content-type": "application/problem+json",
    "content-length": String(Buffer.byteLength(body)),
  });
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  socket.end(`HTTP/1.1 ${failure.status} ${titleOf(failure.status)}\r\n${lines}\r\n${body}`, () => socket.destroy());
}
