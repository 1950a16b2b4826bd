/**
 * What a handler returns, and how it is written to the response.
 *
 * Text, bytes and JSON go out in one write, with a length. A stream goes out piece by piece, inside the task of the request: a slow
 * client suspends it, one that leaves cancels it, and its source is closed in any case.
 */
import type { ServerResponse } from "node:http";
import { closeSequence, describeValue, sequenceOf, UsageError } from "../../core/index.ts";
import type { Coroutine, Sequence, SequenceSource } from "../../core/index.ts";
import type { Exchange } from "./exchange.ts";
import { ClientGone } from "./failure.ts";
import { DrainWait } from "./response-waits.ts";

export type ReplyHeaders = Readonly<Record<string, string | number | readonly string[]>>;

/** A piece of a body. */
export type ReplyChunk = string | Uint8Array;

export interface ReplyInit {
  /** Default: 200; 204 without a body. */
  readonly status?: number;
  readonly headers?: ReplyHeaders;
  /** Text, bytes, or a source of such: a sequence, a channel, an iterable or async iterable, a node stream. */
  readonly body?: ReplyChunk | SequenceSource<ReplyChunk> | null;
  /** Instead of `body`: a value that is written as JSON. */
  readonly json?: unknown;
}

/** An answer with a status and headers. Made by `reply`. */
export class Reply {
  readonly status: number | undefined;
  readonly headers: ReplyHeaders | undefined;
  readonly body: unknown;

  /** @internal */
  constructor(status: number | undefined, headers: ReplyHeaders | undefined, body: unknown) {
    this.status = status;
    this.headers = headers;
    this.body = body;
  }
}

/**
 * What a handler may return: a `Reply`; text; bytes; nothing (204); a source of chunks; everything else is written as JSON, arrays
 * and plain objects above all.
 */
export type Answer = unknown;

/**
 * An answer with status and headers.
 *
 * @throws {UsageError} for both `body` and `json`, and for a status that is none.
 * @example
 * return reply({ status: 201, headers: { location: `/users/${user.id}` }, json: user });
 */
export function reply(init: ReplyInit): Reply {
  const { status, headers, body } = init;
  if (status !== undefined && !(Number.isInteger(status) && status >= 200 && status <= 599)) {
    throw new UsageError(`a reply has a status from 200 to 599, got ${describeValue(status)}`);
  }
  if (!("json" in init)) return new Reply(status, headers, body);
  if (body !== undefined) throw new UsageError("a reply has a body or a json value, not both");
  const text = JSON.stringify(init.json) as string | undefined;
  if (text === undefined) throw new UsageError(`${describeValue(init.json)} has no JSON form`);
  return new Reply(status, { "content-type": JSON_TYPE, ...headers }, text);
}

const JSON_TYPE = "application/json; charset=utf-8";
const TEXT_TYPE = "text/plain; charset=utf-8";

/**
 * Writes an answer. What can be written at once is; a stream is given back, to be written by `pump`.
 *
 * A response that the handler has written itself is ended, if it is not yet.
 */
export function send(exchange: Exchange, answer: Answer): Sequence<ReplyChunk> | null {
  const response = exchange.response!;
  if (exchange.isClosed) return null;
  if (response.headersSent || response.writableEnded) {
    if (!response.writableEnded) response.end();
    return null;
  }
  if (exchange.admission.isDraining && exchange.request!.httpVersionMajor === 1)
    response.setHeader("connection", "close");
  const isReply = answer instanceof Reply;
  const body = isReply ? answer.body : answer;
  if (isReply) {
    if (answer.status !== undefined) response.statusCode = answer.status;
    if (answer.headers !== undefined) {
      for (const name in answer.headers) response.setHeader(name, answer.headers[name]!);
    }
  }
  if (typeof body === "string") sendBytes(response, TEXT_TYPE, body);
  else if (body === undefined || body === null) sendNothing(response);
  else if (body instanceof Uint8Array) sendBytes(response, "application/octet-stream", body);
  else if (isStream(body, isReply) && (isReply || !isGenerator(body))) return beginStream(exchange, response, body);
  else {
    checkJson(body);
    const text = JSON.stringify(body) as string | undefined;
    if (text === undefined) throw new UsageError(`a handler returned ${describeValue(body)}, which has no JSON form`);
    sendBytes(response, JSON_TYPE, text);
  }
  return null;
}

/** What would be written as `{}`, and is always a mistake. @throws {UsageError} */
function checkJson(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  const advice = adviceFor(value);
  if (advice !== null) throw new UsageError(`a handler returned ${describeValue(value)}: ${advice}`);
}

function adviceFor(value: object): string | null {
  if (typeof (value as { readonly then?: unknown }).then === "function") return "wait for it, by yield* until(promise)";
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || Array.isArray(value) || "toJSON" in value) return null;
  if ((value as { readonly [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === "Response")
    return "that is hono's kind of answer; here it is reply({ status, headers, body })";
  if (!(Symbol.iterator in value)) return null;
  return "write yield* before an operation, spread a collection into an array, or give it as the body of a reply";
}

/** One of chunks cannot be told from a coroutine that was called and not waited for. */
function isGenerator(value: object): boolean {
  return typeof (value as { readonly next?: unknown }).next === "function" && Symbol.iterator in value;
}

function sendBytes(response: ServerResponse, type: string, body: string | Uint8Array): void {
  if (!response.hasHeader("content-type")) response.setHeader("content-type", type);
  if (!response.hasHeader("content-length") && !response.hasHeader("transfer-encoding")) {
    response.setHeader("content-length", typeof body === "string" ? Buffer.byteLength(body) : body.byteLength);
  }
  response.end(body);
}

function sendNothing(response: ServerResponse): void {
  if (response.statusCode === 200) response.statusCode = 204;
  else if (!hasNoBody(response.statusCode) && !response.hasHeader("content-length")) {
    response.setHeader("content-length", 0);
  }
  response.end();
}

function hasNoBody(status: number): boolean {
  return status === 204 || status === 304;
}

function beginStream(exchange: Exchange, response: ServerResponse, body: object): Sequence<ReplyChunk> {
  const source = sequenceOf(body as SequenceSource<ReplyChunk>);
  if (!response.hasHeader("content-type")) response.setHeader("content-type", "application/octet-stream");
  if (exchange.method !== "HEAD") response.flushHeaders(); // the first chunk may take its time
  return source;
}

/** A list is JSON, unless a reply says that it is a body. */
export function isStream(value: unknown, isBody: boolean): value is object {
  if (typeof value !== "object" || value === null) return false;
  const it = value as {
    readonly next?: unknown;
    readonly receiver?: { readonly next?: unknown };
    readonly [Symbol.asyncIterator]?: unknown;
    readonly [Symbol.iterator]?: unknown;
  };
  return (
    typeof it[Symbol.asyncIterator] === "function" ||
    typeof it.next === "function" ||
    typeof it.receiver?.next === "function" ||
    (isBody && typeof it[Symbol.iterator] === "function")
  );
}

/** Writes a stream, no faster than the client reads, and ends the response. The source is closed if it has not come to its end. */
export function* pump(exchange: Exchange, source: Sequence<ReplyChunk>): Coroutine<void> {
  const response = exchange.response!;
  let isOver = false;
  try {
    while (!isOver && exchange.method !== "HEAD") {
      const step = yield* source.next();
      if (step.done === true) isOver = true;
      else {
        if (exchange.isClosed) throw new ClientGone(exchange.name);
        if (!response.write(checkedChunk(step.value))) yield* new DrainWait(exchange);
      }
    }
  } finally {
    if (!isOver) yield* closeSequence(source);
  }
  response.end();
}

function checkedChunk(chunk: unknown): ReplyChunk {
  if (typeof chunk === "string" || chunk instanceof Uint8Array) return chunk;
  throw new UsageError(`a piece of a response body is text or bytes, got ${describeValue(chunk)}`);
}
