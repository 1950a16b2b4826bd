/**
 * The session: a pool of connections and the defaults of its requests, for as long as a scope lasts.
 *
 * Invariants: a connection is idle, leased or closed; at most `limit` requests hold one; closing waits for the last
 * socket, and leaves no timer, no listener and no pending wait behind.
 */
import { currentScope, defer, EventLoop, UsageError, until } from "../core/index.ts";
import type { Coroutine, Operation } from "../core/index.ts";
import type { HttpTimeouts } from "./errors.ts";
import { mergeHeaders } from "./headers.ts";
import type { HeadersInit, OutgoingHeaders } from "./headers.ts";
import { Holdings } from "./holdings.ts";
import { ConnectionPool } from "./connect/pool.ts";
import { RequestWait } from "./request.ts";
import type { RequestOptions, SessionContext } from "./request.ts";
import type { HttpResponse } from "./response.ts";
import { parseBaseUrl } from "./target.ts";
import { checkCount, checkTimeouts, DEFAULT_TIMEOUTS } from "./limits.ts";
import { checkUndici, importUndici } from "./connect/undici.ts";
import type { UndiciModule } from "./connect/undici.ts";

export interface SessionOptions {
  /** What relative URLs are relative to. Ends in "/". */
  readonly baseUrl?: string | URL;
  /** Sent with every request. Over the defaults `accept: *\/*` and `user-agent: fibril`. */
  readonly headers?: HeadersInit;
  /** How many requests may hold a connection at once; the others wait in line. Default: 100. */
  readonly limit?: number;
  /** The same for one host (scheme, name and port). Default: none. */
  readonly limitPerHost?: number;
  /** Limits in milliseconds; see `HttpTimeouts` for the defaults. */
  readonly timeout?: Partial<HttpTimeouts>;
  /** Limit of a response body. Default: 64 MiB for text, json and bytes; none for chunks. */
  readonly maxBodyBytes?: number;
  /** How many redirects to follow. Default: 10. */
  readonly maxRedirects?: number;
  /** Throws `ResponseError` when a status is 400 or more. Default: `false`. */
  readonly raiseForStatus?: boolean;
  /** Shown in messages. Default: `"http"`. */
  readonly name?: string;
  /** Handed to `tls.connect` of Node: `ca`, `cert`, `key`, `rejectUnauthorized`, … */
  readonly tls?: Readonly<Record<string, unknown>>;
  /** The undici to use, `^7.30 || ^8`. Default: the one that is installed. */
  readonly undici?: UndiciModule;
}

/** A moment of a session. */
export interface SessionStatistics {
  /** Requests that hold a connection, with those whose body has not ended. Never more than `limit`. */
  readonly active: number;
  /** Requests in line. */
  readonly queued: number;
  /** How many of the active ones have no connection yet. */
  readonly connecting: number;
  /** Connections that wait for the next request. */
  readonly idle: number;
  /** Hosts that have a request or an idle connection. */
  readonly hosts: number;
  readonly limit: number;
  readonly limitPerHost: number;
}

export class Session {
  readonly name: string;
  readonly #context: SessionContext;
  #closing: Promise<void> | null = null;

  private constructor(context: SessionContext) {
    this.name = context.sessionName;
    this.#context = context;
  }

  /**
   * Opens a session that is closed at the end of the current scope.
   *
   * @throws {UndiciMissingError} when undici is not installed.
   * @example
   * const session = yield* Session.open({ baseUrl: "https://example.org/", limit: 20 });
   * const response = yield* session.get("index.html");
   * console.log(response.status, yield* response.text());
   */
  static *open(options: SessionOptions = {}): Coroutine<Session> {
    const undici = options.undici === undefined ? yield* until(importUndici()) : checkUndici(options.undici);
    const session = new Session(makeContext(options, undici));
    defer(() => session.close());
    return session;
  }

  get(url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return new RequestWait(this.#context, "GET", url, options);
  }

  head(url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return new RequestWait(this.#context, "HEAD", url, options);
  }

  post(url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return new RequestWait(this.#context, "POST", url, options);
  }

  put(url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return new RequestWait(this.#context, "PUT", url, options);
  }

  patch(url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return new RequestWait(this.#context, "PATCH", url, options);
  }

  delete(url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return new RequestWait(this.#context, "DELETE", url, options);
  }

  /**
   * Sends a request and waits for status and headers of the response; its body is read afterwards.
   *
   * Waits in line first come first served while `limit` or `limitPerHost` is reached. Follows redirects. Cancelling gives up
   * the place in line, or closes the connection, at once. The peer may have acted on a request that was cancelled.
   * @throws {HttpError} one of its kind for each cause; statuses throw only with `raiseForStatus`.
   */
  request(method: string, url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return new RequestWait(this.#context, normalizeMethod(method), url, options);
  }

  /** What it is doing, now. */
  statistics(): SessionStatistics {
    const { pool } = this.#context;
    return Object.freeze({ ...pool.statistics(), limit: pool.line.limit, limitPerHost: pool.line.limitPerHost });
  }

  get isClosed(): boolean {
    return this.#context.pool.isClosed;
  }

  /**
   * Ends every request with `SessionClosedError`, closes every connection, and waits until the last socket is gone.
   * Called at the end of the scope by itself; calling it again only waits. It begins with the call.
   */
  close(): Operation<void> {
    this.#closing ??= this.#context.pool.close();
    return until(this.#closing);
  }
}

const NO_OPTIONS: RequestOptions = Object.freeze({});

const DEFAULT_LIMIT = 100; // as aiohttp: a laptop and most servers bear it, and few programs gain from more
const DEFAULT_MAX_REDIRECTS = 10;

const DEFAULT_HEADERS: OutgoingHeaders = Object.freeze(["accept", "*/*", "user-agent", "fibril"]);

function makeContext(options: SessionOptions, undici: UndiciModule): SessionContext {
  const { limit = DEFAULT_LIMIT, limitPerHost = Infinity, headers, baseUrl } = options;
  checkCount("limit", limit, 1);
  checkCount("limitPerHost", limitPerHost, 1);
  const maxRedirects = options.maxRedirects ?? DEFAULT_MAX_REDIRECTS;
  checkCount("maxRedirects", maxRedirects, 0);
  if (options.maxBodyBytes !== undefined) checkCount("maxBodyBytes", options.maxBodyBytes, 0);
  const base = baseUrl === undefined ? undefined : parseBaseUrl(baseUrl);
  const subject = { method: "GET", url: base?.url.href ?? "" };
  const loop = EventLoop.current();
  return {
    loop,
    pool: new ConnectionPool(loop, undici, options.tls, limit, limitPerHost),
    holdings: new Holdings(currentScope()),
    sessionName: options.name ?? "http",
    base,
    headers: headers === undefined ? DEFAULT_HEADERS : mergeHeaders(DEFAULT_HEADERS, headers, subject),
    timeouts: checkTimeouts(options.timeout, DEFAULT_TIMEOUTS),
    raiseForStatus: options.raiseForStatus ?? false,
    maxRedirects,
    maxBodyBytes: options.maxBodyBytes,
  };
}

const STANDARD_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

// Methods are case-sensitive; but nobody who writes "post" means a method of that name.
function normalizeMethod(method: string): string {
  const upper = String(method).toUpperCase();
  if (upper === "CONNECT") throw new UsageError("CONNECT opens a tunnel, which a session cannot hand out");
  return STANDARD_METHODS.has(upper) ? upper : method;
}
