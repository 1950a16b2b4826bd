/**
 * Readable streams of Node, both ways. Backpressure is the stream's own: nothing is read before somebody asks, so the
 * stream holds no more than its high-water mark.
 *
 * The stream's async iterator would do for `for await`, but it answers `return()` only after a pending `next()`: on a silent
 * socket a cancelled reader would wait for ever. So this listens to `"readable"` itself, and `finished` of Node knows all the
 * ways in which a stream can come to its end.
 */
import nodeProcess from "node:process";
import { finished, Readable } from "node:stream";
import { describeValue, Future, QueuedWait, UsageError, WaitQueue } from "../../core/index.ts";
import type { Operation, Sequence, SequenceSource, Started, Waiter } from "../../core/index.ts";
import { toAsyncIterable } from "../async-iterable.ts";
import type { AsyncIterableOptions } from "../async-iterable.ts";
import { closeWithScope, nothing } from "../scope-closing.ts";
import { streamFailure } from "./errors.ts";

export interface FromReadableOptions {
  /** For people. Default: `"stream"`. */
  readonly name?: string;
  /** Whether closing the sequence, or the end of its scope, destroys the stream. Default: `true`. */
  readonly destroy?: boolean;
}

/**
 * The chunks of a readable stream as a sequence. It belongs to the current scope: when that ends, or when the sequence is
 * closed, the stream is destroyed and its close awaited; with `destroy: false` it is only let go of.
 *
 * Cancelling a `next` takes nothing. Any number of tasks may take turns.
 * @throws the error of the stream, the very object, at `next`.
 * @throws {StreamClosedError} at `next`, when the stream was closed before its end.
 * @throws {UsageError} outside a coroutine.
 * @example
 * const chunks = fromReadable<Buffer>(createReadStream(path));
 */
export function fromReadable<Chunk = Buffer>(stream: Readable, options: FromReadableOptions = {}): Sequence<Chunk> {
  const it = stream as Partial<Readable> | null | undefined;
  if (typeof it?.read !== "function" || typeof it.on !== "function") {
    throw new UsageError(`fromReadable() takes a readable stream, got ${describeValue(stream)}`);
  }
  return new ReadableChunks<Chunk>(stream, options);
}

const ENDED: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

class ReadableChunks<Chunk> implements Sequence<Chunk> {
  readonly name: string;
  readonly line = new WaitQueue<IteratorResult<Chunk, undefined>, NextChunk<Chunk>>();
  readonly #stream: Readable;
  readonly #destroys: boolean;
  readonly #forget: () => void;
  readonly #stopListening: () => void;
  #state: "open" | "ended" | "failed" | "closed" = "open";
  #error: unknown = undefined;

  constructor(stream: Readable, options: FromReadableOptions) {
    this.name = options.name ?? "stream";
    this.#stream = stream;
    this.#destroys = options.destroy ?? true;
    this.#forget = closeWithScope("fromReadable()", () => this.close());
    stream.on("readable", this.#arrived);
    this.#stopListening = finished(stream, { writable: false }, (error) => this.#finished(error));
  }

  next(): Operation<IteratorResult<Chunk, undefined>> {
    return new NextChunk(this);
  }

  /** Lets go of the stream and destroys it, by the call; the operation waits until it is closed. Whoever waits gets the end. */
  close(): Operation<void> {
    if (this.#state === "closed") return nothing();
    this.#state = "closed";
    this.#error = undefined;
    this.#forget();
    this.#stream.off("readable", this.#arrived);
    this.#stream.off("close", this.#letGo);
    this.#endAll();
    const closed = this.#destroys ? destroyed(this.#stream) : nothing();
    this.#stopListening(); // after `destroyed` has begun to listen: an error must find somebody
    return closed;
  }

  serve(task: Waiter, wait: NextChunk<Chunk>): Started<IteratorResult<Chunk, undefined>> | null {
    if (this.#state === "failed") return task.fail(wait, this.#error);
    if (this.#state !== "open") return task.complete<IteratorResult<Chunk, undefined>>(wait, ENDED);
    const chunk = this.line.size > 0 ? null : this.#read(); // who waits already comes first
    return chunk === null ? null : task.complete(wait, { done: false, value: chunk });
  }

  /** Also what makes an exhausted stream say that it has ended. */
  #read(): Chunk | null {
    return this.#stream.destroyed ? null : (this.#stream.read() as Chunk | null);
  }

  readonly #arrived = (): void => {
    while (this.line.size > 0) {
      const chunk = this.#read();
      if (chunk === null) return;
      this.line.shift()?.end({ done: false, value: chunk });
    }
  };

  #finished(error: Error | null | undefined): void {
    if (this.#state !== "open") return;
    this.#stream.off("readable", this.#arrived);
    if (error === null || error === undefined) {
      this.#state = "ended";
      this.#endAll();
    } else {
      this.#state = "failed";
      this.#error = streamFailure(this.name, error);
      this.line.breakAll(this.#error);
    }
    // The other half of a socket may be open still: errors of that must find a listener, and the scope has to close it.
    if (this.#stream.closed) this.#letGo();
    else this.#stream.once("close", this.#letGo);
  }

  readonly #letGo = (): void => {
    this.#stopListening();
    this.#forget();
  };

  #endAll(): void {
    for (let waiting = this.line.shift(); waiting !== null; waiting = this.line.shift()) waiting.end(ENDED);
  }
}

class NextChunk<Chunk> extends QueuedWait<IteratorResult<Chunk, undefined>> {
  readonly #chunks: ReadableChunks<Chunk>;

  constructor(chunks: ReadableChunks<Chunk>) {
    super(chunks.line);
    this.#chunks = chunks;
  }

  get reason(): string {
    return `the next chunk of ${this.#chunks.name}`;
  }

  override get external(): boolean {
    return true;
  }

  protected attempt(task: Waiter): Started<IteratorResult<Chunk, undefined>> | null {
    return this.#chunks.serve(task, this);
  }
}

/**
 * Destroys a stream, by the call; the operation waits until it is closed. An error that it still has to tell finds a listener
 * and is dropped: whoever destroys is not interested any more.
 */
export function destroyed(stream: Destroyable): Operation<void> {
  const end = new Future<void>({ name: "close of a stream", external: true });
  const ignore = (): void => {};
  const closed = (): void => {
    stream.off("error", ignore);
    end.tryResolve();
  };
  stream.on("error", ignore);
  // `closed` is true before the events; those that are still to come are queued already, so one more tick comes after them.
  if (stream.closed === true) nodeProcess.nextTick(closed);
  else stream.once("close", closed);
  stream.destroy();
  return end;
}

interface Destroyable {
  readonly closed?: boolean;
  destroy(): unknown;
  on(event: string, listener: () => void): unknown;
  once(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
}

export interface ToReadableOptions extends AsyncIterableOptions {
  /** Whether chunks may be anything, not only strings and bytes. Default: `true`. */
  readonly objectMode?: boolean;
  /** How much the stream may take before it is read: chunks, or bytes without `objectMode`. Default: Node's, 1 chunk. */
  readonly highWaterMark?: number;
}

/**
 * The sequence as a readable stream. Destroying the stream cancels what is pending and closes the sequence; an error of the
 * sequence destroys the stream with it. See `toAsyncIterable` for where it runs. One value may have been taken from the
 * sequence and not be read yet when the stream is destroyed: that one is lost.
 *
 * @throws {UsageError} outside coroutines without a loop.
 * @example
 * toReadable(rows, { loop }).pipe(response);
 */
export function toReadable<T>(source: SequenceSource<T>, options: ToReadableOptions = {}): Readable {
  const { objectMode = true, highWaterMark, ...rest } = options;
  return Readable.from(toAsyncIterable(source, rest), {
    objectMode,
    ...(highWaterMark === undefined ? {} : { highWaterMark }),
  });
}
