/**
 * What the body of a made response is read from: anything that gives pieces, as one sequence.
 */
import { sequenceOf } from "../../core/index.ts";
import type { Operation, Sequence, SequenceSource } from "../../core/index.ts";
import { bytesOf } from "./sources.ts";
import type { BodyChunk } from "./sources.ts";

/** What a response can be made of. `null` and `undefined` are no body. */
export type MadeBodySource = BodyChunk | SequenceSource<BodyChunk> | null | undefined;

const ENCODER = new TextEncoder();

/** The bytes of a string or of anything that has some, those uncopied; `null` for everything else. @package */
export function bytesOfPiece(value: unknown): Uint8Array | null {
  return typeof value === "string" ? ENCODER.encode(value) : bytesOf(value);
}

/** @throws {UsageError} when it is no source. @package */
export function sequenceOfSource(source: SequenceSource<BodyChunk>): Sequence<BodyChunk> {
  return isNodeStream(source) ? new NodeStreamSequence(source) : sequenceOf(source);
}

/** Lets go of a source that nobody reads any more. @package */
export function closeQuietly(sequence: Sequence<unknown> | null): void {
  try {
    void sequence?.close?.();
  } catch {
    // The body has ended with an error of its own; nobody is left to hear that its source also failed to close.
  }
}

interface NodeStream extends AsyncIterable<BodyChunk> {
  destroy(): void;
}

function isNodeStream(source: object): source is NodeStream {
  const { pipe, destroy } = source as { readonly pipe?: unknown; readonly destroy?: unknown };
  return typeof pipe === "function" && typeof destroy === "function";
}

/** One that was never begun is not destroyed by the end of its iterator. */
class NodeStreamSequence implements Sequence<BodyChunk> {
  readonly #stream: NodeStream;
  readonly #sequence: Sequence<BodyChunk>;

  constructor(stream: NodeStream) {
    this.#stream = stream;
    this.#sequence = sequenceOf(stream);
  }

  next(): Operation<IteratorResult<BodyChunk, undefined>> {
    return this.#sequence.next();
  }

  close(): void {
    this.#stream.destroy();
  }
}
