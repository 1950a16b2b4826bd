/**
 * Coroutines as listeners of a node server: `createServer(listener(function* (request, response) { … }))`.
 *
 * Two kinds of handler. The raw one gets what node gives and writes the response itself; a `Handler` gets a `ServerRequest`
 * and returns its answer. Both work with node:http, node:https and the compatibility interface of node:http2.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { currentScope, describeValue, running, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation } from "../../core/index.ts";
import { Exchange } from "./exchange.ts";
import type { Admission, HandlerSettings } from "./exchange.ts";
import { sendFailure } from "./problem-response.ts";
import { pump, send } from "./reply.ts";
import type { Answer } from "./reply.ts";
import { Requests } from "./requests.ts";
import type { RequestsOptions, RequestsStatistics } from "./requests.ts";
import { ServerRequest } from "./server-request.ts";

/** Returns its answer: a `reply`, text, bytes, nothing (204), a source of chunks, or a value that is written as JSON. */
export type Handler = (request: ServerRequest) => Operation<Answer>;

/** Writes the response itself. It is ended when the handler returns, if it has not been. */
export type RawHandler = (request: IncomingMessage, response: ServerResponse) => Operation<unknown>;

/** A listener for `createServer` of node:http, node:https and node:http2. */
export interface RequestListener {
  (request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse): void;
  statistics(): RequestsStatistics;
  /**
   * Refuses new requests, waits up to `drainMs` (default 0) for those in work, cancels the rest and waits for their cleanup. It begins when
   * the operation is awaited.
   */
  close(options?: { readonly drainMs?: number }): Operation<void>;
}

/**
 * A coroutine as the listener of a server. Each request is a task, `GET /path`; it is cancelled when the client goes away.
 *
 * What it throws is answered with problem+json: an `HttpFailure` as it says, everything else with 500, and told to `onError`.
 * Inside a coroutine the listener belongs to the current scope: at its end it is closed, the handlers are cancelled.
 *
 * @example
 * const server = createServer(listener(function* (request, response) {
 *   response.end(yield* render(request.url));
 * }));
 */
export function listener(handler: RawHandler, options: RequestsOptions = {}): RequestListener {
  checkHandler("listener", handler);
  const requests = new Requests(options);
  closeWithScope(requests);
  return listenerOf(requests, (request, response) => new RawExchange(requests, handler, request, response));
}

/**
 * Like `listener`, for a handler that returns its answer.
 *
 * @example
 * const server = createServer(answering(function* (request) {
 *   return { hello: request.query.get("name") };
 * }));
 */
export function answering(handler: Handler, options: RequestsOptions = {}): RequestListener {
  checkHandler("answering", handler);
  const requests = new Requests(options);
  closeWithScope(requests);
  return answeringListener(requests, handler);
}

/** @package */
export function answeringListener(requests: Requests, handler: Handler): RequestListener {
  return listenerOf(requests, (request, response) => new AnswerExchange(requests, handler, request, response));
}

function listenerOf(
  requests: Requests,
  exchangeFor: (request: IncomingMessage, response: ServerResponse) => Exchange,
): RequestListener {
  const listen = (request: IncomingMessage, response: ServerResponse): void => {
    requests.admit(exchangeFor(request, response));
  };
  return Object.assign(listen as (request: object, response: object) => void, {
    statistics: () => requests.statistics(),
    close: ({ drainMs = 0 }: { readonly drainMs?: number } = {}) => closeRequests(requests, drainMs),
  });
}

function* closeRequests(requests: Requests, drainMs: number): Coroutine<void> {
  requests.stopAdmitting();
  if (drainMs > 0) yield* requests.untilIdle(drainMs);
  yield* requests.cancelAll();
}

function closeWithScope(requests: Requests): void {
  if (running.task !== null) currentScope().defer(() => requests.cancelAll());
}

/** @throws {UsageError} */
export function checkHandler(what: string, handler: unknown): void {
  if (typeof handler === "function") return;
  throw new UsageError(`${what}() takes a coroutine function as its handler, got ${describeValue(handler)}`);
}

class RawExchange extends Exchange {
  private readonly handler: RawHandler;

  constructor(
    requests: Admission & { readonly settings: HandlerSettings },
    handler: RawHandler,
    request: IncomingMessage,
    response: ServerResponse,
  ) {
    super(requests, requests.settings, request, response);
    this.handler = handler;
  }

  protected body(): Operation<unknown> {
    return this.handler(this.request!, this.response!);
  }

  protected succeeded(): void {
    if (!this.isClosed && !this.response!.writableEnded) this.response!.end();
  }

  protected failed(error: unknown): void {
    if (!this.isClosed) sendFailure(this.response!, error);
  }
}

class AnswerExchange extends Exchange {
  private readonly handler: Handler;

  constructor(
    requests: Admission & { readonly settings: HandlerSettings },
    handler: Handler,
    request: IncomingMessage,
    response: ServerResponse,
  ) {
    super(requests, requests.settings, request, response);
    this.handler = handler;
  }

  /** The answer is written inside the task, so that a stream is part of it, and what feeds the stream too. */
  protected body(): Operation<unknown> {
    return answer(this, this.handler);
  }

  protected succeeded(): void {}

  protected failed(error: unknown): void {
    if (!this.isClosed) sendFailure(this.response!, error);
  }
}

function* answer(exchange: Exchange, handler: Handler): Coroutine<void> {
  const stream = send(exchange, yield* handler(new ServerRequest(exchange)));
  if (stream !== null) yield* pump(exchange, stream);
}
