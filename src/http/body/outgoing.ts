/**
 * The body of a request on its way out: from the options of the caller to what undici takes, and the headers that go with it.
 *
 * Strings and bytes go to undici as they are; everything else is a stream, see `outgoing-stream.ts`. Headers that other
 * options of a request stand for (a range, a condition, no compression) are set here, too, since this is the one place
 * that all requests pass once.
 */
import { InvalidRequestError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import { withDefaultHeader, withoutHeaders } from "../headers.ts";
import type { OutgoingHeaders } from "../headers.ts";
import { conditionalHeaders } from "./conditional.ts";
import type { ConditionalOptions } from "./conditional.ts";
import type { DecodeOptions } from "./decoding.ts";
import { withEncodings } from "./encodings.ts";
import { encodeMultipart } from "./multipart.ts";
import type { MultipartSource } from "./multipart.ts";
import type { UploadProgress, UploadWatch } from "./outgoing-stream.ts";
import { rangeHeaders } from "./ranges.ts";
import type { RangeOptions } from "./ranges.ts";
import { BlobSource, bytesOf, isStream, SlicedBytes } from "./sources.ts";
import type { BodyChunk, StreamSource } from "./sources.ts";

/**
 * What can be sent. A stream whose iterator is itself (generators, Readables) and a web stream can be sent once only. `FormData` is sent
 * as multipart, `URLSearchParams` as a form, a `Blob` with its type and size.
 */
export type BodySource =
  | string
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | FormData
  | URLSearchParams
  | Iterable<BodyChunk>
  | AsyncIterable<BodyChunk>;

/** The four ways to give a body; at most one of them. */
export interface BodyOptions {
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as `application/x-www-form-urlencoded`. */
  readonly form?:
    | Readonly<Record<string, string | number | boolean | readonly (string | number | boolean)[]>>
    | URLSearchParams;
  /** Sent as `multipart/form-data`: parts by name, which may be files and streams. */
  readonly multipart?: MultipartSource;
  readonly body?: BodySource;
  /**
   * Called for each piece of the body that the connection has taken, at most 64 KiB each for strings and bytes; not throttled. It runs in no task, so it
   * must not wait; an error that it throws ends the request with it. A body that is sent again counts from the start.
   */
  readonly onUploadProgress?: (progress: UploadProgress) => void;
}

/** A body ready to be sent. */
export interface OutgoingBody {
  readonly data: string | Uint8Array | undefined;
  readonly stream: StreamSource | undefined;
  /** Only with a stream. */
  readonly watch?: UploadWatch;
}

export const NO_BODY: OutgoingBody = Object.freeze({ data: undefined, stream: undefined });

/** What is sent: a body, what it is, and how long it is if that is not seen from it. */
interface Encoded {
  readonly data?: string | Uint8Array | undefined;
  readonly stream?: StreamSource | undefined;
  readonly type?: string;
  readonly sizeBytes?: number | undefined;
}

type EncodedRequest = { readonly body: OutgoingBody; readonly headers: OutgoingHeaders };

export function encodeBody(
  options: BodyOptions & ConditionalOptions & DecodeOptions & RangeOptions,
  given: OutgoingHeaders,
  subject: RequestSubject,
): EncodedRequest {
  const { json, form, multipart, body, decompress, range, unlessChanged, onUploadProgress } = options;
  let headers = given;
  if (decompress !== undefined) headers = withEncodings(headers, decompress);
  // A part of an encoded body cannot be decoded.
  if (range !== undefined) headers = withHeaders(withoutEncodings(headers), rangeHeaders(range));
  if (unlessChanged !== undefined) headers = withHeaders(headers, conditionalHeaders(unlessChanged));
  if (json === undefined && form === undefined && multipart === undefined && body === undefined) {
    return { body: NO_BODY, headers };
  }
  if (
    Number(json !== undefined) +
      Number(form !== undefined) +
      Number(multipart !== undefined) +
      Number(body !== undefined) >
    1
  ) {
    throw new InvalidRequestError(subject, "it has several bodies; give one of json, form, multipart and body");
  }
  const encoded = encode(options, subject);
  if (encoded.type !== undefined) headers = withDefaultHeader(headers, "content-type", encoded.type);
  if (onUploadProgress !== undefined) return watched(encoded, headers, onUploadProgress);
  const { data, stream, sizeBytes } = encoded;
  if (stream !== undefined && sizeBytes !== undefined)
    headers = withDefaultHeader(headers, "content-length", String(sizeBytes));
  return { body: { data, stream }, headers };
}

function encode({ json, form, multipart, body }: BodyOptions, subject: RequestSubject): Encoded {
  if (json !== undefined) return { data: stringify(json, subject), type: "application/json" };
  if (form !== undefined) return { data: formText(form), type: FORM_TYPE };
  if (multipart !== undefined) return encodeParts(multipart, subject);
  if (typeof body === "string") return { data: body, type: "text/plain;charset=UTF-8" };
  const bytes = bytesOf(body);
  if (bytes !== null) return { data: bytes };
  if (body instanceof URLSearchParams) return { data: body.toString(), type: FORM_TYPE };
  if (body instanceof FormData) return encodeParts(body, subject);
  if (body instanceof Blob) {
    const type = body.type === "" ? {} : { type: body.type };
    return { stream: new BlobSource(body), sizeBytes: body.size, ...type };
  }
  if (isStream(body)) return { stream: body };
  throw new InvalidRequestError(
    subject,
    "its body is neither a string, bytes, a Blob, FormData, URLSearchParams, an iterable nor an async iterable",
  );
}

const FORM_TYPE = "application/x-www-form-urlencoded";

function encodeParts(parts: MultipartSource | FormData, subject: RequestSubject): Encoded {
  const { contentType, data, stream, sizeBytes } = encodeMultipart(parts as MultipartSource, subject);
  return { data, stream, type: contentType, sizeBytes };
}

/** As a stream, also of what is there as a whole: nobody but a stream is asked piece by piece. */
function watched(
  { data, stream, sizeBytes }: Encoded,
  given: OutgoingHeaders,
  onUploadProgress: (progress: UploadProgress) => void,
): EncodedRequest {
  const bytes = typeof data === "string" ? Buffer.from(data) : data;
  let headers = given;
  const size = bytes?.byteLength ?? sizeBytes;
  if (size !== undefined) headers = withDefaultHeader(headers, "content-length", String(size));
  const declared = headers[headers.indexOf("content-length") + 1];
  const totalBytes = size ?? (headers.includes("content-length") ? Number(declared) : undefined);
  const source = stream ?? new SlicedBytes(bytes!);
  return { body: { data: undefined, stream: source, watch: { onUploadProgress, totalBytes } }, headers };
}

const ENCODING_HEADERS: ReadonlySet<string> = new Set(["accept-encoding"]);

function withoutEncodings(headers: OutgoingHeaders): OutgoingHeaders {
  return [...withoutHeaders(headers, ENCODING_HEADERS), "accept-encoding", "identity"];
}

/** Sets them over those that are there. */
function withHeaders(headers: OutgoingHeaders, pairs: readonly string[]): OutgoingHeaders {
  const names = new Set(pairs.filter((_, index) => index % 2 === 0));
  return [...withoutHeaders(headers, names), ...pairs];
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
