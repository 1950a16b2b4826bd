/**
 * What a session tells about its requests while they go on: to the inspector, to `diagnostics_channel`, to OpenTelemetry, to a log.
 *
 * A *request* is one call of `session.get`. Each redirect and each retry of it is an *exchange*: one request line and its answer on
 * one connection. There is one order to rely on: an exchange begins with `queued` and ends with exactly one `end` or `error`. A
 * `redirect` comes before the `end` of its exchange, which may come after the `queued` of the next one, since what is left of
 * the response is given up only then; a `retry` comes between two exchanges.
 *
 * The price when nobody listens is one null check at each place. One object is made for each exchange otherwise, because exchanges of one
 * request overlap, and one for each event. Observers run inside the session's own steps: they must be quick, must not
 * throw, and change nothing. One that throws is detached and reported, as a probe is.
 *
 * Rejected: one optional method for each kind. A log, a channel and a recorder want all of them in one place, and a `switch` on `kind`
 * is checked for completeness by the compiler.
 */
import { describeValue, UsageError } from "../core/index.ts";
import type { LoopPort } from "../lowlevel.ts";
import type { ConnectionFacts } from "./connect/dial.ts";
import type { RequestSubject } from "./errors.ts";
import { withDefaultHeader } from "./headers.ts";
import type { OutgoingHeaders } from "./headers.ts";

/** What all events tell. */
interface EventOf<Kind extends string> {
  readonly kind: Kind;
  /** Counts the observed requests, of all sessions: an observer and a channel may serve several. */
  readonly requestId: number;
  /** Counts the exchanges of the request from 1: the first one, then each redirect and each retry. */
  readonly exchange: number;
  /** Counts from 1; more than 1 after a retry. */
  readonly attempt: number;
  /** In milliseconds of the loop's clock. */
  readonly at: number;
  readonly method: string;
  /** Absolute, without user name and password. */
  readonly url: string;
}

/** An exchange begins: it gets in line for a connection. */
export interface QueuedEvent extends EventOf<"queued"> {
  /** `false` when it came in at once. */
  readonly waits: boolean;
}

/** A new connection stands. */
export interface ConnectedEvent extends EventOf<"connected"> {
  /** In line, and then until the connection stood. */
  readonly queueMs: number;
  readonly connectMs: number;
  /** Address, protocol, and what took how long. */
  readonly connection: ConnectionFacts | null;
}

/** It goes out on a connection that has served others before. */
export interface ReusedEvent extends EventOf<"reused"> {
  readonly queueMs: number;
  /** How many exchanges the connection has served. */
  readonly served: number;
  readonly connection: ConnectionFacts | null;
}

/** The request is on its way; its body may follow. */
export interface SentEvent extends EventOf<"sent"> {
  readonly hasBody: boolean;
}

/** Status and headers of the response have come. */
export interface HeadersEvent extends EventOf<"headers"> {
  readonly status: number;
  /** As they came, names in lower case. They may hold secrets (`set-cookie`). */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** From `sent` on. */
  readonly headersMs: number;
}

/** A piece of the response body has come. */
export interface ChunkEvent extends EventOf<"chunk"> {
  readonly bytes: number;
}

/** The request goes on at another place. `method` and `url` are those of the response that said so. */
export interface RedirectEvent extends EventOf<"redirect"> {
  readonly status: number;
  readonly location: string;
}

/** The request will be tried again. `attempt` is the one that has failed. */
export interface RetryEvent extends EventOf<"retry"> {
  /** How long it waits before. */
  readonly delayMs: number;
  /** The status it failed with, if it was a status. */
  readonly status: number | undefined;
  /** The error it failed with, if it was an error. */
  readonly error: unknown;
}

/** An exchange has ended after its response headers, and nothing of it is left. */
export interface EndEvent extends EventOf<"end"> {
  readonly status: number;
  readonly receivedBytes: number;
  /** `false` when the rest of the body was given up: by `close()`, by the end of a scope, for a redirect. */
  readonly isComplete: boolean;
  readonly queueMs: number;
  readonly connectMs: number;
  readonly headersMs: number;
  readonly bodyMs: number;
}

/** An exchange has failed, or was cancelled before the response headers. */
export interface ErrorEvent extends EventOf<"error"> {
  /** What was going on. */
  readonly phase: "queued" | "connecting" | "headers" | "body" | "ended";
  readonly isCancelled: boolean;
  /** `undefined` when it was cancelled. */
  readonly error: unknown;
}

export type RequestEvent =
  | QueuedEvent
  | ConnectedEvent
  | ReusedEvent
  | SentEvent
  | HeadersEvent
  | ChunkEvent
  | RedirectEvent
  | RetryEvent
  | EndEvent
  | ErrorEvent;

/** Which exchange is about to be sent. */
export type ExchangeFacts = Pick<QueuedEvent, "requestId" | "exchange" | "attempt" | "method" | "url">;

/**
 * Sees the requests of a session, or of one call.
 *
 * @example
 * const observer: RequestObserver = {
 *   event(event) {
 *     if (event.kind === "end") histogram.record(event.headersMs);
 *   },
 * };
 * const session = yield* Session.open({ observer });
 */
export interface RequestObserver {
  /** Called when it happens, in the order in which it happens. Must not throw. */
  event(event: RequestEvent): void;
  /**
   * Called after `queued`, whenever an exchange is given to a connection: headers to add, such as `traceparent`. One that the
   * request has already is kept. Must not throw.
   */
  headersFor?(exchange: ExchangeFacts): Readonly<Record<string, string>> | undefined;
}

export interface ObserverOptions {
  /** Told about every event, see `RequestObserver`. Of a request: in addition to the session's. Default: none. */
  readonly observer?: RequestObserver | readonly RequestObserver[];
}

/** What somebody else shows as an observer whenever he listens: a channel of `diagnostics_channel`. @package */
export interface ConditionalObserver extends RequestObserver {
  readonly isListening: boolean;
}

let requests = 0;

/** The observers of one session. @package */
export class ObserverHub {
  readonly #loop: LoopPort;
  readonly #conditional: ConditionalObserver | null;
  readonly #observers = new Set<RequestObserver>();
  readonly #detached = new WeakSet<RequestObserver>();

  constructor(loop: LoopPort, options: ObserverOptions = {}, conditional: ConditionalObserver | null = null) {
    this.#loop = loop;
    this.#conditional = conditional;
    for (const observer of listOf(options.observer)) this.#observers.add(observer);
  }

  get loop(): LoopPort {
    return this.#loop;
  }

  /** @returns what takes it out again. @throws {UsageError} when it is no observer. */
  add(observer: RequestObserver): () => void {
    checkObserver(observer);
    this.#observers.add(observer);
    return () => void this.#observers.delete(observer);
  }

  /** What a request that begins now has to tell, or `null` when nobody listens: the only thing that costs then. */
  begin(own: ObserverOptions["observer"]): RequestTrace | null {
    const isListening = this.#conditional?.isListening === true;
    if (this.#observers.size === 0 && own === undefined && !isListening) return null;
    const observers = [...this.#observers, ...listOf(own)];
    if (isListening) observers.push(this.#conditional!);
    return new RequestTrace(this, ++requests, observers);
  }

  tell(observers: readonly RequestObserver[], event: RequestEvent): void {
    for (const observer of observers) {
      if (this.#detached.has(observer)) continue;
      try {
        observer.event(event);
      } catch (error) {
        this.#detach(observer, `on "${event.kind}"`, error);
      }
    }
  }

  ask(
    observers: readonly RequestObserver[],
    exchange: ExchangeFacts,
    add: (name: string, value: string) => void,
  ): void {
    for (const observer of observers) {
      if (observer.headersFor === undefined || this.#detached.has(observer)) continue;
      try {
        const added = Object.entries(observer.headersFor(exchange) ?? {});
        for (const [name, value] of added) checkHeader(name, value); // or the request would fail of it
        for (const [name, value] of added) add(name.toLowerCase(), value);
      } catch (error) {
        this.#detach(observer, "in headersFor", error);
      }
    }
  }

  #detach(observer: RequestObserver, where: string, error: unknown): void {
    this.#detached.add(observer);
    this.#observers.delete(observer);
    const message = `a request observer threw ${where} and was detached`;
    this.#loop.report({ kind: "probe-failed", message, error });
  }
}

function checkHeader(name: string, value: unknown): void {
  if (/^[\w!#$%&'*+\-.^`|~]+$/.test(name) && typeof value === "string" && /^[\t\x20-\x7e\x80-\xff]*$/.test(value))
    return;
  throw new UsageError(
    `headersFor gave ${JSON.stringify(name)}: ${describeValue(value)}, which cannot be sent as a header`,
  );
}

function listOf(observer: ObserverOptions["observer"]): readonly RequestObserver[] {
  if (observer === undefined) return [];
  const list = Array.isArray(observer) ? (observer as readonly RequestObserver[]) : [observer as RequestObserver];
  for (const one of list) checkObserver(one);
  return list;
}

function checkObserver(observer: Partial<RequestObserver> | null | undefined): void {
  if (typeof observer?.event === "function") return;
  throw new UsageError(`an observer must have a method \`event(event)\`, got ${describeValue(observer)}`);
}

/** One request, as its observers see it; shared by all its exchanges. @package */
export class RequestTrace {
  readonly hub: ObserverHub;
  readonly requestId: number;
  readonly observers: readonly RequestObserver[];
  #exchanges = 0;

  constructor(hub: ObserverHub, requestId: number, observers: readonly RequestObserver[]) {
    this.hub = hub;
    this.requestId = requestId;
    this.observers = observers;
  }

  /** @param attempt Counted from 1. */
  exchange(subject: RequestSubject, attempt: number): ExchangeTrace {
    return new ExchangeTrace(this, subject, attempt, ++this.#exchanges);
  }

  /** `subject` is what was redirected. */
  redirect(subject: RequestSubject, attempt: number, status: number, location: string): void {
    this.#tell({ kind: "redirect", ...this.#facts(subject, attempt), status, location });
  }

  retry(
    subject: RequestSubject,
    attempt: number,
    failure: { readonly delayMs: number; readonly status: number | undefined; readonly error: unknown },
  ): void {
    const { delayMs, status, error } = failure;
    this.#tell({ kind: "retry", ...this.#facts(subject, attempt), delayMs, status, error });
  }

  #facts(subject: RequestSubject, attempt: number): Omit<EventOf<string>, "kind"> {
    const { requestId } = this;
    const { method, url } = subject;
    return { requestId, exchange: this.#exchanges, attempt, at: this.hub.loop.now(), method, url };
  }

  #tell(event: RequestEvent): void {
    this.hub.tell(this.observers, event);
  }
}

/** One exchange, as its observers see it. @package */
export class ExchangeTrace {
  readonly #request: RequestTrace;
  readonly #facts: ExchangeFacts;

  constructor(request: RequestTrace, subject: RequestSubject, attempt: number, exchange: number) {
    const { method, url } = subject;
    this.#request = request;
    this.#facts = { requestId: request.requestId, exchange, attempt, method, url };
  }

  tell<Kind extends RequestEvent["kind"]>(
    kind: Kind,
    facts: Omit<Extract<RequestEvent, { readonly kind: Kind }>, keyof EventOf<string>>,
  ): void {
    const { hub, observers } = this.#request;
    hub.tell(observers, { kind, ...this.#facts, at: hub.loop.now(), ...facts } as unknown as RequestEvent);
  }

  /** The headers to send: what observers add comes last, and never in place of one that is there. */
  withAdded(headers: OutgoingHeaders): OutgoingHeaders {
    const { hub, observers } = this.#request;
    let all = headers;
    hub.ask(observers, this.#facts, (name, value) => (all = withDefaultHeader(all, name, value)));
    return all;
  }
}
