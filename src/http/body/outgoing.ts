/**
 * The body of a request on its way out.
 *
 * Strings and bytes go to undici as they are. Every kind of stream (iterable, async iterable, node Readable) is read
 * through `OutgoingStream`, for three reasons: an error of the caller's own stream must come back as itself and not as a
 * broken connection; a cancelled request must close a stream that hangs in `next()`, which undici leaves waiting; and
 * the limit for the peer must not run while it is the stream that is slow.
 */
import { InvalidRequestError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import { withDefaultHeader } from "../headers.ts";
import type { OutgoingHeaders } from "../headers.ts";

/** A piece of a request body. */
export type BodyChunk = string | ArrayBuffer | ArrayBufferView;

/** What can be sent. A stream whose iterator is itself (generators, Readables) can be sent once only. */
export type BodySource = string | ArrayBuffer | ArrayBufferView | Iterable<BodyChunk> | AsyncIterable<BodyChunk>;

/** The three ways to give a body; at most one of them. */
export interface BodyOptions {
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as `application/x-www-form-urlencoded`. */
  readonly form?:
    | Readonly<Record<string, string | number | boolean | readonly (string | number | boolean)[]>>
    | URLSearchParams;
  readonly body?: BodySource;
}

export type StreamSource = Iterable<BodyChunk> | AsyncIterable<BodyChunk>;

/** A body ready to be sent. */
export interface OutgoingBody {
  readonly data: string | Uint8Array | undefined;
  readonly stream: StreamSource | undefined;
}

export const NO_BODY: OutgoingBody = Object.freeze({ data: undefined, stream: undefined });

export function encodeBody(
  options: BodyOptions,
  headers: OutgoingHeaders,
  subject: RequestSubject,
): { readonly body: OutgoingBody; readonly headers: OutgoingHeaders } {
  const { json, form, body } = options;
  if (json === undefined && form === undefined && body === undefined) return { body: NO_BODY, headers };
  if (Number(json !== undefined) + Number(form !== undefined) + Number(body !== undefined) > 1) {
    throw new InvalidRequestError(subject, "it has several bodies; give one of json, form and body");
  }
  if (json !== undefined) {
    return {
      body: ofData(stringify(json, subject)),
      headers: withDefaultHeader(headers, "content-type", "application/json"),
    };
  }
  if (form !== undefined) {
    const type = "application/x-www-form-urlencoded";
    return { body: ofData(formText(form)), headers: withDefaultHeader(headers, "content-type", type) };
  }
  if (typeof body === "string") {
    return { body: ofData(body), headers: withDefaultHeader(headers, "content-type", "text/plain;charset=UTF-8") };
  }
  const bytes = bytesOf(body);
  if (bytes !== null) return { body: ofData(bytes), headers };
  if (!isStream(body)) {
    throw new InvalidRequestError(subject, "its body is neither a string, bytes, an iterable nor an async iterable");
  }
  return { body: { data: undefined, stream: body }, headers };
}

/** The bytes of anything that has some, uncopied; `null` for everything else. */
function bytesOf(value: unknown): Uint8Array | null {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return value instanceof ArrayBuffer ? new Uint8Array(value) : null;
}

function ofData(data: string | Uint8Array): OutgoingBody {
  return { data, stream: undefined };
}

function stringify(value: unknown, subject: RequestSubject): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new InvalidRequestError(subject, "its json option cannot be written as JSON", { cause });
  }
  if (text === undefined)
    throw new InvalidRequestError(subject, "its json option has no JSON form (a function or a symbol)");
  return text;
}

function formText(form: NonNullable<BodyOptions["form"]>): string {
  if (form instanceof URLSearchParams) return form.toString();
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(form)) {
    for (const item of Array.isArray(value) ? (value as readonly unknown[]) : [value])
      parameters.append(name, String(item));
  }
  return parameters.toString();
}

function isStream(value: unknown): value is StreamSource {
  if (typeof value !== "object" || value === null) return false;
  const source = value as { [Symbol.iterator]?: unknown; [Symbol.asyncIterator]?: unknown };
  return typeof source[Symbol.asyncIterator] === "function" || typeof source[Symbol.iterator] === "function";
}

/** Who wants to know how the stream fares. */
export interface StreamObserver {
  readonly subject: RequestSubject;
  /** The caller's stream is asked for a piece: until it gives one, nobody else is to blame for the time that passes. */
  streamAsked(): void;
  /** It gave one, or its end. */
  streamGave(): void;
  /** The caller's stream threw. */
  streamFailed(error: unknown): void;
}

type Step = IteratorResult<BodyChunk, unknown>;
type AnyIterator = Iterator<BodyChunk, unknown> | AsyncIterator<BodyChunk, unknown>;

/** Reads the caller's stream for undici, once. */
export class OutgoingStream implements AsyncIterableIterator<Uint8Array | string> {
  readonly #source: StreamSource;
  readonly #observer: StreamObserver;
  #iterator: AnyIterator | null = null;
  #isOver = false;

  constructor(source: StreamSource, observer: StreamObserver) {
    this.#source = source;
    this.#observer = observer;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array | string, undefined>> {
    if (this.#isOver) return OVER;
    this.#observer.streamAsked();
    try {
      this.#iterator ??= iteratorOf(this.#source);
      const step: Step = await this.#iterator.next();
      if (this.#isOver) return OVER; // closed while it hung in next()
      this.#observer.streamGave();
      if (step.done !== true) return { done: false, value: this.#checked(step.value) };
      this.#isOver = true;
      return OVER;
    } catch (error) {
      if (this.#isOver) return OVER;
      this.close();
      this.#observer.streamFailed(error);
      throw error;
    }
  }

  /** Called by undici when it stops before the end. */
  async return(): Promise<IteratorResult<Uint8Array | string, undefined>> {
    this.close();
    return OVER;
  }

  /** Whether all of it was taken, or it was closed. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Ends a stream that was begun; one that was not is left as it was, so that it can be sent another time. */
  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#iterator !== null) void closeQuietly(this.#source, this.#iterator);
  }

  #checked(chunk: unknown): Uint8Array | string {
    if (typeof chunk === "string") return chunk;
    const bytes = bytesOf(chunk);
    if (bytes !== null) return bytes;
    throw new InvalidRequestError(
      this.#observer.subject,
      `its body stream gave a piece that is neither a string nor bytes (${typeof chunk})`,
    );
  }
}

const OVER: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

function iteratorOf(source: StreamSource): AnyIterator {
  return Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
}

const LATER: Promise<void> = Promise.resolve();

async function closeQuietly(source: StreamSource, iterator: AnyIterator): Promise<void> {
  try {
    await LATER; // whoever closes is in the middle of something, and this runs the caller's code
    // A node stream's iterator queues return() behind the next() that hangs; destroy() does not wait.
    if (isNodeStream(source)) source.destroy();
    await iterator.return?.();
  } catch {
    // The request has ended with an error of its own; nobody is left to hear that its stream also failed to close.
  }
}

function isNodeStream(source: unknown): source is { destroy(): void } {
  const { pipe, destroy } = source as { readonly pipe?: unknown; readonly destroy?: unknown };
  return typeof pipe === "function" && typeof destroy === "function";
}

/** Whether a stream can be read a second time: its iterator is a new one each time. */
export function isReplayable(source: StreamSource): boolean {
  if (isNodeStream(source)) return false;
  if (Symbol.asyncIterator in source) return !isOwnIterator(source, Symbol.asyncIterator);
  return !isOwnIterator(source, Symbol.iterator);
}

// Generators are asked without running them: an iterator has next(), a collection does not.
function isOwnIterator(source: object, symbol: symbol): boolean {
  return symbol in source && typeof (source as { next?: unknown }).next === "function";
}
