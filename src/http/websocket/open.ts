/**
 * Opening a WebSocket as a client: from a URL and options to a channel that belongs to the current scope.
 *
 * It uses of its session what applies: base URL, headers, how connections are made (proxy, Unix socket, TLS, pins, DNS cache), and
 * what the session adds to requests for this origin (cookies, credentials). It takes no place in the session's limits: a
 * WebSocket lives for hours, and would take a place away from requests for all that time.
 */
import { describeValue, UsageError, until } from "../../core/index.ts";
import type { Coroutine, Operation } from "../../core/index.ts";
import { SessionClosedError } from "../errors.ts";
import { withDefaultHeader, mergeHeaders } from "../headers.ts";
import type { HeadersInit, OutgoingHeaders } from "../headers.ts";
import { checkCount } from "../limits.ts";
import { resolveTarget } from "../target.ts";
import type { BaseUrl, Query } from "../target.ts";
import { ownSocket } from "./ends.ts";
import type { WebSocketChannel } from "./ends.ts";
import { Handshake } from "./handshake.ts";
import type { ConnectionMaker, PendingConnection } from "./handshake.ts";
import { checkSocketLimits } from "./limits.ts";
import type { WebSocketLimits } from "./limits.ts";
import { checkWs, importWs } from "./package.ts";
import type { WebSocketPackage } from "./package.ts";

export interface WebSocketOptions extends WebSocketLimits {
  /** Subprotocols that are offered; the server has to choose one of them. */
  readonly protocols?: string | readonly string[];
  /** Added to the session's, name by name; `undefined` takes one away. */
  readonly headers?: HeadersInit;
  /** Appended to the URL. */
  readonly query?: Query;
  /** Name look-up, TCP, TLS and the answer of the server, in milliseconds. Default: 10,000. */
  readonly handshakeMs?: number;
  /** The largest message that is accepted; a larger one ends the connection with 1009. Default: 4 MiB. */
  readonly maxMessageBytes?: number;
  /** Offers `permessage-deflate`. It costs memory and time for each message. Default: `false`. */
  readonly compression?: boolean;
  /** The package `ws` to use, `^8`. Default: the one that is installed. */
  readonly ws?: WebSocketPackage;
}

/** What a session adds to handshakes: cookies, credentials. */
export interface HandshakePolicy {
  /** Headers for a request to this URL (`http:` or `https:`); names in lower case. The caller's own win. */
  headersFor(url: string): Operation<Readonly<Record<string, string>>>;
  /** The answer has come. */
  answered?(url: string, headers: Readonly<Record<string, string | readonly string[] | undefined>>): void;
}

interface DialTarget {
  readonly isEncrypted: boolean;
  /** An IPv6 address without brackets. */
  readonly hostname: string;
  readonly port: number;
}

type DialDone = Parameters<ConnectionMaker>[0];

/** What has to end with its session, when nothing else has ended it before. */
export interface SessionSocket {
  /** Resolves when the connection is gone. */
  end(): PromiseLike<unknown>;
}

/** What of a session applies to its WebSockets. @package */
export interface WebSocketSession {
  readonly base: BaseUrl | undefined;
  readonly headers: OutgoingHeaders;
  readonly name: string;
  readonly isClosed: boolean;
  /** Makes a connection to a target; `null`: `ws` makes it itself. */
  readonly dial: ((target: DialTarget, done: DialDone) => PendingConnection) | null;
  readonly policies: readonly HandshakePolicy[];
  /** Those that are being opened, or are open. */
  readonly sockets: Set<SessionSocket>;
}

const DEFAULT_HANDSHAKE_MS = 10_000;
const DEFAULT_MAX_MESSAGE_BYTES = 4 * 1024 * 1024; // as aiohttp
const LONGEST_HOST_TIMER_MS = 2 ** 31 - 1;

/**
 * Opens a WebSocket that is closed at the end of the current scope. @package
 * @throws {UsageError} at once, for wrong options.
 */
export function openWebSocket(
  session: WebSocketSession,
  url: string | URL,
  options: WebSocketOptions,
): Operation<WebSocketChannel> {
  if (typeof options !== "object" || options === null) {
    throw new UsageError(
      `the options of a WebSocket are an object, got ${describeValue(options)}; write { protocols: … }`,
    );
  }
  const limits = checkSocketLimits(options);
  const { handshakeMs = DEFAULT_HANDSHAKE_MS, maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES } = options;
  if (typeof handshakeMs !== "number" || !(handshakeMs >= 0)) {
    throw new UsageError(
      `handshakeMs must be a number of milliseconds (Infinity for none), got ${String(handshakeMs)}`,
    );
  }
  checkCount("maxMessageBytes", maxMessageBytes, 1);
  return open(session, url, options, limits, handshakeMs, maxMessageBytes);
}

function* open(
  session: WebSocketSession,
  url: string | URL,
  options: WebSocketOptions,
  limits: Required<WebSocketLimits>,
  handshakeMs: number,
  maxMessageBytes: number,
): Coroutine<WebSocketChannel> {
  const target = resolveTarget("GET", String(url).replace(/^ws(s?):/i, "http$1:"), session.base, options.query);
  const subject = { method: "GET", url: target.url };
  if (session.isClosed) throw new SessionClosedError(subject, session.name);
  let headers =
    options.headers === undefined ? session.headers : mergeHeaders(session.headers, options.headers, subject);
  if (target.authorization !== undefined) headers = withDefaultHeader(headers, "authorization", target.authorization);
  for (const policy of session.policies) {
    for (const [name, value] of Object.entries(yield* policy.headersFor(target.url))) {
      headers = withDefaultHeader(headers, name, value);
    }
  }
  const { protocols = [] } = options;
  const { dial } = session;
  const { protocol, hostname, port } = new URL(target.url);
  const isEncrypted = protocol === "https:";
  const where = {
    isEncrypted,
    hostname: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? (isEncrypted ? 443 : 80) : Number(port),
  };
  const ws = options.ws === undefined ? yield* until(importWs()) : checkWs(options.ws);
  const closed = (): SessionClosedError => new SessionClosedError(subject, session.name);
  if (session.isClosed) throw closed(); // while a token was fetched, or the package loaded
  const handshake = new Handshake(ws, {
    url: target.url.replace(/^http/, "ws"),
    connect: dial === null ? null : (done) => dial(where, done),
    protocols: typeof protocols === "string" ? [protocols] : protocols,
    options: {
      headers: asObject(headers),
      maxPayload: maxMessageBytes === Infinity ? 0 : maxMessageBytes,
      perMessageDeflate: options.compression ?? false,
      followRedirects: false,
      autoPong: false, // see pongs.ts
      closeTimeout: Math.min(limits.closeMs, LONGEST_HOST_TIMER_MS),
    },
    limits,
    handshakeMs,
    answered: (answer) => {
      for (const policy of session.policies) policy.answered?.(target.url, answer);
    },
  });
  const opening = { end: () => handshake.fail(closed()) };
  session.sockets.add(opening);
  let socket: WebSocketChannel;
  try {
    socket = yield* handshake;
  } finally {
    session.sockets.delete(opening);
  }
  ownSocket(socket);
  if (session.isClosed) {
    socket.cut(); // it was open already, and nobody had it
    throw closed();
  }
  if (socket.closeStatus !== null) return socket;
  const open = { end: () => socket.end(1001) };
  session.sockets.add(open);
  socket.onClosed = () => void session.sockets.delete(open);
  return socket;
}

function asObject(headers: OutgoingHeaders): Record<string, string | string[]> {
  const object: Record<string, string | string[]> = {};
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1]!;
    object[headers[i] as string] = typeof value === "string" ? value : [...value];
  }
  return object;
}
