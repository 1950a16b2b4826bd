/**
 * Bodies of several parts, `multipart/form-data`: what browsers send for a form with files.
 *
 * Parts are streamed one after the other, and nothing is read before undici asks for it. When the size of every part is
 * known the body has a `content-length`, since many servers refuse an upload without; otherwise it goes in chunks. A body
 * of nothing but strings and bytes that is small is one piece of bytes, which costs the least.
 *
 * It can be sent a second time if all its parts can. The boundary is random: whoever writes the content of a part must not be
 * able to guess it, or could write parts of his own.
 * Source: the WHATWG HTML standard, "multipart form data" (names and line breaks), and RFC 7578.
 */
import { createHmac, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { describeValue, EventLoop, until, UsageError } from "../../core/index.ts";
import type { Coroutine } from "../../core/index.ts";
import { InvalidRequestError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import { BlobSource, bytesOf, isNodeStream, isReplayable, isStream, iteratorOf } from "./sources.ts";
import type { BodyChunk, ChunkIterator, StreamSource } from "./sources.ts";

/** A part with a stream, or with a name or type of its own. */
export interface MultipartFile {
  /** Bytes, text, a `Blob`, or a stream of pieces. */
  readonly body: string | ArrayBuffer | ArrayBufferView | Blob | StreamSource;
  /** Default: that of the `File`, or of the file that a stream of Node reads; for bytes and other streams `"blob"`; for text none. */
  readonly filename?: string;
  /** The content type. Default: that of the `Blob`; `application/octet-stream` for files; none for text. */
  readonly type?: string;
  /** How long a stream is, in bytes: then the body has a `content-length`. Default: unknown. */
  readonly sizeBytes?: number;
}

export type MultipartValue =
  | string
  | number
  | boolean
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | StreamSource
  | MultipartFile;

/** Parts by name, in this order; a list gives the name several times. Or pairs of name and value. Or a `FormData`. */
export type MultipartSource =
  | Readonly<Record<string, MultipartValue | readonly MultipartValue[] | undefined>>
  | Iterable<readonly [string, MultipartValue]>;

/** A body of parts, ready to be sent. */
export interface EncodedParts {
  readonly contentType: string;
  /** `undefined` when a part is a stream of unknown length. */
  readonly sizeBytes: number | undefined;
  readonly data: Uint8Array | undefined;
  readonly stream: StreamSource | undefined;
}

interface Part {
  readonly head: Uint8Array;
  readonly data: Uint8Array | undefined;
  readonly stream: StreamSource | undefined;
  readonly sizeBytes: number | undefined;
}

const WHOLE_BYTES = 256 * 1024; // what is larger is not copied just to be in one piece

/**
 * A file of the disk as a part: with its name and size, and it can be sent again. It is opened when its turn comes.
 *
 * @throws the error of Node when there is no such file.
 * @throws {UsageError} when it is a directory.
 * @example
 * yield* session.post(url, { multipart: { title: "Cat", photo: yield* filePart("cat.jpg", { type: "image/jpeg" }) } });
 */
export function* filePart(
  path: string,
  options: { readonly filename?: string; readonly type?: string } = {},
): Coroutine<MultipartFile> {
  const stats = yield* until(stat(path));
  if (!stats.isFile()) throw new UsageError(`${path} is not a file, so it cannot be sent as one`);
  return { filename: basename(path), ...options, body: new FileSource(path), sizeBytes: stats.size };
}

class FileSource implements AsyncIterable<Uint8Array> {
  readonly isReplayable = true;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return createReadStream(this.#path)[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  }
}

/** @throws {InvalidRequestError} */
export function encodeMultipart(source: MultipartSource, subject: RequestSubject): EncodedParts {
  const boundary = makeBoundary();
  const parts: Part[] = [];
  for (const [name, value] of entriesOf(source, subject)) {
    if (typeof name !== "string") throw new InvalidRequestError(subject, "the name of a part is not a string");
    parts.push(encodePart(boundary, name, value, subject));
  }
  const tail = Buffer.from(`--${boundary}--\r\n`);
  let sizeBytes: number | undefined = tail.byteLength;
  let isWhole = true;
  for (const part of parts) {
    sizeBytes =
      part.sizeBytes === undefined || sizeBytes === undefined
        ? undefined
        : sizeBytes + part.head.byteLength + part.sizeBytes + 2;
    isWhole &&= part.data !== undefined;
  }
  const contentType = `multipart/form-data; boundary=${boundary}`;
  if (isWhole && sizeBytes !== undefined && sizeBytes <= WHOLE_BYTES) {
    const data = Buffer.concat([...parts.flatMap(({ head, data }) => [head, data!, LINE_END]), tail]);
    return { contentType, sizeBytes, data, stream: undefined };
  }
  return { contentType, sizeBytes, data: undefined, stream: new PartsStream(parts, tail, subject) };
}

const LINE_END = Buffer.from("\r\n");

function* entriesOf(source: MultipartSource, subject: RequestSubject): Generator<readonly [string, MultipartValue]> {
  const it: unknown = source;
  if (typeof it !== "object" || it === null) {
    throw new InvalidRequestError(subject, `its multipart option is no record of parts, but ${describeValue(it)}`);
  }
  if (Symbol.iterator in it) return yield* it as Iterable<readonly [string, MultipartValue]>;
  for (const [name, value] of Object.entries(source as Readonly<Record<string, unknown>>)) {
    if (value === undefined) continue;
    for (const item of Array.isArray(value) ? (value as MultipartValue[]) : [value as MultipartValue])
      yield [name, item];
  }
}

const SECRET = randomBytes(32);

/**
 * The loop's chance makes it another one each time, and the same one again in a simulated run. But who has seen a few numbers of
 * `Math.random` can compute the next ones (CVE-2025-22150), so they are hashed with a secret of the process.
 */
function makeBoundary(): string {
  const loop = EventLoop.current();
  const chance = `${loop.random()} ${loop.random()}`;
  return `----fibril${createHmac("sha256", SECRET).update(chance).digest("hex").slice(0, 24)}`;
}

function encodePart(boundary: string, name: string, value: MultipartValue, subject: RequestSubject): Part {
  const { body, filename, type, sizeBytes } = describedPart(value);
  const isText = typeof body === "string" || typeof body === "number" || typeof body === "boolean";
  if (!isText && bytesOf(body) === null && !(body instanceof Blob) && !isStream(body)) {
    const problem = `is neither text, bytes, a Blob nor a stream, but ${describeValue(body)}`;
    throw new InvalidRequestError(subject, `part ${JSON.stringify(name)} ${problem}`);
  }
  const file = filename ?? (isText ? undefined : filenameOf(body));
  const contentType = type ?? (file === undefined ? undefined : typeOf(body));
  if (contentType !== undefined && /[\r\n\0]/.test(contentType)) {
    throw new InvalidRequestError(subject, `the type of part ${JSON.stringify(name)} has a line break`);
  }
  const head = Buffer.from(
    `--${boundary}\r\nContent-Disposition: form-data; name="${escape(withLineEnds(name))}"` +
      `${file === undefined ? "" : `; filename="${escape(file)}"`}\r\n` +
      `${contentType === undefined ? "" : `Content-Type: ${contentType}\r\n`}\r\n`,
  );
  if (isText) {
    const text = String(body);
    const data = Buffer.from(file === undefined ? withLineEnds(text) : text);
    return { head, data, stream: undefined, sizeBytes: data.byteLength };
  }
  const data = bytesOf(body);
  if (data !== null) return { head, data, stream: undefined, sizeBytes: data.byteLength };
  if (body instanceof Blob) return { head, data: undefined, stream: new BlobSource(body), sizeBytes: body.size };
  if (sizeBytes !== undefined && !(Number.isInteger(sizeBytes) && sizeBytes >= 0)) {
    throw new InvalidRequestError(subject, `the sizeBytes of part ${JSON.stringify(name)} is no whole number`);
  }
  return { head, data: undefined, stream: body as StreamSource, sizeBytes };
}

type Described = Omit<MultipartFile, "body"> & { readonly body: MultipartFile["body"] | number | boolean };

function describedPart(value: MultipartValue): Described {
  const isPlain =
    typeof value !== "object" || value === null || value instanceof Blob || bytesOf(value) !== null || isStream(value);
  return isPlain || !("body" in value) ? { body: value as Described["body"] } : value;
}

/** A part with a filename is taken for a file; what is no text should be one. */
function filenameOf(body: unknown): string {
  const { name, path } = body as { readonly name?: unknown; readonly path?: unknown };
  if (body instanceof Blob) return typeof name === "string" ? name : "blob";
  return typeof path === "string" ? basename(path) : "blob"; // a stream of Node that reads a file
}

function typeOf(body: unknown): string {
  return body instanceof Blob && body.type !== "" ? body.type : "application/octet-stream";
}

/** As browsers do: the three characters that would end the name, and no others. */
function escape(name: string): string {
  return name.replaceAll("\n", "%0A").replaceAll("\r", "%0D").replaceAll('"', "%22");
}

function withLineEnds(text: string): string {
  return text.replace(/\r\n|\r|\n/g, "\r\n");
}

/** All parts as one stream. Whether it can be read again is a question to its parts. */
class PartsStream implements AsyncIterable<BodyChunk> {
  readonly #parts: readonly Part[];
  readonly #tail: Uint8Array;
  readonly #subject: RequestSubject;

  constructor(parts: readonly Part[], tail: Uint8Array, subject: RequestSubject) {
    this.#parts = parts;
    this.#tail = tail;
    this.#subject = subject;
  }

  get isReplayable(): boolean {
    return this.#parts.every((part) => part.stream === undefined || isReplayable(part.stream));
  }

  [Symbol.asyncIterator](): AsyncIterator<BodyChunk> {
    return new PartsIterator(this.#parts, this.#tail, this.#subject);
  }
}

/** Not an async generator: its `return()` would stand in line behind a `next()` that hangs in a part. */
class PartsIterator implements AsyncIterator<BodyChunk> {
  readonly #parts: readonly Part[];
  readonly #tail: Uint8Array;
  readonly #subject: RequestSubject;
  #index = 0;
  #stage: "head" | "content" | "line end" | "tail" | "over" = "head";
  #inner: ChunkIterator | null = null;
  #givenBytes = 0;

  constructor(parts: readonly Part[], tail: Uint8Array, subject: RequestSubject) {
    this.#parts = parts;
    this.#tail = tail;
    this.#subject = subject;
    if (parts.length === 0) this.#stage = "tail";
  }

  async next(): Promise<IteratorResult<BodyChunk, undefined>> {
    for (;;) {
      const part = this.#parts[this.#index];
      switch (this.#stage) {
        case "head":
          this.#stage = "content";
          return { done: false, value: part!.head };
        case "content": {
          const chunk = await this.#content(part!);
          if (chunk !== undefined) return { done: false, value: chunk };
          break;
        }
        case "line end":
          this.#index++;
          this.#stage = this.#index < this.#parts.length ? "head" : "tail";
          return { done: false, value: LINE_END };
        case "tail":
          this.#stage = "over";
          return { done: false, value: this.#tail };
        case "over":
          return { done: true, value: undefined };
      }
    }
  }

  /** The next piece of a part; `undefined` when it has no more. */
  async #content(part: Part): Promise<BodyChunk | undefined> {
    if (part.stream === undefined) {
      this.#stage = "line end";
      return part.data!.byteLength === 0 ? undefined : part.data;
    }
    this.#inner ??= iteratorOf(part.stream);
    const step = await this.#inner.next();
    if (this.#stage === "over") return undefined; // closed meanwhile
    if (step.done !== true) {
      this.#givenBytes += typeof step.value === "string" ? Buffer.byteLength(step.value) : step.value.byteLength;
      this.#checkSize(part, this.#givenBytes <= (part.sizeBytes ?? Infinity));
      return step.value;
    }
    this.#checkSize(part, this.#givenBytes === (part.sizeBytes ?? this.#givenBytes));
    this.#inner = null;
    this.#givenBytes = 0;
    this.#stage = "line end";
    return undefined;
  }

  #checkSize(part: Part, isRight: boolean): void {
    if (isRight) return;
    throw new InvalidRequestError(
      this.#subject,
      `part ${this.#index + 1} gave ${this.#givenBytes} bytes or more, and its sizeBytes is ${part.sizeBytes}`,
    );
  }

  /** Closes the stream that is being read, and those whose turn will not come any more. */
  async return(): Promise<IteratorResult<BodyChunk, undefined>> {
    this.#stage = "over";
    for (const { stream } of this.#parts.slice(this.#index)) {
      // It keeps a file open until somebody destroys it, begun or not.
      if (stream !== undefined && isNodeStream(stream)) stream.destroy();
    }
    await this.#inner?.return?.(); // last: a generator that hangs never answers
    return { done: true, value: undefined };
  }
}
