/**
 * The content encodings that this Node can undo: gzip, deflate, br, and zstd from Node 22.15 on.
 *
 * Everything that is particular to an encoding is here: its names, its decoder as a stream and as one call, and what it
 * does with bytes after the end. `deflate` means zlib format (RFC 1950), and servers that send raw deflate (RFC 1951)
 * are as common; the first byte tells which it is.
 */
import type { Transform } from "node:stream";
import zlib from "node:zlib";
import { withDefaultHeader, withoutHeaders } from "../headers.ts";
import type { OutgoingHeaders } from "../headers.ts";

export interface Encoding {
  readonly name: string;
  /** @param firstByte Of the encoded data. */
  createDecoder(firstByte: number): Transform;
  /** The whole at once, or an error; at most `maxBytes` of it. */
  decode(bytes: Uint8Array, maxBytes: number): Uint8Array;
  /** As much as there is of a beginning that was cut off anywhere. */
  decodeBeginning(bytes: Uint8Array, maxBytes: number): Uint8Array;
  /** Whether bytes after the end may be ignored, as everybody does. Of zstd they may be a second frame, which must not get lost. */
  readonly ignoresRest: boolean;
}

/** More of them in a row than any server has a reason for. RFC 9110 sets no limit, and each one costs memory. */
export const MAX_ENCODINGS = 5;

// Each piece of output costs a trip to Node's thread pool; 64 KiB is what one read of a socket brings, too.
const OUTPUT_BYTES = 64 * 1024;

interface WholeResult {
  readonly buffer: Uint8Array;
  readonly engine: { readonly bytesWritten: number };
}

type WholeDecoder = (bytes: Uint8Array, options: object) => Uint8Array;

function encoding(
  name: string,
  ignoresRest: boolean,
  flush: number,
  pick: (firstByte: number) => { readonly create: (options: object) => Transform; readonly whole: WholeDecoder },
): Encoding {
  return {
    name,
    ignoresRest,
    createDecoder: (firstByte) => pick(firstByte).create({ chunkSize: OUTPUT_BYTES }),
    decode(bytes, maxBytes) {
      const options = { maxOutputLength: maxBytes, info: true };
      const { buffer, engine } = pick(bytes[0] ?? 0).whole(bytes, options) as unknown as WholeResult;
      if (!ignoresRest && engine.bytesWritten < bytes.byteLength) throw new RestError(name);
      return buffer;
    },
    decodeBeginning: (bytes, maxBytes) =>
      pick(bytes[0] ?? 0).whole(bytes, { maxOutputLength: maxBytes, finishFlush: flush }),
  };
}

/** There is something after the end of the data. */
export class RestError extends Error {
  constructor(name: string) {
    super(`there is more after the end of the ${name} data`);
  }
}

const { constants } = zlib;

const GZIP = encoding("gzip", true, constants.Z_SYNC_FLUSH, () => ({
  create: zlib.createGunzip,
  whole: zlib.gunzipSync as WholeDecoder,
}));

const DEFLATE = encoding("deflate", true, constants.Z_SYNC_FLUSH, (firstByte) =>
  // A zlib header names method 8 in its low four bits; a raw stream would begin with these bits only by odd padding.
  (firstByte & 0x0f) === 8
    ? { create: zlib.createInflate, whole: zlib.inflateSync as WholeDecoder }
    : { create: zlib.createInflateRaw, whole: zlib.inflateRawSync as WholeDecoder },
);

const BROTLI = encoding("br", true, constants.BROTLI_OPERATION_FLUSH, () => ({
  create: zlib.createBrotliDecompress,
  whole: zlib.brotliDecompressSync as WholeDecoder,
}));

const ENCODINGS: ReadonlyMap<string, Encoding> = new Map([
  ["gzip", GZIP],
  ["x-gzip", GZIP],
  ["deflate", DEFLATE],
  ["br", BROTLI],
  ...(hasZstd() ? ([["zstd", zstd()]] as const) : []),
]);

function hasZstd(): boolean {
  return typeof (zlib as { readonly createZstdDecompress?: unknown }).createZstdDecompress === "function";
}

function zstd(): Encoding {
  return encoding("zstd", false, constants.ZSTD_e_flush, () => ({
    create: zlib.createZstdDecompress,
    whole: zlib.zstdDecompressSync as WholeDecoder,
  }));
}

/** What is sent as `accept-encoding`. */
export const ACCEPT_ENCODING: string = ["gzip", "deflate", "br", "zstd"]
  .filter((name) => ENCODINGS.has(name))
  .join(", ");

/** Asks for compressed bodies, or no longer; what the caller has written into `accept-encoding` stays. */
export function withEncodings(headers: OutgoingHeaders, decompress: boolean | undefined): OutgoingHeaders {
  if (decompress === undefined) return headers;
  if (decompress) return withDefaultHeader(headers, "accept-encoding", ACCEPT_ENCODING);
  return headers.includes(ACCEPT_ENCODING) ? withoutHeaders(headers, ENCODING_HEADER) : headers;
}

const ENCODING_HEADER: ReadonlySet<string> = new Set(["accept-encoding"]);

/**
 * What has to be undone, in the order in which it has to be: the last one that the server applied first. `null` when there is
 * nothing to undo, or an encoding among them that nobody here knows: then the body is left as it is.
 */
export function encodingsOf(header: string | readonly string[] | undefined): readonly Encoding[] | null {
  if (header === undefined) return null;
  const names = typeof header === "string" ? header : header.join(",");
  const encodings: Encoding[] = [];
  for (const part of names.split(",")) {
    const name = part.trim().toLowerCase();
    if (name === "" || name === "identity") continue;
    const known = ENCODINGS.get(name);
    if (known === undefined) return null;
    encodings.unshift(known);
  }
  return encodings.length === 0 ? null : encodings;
}

// An excerpt of a kibibyte is shown; this much of it can be made without care.
const EXCERPT_OUTPUT_BYTES = 1024 * 1024;

/** The beginning of a body from the beginning of its bytes, for a message; the bytes themselves where that does not work. */
export function decodeExcerpt(bytes: Uint8Array, header: string | readonly string[] | undefined): Uint8Array {
  const encodings = encodingsOf(header);
  if (encodings === null || encodings.length > MAX_ENCODINGS || bytes.byteLength === 0) return bytes;
  try {
    let decoded = bytes;
    for (const encoding of encodings) decoded = encoding.decodeBeginning(decoded, EXCERPT_OUTPUT_BYTES);
    return decoded;
  } catch {
    return new Uint8Array(0); // what is left of it would be noise in a message
  }
}
