/**
 * Web streams, both ways, with backpressure: a chunk is taken from the source only when somebody wants it.
 */
import { describeValue, QueuedWait, UsageError, until, WaitQueue } from "../core/index.ts";
import type { Operation, Sequence, SequenceSource, Started, Waiter } from "../core/index.ts";
import { toAsyncIterable } from "./async-iterable.ts";
import type { AsyncIterableOptions } from "./async-iterable.ts";
import { closeWithScope, nothing } from "./scope-closing.ts";

export interface ReadableStreamOptions extends AsyncIterableOptions {
  /**
   * How many chunks the stream may take before they are read. Default: 0, so that cancelling the stream loses none.
   */
  readonly highWaterMark?: number;
}

/**
 * The sequence as a `ReadableStream`, for `new Response(…)` and the like. Cancelling the stream cancels what is pending and
 * closes the sequence; an error of the sequence is the stream's error. See `toAsyncIterable` for where it runs.
 *
 * @throws {UsageError} outside coroutines without a loop.
 * @example
 * return new Response(toReadableStream(rows, { loop }));
 */
export function toReadableStream<T>(source: SequenceSource<T>, options: ReadableStreamOptions = {}): ReadableStream<T> {
  const iterator = toAsyncIterable(source, options);
  return new ReadableStream<T>(
    {
      pull: async (controller) => {
        const { done, value } = await iterator.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      cancel: async () => void (await iterator.return()),
    },
    { highWaterMark: options.highWaterMark ?? 0 },
  );
}

/**
 * The chunks of a `ReadableStream` as a sequence. The stream is locked, and belongs to the current scope: it is cancelled when
 * that ends or when the sequence is closed, before its own end. The lock is released then.
 *
 * A chunk that a cancelled `next` has asked for is given to the next call.
 * @throws {UsageError} outside a coroutine, or when the stream is locked.
 * @example
 * const chunks = fromReadableStream(response.body);
 */
export function fromReadableStream<T>(stream: ReadableStream<T>): Sequence<T> {
  if (typeof (stream as Partial<ReadableStream<T>> | null | undefined)?.getReader !== "function") {
    throw new UsageError(`fromReadableStream() takes a ReadableStream, got ${describeValue(stream)}`);
  }
  if (stream.locked)
    throw new UsageError("fromReadableStream() needs a stream that nobody else reads; this one is locked");
  return new Chunks(stream);
}

const ENDED: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

class Chunks<T> implements Sequence<T> {
  readonly line = new WaitQueue<IteratorResult<T, undefined>, NextChunk<T>>();
  readonly #reader: ReadableStreamDefaultReader<T>;
  readonly #forget: () => void;
  /** What a cancelled call had asked for. */
  #kept: { readonly value: T } | null = null;
  #isAsking = false;
  #isEnded = false;
  #failure: { readonly error: unknown } | null = null;

  constructor(stream: ReadableStream<T>) {
    this.#forget = closeWithScope("fromReadableStream()", () => this.close());
    this.#reader = stream.getReader();
  }

  next(): Operation<IteratorResult<T, undefined>> {
    return new NextChunk(this);
  }

  /** Cancels the stream, by the call; the operation waits until its source has let go. Whoever waits gets the end. */
  close(): Operation<void> {
    if (this.#isEnded) return nothing();
    this.#end();
    this.#kept = null;
    const cancelled = this.#reader.cancel().finally(() => this.#reader.releaseLock());
    cancelled.catch(() => {}); // nobody has to wait for it
    return until(cancelled);
  }

  serve(task: Waiter, wait: NextChunk<T>): Started<IteratorResult<T, undefined>> | null {
    const kept = this.#kept;
    if (kept !== null) {
      // then nobody waits
      this.#kept = null;
      return task.complete(wait, { done: false, value: kept.value });
    }
    if (this.#failure !== null) return task.fail(wait, this.#failure.error);
    if (this.#isEnded) return task.complete<IteratorResult<T, undefined>>(wait, ENDED);
    if (!this.#isAsking) this.#ask();
    return null;
  }

  #ask(): void {
    this.#isAsking = true;
    this.#reader.read().then(this.#answered, this.#failed);
  }

  readonly #answered = (result: { readonly done: boolean; readonly value: T | undefined }): void => {
    this.#isAsking = false;
    if (this.#isEnded) return;
    if (result.done) {
      this.#end();
      this.#reader.releaseLock();
      return;
    }
    const waiting = this.line.shift();
    const value = result.value as T;
    if (waiting === null) this.#kept = { value };
    else waiting.end({ done: false, value });
    if (this.line.size > 0) this.#ask();
  };

  readonly #failed = (error: unknown): void => {
    this.#isAsking = false;
    if (this.#isEnded) return;
    this.#failure = { error };
    this.line.breakAll(error);
    this.#end();
    this.#reader.releaseLock();
  };

  #end(): void {
    this.#isEnded = true;
    this.#forget();
    for (let waiting = this.line.shift(); waiting !== null; waiting = this.line.shift()) waiting.end(ENDED);
  }
}

class NextChunk<T> extends QueuedWait<IteratorResult<T, undefined>> {
  readonly #chunks: Chunks<T>;

  constructor(chunks: Chunks<T>) {
    super(chunks.line);
    this.#chunks = chunks;
  }

  get reason(): string {
    return "the next chunk of a stream";
  }

  override get external(): boolean {
    return true;
  }

  protected attempt(task: Waiter): Started<IteratorResult<T, undefined>> | null {
    return this.#chunks.serve(task, this);
  }
}
