/**
 * A request as middlewares see it: immutable, with everything resolved that the session knows.
 *
 * Immutable, because middlewares run again for each retry and each redirect: one that changed the request in place would add its
 * header twice, or sign what another has signed. `with()` makes a changed copy; what the requests of one call share
 * (the clock, the deadline, who holds the responses) is one object, `RequestCall`.
 */
import { EventLoop } from "../core/index.ts";
import type { LoopPort } from "../lowlevel.ts";
import type { FailedAttempt } from "./attempts.ts";
import { encodeBody } from "./body/outgoing.ts";
import { isReplayable } from "./body/sources.ts";
import type { BodyOptions, OutgoingBody } from "./body/outgoing.ts";
import type { HttpTimeouts, Redirect, RequestSubject } from "./errors.ts";
import type { RequestTrace } from "./events.ts";
import { headerValue, mergeHeaders, withDefaultHeader, withHeader, withoutHeaders } from "./headers.ts";
import type { HeadersInit, OutgoingHeaders } from "./headers.ts";
import type { Holdings } from "./holdings.ts";
import { DEFAULT_MAX_BODY_BYTES, DEFAULT_TIMEOUTS } from "./limits.ts";
import type { PlainRequestOptions } from "./plain-request.ts";
import { CONTENT_HEADERS, CROSS_ORIGIN_HEADERS, relativeTarget, resolveTarget } from "./target.ts";
import type { Target } from "./target.ts";

/** What can be given up. */
export interface Closeable {
  close(): void;
}

/** What all requests of one call share: the first one, its retries, its redirects, what middlewares make of them. @package */
export interface RequestCall {
  readonly loop: LoopPort;
  readonly options: PlainRequestOptions;
  /** When the call was made, on the loop's clock. */
  readonly startedAt: number;
  /** When its total limit ends, on the loop's clock; `Infinity` for never. */
  readonly deadline: number;
  readonly timeouts: HttpTimeouts;
  /** Limit of text, json and bytes. */
  readonly maxBodyBytes: number;
  /** Limit of chunks. */
  readonly maxChunkedBytes: number;
  /** `null` outside a session. */
  readonly holdings: Holdings | null;
  /** `null` when nobody listens. */
  readonly trace: RequestTrace | null;
  /** Attempts that were followed by another one, oldest first. */
  readonly failedAttempts: FailedAttempt[];
  /** Notes a response that may hold something, so that the end of the call finds it. */
  opened(response: Closeable): void;
  /** Holds back all requests of the session to this origin. */
  pauseHost(origin: string, ms: number): void;
}

/** What is sent. @package */
export interface RequestParts {
  readonly method: string;
  readonly target: Target;
  readonly headers: OutgoingHeaders;
  readonly body: OutgoingBody;
}

/** What `request.with` changes. */
export interface RequestChanges {
  readonly method?: string;
  /** Relative to the present one. At another origin, credentials and cookies stay behind unless `headers` gives them anew. */
  readonly url?: string | URL;
  /** Set over the present ones, name by name; `undefined` takes one away. */
  readonly headers?: HeadersInit;
  /** `undefined` takes it away. */
  readonly body?: BodyOptions["body"] | undefined;
}

export class HttpRequest {
  readonly method: string;
  /** Absolute, without credentials and fragment. */
  readonly url: string;
  /** Scheme, host and port. */
  readonly origin: string;
  /** Counts from 1; more than 1 after a retry. */
  readonly attempt: number;
  /** The way to here, oldest first. */
  readonly redirects: readonly Redirect[];
  /** What the call was made with, without what the session adds. */
  readonly options: PlainRequestOptions;
  /** @internal */
  readonly call: RequestCall;
  /** @internal */
  readonly parts: RequestParts;

  /** @internal */
  constructor(call: RequestCall, parts: RequestParts, attempt: number, redirects: readonly Redirect[]) {
    this.method = parts.method;
    this.url = parts.target.url;
    this.origin = parts.target.origin;
    this.attempt = attempt;
    this.redirects = redirects;
    this.options = call.options;
    this.call = call;
    this.parts = parts;
  }

  /**
   * A request of no session: for testing middlewares and transports by themselves.
   * @throws {UsageError} outside a coroutine.
   * @example
   * const response = yield* middleware(HttpRequest.of("GET", "http://h/"), (request) => transport(request));
   */
  static of(method: string, url: string | URL, options: PlainRequestOptions = {}): HttpRequest {
    const target = resolveTarget(method, url, undefined, options.query);
    const subject = { method, url: target.url };
    const headers = mergeHeaders([], options.headers ?? {}, subject);
    return new HttpRequest(new LooseCall(options), requestParts(subject, target, headers, options), 1, []);
  }

  get hasBody(): boolean {
    const { data, stream } = this.parts.body;
    return data !== undefined || stream !== undefined;
  }

  /** Whether it can be sent a second time: `false` when its body is a stream that can be read only once. */
  get isReplayable(): boolean {
    const { stream } = this.parts.body;
    return stream === undefined || isReplayable(stream);
  }

  /** The value that will be sent, several of them joined by ", "; `undefined` when there is none. */
  header(name: string): string | undefined {
    return headerValue(this.parts.headers, name.toLowerCase());
  }

  /** How much of the total limit is left, in milliseconds: never less than 0, `Infinity` without a limit. */
  remainingMs(): number {
    const { deadline, loop } = this.call;
    return deadline === Infinity ? Infinity : Math.max(0, deadline - loop.now());
  }

  /**
   * A copy with changes.
   * @throws {InvalidUrlError} {InvalidRequestError}
   * @example
   * const signed = request.with({ headers: { "x-signature": sign(request.url) } });
   */
  with(changes: RequestChanges): HttpRequest {
    const { method = this.method } = changes;
    let { target, headers, body } = this.parts;
    if (changes.url !== undefined) {
      const moved = relativeTarget(method, this.url, changes.url);
      if (moved.origin !== target.origin) headers = withoutHeaders(headers, CROSS_ORIGIN_HEADERS);
      if (moved.authorization !== undefined) headers = withHeader(headers, "authorization", moved.authorization);
      target = moved;
    }
    const subject = { method, url: target.url };
    if ("body" in changes) headers = withoutHeaders(headers, CONTENT_HEADERS);
    if (changes.headers !== undefined) headers = mergeHeaders(headers, changes.headers, subject);
    if ("body" in changes) {
      const encoded = encodeBody(changes.body === undefined ? {} : { body: changes.body }, headers, subject);
      headers = encoded.headers;
      body = encoded.body;
    }
    return new HttpRequest(this.call, { method, target, headers, body }, this.attempt, this.redirects);
  }

  /** The same, to be sent once more. @internal */
  nextAttempt(): HttpRequest {
    return new HttpRequest(this.call, this.parts, this.attempt + 1, this.redirects);
  }

  /** What it has become by a redirect: the attempts count anew. @internal */
  redirected(parts: RequestParts, step: Redirect): HttpRequest {
    return new HttpRequest(this.call, parts, 1, [...this.redirects, step]);
  }
}

/** The first request of a call, from what the caller gave. @package */
export function requestParts(
  subject: RequestSubject,
  target: Target,
  defaults: OutgoingHeaders,
  options: BodyOptions,
): RequestParts {
  const headers =
    target.authorization === undefined ? defaults : withDefaultHeader(defaults, "authorization", target.authorization);
  const encoded = encodeBody(options, headers, subject);
  return { method: subject.method, target, headers: encoded.headers, body: encoded.body };
}

/** A call without a session. */
class LooseCall implements RequestCall {
  readonly loop: LoopPort;
  readonly options: PlainRequestOptions;
  readonly startedAt: number;
  readonly deadline: number;
  readonly timeouts: HttpTimeouts = DEFAULT_TIMEOUTS;
  readonly maxBodyBytes: number;
  readonly maxChunkedBytes: number;
  readonly holdings: Holdings | null = null;
  readonly trace: RequestTrace | null = null;
  readonly failedAttempts: FailedAttempt[] = [];

  constructor(options: PlainRequestOptions) {
    const loop = EventLoop.current();
    this.loop = loop;
    this.options = options;
    this.startedAt = loop.now();
    this.deadline = this.startedAt + (options.timeout?.totalMs ?? Infinity);
    this.maxBodyBytes = options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
    this.maxChunkedBytes = options.maxBodyBytes ?? Infinity;
  }

  opened(): void {}

  pauseHost(): void {}
}
