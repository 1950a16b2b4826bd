/**
 * What a caller may give as a body: which kinds there are, whether one can be read twice, and how to close it.
 */

/** A piece of a request body. */
export type BodyChunk = string | ArrayBuffer | ArrayBufferView;

export type StreamSource = Iterable<BodyChunk> | AsyncIterable<BodyChunk>;

/** The bytes of anything that has some, uncopied; `null` for everything else. */
export function bytesOf(value: unknown): Uint8Array | null {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return value instanceof ArrayBuffer ? new Uint8Array(value) : null;
}

export function isStream(value: unknown): value is StreamSource {
  if (typeof value !== "object" || value === null) return false;
  const source = value as { [Symbol.iterator]?: unknown; [Symbol.asyncIterator]?: unknown };
  return typeof source[Symbol.asyncIterator] === "function" || typeof source[Symbol.iterator] === "function";
}

export function isNodeStream(source: unknown): source is { destroy(): void } {
  const { pipe, destroy } = source as { readonly pipe?: unknown; readonly destroy?: unknown };
  return typeof pipe === "function" && typeof destroy === "function";
}

/** A source that is made of others knows best. */
interface ComposedSource {
  readonly isReplayable: boolean;
}

/** Whether a stream can be read a second time: its iterator is a new one each time. */
export function isReplayable(source: StreamSource): boolean {
  if (typeof (source as Partial<ComposedSource>).isReplayable === "boolean")
    return (source as unknown as ComposedSource).isReplayable;
  if (isNodeStream(source) || typeof (source as { readonly getReader?: unknown }).getReader === "function")
    return false;
  if (Symbol.asyncIterator in source) return !isOwnIterator(source, Symbol.asyncIterator);
  return !isOwnIterator(source, Symbol.iterator);
}

// Generators are asked without running them: an iterator has next(), a collection does not.
function isOwnIterator(source: object, symbol: symbol): boolean {
  return symbol in source && typeof (source as { next?: unknown }).next === "function";
}

export type ChunkIterator = Iterator<BodyChunk, unknown> | AsyncIterator<BodyChunk, unknown>;

export function iteratorOf(source: StreamSource): ChunkIterator {
  return Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
}

/** The bytes of a blob, which can be read any number of times. */
export class BlobSource implements AsyncIterable<Uint8Array> {
  readonly isReplayable = true;
  readonly #blob: Blob;

  constructor(blob: Blob) {
    this.#blob = blob;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this.#blob.stream()[Symbol.asyncIterator]();
  }
}

const SLICE_BYTES = 64 * 1024;

/** Bytes that are there, in pieces: for whoever wants to know how many of them have gone. */
export class SlicedBytes implements Iterable<Uint8Array> {
  readonly isReplayable = true;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  *[Symbol.iterator](): Generator<Uint8Array, void, undefined> {
    for (let at = 0; at < this.#bytes.byteLength; at += SLICE_BYTES) yield this.#bytes.subarray(at, at + SLICE_BYTES);
  }
}
