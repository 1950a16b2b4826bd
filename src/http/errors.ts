/**
 * What can go wrong with a request, one class per cause.
 *
 * All of them carry `method` and `url`; credentials are taken out of a URL before it gets anywhere near a message, and a
 * message names host and path only, because queries often hold secrets too. `cause` is the error of undici, of the
 * socket or of the parser, as it was.
 *
 * `HttpTimeoutError` is a `TimeoutError` of the kernel, so that one `catch` serves all timeouts. It cannot have two base
 * classes, so `instanceof HttpError` asks for it by name.
 */
import { FibrilError, TimeoutError } from "../core/index.ts";

/** Which request an error is about. */
export interface RequestSubject {
  readonly method: string;
  /** Without user name and password. */
  readonly url: string;
}

/** The part of a request that took too long. */
export type HttpPhase = "queue" | "connect" | "headers" | "body" | "total";

/** Base of everything that this folder throws. `error instanceof HttpError` also holds for `HttpTimeoutError`. */
export class HttpError extends FibrilError {
  readonly method: string;
  readonly url: string;

  constructor(code: string, message: string, subject: RequestSubject, options?: ErrorOptions) {
    super(code, message, options);
    this.method = subject.method;
    this.url = subject.url;
  }

  static override [Symbol.hasInstance](this: unknown, value: unknown): boolean {
    if (typeof this !== "function" || typeof value !== "object" || value === null) return false;
    const isOwn = (this.prototype as object).isPrototypeOf(value);
    return isOwn || (this === HttpError && value instanceof HttpTimeoutError);
  }
}

/** No connection came about: refused, unknown host, TLS. Nothing was sent. Code: `HTTP_CONNECT`. */
export class ConnectError extends HttpError {
  /** `ECONNREFUSED`, `ENOTFOUND`, `DEPTH_ZERO_SELF_SIGNED_CERT`, … as Node names it. */
  readonly systemCode: string | undefined;

  constructor(subject: RequestSubject, origin: string, cause: unknown) {
    const systemCode = systemCodeOf(cause);
    super(
      "HTTP_CONNECT",
      `${describeRequest(subject)} could not connect to ${origin}: ${messageOf(cause)}; ` +
        "check the address and that the server is running",
      subject,
      { cause },
    );
    this.systemCode = systemCode;
  }
}

/** A phase of the request took too long. Code: `HTTP_TIMEOUT`. */
export class HttpTimeoutError extends TimeoutError {
  override readonly code: string = "HTTP_TIMEOUT";
  readonly phase: HttpPhase;
  readonly method: string;
  readonly url: string;

  constructor(subject: RequestSubject, phase: HttpPhase, limitMs: number, waitedFor: string | null = null) {
    super(`${describeRequest(subject)}: ${PHASE_GOALS[phase]}`, limitMs, undefined, waitedFor);
    this.message += `; if that is too strict, raise timeout.${PHASE_OPTIONS[phase]}`;
    this.phase = phase;
    this.method = subject.method;
    this.url = subject.url;
  }
}

/** The option that sets the limit of each phase. */
export const PHASE_OPTIONS: Readonly<Record<HttpPhase, keyof HttpTimeouts>> = {
  queue: "queueMs",
  connect: "connectMs",
  headers: "headersMs",
  body: "idleMs",
  total: "totalMs",
};

// Completes "http GET host/path: … did not end within 10 ms".
const PHASE_GOALS: Readonly<Record<HttpPhase, string>> = {
  queue: "the wait for a free connection",
  connect: "connecting",
  headers: "the wait for the response headers",
  body: "a silence in the response body",
  total: "the whole request",
};

/** Limits in milliseconds; `Infinity` means none. None is rounded. */
export interface HttpTimeouts {
  /** Waiting in line for a free connection. Default: none. */
  readonly queueMs: number;
  /** Name look-up, TCP and TLS. Default: 10 s. */
  readonly connectMs: number;
  /**
   * From the request, or a piece of its body, on its way to the next piece or the response headers; an interim answer (1xx) starts it anew, at
   * most 100 times. Default: 60 s.
   */
  readonly headersMs: number;
  /** The longest silence inside the response body while it is being read. Default: 60 s. */
  readonly idleMs: number;
  /** All of it, from the call to the end of the body, with the wait in line and all redirects. Default: none. */
  readonly totalMs: number;
}

/** The headers of a response, see `ResponseHeaders`. */
interface HeaderLookup {
  get(name: string): string | undefined;
  getAll(name: string): readonly string[];
  has(name: string): boolean;
}

/** The response has a status that was not wanted (`raiseForStatus`). Code: `HTTP_STATUS`. */
export class ResponseError extends HttpError {
  readonly status: number;
  /** The beginning of the body, at most 1 KiB. */
  readonly excerpt: string;
  /** Those of the response: `retry-after`, a request id. */
  readonly headers: HeaderLookup;

  constructor(subject: RequestSubject, status: number, excerpt: string, headers: HeaderLookup) {
    const shown = excerpt === "" ? "" : `: ${oneLine(excerpt, 200)}`;
    super("HTTP_STATUS", `${describeRequest(subject)} was answered with status ${status}${shown}`, subject);
    this.status = status;
    this.excerpt = excerpt;
    this.headers = headers;
  }
}

/** One redirect after another. Code: `HTTP_TOO_MANY_REDIRECTS`. */
export class TooManyRedirects extends HttpError {
  /** The way that was gone, oldest first. */
  readonly redirects: readonly Redirect[];

  constructor(subject: RequestSubject, redirects: readonly Redirect[]) {
    super(
      "HTTP_TOO_MANY_REDIRECTS",
      `${describeRequest(subject)} was redirected more than ${redirects.length - 1} times, last to ` +
        `${withoutQuery(redirects.at(-1)?.location ?? "")}; look for a loop, or raise maxRedirects`,
      subject,
    );
    this.redirects = redirects;
  }
}

/** One step of a redirected request. */
export interface Redirect {
  readonly status: number;
  /** Where the request was sent. */
  readonly url: string;
  /** Where it was sent on to. */
  readonly location: string;
}

/** The response body is larger than allowed; its connection was closed. Code: `HTTP_BODY_TOO_LARGE`. */
export class BodyTooLarge extends HttpError {
  readonly limitBytes: number;
  /** Whether it is what the body was decoded to that is too large, and not what came over the network. */
  readonly decoded: boolean;

  /** @param advice What to do about it. Default: to raise `maxBodyBytes`. */
  constructor(
    subject: RequestSubject,
    limitBytes: number,
    size: string,
    decoded = false,
    advice = "raise maxBodyBytes, or read it with chunk()",
  ) {
    super(
      "HTTP_BODY_TOO_LARGE",
      `${describeRequest(subject)}: the response body (${size}) exceeds the limit of ${limitBytes} bytes; ${advice}`,
      subject,
    );
    this.limitBytes = limitBytes;
    this.decoded = decoded;
  }
}

/** What was wrong with the exchange. */
export type ProtocolProblem =
  /** the peer closed the connection before the response was complete */
  | "closed"
  /** the connection was reset or broke */
  | "reset"
  /** the response did not have the length that it announced */
  | "wrong-length"
  /** what came is not HTTP */
  | "malformed"
  /** the response headers exceed Node's limit */
  | "headers-too-large";

/** The connection stood, and the exchange on it broke. Code: `HTTP_PROTOCOL`. */
export class ProtocolError extends HttpError {
  readonly problem: ProtocolProblem;
  /** Whether the response headers had come. */
  readonly afterHeaders: boolean;
  /** Whether the connection had served a request before: then the peer may just have closed it for being idle. */
  readonly reusedConnection: boolean;

  constructor(
    subject: RequestSubject,
    problem: ProtocolProblem,
    details: { readonly afterHeaders: boolean; readonly reusedConnection: boolean; readonly cause: unknown },
  ) {
    const when = details.afterHeaders ? "in the response body" : "before the response headers";
    const hint =
      details.reusedConnection && !details.afterHeaders
        ? "; the connection had been idle, so a request that may be repeated can simply be tried again"
        : "";
    super(
      "HTTP_PROTOCOL",
      `${describeRequest(subject)}: ${PROBLEMS[problem]} ${when} (${messageOf(details.cause)})${hint}`,
      subject,
      { cause: details.cause },
    );
    this.problem = problem;
    this.afterHeaders = details.afterHeaders;
    this.reusedConnection = details.reusedConnection;
  }
}

const PROBLEMS: Readonly<Record<ProtocolProblem, string>> = {
  closed: "the server closed the connection",
  reset: "the connection broke",
  "wrong-length": "the response does not have the length that it announced,",
  malformed: "the response is not valid HTTP,",
  "headers-too-large": "the response headers are too large,",
};

/** The URL cannot be requested. Code: `HTTP_INVALID_URL`. */
export class InvalidUrlError extends HttpError {
  constructor(method: string, url: string, problem: string, options?: ErrorOptions) {
    const shown = withoutCredentials(url);
    super("HTTP_INVALID_URL", `cannot request ${JSON.stringify(shown)}: ${problem}`, { method, url: shown }, options);
  }
}

/** The request itself is wrong: a header, the method, an option, a piece of the body. Code: `HTTP_INVALID_REQUEST`. */
export class InvalidRequestError extends HttpError {
  constructor(subject: RequestSubject, problem: string, options?: ErrorOptions) {
    super("HTTP_INVALID_REQUEST", `${describeRequest(subject)} was not sent: ${problem}`, subject, options);
  }
}

/** A 307 or 308 asks for the body again, and it was a stream that is used up. Code: `HTTP_BODY_CONSUMED`. */
export class BodyConsumedError extends HttpError {
  constructor(subject: RequestSubject, status: number) {
    super(
      "HTTP_BODY_CONSUMED",
      `${describeRequest(subject)} was redirected with status ${status}, which asks for the request body again, but that was a ` +
        "stream and is used up; send a string, bytes or an iterable that can be iterated twice, or request the final URL",
      subject,
    );
  }
}

/** The response body cannot be decoded as asked: no JSON, unknown charset. Code: `HTTP_DECODE`. */
export class DecodeError extends HttpError {
  constructor(subject: RequestSubject, problem: string, cause: unknown) {
    super("HTTP_DECODE", `${describeRequest(subject)}: ${problem}: ${messageOf(cause)}`, subject, { cause });
  }
}

/** The body was read after its response had been closed. Code: `HTTP_RESPONSE_CLOSED`. */
export class ResponseClosedError extends HttpError {
  constructor(subject: RequestSubject) {
    super(
      "HTTP_RESPONSE_CLOSED",
      `${describeRequest(subject)}: the response was closed before its body had ended, by close(), or by the end of the scope ` +
        "that asked for it; read the body inside that scope",
      subject,
    );
  }
}

/**
 * The `signal` of the request, or of its session, has aborted. `reason` and `cause` are what it aborted with: an `AbortError`
 * (`DOMException`) unless `abort(reason)` was given another one. Code: `HTTP_ABORTED`.
 */
export class RequestAbortedError extends HttpError {
  readonly reason: unknown;

  constructor(subject: RequestSubject, reason: unknown) {
    super("HTTP_ABORTED", `${describeRequest(subject)} was aborted by its signal: ${messageOf(reason)}`, subject, {
      cause: reason,
    });
    this.reason = reason;
  }
}

/** The session was closed while the request was under way, or before it began. Code: `HTTP_SESSION_CLOSED`. */
export class SessionClosedError extends HttpError {
  constructor(subject: RequestSubject, session: string) {
    super(
      "HTTP_SESSION_CLOSED",
      `${describeRequest(subject)} has no session any more: session "${session}" is closed; ` +
        "keep requests and their responses inside the scope that opened it",
      subject,
    );
  }
}

/** What a wait and a message call a request: method, host, path. */
export function describeRequest(subject: RequestSubject): string {
  return `http ${subject.method} ${withoutQuery(subject.url).replace(/^https?:\/\//, "")}`;
}

function withoutQuery(url: string): string {
  const end = url.search(/[?#]/);
  return end === -1 ? url : url.slice(0, end);
}

export function withoutCredentials(url: string): string {
  return url.replace(/^([^/?#]*)\/\/[^/?#]*@/, "$1//***@");
}

function systemCodeOf(cause: unknown): string | undefined {
  const code = (cause as { readonly code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}

function messageOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  // Several addresses were tried: the message of the whole is empty, those of the parts say why.
  if (cause instanceof AggregateError && cause.message === "") return cause.errors.map(messageOf).join(", ");
  return cause.message === "" ? (systemCodeOf(cause) ?? cause.name) : cause.message;
}

function oneLine(text: string, length: number): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > length ? `${line.slice(0, length)}…` : line;
}
