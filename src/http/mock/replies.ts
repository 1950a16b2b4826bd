/**
 * What a route of a mock answers: responses of all kinds, and the ways in which a server can fail.
 *
 * Waiting is done on the loop's clock, so it takes no time in a simulation. The errors are those that the network path throws
 * for the same cause, with the limits of the request: a server that is silent for a minute is a time-out after `headersMs`.
 */
import { describeValue, Future, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation, Sequence } from "../../core/index.ts";
import { sleep } from "../../time/index.ts";
import type { MadeBodySource } from "../body/made-source.ts";
import { ConnectError, HttpTimeoutError, ProtocolError } from "../errors.ts";
import type { HttpPhase } from "../errors.ts";
import type { HeadersInit } from "../headers.ts";
import type { HttpRequest } from "../http-request.ts";
import { checkCount } from "../limits.ts";
import { HttpResponse } from "../response.ts";

/** A response. At most one of `json`, `text`, `body`. */
export interface MockReply {
  /** Default: 200. */
  readonly status?: number;
  readonly headers?: HeadersInit;
  /** Sent as JSON, with the content type. */
  readonly json?: unknown;
  /** Sent as `text/plain; charset=utf-8`. */
  readonly text?: string;
  /** Bytes or a stream. A stream that can be read once only serves one request: give a function that makes replies. */
  readonly body?: MadeBodySource;
  /** How long until the response headers, in milliseconds. Default: 0. */
  readonly delayMs?: number;
  /** The body comes in pieces of this many bytes. Only for text, JSON and bytes. Default: in one piece. */
  readonly chunkBytes?: number;
  /** How long until each piece of the body, in milliseconds. Needs `chunkBytes`. Default: 0. */
  readonly chunkDelayMs?: number;
}

/** How a server can fail. */
export type MockFailure =
  /** nobody listens: `ConnectError`, ECONNREFUSED */
  | "connect"
  /** the name is unknown: `ConnectError`, ENOTFOUND */
  | "dns"
  /** the connection breaks before the response: `ProtocolError` */
  | "reset"
  /** the connection breaks in the middle of the body */
  | "reset-in-body"
  /** no connection within `connectMs`: `HttpTimeoutError` */
  | "connect-timeout"
  /** no response within `headersMs` */
  | "headers-timeout"
  /** the body stands still for `idleMs` */
  | "body-timeout";

/** What came before the failure in the body: default one piece, `"partial"`. */
export interface MockFailureOptions extends MockReply {
  /** How many bytes of the body come before it breaks. Default: half of it. */
  readonly afterBytes?: number;
}

/** What would be ignored, or would never end, is refused where the test says it. @throws {UsageError} @package */
export function checkReply<Reply extends MockFailureOptions>(reply: Reply): Reply {
  if (typeof reply !== "object" || reply === null) {
    throw new UsageError(`a reply is an object such as { status: 200, json: … }, got ${describeValue(reply)}`);
  }
  const { json, text, body, delayMs = 0, chunkBytes, chunkDelayMs = 0, afterBytes } = reply;
  if ([json, text, body].filter((content) => content !== undefined).length > 1) {
    throw new UsageError("a reply has at most one of json, text and body");
  }
  for (const [name, ms] of Object.entries({ delayMs, chunkDelayMs })) {
    if (typeof ms !== "number" || !(ms >= 0)) {
      throw new UsageError(`${name} must be a number of milliseconds, got ${String(ms)}`);
    }
  }
  if (chunkBytes !== undefined) checkCount("chunkBytes", chunkBytes, 1);
  else if (chunkDelayMs > 0) throw new UsageError("chunkDelayMs needs chunkBytes");
  if (afterBytes !== undefined) checkCount("afterBytes", afterBytes, 0);
  return reply;
}

/** Makes the response. @throws {HttpTimeoutError} when the delay is longer than the request waits. */
export function* answer(request: HttpRequest, reply: MockReply): Coroutine<HttpResponse> {
  yield* waitWithin(request, reply.delayMs ?? 0, "headers");
  const { bytes, body, type } = contentOf(reply);
  const headers = { ...(type === null ? {} : { "content-type": type }), ...asRecord(reply.headers) };
  const pieces =
    bytes !== null && reply.chunkBytes !== undefined
      ? new Pieces(request, bytes, reply.chunkBytes, reply.chunkDelayMs ?? 0, null)
      : (bytes ?? body);
  const hasNoBody = request.method === "HEAD" || reply.status === 204 || reply.status === 304;
  return HttpResponse.of(request, {
    status: reply.status ?? 200,
    headers,
    ...(pieces === undefined || hasNoBody ? {} : { body: pieces }),
  });
}

/** Fails, at once or in the body. */
export function* failAs(
  request: HttpRequest,
  failure: MockFailure,
  options: MockFailureOptions,
): Coroutine<HttpResponse> {
  const { origin } = request;
  switch (failure) {
    case "connect":
      throw new ConnectError(request, origin, systemError("ECONNREFUSED", "connect ECONNREFUSED"));
    case "dns":
      throw new ConnectError(request, origin, systemError("ENOTFOUND", "getaddrinfo ENOTFOUND"));
    case "connect-timeout":
      return yield* timeOut(request, "connect");
    case "headers-timeout":
      return yield* timeOut(request, "headers");
    case "reset":
      yield* waitWithin(request, options.delayMs ?? 0, "headers");
      throw resetError(request, false);
    case "reset-in-body":
    case "body-timeout": {
      yield* waitWithin(request, options.delayMs ?? 0, "headers");
      const bytes = contentOf(options).bytes ?? Buffer.from("partial");
      const part = bytes.subarray(0, options.afterBytes ?? Math.ceil(bytes.byteLength / 2));
      const end = failure === "body-timeout" ? () => timeOut(request, "body") : () => breakOff(request);
      const pieces = new Pieces(request, part, options.chunkBytes ?? Math.max(1, part.byteLength), 0, end);
      return HttpResponse.of(request, {
        status: options.status ?? 200,
        headers: { "content-length": bytes.byteLength, ...asRecord(options.headers) },
        body: pieces,
      });
    }
  }
}

/** Bytes that come piece by piece, and may end badly. */
class Pieces implements Sequence<Uint8Array> {
  readonly #request: HttpRequest;
  readonly #bytes: Uint8Array;
  readonly #size: number;
  readonly #delayMs: number;
  readonly #end: (() => Operation<never>) | null;
  #offset = 0;

  constructor(
    request: HttpRequest,
    bytes: Uint8Array,
    size: number,
    delayMs: number,
    end: (() => Operation<never>) | null,
  ) {
    this.#request = request;
    this.#bytes = bytes;
    this.#size = size;
    this.#delayMs = delayMs;
    this.#end = end;
  }

  *next(): Coroutine<IteratorResult<Uint8Array, undefined>> {
    if (this.#offset >= this.#bytes.byteLength) {
      if (this.#end !== null) return yield* this.#end();
      return { done: true, value: undefined };
    }
    yield* waitWithin(this.#request, this.#delayMs, "body");
    const value = this.#bytes.subarray(this.#offset, this.#offset + this.#size);
    this.#offset += value.byteLength;
    return { done: false, value };
  }
}

const PHASE_LIMIT = { connect: "connectMs", headers: "headersMs", body: "idleMs" } as const;

function* waitWithin(request: HttpRequest, ms: number, phase: keyof typeof PHASE_LIMIT): Coroutine<void> {
  if (ms > request.call.timeouts[PHASE_LIMIT[phase]]) yield* timeOut(request, phase);
  if (ms > 0) yield* sleep(ms);
}

function* timeOut(request: HttpRequest, phase: keyof typeof PHASE_LIMIT): Coroutine<never> {
  const limitMs = request.call.timeouts[PHASE_LIMIT[phase]];
  // Without a limit nothing ever happens, as with a real server that says nothing.
  if (limitMs === Infinity) yield* new Future<never>({ name: "a mock that never answers" });
  yield* sleep(limitMs);
  throw new HttpTimeoutError(request, phase satisfies HttpPhase, limitMs);
}

function* breakOff(request: HttpRequest): Coroutine<never> {
  throw resetError(request, true);
}

function resetError(request: HttpRequest, afterHeaders: boolean): ProtocolError {
  const cause = systemError("ECONNRESET", "read ECONNRESET");
  return new ProtocolError(request, "reset", { afterHeaders, reusedConnection: false, cause });
}

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(`${message} (mock)`), { code });
}

interface Content {
  readonly bytes: Uint8Array | null;
  readonly body: MadeBodySource | undefined;
  readonly type: string | null;
}

function contentOf({ json, text, body }: MockReply): Content {
  if (json !== undefined)
    return { bytes: Buffer.from(JSON.stringify(json)), body: undefined, type: "application/json" };
  if (text !== undefined) return { bytes: Buffer.from(text), body: undefined, type: "text/plain; charset=utf-8" };
  if (typeof body === "string") return { bytes: Buffer.from(body), body: undefined, type: null };
  return body instanceof Uint8Array ? { bytes: body, body: undefined, type: null } : { bytes: null, body, type: null };
}

function asRecord(headers: HeadersInit | undefined): Record<string, string | number | readonly string[] | undefined> {
  if (headers === undefined) return {};
  const isList = typeof (headers as Iterable<unknown>)[Symbol.iterator] === "function";
  const entries = isList ? [...(headers as Iterable<readonly [string, string]>)] : Object.entries(headers);
  const record: Record<string, string | number | readonly string[] | undefined> = {};
  for (const [name, value] of entries) {
    const key = name.toLowerCase();
    const before = record[key];
    record[key] = isList && before !== undefined ? [...[before as string].flat(), value as string] : value;
  }
  return record;
}
