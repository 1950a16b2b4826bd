/**
 * All requests of one server: the scope of their tasks, how many may run at once, and how they end together.
 *
 * The scope is hosted by a task of its own at the root of the loop. Were the requests tasks of the scope that opened the server, that scope
 * could never end by itself, since it waits for its tasks first and releases (closes the server) afterwards. A request that
 * fails does not concern the others, so the scope has its own rule for failures.
 *
 * Beyond `limit` requests stand in a bounded line and have no task yet: when a server has too much to do, waiting must be cheap.
 */
import type { IncomingMessage } from "node:http";
import {
  currentScope,
  describeValue,
  EventLoop,
  Future,
  running,
  Scope,
  ScopeClosedError,
  UsageError,
} from "../../core/index.ts";
import type { Coroutine, Task } from "../../core/index.ts";
import type { Timer } from "../../lowlevel.ts";
import { moveOnAfter } from "../../time/index.ts";
import { nodeAsyncContext } from "../../interop/node/index.ts";
import type { Admission, Exchange, HandlerSettings, OnDisconnect } from "./exchange.ts";
import type { RequestEnd } from "./request-end.ts";
import { overloaded, shuttingDown } from "./failure.ts";
import type { HttpFailure } from "./failure.ts";

/** What can be said for each handler. */
export interface HandlerOptions {
  /** What happens when the client goes away before the response is complete. Default: `cancel`. */
  readonly onDisconnect?: OnDisconnect;
  /** Cancels the handler this many milliseconds after it began; the client gets a 503. Default: none. */
  readonly timeoutMs?: number;
}

export interface RequestsOptions extends HandlerOptions {
  /** Shown in messages and in the task list. Default: `"http server"`. */
  readonly name?: string;
  /** Where the handlers run. Default: the loop of the caller; outside coroutines one that all servers share, with `AsyncLocalStorage` kept. */
  readonly loop?: EventLoop;
  /** How many requests may be in work at once. Default: 10,000. `Infinity` is allowed. */
  readonly limit?: number;
  /** How many more may stand in line; those beyond get a 503 at once. Default: 1,000. */
  readonly queueLimit?: number;
  /** How long a request may stand in line, in milliseconds; then it gets a 503. Default: 10,000. */
  readonly queueMs?: number;
  /**
   * How long a client may take nothing of its response, in milliseconds; then the connection is cut, and what was not sent is let go of.
   * Counts while something waits to be sent, whether the answer was given as a whole or is a stream. Over HTTP/2 the stream is reset
   * (CANCEL), and the connection cut only if nobody reads from it at all; while other streams of it move, a stream may be given up to ten
   * times as long, and longer if more than 64 KiB for each time wait. Default: 60,000.
   */
  readonly sendTimeoutMs?: number;
  /** What a refused client is told to wait, by `retry-after`. Default: 1,000 ms. */
  readonly retryAfterMs?: number;
  /**
   * Called with every error that clients are not told: what a handler threw that is no `HttpFailure`, or one with a status from 500.
   * Default: a report of the loop, which by default goes to the console.
   */
  readonly onError?: (error: unknown, request: IncomingMessage | null) => void;
  /** Called once for each request, when it is over: for access logs and metrics. Default: nothing is measured. */
  readonly onRequestEnd?: (end: RequestEnd, request: IncomingMessage | null) => void;
}

export interface RequestsStatistics {
  /** Requests that have a place: their handler runs, or their response is still being sent. Never more than `limit`. */
  readonly active: number;
  /** Requests in line. */
  readonly queued: number;
  /** Handlers that run, with those that were detached. */
  readonly handlers: number;
  readonly limit: number;
  readonly queueLimit: number;
  /** Connections, and streams of HTTP/2, that were cut because the client took nothing of a response; since the server was made. */
  readonly stalled: number;
}

const LOOK_MS = 20; // so long what has ended is kept; and the limit for sending may be exceeded by it

export class Requests implements Admission {
  readonly name: string;
  readonly loop: EventLoop;
  /** What holds for handlers that say nothing else. */
  readonly settings: HandlerSettings;
  readonly isLogging: boolean;
  readonly locals: ReadonlyMap<object, unknown> | null;
  readonly sendTimeoutMs: number;
  readonly #options: RequestsOptions;
  readonly #limit: number;
  readonly #queueLimit: number;
  readonly #queueMs: number;
  /** That of the scope which opens the server. */
  readonly #cleanupMs: number | undefined;
  readonly #line = new Set<Exchange>(); // in the order of coming
  readonly #host: Task<void>;
  readonly #closing: Future<void>;
  #scope: Scope | null = null;
  #state: "open" | "draining" | "closing" = "open";
  #active = 0;
  #handlers = 0;
  #stalled = 0;
  /** To look at together, see `lookLater`. */
  #later: Exchange[] = [];
  readonly #look: Timer = { heapIndex: -1, fire: () => this.#lookAtAll() };
  #idle: Future<void> | null = null;
  /** Called when a place becomes free while the server drains. */
  onRelease: (() => void) | null = null;

  constructor(options: RequestsOptions) {
    checkRequestsOptions(options);
    this.#options = options;
    this.name = options.name ?? "http server";
    this.loop = options.loop ?? (running.loop as EventLoop | null) ?? (sharedLoop ??= makeSharedLoop());
    this.settings = settingsOf(options);
    this.isLogging = options.onRequestEnd !== undefined;
    this.sendTimeoutMs = options.sendTimeoutMs ?? 60_000; // that of nginx
    this.#limit = options.limit ?? 10_000;
    this.#queueLimit = options.queueLimit ?? 1_000;
    this.#queueMs = options.queueMs ?? 10_000;
    this.locals = (running.task as Task<unknown> | null)?.locals ?? null;
    this.#cleanupMs = running.task === null ? undefined : currentScope().cleanupMs;
    this.#closing = new Future({ name: `end of ${this.name}`, external: true });
    this.#host = this.loop.spawn({ name: this.name }, () => this.#hostScope());
  }

  /** Gives it a place, or one in line, or a refusal. */
  admit(exchange: Exchange): void {
    if (this.#state !== "open") {
      exchange.refuse(shuttingDown(), "rejected");
      return;
    }
    if (exchange.isGone && exchange.onDisconnect === "cancel") {
      exchange.drop();
      return;
    }
    if (this.#active < this.#limit && this.#scope !== null) this.#begin(exchange);
    else if (this.#line.size < this.#queueLimit || this.#scope === null) {
      this.#line.add(exchange);
      exchange.listen();
      if (this.#queueMs !== Infinity) this.loop.addTimer(exchange, this.loop.now() + this.#queueMs);
    } else exchange.refuse(this.refusal(), "rejected");
  }

  refusal(): HttpFailure {
    return overloaded(this.#options.retryAfterMs ?? 1_000);
  }

  get isClosing(): boolean {
    return this.#state === "closing";
  }

  /** Whether new requests are refused. */
  get isDraining(): boolean {
    return this.#state !== "open";
  }

  statistics(): RequestsStatistics {
    return Object.freeze({
      active: this.#active,
      queued: this.#line.size,
      handlers: this.#handlers,
      limit: this.#limit,
      queueLimit: this.#queueLimit,
      stalled: this.#stalled,
    });
  }

  countStalled(): void {
    this.#stalled++;
  }

  /** For answers that somebody else writes. Nearly all have gone out by then, so one timer looks at all of them instead of one for each. */
  lookLater(exchange: Exchange): void {
    if (this.sendTimeoutMs === Infinity) return;
    if (this.#later.push(exchange) === 1) this.loop.addTimer(this.#look, this.loop.now() + LOOK_MS);
  }

  settled(): void {
    this.#handlers--;
    this.#tellIfIdle();
  }

  released(exchange: Exchange): void {
    const { onRequestEnd } = this.#options;
    if (exchange.hasPlace) {
      exchange.hasPlace = false;
      this.#active--;
      if (this.#active === 0 && this.#later.length > 0) this.#lookAtNone();
      if (this.#line.size > 0) this.#serveLine();
    }
    if (onRequestEnd !== undefined) {
      try {
        onRequestEnd(exchange.toEnd(), exchange.request);
      } catch (error) {
        this.#report("onRequestEnd threw", error);
      }
    }
    this.onRelease?.();
    this.#tellIfIdle();
  }

  leaveLine(exchange: Exchange): boolean {
    if (!this.#line.delete(exchange)) return false;
    this.loop.removeTimer(exchange);
    return true;
  }

  reportError(error: unknown, exchange: Exchange): void {
    const { onError } = this.#options;
    if (onError === undefined) this.#report(`request "${exchange.name}" failed`, error);
    else {
      try {
        onError(error, exchange.request);
      } catch (problem) {
        this.#report(`request "${exchange.name}" failed`, error);
        this.#report("onError threw", problem);
      }
    }
  }

  /** From now on new requests are refused, those in line too. */
  stopAdmitting(): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    for (const exchange of [...this.#line]) {
      if (this.leaveLine(exchange)) exchange.refuse(shuttingDown(), "rejected");
    }
  }

  /** Waits until no handler runs and every response was sent; no longer than `ms`. */
  *untilIdle(ms: number): Coroutine<void> {
    if (this.#active === 0 && this.#handlers === 0) return;
    this.#idle ??= new Future({ name: `${this.#active} request(s) of ${this.name}`, external: true });
    yield* moveOnAfter(ms, this.#idle);
  }

  /** Cancels every handler, and waits until all have cleaned up, for at most `cleanupMs`; default: that of the scope around. */
  *cancelAll(cleanupMs?: number): Coroutine<void> {
    this.stopAdmitting();
    this.#state = "closing";
    if (this.#scope !== null && this.#scope.size > 0) {
      if (cleanupMs !== undefined) this.#scope.cleanupMs = cleanupMs;
      yield* this.#scope.cancel("the server is shutting down");
    }
    this.#closing.tryResolve();
    this.#lookAtNone();
    yield* this.#host.cancel();
  }

  #begin(exchange: Exchange): void {
    exchange.hasPlace = true;
    this.#active++;
    this.#handlers++;
    try {
      exchange.begin(this.#scope!);
    } catch (error) {
      this.#handlers--;
      if (error instanceof ScopeClosedError) {
        exchange.refuse(shuttingDown(), "rejected"); // the loop was stopped under the server
        return;
      }
      this.reportError(error, exchange);
      exchange.refuse(error, "failed");
    }
  }

  #lookAtAll(): void {
    const exchanges = this.#later;
    this.#later = [];
    for (const exchange of exchanges) exchange.lookAgain();
  }

  /** None of those who have a place is under way any more: all have gone out. */
  #lookAtNone(): void {
    this.#later = [];
    this.loop.removeTimer(this.#look);
  }

  #serveLine(): void {
    for (const exchange of this.#line) {
      if (this.#active >= this.#limit) return;
      this.leaveLine(exchange);
      this.#begin(exchange);
    }
  }

  #tellIfIdle(): void {
    if (this.#idle === null || this.#active > 0 || this.#handlers > 0) return;
    this.#idle.resolve();
    this.#idle = null;
  }

  *#hostScope(): Coroutine<void> {
    const { name } = this;
    const scope = Scope.enter({ name, onChildFailure: ignore });
    if (this.#cleanupMs !== undefined) scope.cleanupMs = this.#cleanupMs;
    this.#scope = scope;
    this.#serveLine();
    yield* scope.run(this.#closing);
  }

  #report(what: string, error: unknown): void {
    this.loop.report({ kind: "unobserved-failure", message: `${this.name}: ${what}:`, error });
  }
}

let sharedLoop: EventLoop | null = null;

function makeSharedLoop(): EventLoop {
  return new EventLoop({ name: "http server", asyncContext: nodeAsyncContext() });
}

/** The client and `onError` have been told. */
function ignore(): void {}

function checkRequestsOptions(options: RequestsOptions): void {
  checkCount("limit", options.limit, 1);
  checkCount("queueLimit", options.queueLimit, 0);
  checkMs("queueMs", options.queueMs);
  checkMs("retryAfterMs", options.retryAfterMs);
  checkMs("sendTimeoutMs", options.sendTimeoutMs);
  if (options.sendTimeoutMs === 0) throw new UsageError("sendTimeoutMs must be above 0; Infinity means no limit");
}

/** With the defaults. @throws {UsageError} for what is none of the three ways, or no duration. */
export function settingsOf(options: HandlerOptions, defaults: HandlerSettings = DEFAULTS): HandlerSettings {
  checkHandlerOptions(options);
  const { onDisconnect = defaults.onDisconnect, timeoutMs = defaults.timeoutMs } = options;
  return { onDisconnect, timeoutMs };
}

const DEFAULTS: HandlerSettings = { onDisconnect: "cancel", timeoutMs: Infinity };

function checkHandlerOptions({ onDisconnect, timeoutMs }: HandlerOptions): void {
  checkMs("timeoutMs", timeoutMs);
  if (onDisconnect !== undefined && !["cancel", "detach", "ignore"].includes(onDisconnect)) {
    throw new UsageError(`onDisconnect is "cancel", "detach" or "ignore", got ${describeValue(onDisconnect)}`);
  }
}

export function checkMs(what: string, ms: number | undefined): void {
  if (ms !== undefined && !(typeof ms === "number" && ms >= 0)) {
    throw new UsageError(`${what} must be a number of milliseconds, 0 or more, got ${describeValue(ms)}`);
  }
}

function checkCount(what: string, count: number | undefined, least: number): void {
  if (count === undefined || count === Infinity || (Number.isInteger(count) && count >= least)) return;
  throw new UsageError(`${what} must be a whole number from ${least}, or Infinity, got ${describeValue(count)}`);
}
