/**
 * Bodies of lines: text, and NDJSON (one JSON value a line, https://github.com/ndjson/ndjson-spec).
 *
 * Lines end in LF or CRLF; the last one need not. They are looked for in the bytes, which is right for UTF-8 and for every other
 * charset in which a line feed is one byte; UTF-16 is refused. Each line is decoded by itself, so a line that somebody keeps
 * does not keep the piece of 64 KiB that it came in.
 */
import { UsageError } from "../../core/index.ts";
import { BodyTooLarge, DecodeError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import { NO_ITEM } from "./items.ts";
import type { ItemDecoder } from "./items.ts";

export interface LinesOptions {
  /** The most that one line may have, in bytes. Default: 1 MiB. */
  readonly maxLineBytes?: number;
}

const DEFAULT_MAX_LINE_BYTES = 1024 * 1024; // a longer line is mostly a file that is none of lines
const LF = 0x0a;
const CR = 0x0d;

type TextOf = (bytes: Buffer, start: number, end: number) => string;

const utf8: TextOf = (bytes, start, end) => bytes.toString("utf8", start, end);

/** @param charset That of the content type; `undefined` for UTF-8. */
function textOf(charset: string | undefined, subject: RequestSubject): TextOf {
  if (charset === undefined) return utf8;
  let decoder: InstanceType<typeof TextDecoder>;
  try {
    decoder = new TextDecoder(charset);
  } catch (cause) {
    throw new DecodeError(subject, `the response has the unknown charset ${JSON.stringify(charset)}`, cause);
  }
  if (!decoder.encoding.startsWith("utf-16")) return (bytes, start, end) => decoder.decode(bytes.subarray(start, end));
  const cause = "its line feeds are not single bytes; read it with text()";
  throw new DecodeError(subject, `lines cannot be read in ${decoder.encoding}`, cause);
}

export class LineDecoder implements ItemDecoder<string> {
  /** How many lines were given. */
  count = 0;
  readonly #subject: RequestSubject;
  readonly #maxLineBytes: number;
  readonly #charset: string | undefined;
  #textOf: TextOf | null = null;
  #chunk: Buffer = EMPTY;
  #at = 0;
  /** The beginning of a line that goes on in the next piece. */
  #begun: Buffer[] = [];
  #begunBytes = 0;
  #isEnded = false;

  constructor(subject: RequestSubject, charset: string | undefined, options: LinesOptions) {
    const { maxLineBytes = DEFAULT_MAX_LINE_BYTES } = options;
    if (!(maxLineBytes === Infinity || (Number.isInteger(maxLineBytes) && maxLineBytes > 0))) {
      throw new UsageError(
        `maxLineBytes must be a whole number of at least 1, or Infinity; got ${String(maxLineBytes)}`,
      );
    }
    this.#subject = subject;
    this.#charset = charset;
    this.#maxLineBytes = maxLineBytes;
  }

  add(chunk: Uint8Array): void {
    this.#chunk = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#at = 0;
  }

  end(): void {
    this.#isEnded = true;
  }

  next(): string | typeof NO_ITEM {
    const start = this.#at;
    const end = this.#chunk.indexOf(LF, start);
    if (end === -1) return this.#keepRest(start);
    this.#at = end + 1;
    this.#checkLength(this.#begunBytes + end - start);
    if (this.#begunBytes === 0) return this.#line(this.#chunk, start, end);
    this.#begun.push(this.#chunk.subarray(start, end));
    return this.#begunLine();
  }

  #keepRest(start: number): string | typeof NO_ITEM {
    const rest = this.#chunk.subarray(start);
    this.#chunk = EMPTY;
    this.#at = 0;
    if (rest.length > 0) {
      this.#begun.push(rest);
      this.#begunBytes += rest.length;
      this.#checkLength(this.#begunBytes);
    }
    return this.#isEnded && this.#begunBytes > 0 ? this.#begunLine() : NO_ITEM;
  }

  #begunLine(): string {
    const line = this.#begun.length === 1 ? this.#begun[0]! : Buffer.concat(this.#begun);
    this.#begun = [];
    this.#begunBytes = 0;
    return this.#line(line, 0, line.length);
  }

  #line(bytes: Buffer, start: number, end: number): string {
    this.#textOf ??= textOf(this.#charset, this.#subject);
    const text = this.#textOf(bytes, start, end > start && bytes[end - 1] === CR ? end - 1 : end);
    return this.count++ === 0 && text.startsWith("\ufeff") ? text.slice(1) : text;
  }

  #checkLength(bytes: number): void {
    if (bytes <= this.#maxLineBytes) return;
    const size = `line ${this.count + 1} has more than ${this.#maxLineBytes} bytes`;
    throw new BodyTooLarge(
      this.#subject,
      this.#maxLineBytes,
      size,
      true,
      "raise maxLineBytes, or read it with chunk()",
    );
  }
}

const EMPTY = Buffer.alloc(0);

/** The values of NDJSON. Empty lines are skipped. */
export class JsonLineDecoder implements ItemDecoder<unknown> {
  readonly #subject: RequestSubject;
  readonly #lines: LineDecoder;

  constructor(subject: RequestSubject, options: LinesOptions) {
    this.#subject = subject;
    this.#lines = new LineDecoder(subject, undefined, options);
  }

  /** Of the value that was given last, counted from 1. */
  get line(): number {
    return this.#lines.count;
  }

  add(chunk: Uint8Array): void {
    this.#lines.add(chunk);
  }

  end(): void {
    this.#lines.end();
  }

  next(): unknown {
    for (;;) {
      const line = this.#lines.next();
      if (line === NO_ITEM) return NO_ITEM;
      if (line.trim() === "") continue;
      try {
        return JSON.parse(line);
      } catch (cause) {
        throw new DecodeError(this.#subject, `line ${this.#lines.count} of the response body is not JSON`, cause);
      }
    }
  }
}
