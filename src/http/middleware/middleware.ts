/**
 * What stands between the caller and the network: middlewares, and what a session's own features are made of.
 *
 * A middleware is a function around the rest of the way, as in koa and aiohttp: it may change the request, answer by itself, call
 * `next` several times, look at the response or replace it. It is a coroutine, so all of this can wait, and can be
 * cancelled at each wait.
 */
import { describeValue, isOperation, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation } from "../../core/index.ts";
import type { HttpRequest } from "../http-request.ts";
import { HttpResponse } from "../response.ts";
import type { HandshakePolicy } from "../websocket/open.ts";

/** The rest of the way. Each call sends the request once more. */
export type Next = (request: HttpRequest) => Operation<HttpResponse>;

/**
 * Runs for each request that goes out: again after each retry and each redirect.
 *
 * One that gives up a response and goes on should `yield* response.discard()` it first, or its connection is held until the call
 * ends. A body that reads another response is made by `response.with({ body })`, so that the other one stays open.
 *
 * @example
 * function* stamped(request: HttpRequest, next: Next): Coroutine<HttpResponse> {
 *   return yield* next(request.with({ headers: { "x-request-id": makeId() } }));
 * }
 */
export type Middleware = (request: HttpRequest, next: Next) => Operation<HttpResponse>;

/** Answers in place of the network: a mock, a recording, another protocol. */
export type Transport = (request: HttpRequest) => Operation<HttpResponse>;

/** A feature of a session. It is made once for the session, and keeps what its requests share. @package */
export interface Layer<Options = object> {
  /** What stands in the way of one call; `null` when the call goes without. @param options Those of the call. */
  middleware(options: Options): Middleware | null;
  /** What it adds to the handshakes of the session's WebSockets. */
  readonly handshake?: HandshakePolicy | null;
}

/** Options of a session and of a request. */
export interface MiddlewareOptions {
  /**
   * What each request goes through, the first one outermost. Those of a request come after the session's.
   * They run again for each retry and each redirect.
   */
  readonly middleware?: Middleware | readonly Middleware[];
}

/** The middlewares of a session and, inside them, those of a request. @package */
export function middlewareLayer(session: MiddlewareOptions): Layer<MiddlewareOptions> {
  const outer = listOf(session.middleware);
  return {
    middleware(options) {
      const all = options.middleware === undefined ? outer : [...outer, ...listOf(options.middleware)];
      return all.length === 0 ? null : nest(all);
    },
  };
}

/** Several middlewares as one, the first one outermost. */
export function nest(middlewares: readonly Middleware[]): Middleware {
  return (request, next) => {
    let inner = next;
    for (const middleware of [...middlewares].reverse()) {
      const rest = inner;
      inner = (changed) => answerOf("middleware", middleware, middleware(changed, rest));
    }
    return inner(request);
  };
}

function listOf(middleware: MiddlewareOptions["middleware"]): readonly Middleware[] {
  if (middleware === undefined) return [];
  const list: readonly Middleware[] = typeof middleware === "function" ? [middleware] : middleware;
  if (Array.isArray(list) && list.every((it) => typeof it === "function")) return list;
  throw new UsageError(
    `the option \`middleware\` must be a coroutine function or a list of them, got ${describeValue(middleware)}`,
  );
}

/**
 * What a function of the caller's answers, checked at once: an async function in place of a coroutine would say nothing but "undefined is not
 * a function", and a forgotten `return` would come out far from here.
 * @package
 */
export function answerOf(
  what: "middleware" | "transport",
  fn: { readonly name: string },
  operation: Operation<HttpResponse>,
): Operation<HttpResponse> {
  if (isOperation(operation)) return checked(what, fn, operation);
  const isPromise = typeof (operation as Partial<PromiseLike<unknown>> | undefined)?.then === "function";
  throw new UsageError(
    `the ${what} ${nameOf(fn)} must be a coroutine function (function*), but gave ` +
      (isPromise ? "a promise; wrap promises in until()" : describeValue(operation)),
  );
}

function* checked(
  what: string,
  fn: { readonly name: string },
  operation: Operation<HttpResponse>,
): Coroutine<HttpResponse> {
  const response: unknown = yield* operation;
  if (response instanceof HttpResponse) return response;
  throw new UsageError(
    `the ${what} ${nameOf(fn)} must return an HttpResponse, got ${describeValue(response)}; ` +
      "return what next() gives, or HttpResponse.of(request, …)",
  );
}

function nameOf(fn: { readonly name: string }): string {
  return `"${fn.name || "(anonymous)"}"`;
}
