/**
 * A server as a resource: it listens while a scope lasts, and ends in good order.
 *
 * Graceful shutdown, in seven steps (those of aiohttp):
 *   1. Stop accepting connections; requests on connections that are open get a 503.
 *   2. Close the idle connections. Answers from now on close theirs; WebSockets are told 1001.
 *   3. Run the `onShutdown` hooks.
 *   4. Wait until the requests in work have ended, for at most `drainMs`.
 *   5. Cancel the handlers that are left, and wait for their cleanup.
 *   6. Run the `onCleanup` hooks.
 *   7. Cut every connection that is left, and wait until the server has closed.
 *
 * A hook that fails does not keep the next step from coming; its error is thrown at the end.
 */
import { createServer } from "../node-http.ts";
import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { currentScope, Future, toOperation, until } from "../../core/index.ts";
import type { Body, Coroutine, Operation, Scope, Task } from "../../core/index.ts";
import { systemHost } from "../../lowlevel.ts";
import { importWs } from "../websocket/package.ts";
import { Http2Sessions } from "./http2-sessions.ts";
import { answeringListener, checkHandler } from "./listener.ts";
import type { Handler } from "./listener.ts";
import { checkMs, Requests } from "./requests.ts";
import type { RequestsOptions, RequestsStatistics } from "./requests.ts";
import { followSignals } from "./shutdown-signals.ts";
import { checkServerSockets, WebSockets } from "./web-sockets.ts";
import type { ServerWebSocketOptions, WebSocketHandler } from "./web-sockets.ts";

export interface ServeOptions extends Omit<RequestsOptions, "loop"> {
  /** Default: 0, one that the system chooses. */
  readonly port?: number;
  /** Which address to listen at. Default: `127.0.0.1`, this machine only; `0.0.0.0` or `::` for all. */
  readonly host?: string;
  /** A Unix socket instead of port and host. */
  readonly path?: string;
  /** Handed to node:https: `cert`, `key`, … Default: no encryption. */
  readonly tls?: Readonly<Record<string, unknown>>;
  /** Whether to speak HTTP/2: with `tls` beside HTTP/1.1, without it only HTTP/2 by prior knowledge. Default: `false`. */
  readonly http2?: boolean;
  /**
   * Whether SIGTERM and SIGINT end the server in good order; a second one ends the process at once, as without a handler.
   * Default: `false`. Not together with `handleSignals` of `run`, which cancels everything instead.
   */
  readonly signals?: boolean;
  /** How long requests in work may go on when the server ends, in milliseconds. Default: 10,000. */
  readonly drainMs?: number;
  /** Run when the shutdown begins, in order: step 3. */
  readonly onShutdown?: Hook | readonly Hook[];
  /** Run after the last handler, in order: step 6. */
  readonly onCleanup?: Hook | readonly Hook[];
  /** Handlers of WebSockets by path. Needs the package `ws`. */
  readonly webSockets?: Readonly<Record<string, WebSocketHandler>>;
  readonly webSocketLimits?: ServerWebSocketOptions;
  /** The most that the headers of a request may have, in bytes; more gets a 431. Default: Node's, 16 KiB. */
  readonly maxHeaderBytes?: number;
  /** How many headers are read; the rest is dropped. Default: Node's, 2,000. */
  readonly maxHeaders?: number;
  /** How many connections may be open; more are closed at once. Default: no limit. */
  readonly maxConnections?: number;
  /** How long the headers of a request may take to come. Default: Node's, 60,000 ms. */
  readonly headersTimeoutMs?: number;
  /** How long a whole request may take to come. Default: Node's, 300,000 ms. */
  readonly requestTimeoutMs?: number;
  /** How long an idle connection is kept. Default: Node's, 5,000 ms. */
  readonly keepAliveMs?: number;
}

export type Hook = () => Operation<unknown>;

export interface ServerStatistics extends RequestsStatistics {
  /** WebSockets that are open; they count among `active` too. */
  readonly webSockets: number;
}

const DEFAULT_DRAIN_MS = 10_000;

/**
 * Opens a server; it listens when this returns, and ends with the current scope, by the seven steps above.
 *
 * When the scope is cancelled, requests may go on for at most half of its `cleanupMs`, so that handlers have the other half to clean up.
 * @throws the error of `listen`, such as `EADDRINUSE`.
 * @throws {WebSocketPackageMissingError} for `webSockets` without the package `ws`.
 * @example
 * const server = yield* serve(function* (request) { return `hello ${request.query.get("name")}` }, { port: 8080, signals: true });
 * console.log(server.url);
 * yield* server.closed;
 */
export function* serve(handler: Handler, options: ServeOptions = {}): Coroutine<HttpServer> {
  checkHandler("serve", handler);
  checkMs("drainMs", options.drainMs);
  const ws = options.webSockets === undefined ? null : yield* until(importWs());
  checkServerSockets(options.webSocketLimits ?? {});
  const server = yield* until(makeServer(options));
  // From here to `defer` nothing waits and nothing throws: the requests have a task, which somebody has to end.
  const requests = new Requests(options);
  server.on("request", answeringListener(requests, handler));
  const sockets = ws === null ? null : new WebSockets(ws, requests, options.webSockets!, options.webSocketLimits ?? {});
  if (sockets !== null) server.on("upgrade", sockets.upgrade);
  const opened = new HttpServer(server, requests, sockets, options);
  const scope = currentScope();
  scope.defer(() => opened.leave(scope));
  yield* until((signal) => opened.listen(signal));
  if (options.signals === true) opened.followSignals();
  return opened;
}

/** A server that listens. Made by `serve`. */
export class HttpServer {
  /** Node's own: an `http.Server`, or what `tls` and `http2` ask for. */
  readonly raw: Server;
  readonly #requests: Requests;
  readonly #sockets: WebSockets | null;
  readonly #options: ServeOptions;
  readonly #sessions: Http2Sessions | null;
  readonly #closed: Future<void>;
  #drainMs: number;
  #cleanupMs: number | undefined = undefined;
  #closing: Task<void> | null = null;
  #address: AddressInfo | string | null = null;
  #stopSignals: (() => void) | null = null;
  #isTidying = false;

  /** Use `serve()`. @internal */
  constructor(server: Server, requests: Requests, sockets: WebSockets | null, options: ServeOptions) {
    this.raw = server;
    this.#requests = requests;
    this.#sockets = sockets;
    this.#options = options;
    this.#drainMs = options.drainMs ?? DEFAULT_DRAIN_MS;
    this.#sessions = options.http2 === true ? new Http2Sessions(server) : null;
    this.#closed = new Future({ name: `${requests.name} to be closed`, external: true });
  }

  /** Where it listens: address and port, or the path of a Unix socket. */
  get address(): AddressInfo | string {
    return this.#address!;
  }

  /** `http://127.0.0.1:40123`. For a Unix socket `http://localhost`. */
  get url(): string {
    const scheme = this.#options.tls === undefined ? "http" : "https";
    const address = this.#address!;
    if (typeof address === "string") return `${scheme}://localhost`;
    const isAny = address.address === "::" || address.address === "0.0.0.0";
    const host = isAny ? "localhost" : address.family === "IPv6" ? `[${address.address}]` : address.address;
    return `${scheme}://${host}:${address.port}`;
  }

  get isClosing(): boolean {
    return this.#closing !== null;
  }

  /** Waits until it has closed, whoever closes it. Cancelling changes nothing. */
  get closed(): Operation<void> {
    return this.#closed;
  }

  /**
   * Ends it in good order, by the seven steps. It begins with the call; cancelling the wait does not stop it. Again only waits.
   * @throws what a hook has thrown.
   */
  close(): Operation<void> {
    this.#closing ??= this.#requests.loop.spawn({ name: `close ${this.#requests.name}` }, () => this.#shutDown());
    return this.#closing;
  }

  /** Cuts every connection at once. Handlers are cancelled by that. */
  cut(): void {
    this.#drainMs = 0;
    this.#sessions?.destroy();
    this.raw.closeAllConnections?.();
    for (const socket of this.#sockets?.open ?? []) socket.cut();
  }

  statistics(): ServerStatistics {
    return Object.freeze({ ...this.#requests.statistics(), webSockets: this.#sockets?.open.size ?? 0 });
  }

  /** @internal */
  listen(signal: AbortSignal): Promise<void> {
    const { port = 0, host = "127.0.0.1", path } = this.#options;
    const where = path === undefined ? { port, host } : { path };
    return new Promise((resolve, reject) => {
      this.raw.once("error", reject);
      this.raw.listen({ ...where, signal }, () => {
        this.raw.off("error", reject);
        this.raw.on("error", this.#reportError); // without a listener it would end the process
        this.#address = this.raw.address();
        resolve();
      });
    });
  }

  /** @internal */
  followSignals(): void {
    this.#stopSignals = followSignals(systemHost, this.#requests.loop, () => void this.close());
  }

  /** The end of its scope. @internal */
  *leave(scope: Scope): Coroutine<void> {
    if (scope.isReached) {
      this.#cleanupMs = scope.cleanupMs / 2;
      this.#drainMs = Math.min(this.#drainMs, this.#cleanupMs);
    }
    let isOver = false;
    try {
      yield* this.close();
      isOver = true;
    } finally {
      if (!isOver) this.cut();
    }
  }

  readonly #reportError = (error: unknown): void => {
    const { loop, name } = this.#requests;
    loop.report({ kind: "lost-error", message: `${name} cannot accept a connection:`, error });
  };

  *#shutDown(): Coroutine<void> {
    const requests = this.#requests;
    const failures: unknown[] = [];
    try {
      requests.stopAdmitting();
      const closed = this.#stopAccepting();
      this.#sockets?.goAway();
      requests.onRelease = () => this.#tidySoon();
      yield* this.#run(this.#options.onShutdown, failures);
      yield* requests.untilIdle(this.#drainMs);
      yield* requests.cancelAll(this.#cleanupMs);
      yield* this.#run(this.#options.onCleanup, failures);
      if (this.#sessions !== null) yield* untilSent();
      this.cut();
      yield* closed;
    } finally {
      requests.onRelease = null;
      this.#stopSignals?.();
      this.#closed.tryResolve();
    }
    if (failures.length > 0) throw failures[0];
  }

  #stopAccepting(): Future<void> {
    const closed = new Future<void>({ name: "the last connection to close", external: true });
    // It calls back before the sockets have told their responses that they are closed: they do at the end of the host's turn.
    const turnOver = (): void => systemHost.afterIo(() => closed.tryResolve());
    this.raw.close(() => systemHost.afterIo(turnOver)); // with an error when it does not listen: that is fine
    this.#sessions?.close();
    this.#closeIdle();
    return closed;
  }

  #closeIdle(): void {
    this.raw.closeIdleConnections?.();
  }

  /** A response has gone out; its connection has nothing to do any more. One walk for many of them. */
  #tidySoon(): void {
    if (this.#isTidying) return;
    this.#isTidying = true;
    this.#requests.loop.callSoon(() => {
      this.#isTidying = false;
      this.#closeIdle();
    });
  }

  *#run(hooks: Hook | readonly Hook[] | undefined, failures: unknown[]): Coroutine<void> {
    const list = hooks === undefined ? [] : typeof hooks === "function" ? [hooks] : hooks;
    for (const hook of list) {
      try {
        yield* toOperation(hook as Body<unknown>);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        failures.push(error);
      }
    }
  }
}

/** An answer without a body is over before HTTP/2 has sent its headers, which it does in a later phase of the host's turn. */
function untilSent(): Future<void> {
  const sent = new Future<void>({ name: "the last frames to be sent", external: true });
  systemHost.afterIo(() => systemHost.afterIo(() => sent.resolve()));
  return sent;
}

async function makeServer(options: ServeOptions): Promise<Server> {
  const { tls, http2, webSockets, maxHeaderBytes, headersTimeoutMs, requestTimeoutMs, keepAliveMs } = options;
  const settings = {
    ...tls,
    // Clients that offer HTTP/2 in this way want an answer, in whichever protocol; without WebSockets it is so by default.
    ...(webSockets === undefined ? {} : { shouldUpgradeCallback: asksForWebSocket }),
    ...(maxHeaderBytes === undefined ? {} : { maxHeaderSize: maxHeaderBytes }),
    ...(headersTimeoutMs === undefined ? {} : { headersTimeout: headersTimeoutMs }),
    ...(requestTimeoutMs === undefined ? {} : { requestTimeout: requestTimeoutMs }),
    ...(keepAliveMs === undefined ? {} : { keepAliveTimeout: keepAliveMs }),
  };
  let server: Server;
  if (http2 === true) {
    const { createSecureServer, createServer: createHttp2Server } = await import("node:http2");
    const secure = { allowHTTP1: true, ...settings };
    const made = tls === undefined ? createHttp2Server() : createSecureServer(secure);
    server = made as unknown as Server;
  } else if (tls === undefined) server = createServer(settings);
  else server = (await import("node:https")).createServer(settings);
  if (options.maxHeaders !== undefined) server.maxHeadersCount = options.maxHeaders;
  if (options.maxConnections !== undefined) server.maxConnections = options.maxConnections;
  return server;
}

function asksForWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === "websocket";
}
