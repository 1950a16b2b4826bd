/**
 * The session: a pool of connections and the defaults of its requests, for as long as a scope lasts.
 *
 * Invariants: a connection is idle, leased or closed; at most `limit` requests hold one; closing waits for the last
 * socket, and leaves no timer, no listener and no pending wait behind.
 *
 * Each request takes one of two ways. A plain one is a single wait (`request.ts`). One that asks for more, or whose session does, goes
 * through the pipeline (`compose.ts`). A session made by `with` is a view: it has defaults of its own on the same connections.
 */
import { currentScope, defer, EventLoop, UsageError, until } from "../core/index.ts";
import type { Coroutine, Operation, Task } from "../core/index.ts";
import { asksForMore, needsPipeline, Pipeline } from "./compose.ts";
import { checkConnectOptions } from "./connect/options.ts";
import type { DialCallback, DialTarget } from "./connect/dial.ts";
import { ConnectionPool } from "./connect/pool.ts";
import { checkUndici, importUndici } from "./connect/undici.ts";
import type { UndiciModule } from "./connect/undici.ts";
import { diagnostics } from "./diagnostics.ts";
import { ObserverHub } from "./events.ts";
import type { RequestObserver } from "./events.ts";
import { makeFetch } from "./fetch.ts";
import type { Fetch } from "./fetch.ts";
import { Holdings } from "./holdings.ts";
import type { RequestOptions, SessionDefaults, SessionOptions } from "./options.ts";
import { checkPause, checkQueue } from "./queue/options.ts";
import type { QueueOptions, QueueStatistics } from "./queue/options.ts";
import { RequestWait } from "./request.ts";
import type { HttpResponse } from "./response.ts";
import { makeDefaults } from "./session-context.ts";
import type { SessionContext } from "./session-context.ts";
import { resolveTarget } from "./target.ts";
import type { BaseUrl } from "./target.ts";
import type { WebSocketChannel } from "./websocket/ends.ts";
import { openWebSocket } from "./websocket/open.ts";
import type { SessionSocket, WebSocketOptions } from "./websocket/open.ts";

/** A moment of a session. */
export interface SessionStatistics extends QueueStatistics {
  /** Requests that hold a connection, with those whose body has not ended. Never more than `limit`. */
  readonly active: number;
  /** Requests in line. */
  readonly queued: number;
  /** How many of the active ones have no connection yet. */
  readonly connecting: number;
  /** Connections that wait for the next request. */
  readonly idle: number;
  /** Hosts that have a request or an idle connection, or are remembered for a pause or a rate. */
  readonly hosts: number;
}

/** What a session and its views share: one end for all. */
interface Closing {
  promise: Promise<void> | null;
  /** Calls of `fetch` that have no answer yet. */
  readonly calls: Set<Task<unknown>>;
  readonly sockets: Set<SessionSocket>;
}

export class Session {
  readonly name: string;
  readonly #context: SessionContext;
  readonly #options: SessionDefaults;
  readonly #closing: Closing;
  /** Whether every request goes through the pipeline. */
  readonly #isComposed: boolean;
  /** Made when the session is composed, else for the first call that asks for it. */
  #pipeline: Pipeline | null;
  #fetch: Fetch | null = null;

  private constructor(context: SessionContext, options: SessionDefaults, closing: Closing, pipeline: Pipeline | null) {
    this.name = context.sessionName;
    this.#context = context;
    this.#options = options;
    this.#closing = closing;
    this.#pipeline = pipeline;
    this.#isComposed = needsPipeline(options);
    if (this.#isComposed) this.#pipeline ??= new Pipeline(context, options);
  }

  /**
   * Opens a session that is closed at the end of the current scope.
   *
   * @throws {UndiciMissingError} when undici is not installed.
   * @throws {UsageError} {InvalidUrlError} for an option that cannot be.
   * @example
   * const session = yield* Session.open({ baseUrl: "https://example.org/", limit: 20 });
   * const response = yield* session.get("index.html");
   * console.log(response.status, yield* response.text());
   */
  static *open(options: SessionOptions = {}): Coroutine<Session> {
    const undici = options.undici === undefined ? yield* until(importUndici()) : checkUndici(options.undici);
    const session = new Session(
      makeContext(options, undici),
      options,
      { promise: null, calls: new Set(), sockets: new Set() },
      null,
    );
    defer(() => session.close());
    return session;
  }

  /**
   * A view of this session with other defaults: the same connections, limits and line, the same end.
   *
   * `headers` are set over those of this session, name by name, and a relative `baseUrl` is relative to its own; middlewares are
   * replaced. What is not given stays, and is shared: a cookie jar, a cache, a circuit breaker.
   * @throws {UsageError} {InvalidUrlError} for an option that cannot be.
   * @example
   * const api = session.with({ baseUrl: "https://api.example.org/v2/", headers: { authorization: `Bearer ${token}` } });
   */
  with(changes: SessionDefaults): Session {
    const context = { ...this.#context, ...makeDefaults(changes, this.#context) };
    const baseUrl = context.base === undefined ? {} : { baseUrl: context.base.url };
    const options = { ...this.#options, ...definedOnly(changes), ...baseUrl };
    const pipeline = this.#pipeline === null ? null : new Pipeline(context, options, this.#pipeline, changes);
    return new Session(context, options, this.#closing, pipeline);
  }

  get(url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return this.#send("GET", url, options);
  }

  head(url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return this.#send("HEAD", url, options);
  }

  post(url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return this.#send("POST", url, options);
  }

  put(url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return this.#send("PUT", url, options);
  }

  patch(url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return this.#send("PATCH", url, options);
  }

  delete(url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return this.#send("DELETE", url, options);
  }

  /**
   * Sends a request and waits for status and headers of the response; its body is read afterwards.
   *
   * Waits in line first come first served while `limit` or `limitPerHost` is reached. Follows redirects. Cancelling gives up
   * the place in line, or closes the connection, at once. The peer may have acted on a request that was cancelled.
   * @throws {HttpError} one of its kind for each cause; statuses throw only with `raiseForStatus`.
   */
  request(method: string, url: string | URL, options: RequestOptions = NO_OPTIONS): Operation<HttpResponse> {
    return this.#send(normalizeMethod(method), url, options);
  }

  /**
   * Opens a WebSocket that is closed at the end of the current scope. Needs the package ws.
   *
   * Uses the session's base URL (`ws:` and `http:` are the same here), headers, cookies, credentials, proxy and TLS options; it
   * takes no place within `limit`. Redirects are not followed. Cancelling destroys the connection in whatever phase it is.
   * @throws {WebSocketHandshakeError} when it does not come about, with the status if there was an answer.
   * @throws {WebSocketTimeoutError} after `handshakeMs`.
   * @throws {WebSocketPackageMissingError} {UsageError} {InvalidUrlError} {SessionClosedError}
   * @example
   * const socket = yield* session.webSocket("wss://example.org/feed", { protocols: "v2" });
   * yield* socket.send(JSON.stringify({ subscribe: "prices" }));
   * for (;;) {
   *   const { done, value } = yield* socket.messages.next();
   *   if (done) break;
   *   console.log(value);
   * }
   */
  webSocket(url: string | URL, options: WebSocketOptions = {}): Operation<WebSocketChannel> {
    const { base, headers, pool } = this.#context;
    const session = {
      base,
      headers,
      name: this.name,
      get isClosed(): boolean {
        return pool.isClosed;
      },
      dial: (target: DialTarget, done: DialCallback) =>
        pool.dialer.dial({ target, servername: null, offersHttp2: false, tunnels: true }, done),
      policies: this.#pipeline?.handshakes ?? [],
      sockets: this.#closing.sockets,
    };
    return openWebSocket(session, url, options);
  }

  /**
   * The standard `fetch` on the connections of this session, with its defaults, its middlewares and its limits: for libraries that
   * take one. It needs no `this`, and may be called from promise code, in no task, while the session is open.
   *
   * Failures are `TypeError`s with the error of this library as `cause`; an aborted `signal` rejects with its reason. Closing the session
   * ends calls and bodies. A response has to be read or its `body` cancelled, as with every `fetch`.
   * @example
   * const client = new ApiClient({ fetch: session.fetch });
   * const user = yield* until((signal) => client.users.get(7, { signal }));
   */
  get fetch(): Fetch {
    return (this.#fetch ??= makeFetch(this, this.#context.loop as EventLoop, this.#closing.calls));
  }

  /** What it is doing, now. */
  statistics(): SessionStatistics {
    const { pool } = this.#context;
    return Object.freeze(pool.statistics());
  }

  /**
   * Tells `observer` about every request that begins from now on.
   *
   * @returns what takes it out again.
   */
  observe(observer: RequestObserver): () => void {
    return this.#context.observers.add(observer);
  }

  /**
   * Lets no request go to the host of `origin` for `ms` milliseconds from now (`Infinity`: until `resume`). Those that wait keep their
   * place in line and let requests to other hosts pass; those under way go on. A pause that lasts longer already is kept.
   *
   * @param cause Shown in the reason of those who wait, such as `"by the operator"`.
   * @throws {UsageError} {InvalidUrlError}
   * @example
   * session.pause("https://api.example.org", 12_000);
   */
  pause(origin: string | URL, ms: number, cause = ""): void {
    checkPause(ms);
    this.#context.pool.pause(originOf(origin, this.#context.base), ms, cause);
  }

  /** Ends a pause of the host, whoever asked for it. */
  resume(origin: string | URL): void {
    this.#context.pool.unpause(originOf(origin, this.#context.base));
  }

  /**
   * Changes the limits while requests go on. What is not given stays; `null` takes a rate away. A lower limit ends nothing:
   * nobody comes in until it holds. A rate keeps what has been taken.
   * @throws {UsageError} when one is not as in the options of a session; nothing is changed then.
   * @example
   * session.setLimits({ limit: 50, ratePerHost: { requests: 5 } });
   */
  setLimits(limits: QueueOptions): void {
    const { pool } = this.#context;
    pool.setLimits(checkQueue(limits, pool.line.limits));
  }

  get isClosed(): boolean {
    return this.#context.pool.isClosed;
  }

  /**
   * Ends every request with `SessionClosedError`, closes every connection, WebSockets with code 1001, and waits until the last socket is gone.
   * Called at the end of the scope by itself; calling it again only waits. It begins with the call.
   */
  close(): Operation<void> {
    this.#closing.promise ??= this.#end();
    return until(this.#closing.promise);
  }

  async #end(): Promise<void> {
    const calls = [...this.#closing.calls];
    for (const call of calls) void call.cancel("the session was closed");
    const sockets = [...this.#closing.sockets].map((socket) => socket.end());
    await Promise.all([this.#context.pool.close(), ...sockets, ...calls.map((call) => call.then(nothing, nothing))]);
  }

  #send(method: string, url: string | URL, options: RequestOptions): Operation<HttpResponse> {
    if (!this.#isComposed && (options === NO_OPTIONS || !asksForMore(options))) {
      return new RequestWait(this.#context, method, url, options);
    }
    this.#pipeline ??= new Pipeline(this.#context, this.#options);
    return this.#pipeline.send(method, url, options);
  }
}

function nothing(): void {}

const NO_OPTIONS: RequestOptions = Object.freeze({});

function makeContext(options: SessionOptions, undici: UndiciModule): SessionContext {
  const loop = EventLoop.current();
  const limits = checkQueue(options);
  return {
    ...makeDefaults(options),
    loop,
    pool: new ConnectionPool(loop, undici, checkConnectOptions(options), limits),
    holdings: new Holdings(currentScope()),
    observers: new ObserverHub(loop, options, diagnostics),
    sessionName: options.name ?? "http",
  };
}

/** What is there as `undefined` is not given. */
function definedOnly(changes: SessionDefaults): SessionDefaults {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
}

function originOf(url: string | URL, base: BaseUrl | undefined): string {
  return resolveTarget("GET", url, base, undefined).origin;
}

const STANDARD_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

// Methods are case-sensitive; but nobody who writes "post" means a method of that name.
function normalizeMethod(method: string): string {
  const upper = String(method).toUpperCase();
  if (upper === "CONNECT") throw new UsageError("CONNECT opens a tunnel, which a session cannot hand out");
  return STANDARD_METHODS.has(upper) ? upper : method;
}
