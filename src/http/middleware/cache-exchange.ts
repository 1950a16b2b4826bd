/**
 * One request between the cache and the network: the interceptor's callbacks on one side, waits on the other.
 *
 * The interceptor pushes, a coroutine pulls. What it asks of the network is noted in `asked`, and the coroutine that sent
 * the request carries it out, in its own task: so a request for the network, a revalidation too, is cancelled and limited like
 * any other. The body goes through the interceptor piece by piece as it is read, so what nobody reads to its end is not kept.
 *
 *     request → cache ─ hit ─────────────────────────────→ head, pieces
 *                     └ asked → network → its handler ───→ head, pieces   (or again: asked)
 */
import { Future } from "../../core/index.ts";
import type { Coroutine, Operation, Sequence } from "../../core/index.ts";
import { describeRequest } from "../errors.ts";
import type { HttpRequest } from "../http-request.ts";
import { HttpResponse } from "../response.ts";
import { isRedirect } from "../target.ts";
import type { Next } from "./middleware.ts";
import type { CacheController, CacheDispatchOptions, CacheHandler, CacheHeaders } from "./cache-package.ts";

/** What the cache asks of the network: the request, and who is to be told. */
interface Asked {
  readonly options: CacheDispatchOptions;
  readonly handler: CacheHandler;
}

interface Head {
  readonly status: number;
  readonly headers: CacheHeaders;
  readonly statusText: string;
}

const MOST_OF_REDIRECT = 16 * 1024; // bytes; there is a line of text and a link in it

/** What those who ask in vain are told; they hold nothing. */
const GIVEN_UP = new Error("the request was given up");

/** For what the network side may be told; the network is pulled, so there is nothing to pause. */
class NetworkController implements CacheController {
  readonly paused = false;
  readonly rawHeaders: readonly string[] = [];
  readonly rawTrailers: readonly string[] = [];
  aborted = false;
  reason: unknown = null;

  abort(reason: unknown): void {
    this.aborted = true;
    this.reason = reason;
  }

  pause(): void {}

  resume(): void {}
}

export class CacheExchange implements CacheHandler, Sequence<Uint8Array> {
  readonly #request: HttpRequest;
  #asked: Asked | null = null;
  #head: Head | null = null;
  #pieces: Uint8Array[] = [];
  #state: "open" | "ended" | "failed" = "open";
  #error: unknown = undefined;
  #change: Future<void> | null = null;
  /** What a 304, or an error that something old stands in for, has set. */
  #setCookies: readonly string[] = [];
  /** Who pushes when the answer comes from the store. */
  #storeController: CacheController | null = null;
  /** Where the body is pulled from when the answer comes from the network. */
  #network: {
    readonly response: HttpResponse;
    readonly handler: CacheHandler;
    readonly controller: NetworkController;
  } | null = null;

  constructor(request: HttpRequest) {
    this.#request = request;
  }

  /** The interceptor's way to the network. */
  ask(options: CacheDispatchOptions, handler: CacheHandler): void {
    if (this.#head === null) {
      this.#asked = { options, handler };
      this.#changed();
    } else {
      // It refreshes behind the back of an answer that was given already (stale-while-revalidate): nobody would wait for that.
      handler.onResponseError?.(new NetworkController(), GIVEN_UP);
    }
  }

  /** Carries out what the cache asks for, until there is an answer. */
  *answer(next: Next): Coroutine<HttpResponse> {
    try {
      for (;;) {
        const asked = this.#asked;
        this.#asked = null;
        if (asked !== null) yield* this.#askNetwork(asked, next);
        else if (this.#head !== null) return this.#response(this.#head);
        else if (this.#state === "failed") throw this.#error;
        else yield* this.#untilChanged();
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  *#askNetwork({ options, handler }: Asked, next: Next): Coroutine<void> {
    const controller = new NetworkController();
    let response: HttpResponse;
    try {
      response = yield* next(this.#request.with({ headers: conditions(options.headers) }));
    } catch (error) {
      if (!(error instanceof Error)) throw error; // it was cancelled
      handler.onResponseError?.(controller, error); // it may have something old for this case
      return;
    }
    const headers = recordOf(response);
    handler.onRequestStart?.(controller, null);
    handler.onResponseStart?.(controller, response.status, headers, response.statusText);
    if (this.#head?.headers === headers) {
      this.#network = { response, handler, controller };
      if (isRedirect(response.status)) yield* this.#takeIn();
      return;
    }
    this.#setCookies = response.headers.getAll("set-cookie");
    yield* response.discard();
    handler.onResponseEnd?.(controller, {});
  }

  #response({ status, headers, statusText }: Head): HttpResponse {
    const network = this.#network;
    if (network === null) {
      const hasBody = this.#state === "open" || this.#pieces.length > 0;
      // A cookie is set when the server says so, not each time that somebody looks: it may have been replaced since.
      const set = this.#setCookies.length === 0 ? undefined : this.#setCookies;
      const fields = { ...asInit(headers), "set-cookie": set };
      const parts = { status, statusText, headers: fields, ...(hasBody ? { body: this } : {}) };
      const response = HttpResponse.of(this.#request, parts);
      if (headers["age"] !== undefined) response.markCached(); // else it is the 504 of only-if-cached
      return response;
    }
    const { response } = network;
    const gone = response.decodedFrom.length === 0 ? {} : { headers: DECODED };
    return response.with({ ...gone, body: this });
  }

  // The body

  *next(): Coroutine<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      const value = this.#pieces.shift();
      if (value !== undefined) return { done: false, value };
      if (this.#state === "ended") return { done: true, value: undefined };
      if (this.#state === "failed") throw this.#error;
      if (this.#network === null) yield* this.#untilChanged();
      else yield* this.#pull();
    }
  }

  /** Nobody reads the body of a redirect, but it has to have passed for the redirect to be kept. */
  *#takeIn(): Coroutine<void> {
    for (
      let bytes = 0;
      this.#state === "open" && bytes < MOST_OF_REDIRECT;
      bytes += this.#pieces.at(-1)?.byteLength ?? 0
    ) {
      yield* this.#pull();
    }
  }

  *#pull(): Coroutine<void> {
    const { response, handler, controller } = this.#network!;
    let chunk: Uint8Array | undefined;
    try {
      chunk = yield* response.chunk();
    } catch (error) {
      if (error instanceof Error) handler.onResponseError?.(controller, error);
      throw error;
    }
    if (chunk === undefined) handler.onResponseEnd?.(controller, {});
    else handler.onResponseData?.(controller, chunk);
  }

  /** Gives the rest up: nothing is kept of what was not read to its end. */
  close(): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    this.#pieces = [];
    this.#storeController?.abort(GIVEN_UP);
    const network = this.#network;
    network?.handler.onResponseError?.(network.controller, GIVEN_UP);
    network?.response.close();
  }

  // From the interceptor

  onRequestStart(controller: CacheController): void {
    this.#storeController = controller;
    if (this.#state !== "open") controller.abort(GIVEN_UP);
  }

  onResponseStart(_controller: CacheController, status: number, headers: CacheHeaders, statusText = ""): void {
    this.#head = { status, headers, statusText };
    this.#changed();
  }

  onResponseData(_controller: CacheController, chunk: Uint8Array): void {
    if (this.#state !== "open") return;
    this.#pieces.push(chunk);
    this.#changed();
  }

  onResponseEnd(): void {
    if (this.#state === "open") this.#state = "ended";
    this.#changed();
  }

  onResponseError(_controller: CacheController | null, error: unknown): void {
    if (this.#state !== "open") return;
    this.#state = "failed";
    this.#error = error;
    this.#changed();
  }

  // The same in the words of undici 7, which uses them for a 504 of its own.

  onConnect(): void {}

  onHeaders(status: number): boolean {
    this.#head = { status, headers: {}, statusText: "" };
    return true;
  }

  onComplete(): void {
    this.onResponseEnd();
  }

  onError(error: unknown): void {
    this.onResponseError(null, error);
  }

  #changed(): void {
    const change = this.#change;
    this.#change = null;
    change?.resolve();
  }

  #untilChanged(): Operation<void> {
    return (this.#change ??= new Future<void>({
      name: `the cached answer to ${describeRequest(this.#request)}`,
      external: true,
    }));
  }
}

const DECODED = { "content-encoding": undefined, "content-length": undefined };

/** What the cache sets to ask whether what it has is still good. The rest is in the request already. */
function conditions(headers: CacheHeaders): Record<string, string> {
  const conditional: Record<string, string> = {};
  for (const name of ["if-none-match", "if-modified-since"]) {
    const value = headers[name];
    if (typeof value === "string") conditional[name] = value;
  }
  return conditional;
}

/** For the store: what was decoded is kept decoded, so it must not be called encoded. */
function recordOf(response: HttpResponse): CacheHeaders {
  const record: Record<string, string | string[]> = {};
  for (const [name, value] of response.headers) {
    const before = record[name];
    record[name] = before === undefined ? value : [...[before].flat(), value];
  }
  if (response.decodedFrom.length > 0) {
    delete record["content-encoding"];
    delete record["content-length"];
  }
  return record;
}

function asInit(headers: CacheHeaders): Record<string, string | readonly string[]> {
  const init: Record<string, string | readonly string[]> = {};
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) init[name] = value;
  return init;
}
