/**
 * What a handler throws to answer with an error, and how any error becomes an answer: problem details, RFC 9457.
 *
 * What an `HttpFailure` says is meant for the client. The message of every other error is not: it may name hosts, queries,
 * files. So those become a bare status 500, and the error itself goes to `onError`.
 */
import { STATUS_CODES } from "../node-http.ts";
import { describeValue, FibrilError, UsageError } from "../../core/index.ts";

/** The members of a problem document, and what else goes with the answer. */
export interface ProblemDetails {
  /** A URI that names the kind of problem. Default: none, which means `about:blank`. */
  readonly type?: string;
  /** Default: the usual words for the status, `Not Found`. */
  readonly title?: string;
  /** For people, about this very case. The client sees it. */
  readonly detail?: string;
  readonly instance?: string;
  /** Further members of the document. */
  readonly extensions?: Readonly<Record<string, unknown>>;
  /** Headers of the answer, such as `retry-after`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** What caused it. The client does not see it. */
  readonly cause?: unknown;
  /** Default: `HTTP_FAILURE`. Not sent. */
  readonly code?: string;
}

/**
 * Thrown by a handler, it is the answer: `status` with a problem document. fastify and hono know it by their own rules too.
 * Code: `HTTP_FAILURE`.
 *
 * @throws {UsageError} when the status is not one from 400 to 599.
 * @example
 * throw new HttpFailure(404, { detail: `there is no user ${id}` });
 */
export class HttpFailure extends FibrilError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly #details: ProblemDetails;

  constructor(status: number, details: ProblemDetails = {}) {
    if (!Number.isInteger(status) || status < 400 || status > 599) {
      throw new UsageError(`an HttpFailure has a status from 400 to 599, got ${describeValue(status)}`);
    }
    const message = details.detail ?? details.title ?? titleOf(status);
    super(details.code ?? "HTTP_FAILURE", message, details.cause === undefined ? undefined : { cause: details.cause });
    this.status = status;
    this.headers = details.headers ?? NO_HEADERS;
    this.#details = details;
  }

  /** Its status, by the name under which fastify looks for it. */
  get statusCode(): number {
    return this.status;
  }

  /** The document that the client gets. */
  toProblem(): Readonly<Record<string, unknown>> {
    const { type, title, detail, instance, extensions } = this.#details;
    return {
      ...extensions,
      ...(type === undefined ? {} : { type }),
      title: title ?? titleOf(this.status),
      status: this.status,
      ...(detail === undefined ? {} : { detail }),
      ...(instance === undefined ? {} : { instance }),
    };
  }

  /** The answer as a `Response`, which is what hono asks an error for. */
  getResponse(): Response {
    const headers = { ...this.headers, "content-type": PROBLEM_TYPE };
    return new Response(JSON.stringify(this.toProblem()), { status: this.status, headers });
  }
}

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

export const PROBLEM_TYPE = "application/problem+json";

export function titleOf(status: number): string {
  return STATUS_CODES[status] ?? `Status ${status}`;
}

/** The body of the request is larger than allowed: 413. Code: `HTTP_REQUEST_TOO_LARGE`. */
export class RequestTooLarge extends HttpFailure {
  readonly limitBytes: number;

  constructor(limitBytes: number) {
    super(413, {
      code: "HTTP_REQUEST_TOO_LARGE",
      detail: `The request body exceeds the limit of ${limitBytes} bytes.`,
      headers: CLOSE, // what is left of the body is not wanted
    });
    this.limitBytes = limitBytes;
  }
}

const CLOSE: Readonly<Record<string, string>> = Object.freeze({ connection: "close" });

/** The body of the request cannot be read as what it says it is: 400. Code: `HTTP_MALFORMED_REQUEST`. */
export class MalformedRequest extends HttpFailure {
  constructor(detail: string, cause?: unknown) {
    super(400, { code: "HTTP_MALFORMED_REQUEST", detail, cause });
  }
}

/** The body of the request is of a type that the handler does not take: 415. Code: `HTTP_UNSUPPORTED_REQUEST_TYPE`. */
export class UnsupportedRequestType extends HttpFailure {
  constructor(detail: string, headers?: Readonly<Record<string, string>>) {
    super(415, { code: "HTTP_UNSUPPORTED_REQUEST_TYPE", detail, ...(headers === undefined ? {} : { headers }) });
  }
}

/** The client went away in the middle of the request body. Nobody is left to be answered. Code: `HTTP_REQUEST_ABORTED`. */
export class RequestAborted extends HttpFailure {
  constructor() {
    super(400, { code: "HTTP_REQUEST_ABORTED", detail: "The request body did not come to its end." });
  }
}

/** The client went away, and the response goes on to nobody. Only with `onDisconnect: "ignore"` and `"detach"`. Code: `HTTP_CLIENT_GONE`. */
export class ClientGone extends FibrilError {
  constructor(what: string) {
    super("HTTP_CLIENT_GONE", `${what}: the client has closed the connection, nobody reads the response any more`);
  }
}

/** Why a request was not served: 503 with `retry-after`. */
export function overloaded(retryAfterMs: number): HttpFailure {
  return new HttpFailure(503, {
    detail: "The server is busy; try again later.",
    headers: { "retry-after": String(Math.max(1, Math.ceil(retryAfterMs / 1000))) },
  });
}

/** The deadline of the request has passed: 503. */
export function outOfTime(): HttpFailure {
  return new HttpFailure(503, { detail: "The request took too long." });
}

/** The server ends: 503, and the connection is not to be used again. */
export function shuttingDown(): HttpFailure {
  return new HttpFailure(503, { detail: "The server is shutting down.", headers: CLOSE });
}

/** Whoever else cancelled the task of the request. */
export function wasCancelled(): HttpFailure {
  return new HttpFailure(503, { detail: "The request was cancelled." });
}

/** What the client may see of any error. */
export function exposedFailure(error: unknown): HttpFailure {
  return error instanceof HttpFailure ? error : new HttpFailure(500);
}
