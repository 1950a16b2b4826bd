/**
 * `fibril/http/server/fastify`: route handlers of fastify 5 that are generator functions.
 *
 * What a handler returns goes to `reply.send`, what it throws too, so hooks, schemas, serializers and the error handler work as with async
 * handlers. There is no promise for a request. `request.signal` of fastify is never touched: it aborts when a body
 * has been read, and costs two thirds of the rate.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { UsageError } from "../../core/index.ts";
import type { Coroutine, Operation } from "../../core/index.ts";
import { sequenceOf } from "../../core/index.ts";
import type { SequenceSource } from "../../core/index.ts";
import { toReadable } from "../../interop/node/index.ts";
import { Exchange } from "./exchange.ts";
import { CloseWait } from "./response-waits.ts";
import type { HandlerSettings } from "./exchange.ts";
import { HttpFailure, PROBLEM_TYPE } from "./failure.ts";
import { checkHandler } from "./listener.ts";
import { cutResponse, sendFailure } from "./problem-response.ts";
import { isStream, Reply } from "./reply.ts";
import type { ReplyChunk } from "./reply.ts";
import { checkMs, Requests, settingsOf } from "./requests.ts";
import type { HandlerOptions, RequestsOptions, RequestsStatistics } from "./requests.ts";

export interface CoroutinesOptions extends RequestsOptions {
  /** How long requests in work may go on when the app closes, in milliseconds. Default: 10,000. */
  readonly drainMs?: number;
}

/** A handler of a route. `this` is the app, as in fastify. */
export type FastifyHandler<
  Request extends FastifyRequest = FastifyRequest,
  Reply extends FastifyReply = FastifyReply,
> = (this: FastifyInstance, request: Request, reply: Reply) => Operation<unknown>;

type AnyHandler = (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) => unknown;

interface Wrapped extends AnyHandler {
  [WRAPPED]?: { readonly fn: FastifyHandler; readonly options: HandlerOptions };
}

interface Route {
  readonly url: string;
  handler: AnyHandler;
}

const REQUESTS = Symbol.for("fibril.requests");
const WRAPPED: unique symbol = Symbol("fibril.wrapped");

type Decorated = FastifyInstance & { readonly [REQUESTS]?: Requests };

/**
 * Lets route handlers of this app be generator functions: every route that is added afterwards, in plugins too. When the app closes, its
 * requests get `drainMs`, then they are cancelled.
 *
 * Call it before the routes, or `await app.register(coroutines, options)`.
 * @example
 * coroutines(app, { timeoutMs: 5_000 });
 * app.get("/users/:id", function* (request) { return yield* loadUser(request.params.id) });
 */
export function coroutines(
  app: FastifyInstance,
  options: CoroutinesOptions = {},
  done?: () => void,
): FastifyCoroutines {
  const { drainMs = 10_000 } = options;
  checkMs("drainMs", drainMs);
  if ((app as Decorated)[REQUESTS] !== undefined) throw new UsageError("coroutines() was called for this app already");
  const requests = new Requests(options);
  app.decorate(REQUESTS, requests);
  app.addHook("onRoute", (route) => wrapRoute(route as unknown as Route, requests));
  app.addHook("preClose", (closed) => {
    requests.loop
      .spawn({ name: `close ${requests.name}` }, function* () {
        requests.stopAdmitting();
        yield* requests.untilIdle(drainMs);
        yield* requests.cancelAll();
      })
      .then(
        () => closed(),
        (error: unknown) => closed(error as Error),
      );
  });
  done?.();
  return { statistics: () => requests.statistics() };
}

export interface FastifyCoroutines {
  statistics(): RequestsStatistics;
}

// Otherwise fastify would keep the hook inside the plugin.
Object.assign(coroutines, { [Symbol.for("skip-override")]: true, [Symbol.for("fastify.display-name")]: "fibril" });

/**
 * A handler with options of its own, or one that is not written as a generator function. The app needs `coroutines` too.
 *
 * @throws {UsageError} when it is called in an app without `coroutines`.
 * @example
 * app.post("/orders", handler(placeOrder, { onDisconnect: "detach" }));
 */
export function handler<Request extends FastifyRequest = FastifyRequest, Reply extends FastifyReply = FastifyReply>(
  fn: FastifyHandler<Request, Reply>,
  options: HandlerOptions = {},
): (this: FastifyInstance, request: Request, reply: Reply) => void {
  checkHandler("handler", fn);
  settingsOf(options);
  const unwrapped: Wrapped = () => {
    throw new UsageError("call coroutines(app) before the routes are added, or await app.register(coroutines)");
  };
  unwrapped[WRAPPED] = { fn: fn as unknown as FastifyHandler, options };
  return unwrapped as unknown as (this: FastifyInstance, request: Request, reply: Reply) => void;
}

const GeneratorFunction = function* () {}.constructor as new () => object;

function wrapRoute(route: Route, requests: Requests): void {
  const wrapped = (route.handler as Wrapped)[WRAPPED];
  if (wrapped === undefined && !(route.handler instanceof GeneratorFunction)) return;
  const fn = wrapped?.fn ?? (route.handler as unknown as FastifyHandler);
  const settings = settingsOf(wrapped?.options ?? {}, requests.settings);
  const { url } = route;
  route.handler = function (this: FastifyInstance, request, reply): void {
    requests.admit(new FastifyExchange(requests, settings, fn, this, url, request, reply));
  };
}

class FastifyExchange extends Exchange {
  private readonly fn: FastifyHandler;
  private readonly app: FastifyInstance;
  private readonly fastifyRequest: FastifyRequest;
  private readonly reply: FastifyReply;

  constructor(
    requests: Requests,
    settings: HandlerSettings,
    fn: FastifyHandler,
    app: FastifyInstance,
    url: string,
    request: FastifyRequest,
    reply: FastifyReply,
  ) {
    super(requests, settings, request.raw, reply.raw);
    this.route = url;
    this.fn = fn;
    this.app = app;
    this.fastifyRequest = request;
    this.reply = reply;
  }

  protected override get isFramed(): boolean {
    return true;
  }

  protected *body(): Coroutine<void> {
    const reply = this.reply;
    const value = yield* this.fn.call(this.app, this.fastifyRequest, reply);
    if (reply.sent || value === reply || this.isClosed) return;
    const body = value instanceof Reply ? bodyOf(value, reply) : value;
    if (!isStreamed(body, value instanceof Reply)) {
      reply.send(body);
      return;
    }
    reply.send(toReadable(sequenceOf(body as SequenceSource<ReplyChunk>), { objectMode: false }));
    yield* new CloseWait(this); // what feeds the stream belongs to this task
  }

  protected succeeded(): void {}

  protected failed(error: unknown): void {
    const reply = this.reply;
    if (this.isClosed) return;
    if (reply.sent && !reply.raw.headersSent) {
      // Hijacked: fastify does not want to hear of it, and nobody else is going to answer.
      if (!(error instanceof HttpFailure)) this.admission.reportError(error, this);
      sendFailure(reply.raw, error);
    } else if (reply.raw.headersSent) cutResponse(reply.raw);
    else reply.send(error instanceof Error ? error : new Error(`a handler threw ${String(error)}`));
  }
}

/**
 * An error handler that answers with problem documents and tells nobody what a server keeps to itself. That of fastify sends the
 * message of every error, also of one that nobody has thought of.
 *
 * An `HttpFailure` says what the client gets; an error of fastify with a status below 500 (a schema, a body that is too large) keeps its
 * message; everything else is a bare 500, and goes to the log.
 * @example
 * app.setErrorHandler(problems);
 */
export function problems(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const failure = failureFor(error);
  if (failure.status >= 500 && failure !== error) request.log.error(error);
  const body = JSON.stringify(failure.toProblem());
  void reply.code(failure.status).headers(failure.headers).type(PROBLEM_TYPE).send(body);
}

function failureFor(error: unknown): HttpFailure {
  if (error instanceof HttpFailure) return error;
  const { statusCode, message } = error as { readonly statusCode?: unknown; readonly message?: unknown };
  const isClients = typeof statusCode === "number" && statusCode >= 400 && statusCode < 500;
  return isClients ? new HttpFailure(statusCode, { detail: String(message) }) : new HttpFailure(500);
}

/** Node's streams and web streams fastify knows itself. */
function isStreamed(value: unknown, isBody: boolean): value is object {
  if (value instanceof Uint8Array) return false;
  return isStream(value, isBody) && !("pipe" in value) && !("getReader" in value);
}

/** Tells fastify what else a reply says. */
function bodyOf({ status, headers, body }: Reply, reply: FastifyReply): unknown {
  const isEmpty = body === undefined || body === null;
  if (status !== undefined) reply.code(status);
  else if (isEmpty) reply.code(204);
  if (headers !== undefined) reply.headers(headers as Record<string, string>);
  return isEmpty ? undefined : body;
}
