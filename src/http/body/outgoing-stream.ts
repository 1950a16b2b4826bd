/**
 * The caller's stream on its way to undici.
 *
 * Every kind of stream (iterable, async iterable, node Readable, web stream) is read through it, for three reasons: an error of
 * the caller's own stream must come back as itself and not as a broken connection; a cancelled request must close a stream
 * that hangs in `next()`, which undici leaves waiting; and the limit for the peer must not run while it is the stream that
 * is slow.
 */
import { InvalidRequestError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import { bytesOf, isNodeStream, iteratorOf } from "./sources.ts";
import type { BodyChunk, ChunkIterator, StreamSource } from "./sources.ts";

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

/** How much of a request body has gone. */
export interface UploadProgress {
  /** What the connection has taken; of that the last 64 KiB or so may still be in the buffers of the system. */
  readonly sentBytes: number;
  /** `undefined` for a stream of unknown length. */
  readonly totalBytes: number | undefined;
}

/** Who wants to know how much has gone. */
export interface UploadWatch {
  readonly onUploadProgress: (progress: UploadProgress) => void;
  readonly totalBytes: number | undefined;
}

type Step = IteratorResult<BodyChunk, unknown>;

/** Reads the caller's stream for undici, once. */
export class OutgoingStream implements AsyncIterableIterator<Uint8Array | string> {
  readonly #source: StreamSource;
  readonly #observer: StreamObserver;
  readonly #watch: UploadWatch | undefined;
  #iterator: ChunkIterator | null = null;
  #isOver = false;
  #sentBytes = 0;
  /** Given to undici, which has not come back for more yet. */
  #givenBytes = 0;

  constructor(source: StreamSource, observer: StreamObserver, watch?: UploadWatch) {
    this.#source = source;
    this.#observer = observer;
    this.#watch = watch;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array | string, undefined>> {
    if (this.#isOver) return OVER;
    this.#observer.streamAsked();
    try {
      if (this.#watch !== undefined) this.#tell(this.#watch);
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
    const piece = typeof chunk === "string" ? chunk : bytesOf(chunk);
    if (piece === null) {
      throw new InvalidRequestError(
        this.#observer.subject,
        `its body stream gave a piece that is neither a string nor bytes (${typeof chunk})`,
      );
    }
    if (this.#watch !== undefined)
      this.#givenBytes = typeof piece === "string" ? Buffer.byteLength(piece) : piece.byteLength;
    return piece;
  }

  #tell({ onUploadProgress, totalBytes }: UploadWatch): void {
    if (this.#givenBytes === 0) return;
    this.#sentBytes += this.#givenBytes;
    this.#givenBytes = 0;
    onUploadProgress({ sentBytes: this.#sentBytes, totalBytes });
  }
}

const OVER: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

const LATER: Promise<void> = Promise.resolve();

async function closeQuietly(source: StreamSource, iterator: ChunkIterator): Promise<void> {
  try {
    await LATER; // whoever closes is in the middle of something, and this runs the caller's code
    // A node stream's iterator queues return() behind the next() that hangs; destroy() does not wait.
    if (isNodeStream(source)) source.destroy();
    await iterator.return?.();
  } catch {
    // The request has ended with an error of its own; nobody is left to hear that its stream also failed to close.
  }
}
