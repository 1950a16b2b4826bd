/**
 * From a sequence to `for await`. The other way is `sequenceOf`, in the core.
 *
 * Nothing runs while nobody asks: a task is made when `next()` is called and serves all calls that are queued then. A loop
 * with a task that waits for the next question would leak it whenever somebody drops the iterator (Effect-TS/effect#5221).
 *
 * The protocol, by phase:
 *   open     calls of `next()` are answered in their order, one value each.
 *   closing  `return()` or `throw()` was called: the pending `next` of the sequence is cancelled. A value that came in the same
 *            turn still goes to the oldest call; the other calls get the end; then the sequence is closed.
 *   ended    by the sequence's end, its failure, or after closing: every call gets the end.
 *   lost     its scope has ended or was cancelled: every call is rejected with `CancelledError`. An end that is none would
 *            let the reader believe that it has seen everything.
 */
import { Cancelled, CancelledError, closeSequence, sequenceOf } from "../core/index.ts";
import type { Coroutine, EventLoop, Scope, Sequence, SequenceSource, Task } from "../core/index.ts";
import { ownerOf } from "./promise.ts";
import { closeWith } from "./scope-closing.ts";

export interface AsyncIterableOptions {
  /** Where the sequence is asked. Default: the current scope, which then also closes it; needed outside coroutines. */
  readonly loop?: EventLoop;
  /** Of the tasks. Default: `"async iterable"`. */
  readonly name?: string;
}

/** What `toAsyncIterable` gives: an async generator without the generator. */
export interface SequenceIterator<T> extends AsyncIterableIterator<T, undefined, unknown> {
  next(): Promise<IteratorResult<T, undefined>>;
  /** Cancels what is pending, closes the sequence, and waits for both. */
  return(): Promise<IteratorReturnResult<undefined>>;
  /** Like `return`, then rejects with `error`. */
  throw(error?: unknown): Promise<never>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * The sequence, or what stands for one, for promise code. Each `next()` asks it once, so nothing is taken that nobody asked for; calls that overlap are
 * answered in their order.
 *
 * Leaving the `for await` early cancels what is pending and closes the sequence. An error of the sequence rejects the call
 * and ends the iteration. Inside a coroutine the iterator belongs to the current scope: when that is cancelled, pending calls reject
 * with `CancelledError`; when it ends, the sequence is closed.
 *
 * @throws {UsageError} outside coroutines without a loop.
 * @example
 * for await (const job of toAsyncIterable(queue, { loop })) await legacy.handle(job);
 */
export function toAsyncIterable<T>(source: SequenceSource<T>, options: AsyncIterableOptions = {}): SequenceIterator<T> {
  return new Asking(sequenceOf(source), ownerOf("toAsyncIterable()", options.loop), options);
}

interface Call<T> {
  readonly promise: Promise<IteratorResult<T, undefined>>;
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

const ENDED: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

class Asking<T> implements SequenceIterator<T> {
  readonly #sequence: Sequence<T>;
  readonly #owner: Scope;
  readonly #name: string;
  readonly #forget: () => void;
  readonly #calls: Call<T>[] = [];
  #phase: "open" | "closing" | "ended" | "lost" = "open";
  #worker: Task<void> | null = null;
  #closing: Promise<void> | null = null;

  constructor(sequence: Sequence<T>, owner: Scope, options: AsyncIterableOptions) {
    this.#sequence = sequence;
    this.#owner = owner;
    this.#name = options.name ?? "async iterable";
    this.#forget = options.loop === undefined ? closeWith(owner, () => this.#scopeEnded()) : () => {};
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#phase === "lost") return Promise.reject(this.#lost());
    if (this.#phase !== "open") return Promise.resolve(ENDED);
    let settle!: Omit<Call<T>, "promise">;
    const promise = new Promise<IteratorResult<T, undefined>>((resolve, reject) => (settle = { resolve, reject }));
    this.#calls.push({ promise, ...settle });
    try {
      if (this.#worker === null) this.#startWorker();
    } catch (error) {
      this.#calls.pop()!.reject(error); // its scope is closed
    }
    return promise;
  }

  return(): Promise<IteratorReturnResult<undefined>> {
    return this.#told(this.#close().then(() => ENDED));
  }

  throw(error?: unknown): Promise<never> {
    return this.#told(this.#close().then(() => Promise.reject(error)));
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#told(this.#close());
  }

  #startWorker(): void {
    const worker = this.#owner.spawn({ name: this.#name }, () => this.#answer());
    this.#worker = worker;
    const taskSettled = (): void => {
      // What #answer throws is a cancellation: by #close, or by a scope around.
      if (worker.outcome?.status === "succeeded") return;
      this.#worker = null;
      if (this.#phase === "open") this.#lose();
    };
    worker.watch({ before: null, after: null, taskSettled });
  }

  /** Answers calls until none is left. */
  *#answer(): Coroutine<void> {
    while (this.#calls.length > 0 && this.#phase === "open") {
      let result: IteratorResult<T, undefined>;
      try {
        result = yield* this.#sequence.next();
      } catch (error) {
        if (error instanceof Cancelled) throw error;
        this.#calls.shift()?.reject(error);
        this.#end();
        break;
      }
      if (result.done === true) this.#end();
      else this.#calls.shift()?.resolve(result);
    }
    this.#worker = null;
  }

  #end(): void {
    this.#phase = "ended";
    this.#forget();
    for (const call of this.#calls.splice(0)) call.resolve(ENDED);
  }

  #lose(): void {
    this.#phase = "lost";
    for (const call of this.#calls.splice(0)) {
      call.promise.catch(() => {}); // whoever cancelled knows
      call.reject(this.#lost());
    }
  }

  #lost(): CancelledError {
    return new CancelledError(
      this.#name,
      `the scope "${this.#owner.name}" that it belongs to was cancelled or has ended`,
    );
  }

  /** Cancels the pending question and closes the sequence, once. */
  #close(): Promise<void> {
    if (this.#phase !== "open") return this.#closing ?? Promise.resolve();
    this.#phase = "closing";
    const worker = this.#worker;
    try {
      const closing = this.#owner.spawn({ name: `closing of ${this.#name}` }, () => this.#finish(worker));
      this.#closing = this.#told(closing.then((done) => done));
    } catch (error) {
      this.#closing = this.#told(Promise.reject(error)); // its scope is closed, and will close the sequence
    }
    return this.#closing;
  }

  /** What fails here its scope has heard of; outside of scopes the promise alone tells it. */
  #told<Value>(promise: Promise<Value>): Promise<Value> {
    if (this.#owner.host !== null) promise.catch(() => {});
    return promise;
  }

  *#finish(worker: Task<void> | null): Coroutine<void> {
    try {
      if (worker !== null) yield* worker.cancel("the async iterator was closed");
    } finally {
      this.#end();
      yield* closeSequence(this.#sequence);
    }
  }

  /** A release of its scope, after all tasks have settled. */
  *#scopeEnded(): Coroutine<void> {
    if (this.#phase === "ended") return;
    this.#lose();
    yield* closeSequence(this.#sequence);
  }
}
