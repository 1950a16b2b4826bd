/**
 * `fibril/http/server/hono`: handlers of hono 4 that are generator functions.
 *
 * On `@hono/node-server` a client that leaves cancels the handler, by the node response in `c.env.outgoing`; elsewhere, as with `app.request()`,
 * there is nobody who could leave. A handler that does not wait answers without a promise, which is most of what a coroutine
 * would cost here. `c.req.raw.signal` is never touched: it costs a third of the CPU.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Context, Env, Input } from "hono";
import { Future, sequenceOf } from "../../core/index.ts";
import type { Coroutine, Operation, Sequence, SequenceSource } from "../../core/index.ts";
import { toReadableStream } from "../../interop/index.ts";
import { Exchange } from "./exchange.ts";
import type { HandlerSettings } from "./exchange.ts";
import { exposedFailure } from "./failure.ts";
import { checkHandler } from "./listener.ts";
import { Reply } from "./reply.ts";
import type { ReplyChunk } from "./reply.ts";
import { Requests, settingsOf } from "./requests.ts";
import type { HandlerOptions, RequestsOptions, RequestsStatistics } from "./requests.ts";

/** Returns a `Response`, or a `reply` or `eventStream`. */
export type HonoHandler<E extends Env, P extends string, I extends Input> = (
  c: Context<E, P, I>,
) => Operation<Response | Reply>;

/** What `handler` gives: a handler of hono. */
export type PlainHandler<E extends Env, P extends string, I extends Input> = (
  c: Context<E, P, I>,
) => Response | Promise<Response>;

// Types cannot flow from the app through a call into a handler, so what is not said is hono's own default, which is `any`.
// `coroutines<AppEnv>()` says the variables once for all; `c: Context<AppEnv, "/users/:id">` says everything for one handler.
// oxlint-disable-next-line typescript/no-explicit-any -- what hono itself says for it
type Unsaid = any;

/** The coroutines of one app: their limits, their loop, their end. */
export interface HonoCoroutines<AppEnv extends Env = Unsaid> {
  /** See `handler`. */
  handler<E extends Env = AppEnv, P extends string = Unsaid, I extends Input = object>(
    fn: HonoHandler<E, P, I>,
    options?: HandlerOptions,
  ): PlainHandler<E, P, I>;
  statistics(): RequestsStatistics;
  /** Refuses new requests, waits up to `drainMs` (default 0) for those in work, cancels the rest. It begins when the operation is awaited. */
  close(options?: { readonly drainMs?: number }): Operation<void>;
}

/**
 * Handlers with options for all of them.
 * @example
 * const { handler } = coroutines<AppEnv>({ timeoutMs: 5_000, onRequestEnd: log });
 */
export function coroutines<AppEnv extends Env = Unsaid>(options: RequestsOptions = {}): HonoCoroutines<AppEnv> {
  const requests = new Requests(options);
  return {
    handler: (fn, handlerOptions = {}) => {
      checkHandler("handler", fn);
      return handlerOf(() => requests, fn, settingsOf(handlerOptions, requests.settings));
    },
    statistics: () => requests.statistics(),
    close: ({ drainMs = 0 }: { readonly drainMs?: number } = {}) => closeRequests(requests, drainMs),
  };
}

let shared: Requests | null = null;

/**
 * A coroutine as a handler. What it throws goes to the app's `onError`; an `HttpFailure` becomes its problem document there by itself.
 *
 * The task is cancelled when the client goes away, and after `timeoutMs`: 503. All such handlers share one loop.
 * @example
 * app.get("/users/:id", handler(function* (c) { return c.json(yield* loadUser(c.req.param("id"))) }));
 */
export function handler<E extends Env = Unsaid, P extends string = Unsaid, I extends Input = object>(
  fn: HonoHandler<E, P, I>,
  options: HandlerOptions = {},
): PlainHandler<E, P, I> {
  checkHandler("handler", fn);
  return handlerOf(() => (shared ??= new Requests({ name: "hono" })), fn, settingsOf(options));
}

function handlerOf<E extends Env, P extends string, I extends Input>(
  requestsFor: () => Requests,
  fn: HonoHandler<E, P, I>,
  settings: HandlerSettings,
): PlainHandler<E, P, I> {
  return (c) => {
    const requests = requestsFor();
    const exchange = new HonoExchange(requests, settings, fn as unknown as HonoHandler<Env, string, Input>, c as never);
    requests.admit(exchange);
    return exchange.answer();
  };
}

function* closeRequests(requests: Requests, drainMs: number): Coroutine<void> {
  requests.stopAdmitting();
  if (drainMs > 0) yield* requests.untilIdle(drainMs);
  yield* requests.cancelAll();
}

interface NodeBindings {
  readonly incoming?: IncomingMessage;
  readonly outgoing?: ServerResponse;
}

class HonoExchange extends Exchange {
  private readonly fn: HonoHandler<Env, string, Input>;
  private readonly c: Context;
  private result: { readonly response?: Response; readonly error?: unknown } | null = null;
  private resolve: ((response: Response) => void) | null = null;
  private reject: ((error: unknown) => void) | null = null;

  constructor(requests: Requests, settings: HandlerSettings, fn: HonoHandler<Env, string, Input>, c: Context) {
    const node = c.env as NodeBindings | undefined;
    super(requests, settings, node?.incoming ?? null, node?.outgoing ?? null);
    this.fn = fn;
    this.c = c;
  }

  override get method(): string {
    return this.c.req.method;
  }

  override get path(): string {
    return this.c.req.path;
  }

  override get status(): number {
    return this.response === null ? (this.result?.response?.status ?? 500) : super.status;
  }

  protected override get isFramed(): boolean {
    return true;
  }

  /** What hono gets. */
  answer(): Response | Promise<Response> {
    const result = this.result;
    if (result === null) {
      return new Promise((resolve, reject) => {
        this.resolve = resolve;
        this.reject = reject;
      });
    }
    if (result.response === undefined) throw result.error;
    return result.response;
  }

  protected *body(): Coroutine<void> {
    const value = yield* this.fn(this.c);
    if (!(value instanceof Reply)) {
      this.give(value);
      return;
    }
    const { body } = value;
    const { status = body === undefined || body === null ? 204 : 200 } = value;
    const headers = new Headers();
    for (const [name, text] of Object.entries(value.headers ?? {})) {
      for (const one of Array.isArray(text) ? text : [text]) headers.append(name, String(one));
    }
    if (body === undefined || body === null || typeof body === "string" || body instanceof Uint8Array) {
      this.give(new Response((body ?? null) as string | null, { status, headers }));
      return;
    }
    const chunks = new EncodedChunks(sequenceOf(body as SequenceSource<ReplyChunk>));
    this.give(new Response(toReadableStream<Uint8Array>(chunks), { status, headers }));
    if (!this.isClosed) this.watchSending();
    yield* chunks.end; // what feeds the stream belongs to this task
  }

  protected succeeded(): void {}

  protected failed(error: unknown): void {
    const isKnown = this.outcome === "failed";
    this.fail(isKnown ? error : exposedFailure(error));
  }

  override taskSettled(task: never): void {
    super.taskSettled(task);
    this.dropped();
  }

  /** hono writes it, a moment later. */
  protected override handOver(): void {
    this.admission.lookLater(this);
  }

  protected override dropped(): void {
    if (this.result === null) this.give(new Response(null, { status: 499 })); // nobody reads it
  }

  private give(response: Response): void {
    if (this.result !== null) return;
    this.result = { response };
    this.resolve?.(response);
  }

  private fail(error: unknown): void {
    if (this.result !== null) return;
    this.result = { error };
    this.reject?.(error);
  }
}

/** What a web stream takes are bytes; and somebody wants to know when it is over. */
class EncodedChunks implements Sequence<Uint8Array> {
  readonly end: Future<void> = new Future({ name: "the response body to be read", external: true });
  readonly #source: Sequence<ReplyChunk>;

  constructor(source: Sequence<ReplyChunk>) {
    this.#source = source;
  }

  *next(): Coroutine<IteratorResult<Uint8Array, undefined>> {
    const step = yield* this.#source.next();
    if (step.done === true) {
      this.end.tryResolve();
      return step;
    }
    return { done: false, value: typeof step.value === "string" ? Buffer.from(step.value) : step.value };
  }

  close(): Operation<void> | void {
    this.end.tryResolve();
    return this.#source.close?.();
  }
}
