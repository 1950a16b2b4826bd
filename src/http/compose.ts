/**
 * The composed path: what a request goes through when its session, or the call, asks for more than to be sent.
 *
 *     total limit → redirects → retries → middlewares → cookies → authentication → cache → circuit breaker → network
 *
 * Everything below the redirects runs again for each redirect, everything below the retries for each attempt: a signature is made
 * anew, cookies are chosen for the host that is asked, and the breaker counts every try. A plain request never comes here;
 * it is one wait (see `request.ts`), and the rules of redirects are shared through `target.ts`.
 *
 * Each feature is a `Layer`, made once for a session, and one line in `SLOTS`. It has one option of the same name in the session and in
 * the request. The chain of middlewares knows nothing of a single call, so it is built once and used by all calls that
 * change nothing.
 */
import { currentScope, currentTask, describeValue, Scope, UsageError } from "../core/index.ts";
import type { Coroutine, Operation } from "../core/index.ts";
import { ComposedCall } from "./call.ts";
import { describeRequest, HttpTimeoutError, RequestAbortedError, SessionClosedError } from "./errors.ts";
import { checkSignal } from "../interop/signal-watch.ts";
import type { HttpRequest } from "./http-request.ts";
import { authLayer } from "./middleware/auth.ts";
import { cacheLayer } from "./middleware/cache.ts";
import { circuitBreakerLayer } from "./middleware/circuit-breaker.ts";
import { cookieLayer } from "./middleware/cookies.ts";
import { answerOf, middlewareLayer } from "./middleware/middleware.ts";
import type { Layer, Middleware, Next } from "./middleware/middleware.ts";
import { retryLayer } from "./middleware/retry.ts";
import type { RequestOptions, SessionDefaults } from "./options.ts";
import { nextHop } from "./redirect.ts";
import type { HttpResponse } from "./response.ts";
import { ExchangeWait } from "./send.ts";
import { checkLoop } from "./session-context.ts";
import type { SessionContext } from "./session-context.ts";
import type { HandshakePolicy } from "./websocket/open.ts";

interface Slot {
  /** Of the session and of the request. */
  readonly option: keyof RequestOptions & keyof SessionDefaults;
  readonly layer: (options: SessionDefaults) => Layer<RequestOptions>;
}

/** The features, outermost first. */
const SLOTS: readonly Slot[] = [
  { option: "retry", layer: retryLayer },
  { option: "middleware", layer: middlewareLayer },
  { option: "cookies", layer: cookieLayer },
  { option: "auth", layer: authLayer },
  { option: "cache", layer: cacheLayer },
  { option: "circuitBreaker", layer: circuitBreakerLayer },
];

/** Whether a session with these options needs the pipeline for every request. */
export function needsPipeline(options: SessionDefaults): boolean {
  return options.transport !== undefined || asksForMore(options);
}

/** Whether a request with these options needs the pipeline. */
export function asksForMore(options: RequestOptions | SessionDefaults): boolean {
  if (options.signal !== undefined) return true;
  for (const { option } of SLOTS) {
    const value: unknown = options[option];
    if (value !== undefined && value !== false) return true;
  }
  return false;
}

export class Pipeline {
  readonly #context: SessionContext;
  readonly #options: SessionDefaults;
  /** In the order of the slots. */
  readonly #layers: readonly Layer<RequestOptions>[];
  /** For calls without options of their own. */
  readonly #chain: Next;

  /** @param parent Whose layers it shares as far as `changes` say nothing about them. */
  constructor(
    context: SessionContext,
    options: SessionDefaults,
    parent: Pipeline | null = null,
    changes: SessionDefaults = options,
  ) {
    this.#context = context;
    this.#options = options;
    const { transport } = options;
    if (transport !== undefined && typeof transport !== "function") {
      throw new UsageError(`the option \`transport\` must be a coroutine function, got ${describeValue(transport)}`);
    }
    if (options.signal !== undefined) checkSignal("the option `signal` of a session", options.signal);
    this.#layers = SLOTS.map(({ option, layer }, index) =>
      parent !== null && changes[option] === undefined ? parent.#layers[index]! : layer(options),
    );
    this.#chain = this.#chainFor({});
  }

  /** What the features add to the handshakes of WebSockets. */
  get handshakes(): readonly HandshakePolicy[] {
    return this.#layers.flatMap(({ handshake }) => handshake ?? []);
  }

  /** Sends a request through everything; see `Session#request`. As a plain request, the operation may be run again. */
  send(method: string, url: string | URL, options: RequestOptions): Operation<HttpResponse> {
    return { [Symbol.iterator]: () => this.#run(method, url, options) };
  }

  *#run(method: string, url: string | URL, options: RequestOptions): Coroutine<HttpResponse> {
    checkLoop(this.#context, currentTask().loop);
    const call = new ComposedCall(this.#context, this.#options.signal, method, url, options);
    const chain = hasSlots(options) ? this.#chainFor(options) : this.#chain;
    if (this.#context.pool.isClosed) throw new SessionClosedError(call.first, this.#context.sessionName);
    currentScope(); // the task's own, so that the response finds it on its way outwards
    const scope = Scope.enter({ name: describeRequest(call.first) });
    let response: HttpResponse | undefined;
    try {
      scope.deadline = call.deadline;
      call.begin(scope);
      response = yield* scope.run(this.#follow(call, chain));
      if (scope.cancelled !== null) throw endOf(scope, call);
      response!.adopt();
      call.answered(response!);
      return response!;
    } catch (error) {
      call.failed();
      throw error;
    }
  }

  *#follow(call: ComposedCall, chain: Next): Coroutine<HttpResponse> {
    let request = call.first;
    for (;;) {
      const response = yield* chain(request);
      const next = nextHop(request, response, call.maxRedirects);
      if (next === null) return yield* response.raiseForStatus(call.raiseForStatus);
      call.trace?.redirect(request, request.attempt, response.status, next.url);
      yield* response.discard();
      request = next;
    }
  }

  #chainFor(options: RequestOptions): Next {
    const { transport } = this.#options;
    const send: Next = (request) => new ExchangeWait(this.#context, request);
    let next = transport === undefined ? send : answering(transport);
    for (let i = this.#layers.length - 1; i >= 0; i--) {
      const middleware = this.#layers[i]!.middleware(options);
      if (middleware !== null) next = around(middleware, next);
    }
    return next;
  }
}

function hasSlots(options: RequestOptions): boolean {
  return SLOTS.some(({ option }) => options[option] !== undefined);
}

function around(middleware: Middleware, next: Next): Next {
  return (request) => middleware(request, next);
}

function answering(transport: (request: HttpRequest) => Operation<HttpResponse>): Next {
  return (request) => answerOf("transport", transport, transport(request));
}

/** The error of a call whose scope was cancelled. */
function endOf(scope: Scope, call: ComposedCall): unknown {
  const { source, reason } = scope.cancelled!;
  if (source === "abort-signal") return new RequestAbortedError(call.first, reason);
  if (source !== "deadline") return scope.asError();
  return new HttpTimeoutError(call.first, "total", call.timeouts.totalMs, scope.waitedFor);
}
