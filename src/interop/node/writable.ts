/**
 * Writing into streams of Node with backpressure.
 *
 * A write waits for room *before* it hands its chunk to the stream, so a cancelled one has written nothing; the usual "write,
 * then wait for drain" cannot take back what it has written. The stream may hold one chunk more than its high-water mark, as
 * always in Node. Writers stand in line, so chunks leave in the order of the calls.
 */
import { finished } from "node:stream";
import type { Writable } from "node:stream";
import {
  closeSequence,
  describeValue,
  QueuedWait,
  Scope,
  sequenceOf,
  UsageError,
  WaitQueue,
} from "../../core/index.ts";
import type { Coroutine, Operation, SequenceSource, Started, Waiter } from "../../core/index.ts";
import { closeWithScope, nothing } from "../scope-closing.ts";
import { streamFailure, StreamClosedError } from "./errors.ts";
import { destroyed } from "./readable.ts";

export interface WriterOptions {
  /** For people. Default: `"stream"`. */
  readonly name?: string;
  /** Whether the end of the scope destroys a stream that has not finished. Default: `true`; use `false` for stdout. */
  readonly destroy?: boolean;
}

export interface WriterStatistics {
  /** Tasks that wait for room. */
  readonly waiting: number;
  /** What the stream holds: bytes, or chunks in object mode. */
  readonly buffered: number;
  readonly highWaterMark: number;
}

/**
 * A writer for the stream. It belongs to the current scope: when that ends before the stream has finished, the stream is
 * destroyed, or with `destroy: false` let go of. An error of the stream that no `write` or `end` has thrown until then is thrown by
 * the scope.
 *
 * @throws {UsageError} outside a coroutine.
 * @example
 * const out = writer(createWriteStream(path));
 * for (const row of rows) yield* out.write(row);
 * yield* out.end();
 */
export function writer<Chunk = string | Uint8Array>(
  stream: Writable,
  options: WriterOptions = {},
): StreamWriter<Chunk> {
  const it = stream as Partial<Writable> | null | undefined;
  if (typeof it?.write !== "function" || typeof it.on !== "function") {
    throw new UsageError(`writer() takes a writable stream, got ${describeValue(stream)}`);
  }
  return new StreamWriter<Chunk>(stream, options);
}

export class StreamWriter<Chunk = string | Uint8Array> {
  readonly name: string;
  readonly #stream: Writable;
  readonly #line = new WaitQueue<void, StreamWrite<Chunk>>();
  readonly #ends = new WaitQueue<void>();
  readonly #forget: () => void;
  readonly #stopListening: () => void;
  readonly #destroys: boolean;
  #state: "open" | "ending" | "finished" | "failed" | "closed" = "open";
  #error: unknown = undefined;
  #isTold = false;

  /** Use `writer()`. @internal */
  constructor(stream: Writable, options: WriterOptions) {
    this.name = options.name ?? "stream";
    this.#stream = stream;
    this.#destroys = options.destroy ?? true;
    this.#forget = closeWithScope("writer()", () => this.#close());
    stream.on("drain", this.#drained);
    this.#stopListening = finished(stream, { readable: false }, (error) => this.#finished(error));
  }

  /**
   * Waits until the stream has room, then hands it the chunk. First come first served. Cancelling writes nothing. That the chunk has
   * reached its target nobody knows before `end` has ended.
   *
   * @throws the error of the stream, the very object.
   * @throws {StreamClosedError} when the stream was closed, or after `end`.
   * @example
   * yield* out.write("line\n");
   */
  write(chunk: Chunk): Operation<void> {
    return new StreamWrite(this, this.#line, chunk);
  }

  /**
   * Ends the stream after the writes that stand in line, and waits until everything has been written. No further writes are
   * admitted from the `yield*` on. Cancelling does not take that back: the stream goes on ending.
   *
   * @throws the error of the stream.
   * @throws {StreamClosedError} when it was closed before its end.
   */
  end(): Operation<void> {
    return new StreamEnd(this, this.#ends);
  }

  statistics(): WriterStatistics {
    return Object.freeze({
      waiting: this.#line.size,
      buffered: this.#stream.writableLength,
      highWaterMark: this.#stream.writableHighWaterMark,
    });
  }

  /** @internal */
  serveWrite(task: Waiter, wait: StreamWrite<Chunk>): Started<void> | null {
    if (this.#state === "failed") return this.#fail(task, wait);
    if (this.#state !== "open") return task.fail(wait, this.#noMore());
    if (this.#stream.writableEnded) return task.fail(wait, this.#noMore());
    // While somebody stands in line the stream needs to drain: `#drained` serves as many as there is room for, in one go.
    if (this.#stream.writableNeedDrain || this.#stream.destroyed) return null; // destroyed: `finished` will tell why
    this.#stream.write(wait.chunk);
    return task.complete(wait, undefined);
  }

  /** @internal */
  serveEnd(task: Waiter, wait: StreamEnd): Started<void> | null {
    if (this.#state === "failed") return this.#fail(task, wait);
    if (this.#state === "finished") return task.complete(wait, undefined);
    if (this.#state === "closed") return task.fail(wait, this.#noMore());
    this.#state = "ending";
    this.endIfDrained();
    return null;
  }

  /** @internal */
  endIfDrained(): void {
    if (this.#state === "ending" && this.#line.size === 0) this.#stream.end();
  }

  #fail(task: Waiter, wait: QueuedWait<void>): Started<void> {
    this.#isTold = true;
    if (this.#stream.closed) this.#letGo();
    return task.fail(wait, this.#error);
  }

  #noMore(): StreamClosedError {
    const why = this.#state === "closed" ? "its scope has ended" : "it was ended";
    return new StreamClosedError(`cannot write to ${this.name}: ${why}`);
  }

  readonly #drained = (): void => {
    const stream = this.#stream;
    while (this.#line.size > 0 && !stream.writableNeedDrain && !stream.destroyed && !stream.writableEnded) {
      const entry = this.#line.shift()!;
      try {
        stream.write(entry.chunk);
      } catch (error) {
        entry.fail(error); // a chunk of the wrong type: the stream is unharmed
        continue;
      }
      entry.end();
    }
    this.endIfDrained();
  };

  #finished(error: Error | null | undefined): void {
    if (this.#state === "closed" || this.#state === "failed") return;
    this.#stream.off("drain", this.#drained);
    if (error === null || error === undefined) {
      this.#state = "finished";
      this.#line.breakAll(this.#noMore()); // somebody else has ended the stream
      this.#ends.unpark(this.#ends.size);
    } else {
      this.#state = "failed";
      this.#error = streamFailure(this.name, error);
      const told = this.#line.breakAll(this.#error) + this.#ends.breakAll(this.#error);
      this.#isTold = told > 0 || this.#error instanceof StreamClosedError;
    }
    // The other half of a socket may be open still: errors of that must find a listener.
    if (this.#stream.closed) this.#letGo();
    else this.#stream.once("close", this.#letGo);
  }

  /** Nothing is left to be closed, and nothing to be told but an error that nobody has heard of. */
  readonly #letGo = (): void => {
    this.#stopListening();
    if (this.#state === "finished" || this.#isTold) this.#forget();
  };

  /** A release of its scope: nobody of that scope waits any more, but somebody of another one may. */
  *#close(): Coroutine<void> {
    const { errored } = this.#stream as Partial<Writable>; // what is only like a stream may not have it
    if (errored !== null && errored !== undefined && (this.#state === "open" || this.#state === "ending")) {
      this.#finished(errored); // it has failed, and Node says so a tick later
      this.#stream.once("error", ignore);
    }
    const before = this.#state;
    this.#state = "closed";
    this.#forget();
    this.#stream.off("drain", this.#drained);
    this.#stream.off("close", this.#letGo);
    this.#line.breakAll(this.#noMore());
    this.#ends.breakAll(this.#noMore());
    const closed = this.#destroys && before !== "finished" ? destroyed(this.#stream) : nothing();
    this.#stopListening();
    yield* closed;
    if (before === "failed" && !this.#isTold) throw this.#error;
  }
}

/** An error that is told here finds a listener all the same: without one it would end the process. */
function ignore(): void {}

class StreamWrite<Chunk> extends QueuedWait<void> {
  readonly chunk: Chunk;
  readonly #writer: StreamWriter<Chunk>;

  constructor(writer: StreamWriter<Chunk>, line: WaitQueue<void, StreamWrite<Chunk>>, chunk: Chunk) {
    super(line);
    this.#writer = writer;
    this.chunk = chunk;
  }

  get reason(): string {
    return `room in ${this.#writer.name}`;
  }

  override get external(): boolean {
    return true;
  }

  protected attempt(task: Waiter): Started<void> | null {
    return this.#writer.serveWrite(task, this);
  }

  protected override left(): void {
    this.#writer.endIfDrained();
  }
}

/** What ending needs of a writer, whatever its chunks are. */
interface Ending {
  readonly name: string;
  serveEnd(task: Waiter, wait: StreamEnd): Started<void> | null;
}

class StreamEnd extends QueuedWait<void> {
  readonly #writer: Ending;

  constructor(writer: Ending, ends: WaitQueue<void>) {
    super(ends);
    this.#writer = writer;
  }

  get reason(): string {
    return `end of ${this.#writer.name}`;
  }

  override get external(): boolean {
    return true;
  }

  protected attempt(task: Waiter): Started<void> | null {
    return this.#writer.serveEnd(task, this);
  }
}

export interface WriteAllOptions {
  /** For people. Default: `"stream"`. */
  readonly name?: string;
  /** Whether to end the stream after the last value; then it is also destroyed when that does not come. Default: `true`. */
  readonly end?: boolean;
}

/**
 * Writes everything that the source gives, with backpressure, then ends the stream and waits until it has finished.
 *
 * When it is cancelled or fails, the source is closed and the stream destroyed: half of something must not look whole. With
 * `end: false` the stream is left open in any case.
 * @throws the error of the source or of the stream.
 * @throws {StreamClosedError} when the stream was closed before its end.
 * @example
 * yield* writeAll(createWriteStream(path), rows);
 */
export function* writeAll<Chunk>(
  stream: Writable,
  source: SequenceSource<Chunk>,
  options: WriteAllOptions = {},
): Coroutine<void> {
  const own = Scope.enter({ name: "writeAll" });
  yield* own.run(copy(stream, source, options));
  if (own.isCaught) throw own.asError();
}

function* copy<Chunk>(stream: Writable, source: SequenceSource<Chunk>, options: WriteAllOptions): Coroutine<void> {
  const ends = options.end ?? true;
  const out = writer<Chunk>(stream, { name: options.name ?? "stream", destroy: ends });
  const sequence = sequenceOf(source);
  let isOver = false;
  try {
    for (;;) {
      const result = yield* sequence.next();
      isOver = result.done === true;
      if (result.done === true) break;
      yield* out.write(result.value);
    }
  } finally {
    if (!isOver) yield* closeSequence(sequence);
  }
  if (ends) yield* out.end();
}
