/**
 * The standard `fetch` on the connections of a session, for libraries that take one: API clients, ky, generated SDKs.
 *
 * It is called from promise code, in no task. So each call is a task of the session's loop that belongs to nobody but the session:
 * closing the session ends it. The response belongs to whoever has it; its body is a real `ReadableStream`, which takes from
 * the connection only what is read, and closes it when it is cancelled.
 *
 * What is as the standard says: input, bodies, redirect modes, `AbortSignal`, and that no status is an error. Failures of the network are
 * `TypeError`s with the error of this library as `cause`. What a server-side fetch does not have is not here either: CORS, the
 * cookies and the cache of a browser. `manual` gives the redirect itself, as Node's own fetch does.
 *
 * Source: https://fetch.spec.whatwg.org, §5.
 */
import { CancelledError } from "../core/index.ts";
import type { Coroutine, EventLoop, Operation, Task } from "../core/index.ts";
import type { BodySource } from "./body/outgoing.ts";
import { RequestAbortedError, SessionClosedError } from "./errors.ts";
import { readAhead } from "./fetch-body.ts";
import { toStandardResponse } from "./fetch-response.ts";
import type { RequestOptions } from "./options.ts";
import type { HttpResponse } from "./response.ts";
import { isRedirect } from "./target.ts";

/** The `fetch` of the platform, as far as it makes sense on a server. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** What it needs of a session. */
export interface FetchingSession {
  readonly name: string;
  readonly isClosed: boolean;
  request(method: string, url: string | URL, options: RequestOptions): Operation<HttpResponse>;
}

/** @param calls Takes the tasks that have not ended, so that the session can end them. @package */
export function makeFetch(session: FetchingSession, loop: EventLoop, calls: Set<Task<unknown>>): Fetch {
  return async function fetch(input, init) {
    const order = readOrder(input, init ?? {}); // the standard takes `null` for nothing given
    const { signal } = order;
    if (signal?.aborted === true) throw order.dropBody(signal.reason);
    if (session.isClosed) throw order.dropBody(failed(new SessionClosedError(order, session.name)));
    const task = loop.spawn({ name: `fetch ${order.method}` }, () => perform(session, order));
    calls.add(task);
    try {
      return await task.then((response) => response);
    } catch (error) {
      throw order.dropBody(translate(error, order, session));
    } finally {
      calls.delete(task);
    }
  };
}

/** What is to be fetched, from the two ways to say it. */
interface Order {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: BodySource | ReadableStream<Uint8Array> | undefined;
  /** It is the body of a `Request`, whose source cannot be seen any more. */
  readonly isOpaque: boolean;
  readonly redirect: "follow" | "manual" | "error";
  readonly signal: AbortSignal | undefined;
  /** Lets go of a body that was not sent, and gives back `error`. */
  dropBody(error: unknown): unknown;
}

// What the standard keeps to itself, and what a connection that is shared must not be told by others.
const KEPT_HEADERS: readonly string[] = [
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

const FORM_TYPE = "application/x-www-form-urlencoded;charset=UTF-8"; // the standard's; the session's own leaves out the charset

const REDIRECT_MODES: ReadonlySet<string> = new Set(["follow", "manual", "error"]);
const METHODS_WITHOUT_BODY: ReadonlySet<string> = new Set(["GET", "HEAD"]);
const NORMALIZED: ReadonlySet<string> = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"]);

/** @throws {TypeError} as the standard says. */
function readOrder(input: string | URL | Request, init: RequestInit): Order {
  const request = isRequest(input) ? (init.body === undefined ? new Request(input, init) : input) : null;
  const method = normalized(init.method ?? request?.method ?? "GET");
  const headers = new Headers((init.headers as Headers | undefined) ?? request?.headers);
  for (const name of KEPT_HEADERS) headers.delete(name);
  const given = init.body ?? undefined;
  const isOpaque = given === undefined && request !== null && request.body !== null;
  const body = isOpaque ? request.body! : (given as Order["body"]);
  if (body instanceof URLSearchParams && !headers.has("content-type")) headers.set("content-type", FORM_TYPE);
  if (body !== undefined && METHODS_WITHOUT_BODY.has(method)) {
    throw new TypeError(`fetch: a ${method} request cannot have a body`);
  }
  if (given instanceof ReadableStream && (init as { readonly duplex?: unknown }).duplex !== "half") {
    throw new TypeError('fetch: a stream as body needs the option duplex: "half"');
  }
  const redirect = init.redirect ?? request?.redirect ?? "follow";
  if (!REDIRECT_MODES.has(redirect)) {
    throw new TypeError(`fetch: redirect must be "follow", "manual" or "error", got ${JSON.stringify(redirect)}`);
  }
  return {
    method,
    url: request === null ? String(input as string | URL) : request.url,
    headers,
    body,
    isOpaque,
    redirect,
    signal: init.signal === undefined ? request?.signal : (init.signal ?? undefined),
    dropBody(error) {
      if (body instanceof ReadableStream && !body.locked) void body.cancel(error).catch(() => {});
      return error;
    },
  };
}

function isRequest(input: string | URL | Request): input is Request {
  return typeof input === "object" && input !== null && !(input instanceof URL) && "headers" in input;
}

function normalized(method: string): string {
  const upper = method.toUpperCase();
  return NORMALIZED.has(upper) ? upper : method;
}

function* perform(session: FetchingSession, order: Order): Coroutine<Response> {
  const { method, url, headers, redirect, signal } = order;
  const ahead = order.isOpaque ? yield* readAhead(order.body as ReadableStream<Uint8Array>) : null;
  const body = ahead === null ? (order.body as BodySource | undefined) : ahead.body;
  try {
    const response = yield* session.request(method, url, {
      headers,
      redirect: redirect === "follow" ? "follow" : "manual",
      raiseForStatus: false,
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (redirect === "error" && isRedirect(response.status) && response.headers.has("location")) {
      response.close();
      throw new TypeError(`fetch failed: ${method} ${response.url} was redirected, and redirect is "error"`);
    }
    const standard = toStandardResponse(response, (error) => ended(error));
    response.release();
    return standard;
  } finally {
    ahead?.end();
  }
}

/** What the promise rejects with. */
function translate(error: unknown, order: Order, session: FetchingSession): unknown {
  if (error instanceof RequestAbortedError) return error.reason;
  if (error instanceof TypeError) return error;
  if (error instanceof CancelledError) return failed(new SessionClosedError(order, session.name));
  return failed(error);
}

function failed(cause: unknown): TypeError {
  return new TypeError(`fetch failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
}

/** What the body's stream fails with. */
function ended(error: unknown): unknown {
  return error instanceof RequestAbortedError ? error.reason : new TypeError("terminated", { cause: error });
}
