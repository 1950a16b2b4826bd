/**
 * The body of an incoming request, read by coroutines: as a whole with a limit, or piece by piece.
 *
 * Most bodies have arrived when the handler takes its first step, since they come in the packet of the headers. So a read looks
 * first at what is there, and listens only when it has to wait: a small POST costs no listener.
 *
 * What was read is kept with the request until a whole read succeeds, so a read that was cancelled can be repeated. Nothing is read
 * before somebody asks: the client is held back meanwhile.
 */
import type { IncomingMessage } from "node:http";
import { checkEncoding, checkType, decodeText, parseJson } from "./body-formats.ts";
import { describeValue, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation, Sequence } from "../../core/index.ts";
import { sharedWait, Wait } from "../../lowlevel.ts";
import type { Started, Waiter } from "../../lowlevel.ts";
import { MalformedRequest, RequestAborted, RequestTooLarge } from "./failure.ts";
import { until } from "../../core/index.ts";

export interface BodyLimit {
  /** The most that is read, in bytes; more throws `RequestTooLarge`. Default: 1 MiB. `Infinity` is allowed. */
  readonly maxBytes?: number;
}

const DEFAULT_MAX_BYTES = 1024 * 1024; // as aiohttp; a handler that wants more says so

/**
 * The body as bytes. Cancelling keeps what has arrived for the next read.
 *
 * @throws {RequestTooLarge} beyond the limit, at once when the client announces it.
 * @throws {RequestAborted} when the client leaves before the end.
 * @throws {UsageError} when the body was read already, or another task reads it (`BODY_USED`).
 * @example
 * const bytes = yield* readBytes(request, { maxBytes: 10_000_000 });
 */
export function readBytes(request: IncomingMessage, limit: BodyLimit = {}): Operation<Buffer> {
  return new WholeBody(request, checkLimit(limit));
}

/**
 * The body as text, by the charset of its `content-type`; UTF-8 without one.
 * @throws {UnsupportedRequestType} for a charset that is not known.
 * @throws {MalformedRequest} for bytes that are no text of that charset.
 */
export function* readText(request: IncomingMessage, limit: BodyLimit = {}): Coroutine<string> {
  return decodeText(request, yield* readBytes(request, limit));
}

/**
 * The body as a JSON value. Nothing is known of its shape: check it.
 * @throws {UnsupportedRequestType} when the content type is not `application/json` or `…+json`.
 * @throws {MalformedRequest} when it is no JSON.
 */
export function* readJson(request: IncomingMessage, limit: BodyLimit = {}): Coroutine<unknown> {
  checkType(request, "application/json", "+json");
  return parseJson(decodeText(request, yield* readBytes(request, limit)));
}

/**
 * The fields of an HTML form: `application/x-www-form-urlencoded` and `multipart/form-data`, files as `File`s in memory.
 * @throws {UnsupportedRequestType} for another content type. @throws {MalformedRequest} when it cannot be parsed.
 */
export function* readForm(request: IncomingMessage, limit: BodyLimit = {}): Coroutine<FormData> {
  checkType(request, "application/x-www-form-urlencoded", "multipart/form-data");
  checkEncoding(request);
  const bytes = yield* readBytes(request, limit);
  const type = request.headers["content-type"]!;
  try {
    // The platform's parser: one that many eyes have seen.
    return yield* until(new Response(new Uint8Array(bytes), { headers: { "content-type": type } }).formData());
  } catch (error) {
    if (error instanceof TypeError) throw new MalformedRequest("The request body is not a well-formed form.", error);
    throw error;
  }
}

/**
 * The body piece by piece, as it arrives. Only what is asked for is taken from the connection. No limit, unless one is given.
 *
 * A cancelled `next` takes nothing. `close` drops the rest.
 * @example
 * const chunks = readChunks(request);
 * for (let step = yield* chunks.next(); step.done !== true; step = yield* chunks.next()) hash.update(step.value);
 */
export function readChunks(request: IncomingMessage, limit: BodyLimit = { maxBytes: Infinity }): Sequence<Buffer> {
  return new BodyChunks(request, checkLimit(limit));
}

function checkLimit({ maxBytes = DEFAULT_MAX_BYTES }: BodyLimit): number {
  if (typeof maxBytes !== "number" || !(maxBytes >= 0)) {
    throw new UsageError(`maxBytes must be a number of bytes, 0 or more, got ${describeValue(maxBytes)}`);
  }
  return maxBytes;
}

/** What was read and not handed over yet. */
class Arrived {
  chunks: Buffer[] = [];
  /** With what was handed over. */
  bytes = 0;
  isUsed = false;
  reader: BodyWait<unknown> | null = null;
}

const ARRIVED = Symbol("fibril.arrived");

type Readable = IncomingMessage & { [ARRIVED]?: Arrived };

/**
 * Lets go of what nobody has read, so that the connection can be used again. Node does it by itself for a body that nobody has
 * touched. Does nothing for a body that was not read by the functions here.
 */
export function dropRest(request: IncomingMessage): void {
  if ((request as Readable)[ARRIVED] !== undefined && !request.destroyed) request.resume();
}

/** A wait for the body to change, whatever it wants of it. */
abstract class BodyWait<T> extends Wait<T> {
  protected readonly request: IncomingMessage;
  protected readonly arrived: Arrived;
  private readonly maxBytes: number;
  private waiter: Waiter | null = null;

  constructor(request: IncomingMessage, maxBytes: number) {
    super();
    this.request = request;
    this.arrived = (request as Readable)[ARRIVED] ??= new Arrived();
    this.maxBytes = maxBytes;
  }

  get reason(): string {
    return `body of ${this.request.method} ${this.request.url?.split("?", 1)[0]}`;
  }

  override get external(): boolean {
    return true;
  }

  /** Whether there is enough; looked at whenever something has arrived. */
  protected abstract isReady(isOver: boolean): boolean;
  /** Called once, when it is ready. */
  protected abstract take(): T;

  protected start(task: Waiter): Started<T> {
    const { arrived, request } = this;
    if (this.waiter !== null) throw sharedWait(this.reason);
    if (arrived.isUsed || arrived.reader !== null) {
      const how = arrived.isUsed ? "was read already; keep the result" : "is being read by another task";
      throw new UsageError(`the ${this.reason} ${how}`, "BODY_USED");
    }
    if (Number(request.headers["content-length"]) > this.maxBytes) {
      return task.fail(this, new RequestTooLarge(this.maxBytes));
    }
    const state = this.look();
    if (state === "ready") return task.complete(this, this.take());
    if (state !== "waiting") return task.fail(this, state);
    this.waiter = task;
    arrived.reader = this as BodyWait<unknown>;
    for (const event of EVENTS) request.on(event, this.changed);
    return task.park(this);
  }

  withdraw(): boolean {
    this.leave();
    return true;
  }

  private leave(): Waiter | null {
    const { waiter } = this;
    this.waiter = null;
    this.arrived.reader = null;
    // Node has seen our listener and will emit the error a tick later: with nobody listening by then, it would end the process.
    if (this.request.destroyed) this.request.on("error", ignore);
    for (const event of EVENTS) this.request.off(event, this.changed);
    return waiter;
  }

  private readonly changed = (): void => {
    const state = this.look();
    if (state === "waiting") return;
    const waiter = this.leave();
    if (state === "ready") waiter?.wake(this, this.take());
    else waiter?.wakeError(this, state);
  };

  /** Takes what the connection has given so far. */
  private look(): "ready" | "waiting" | Error {
    const { request, arrived } = this;
    for (;;) {
      if (this.isReady(false)) return "ready";
      const chunk = request.read() as Buffer | string | null;
      if (chunk === null) break;
      const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
      arrived.bytes += bytes.length;
      if (arrived.bytes > this.maxBytes) return new RequestTooLarge(this.maxBytes);
      arrived.chunks.push(bytes);
    }
    if (isOver(request)) return this.isReady(true) ? "ready" : "waiting";
    return request.destroyed || request.errored !== null ? new RequestAborted() : "waiting";
  }
}

const EVENTS = ["readable", "end", "close", "error"] as const;

/** What it says has been told to whoever read, or nobody reads any more. */
function ignore(): void {}

/** Whether all of it has been taken. Node parses a small message whole before it says so by an event. */
function isOver(request: IncomingMessage): boolean {
  if (request.readableEnded) return true;
  return request.httpVersionMajor === 1 && request.complete && request.readableLength === 0 && !request.destroyed;
}

class WholeBody extends BodyWait<Buffer> {
  protected isReady(isEnd: boolean): boolean {
    return isEnd;
  }

  protected take(): Buffer {
    const { chunks } = this.arrived;
    this.arrived.isUsed = true;
    this.arrived.chunks = [];
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
  }
}

const ENDED: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

class NextChunk extends BodyWait<IteratorResult<Buffer, undefined>> {
  protected isReady(isEnd: boolean): boolean {
    return isEnd || this.arrived.chunks.length > 0;
  }

  protected take(): IteratorResult<Buffer, undefined> {
    const value = this.arrived.chunks.shift();
    return value === undefined ? ENDED : { done: false, value };
  }
}

class BodyChunks implements Sequence<Buffer> {
  readonly #request: IncomingMessage;
  readonly #maxBytes: number;

  constructor(request: IncomingMessage, maxBytes: number) {
    this.#request = request;
    this.#maxBytes = maxBytes;
  }

  next(): Operation<IteratorResult<Buffer, undefined>> {
    return new NextChunk(this.#request, this.#maxBytes);
  }

  close(): void {
    this.#request.resume();
  }
}
