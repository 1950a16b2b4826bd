/**
 * Parts of a resource: what is asked for with `Range`, and whether the answer is that part.
 *
 * A server may ignore the question and send everything (200); whoever asked has to look. What must never happen in silence is
 * that another part is taken for the one that was asked for, so that is checked here for every request with a `range`.
 * Source: RFC 9110 §14.
 */
import { UsageError } from "../../core/index.ts";
import { describeRequest, HttpError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import { ifRangeOf } from "./conditional.ts";
import type { Validators } from "./conditional.ts";

/** Bytes to ask for, counted from 0. */
export interface ByteRange {
  /** The first one. A negative number counts from the end: `-500` are the last 500, and then there is no `end`. */
  readonly start: number;
  /** The last one, which is included, as in HTTP. Default: the last one there is. */
  readonly end?: number;
  /**
   * Asks for the part only if the resource still is the one that had these; else everything comes, with status 200. A weak ETag
   * cannot promise that bytes are the same, so it does not count.
   */
  readonly ifUnchanged?: Validators;
}

export interface RangeOptions {
  /**
   * Asks for a part, uncompressed. The answer is 206 with that part, or 200 with everything from servers that know no ranges: see
   * `response.contentRange`.
   * @throws {RangeMismatchError} {RangeNotSatisfiableError} instead of a response.
   */
  readonly range?: ByteRange;
}

/** Which part of a resource a response has. */
export interface ContentRange {
  readonly start: number;
  /** The last byte, which is included. */
  readonly end: number;
  /** Of the whole; `undefined` when the server does not know. */
  readonly sizeBytes: number | undefined;
}

/** The server answered with another part than the one that was asked for. Code: `HTTP_RANGE_MISMATCH`. */
export class RangeMismatchError extends HttpError {
  readonly asked: ByteRange;
  /** What the server says that it sent: its `content-range`, or "none". */
  readonly answered: string;

  constructor(subject: RequestSubject, asked: ByteRange, answered: string) {
    super(
      "HTTP_RANGE_MISMATCH",
      `${describeRequest(subject)} asked for ${rangeHeader(asked)} and was answered with ${answered}; ` +
        "ask for the whole without range",
      subject,
    );
    this.asked = asked;
    this.answered = answered;
  }
}

/** The resource has no such part (416), mostly because it is shorter. Code: `HTTP_RANGE_NOT_SATISFIABLE`. */
export class RangeNotSatisfiableError extends HttpError {
  readonly asked: ByteRange;
  /** How long the resource is, if the server says so. */
  readonly sizeBytes: number | undefined;

  constructor(subject: RequestSubject, asked: ByteRange, sizeBytes: number | undefined) {
    const size = sizeBytes === undefined ? "" : `, it has ${sizeBytes} bytes`;
    super(
      "HTTP_RANGE_NOT_SATISFIABLE",
      `${describeRequest(subject)} asked for ${rangeHeader(asked)}, which is not there${size}`,
      subject,
    );
    this.asked = asked;
    this.sizeBytes = sizeBytes;
  }
}

/** The value of `Range`. @throws {UsageError} */
export function rangeHeader({ start, end }: ByteRange): string {
  if (start < 0 && Number.isSafeInteger(start) && end === undefined) return `bytes=${start}`;
  const isRight =
    Number.isSafeInteger(start) && start >= 0 && (end === undefined || (Number.isSafeInteger(end) && end >= start));
  if (isRight) return `bytes=${start}-${end ?? ""}`;
  throw new UsageError(
    `a range goes from a whole number "start" to a whole number "end" that is not smaller, or has a negative "start" alone; got ${String(start)} to ${String(end)}`,
  );
}

/** Headers that ask for it: name, value, name, value. */
export function rangeHeaders(range: ByteRange): string[] {
  const headers = ["range", rangeHeader(range)];
  if (range.ifUnchanged === undefined) return headers;
  const validator = ifRangeOf(range.ifUnchanged);
  if (validator !== undefined) return [...headers, "if-range", validator];
  throw new UsageError("range.ifUnchanged needs a strong ETag or a date of last change; ask without a range instead");
}

/** `null` when there is none, or one that cannot be read. */
export function parseContentRange(value: string | undefined): ContentRange | null {
  const match = /^\s*bytes\s+(\d+)-(\d+)\/(\d+|\*)\s*$/i.exec(value ?? "");
  if (match === null) return null;
  const start = Number(match[1]);
  const end = Number(match[2]);
  const sizeBytes = match[3] === "*" ? undefined : Number(match[3]);
  return end >= start && end < (sizeBytes ?? Infinity) ? { start, end, sizeBytes } : null;
}

/** What is wrong with the answer to a request for a part; `null` when nothing is. */
export function rangeProblem(
  subject: RequestSubject,
  asked: ByteRange,
  status: number,
  contentRange: string | undefined,
): HttpError | null {
  if (status === 416) {
    const size = /^\s*bytes\s+\*\/(\d+)\s*$/i.exec(contentRange ?? "")?.[1];
    return new RangeNotSatisfiableError(subject, asked, size === undefined ? undefined : Number(size));
  }
  if (status !== 206 || subject.method === "HEAD") return null;
  const got = parseContentRange(contentRange);
  return got !== null && isAsked(asked, got) ? null : new RangeMismatchError(subject, asked, contentRange ?? "none");
}

/** A server may send less than was asked for, but from where it was asked. */
function isAsked(asked: ByteRange, got: ContentRange): boolean {
  if (asked.start >= 0) return got.start === asked.start && got.end <= (asked.end ?? Infinity);
  return got.sizeBytes === undefined || got.start === Math.max(0, got.sizeBytes + asked.start);
}
