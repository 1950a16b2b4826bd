/**
 * A body as a sequence of something smaller or larger than its pieces: lines, values, events.
 *
 * One class serves all of them; what differs is the decoder. It is asked for one item at a time, so an item that is wrong is
 * found after all those before it were given, and what nobody takes is not decoded.
 *
 * Most pieces hold many items, so an item that is there costs no coroutine: `next()` gives one object for all, which is
 * a wait that completes at once, or else a coroutine that reads on.
 */
import type { Coroutine, Operation, Sequence } from "../../core/index.ts";
import { Wait } from "../../lowlevel.ts";
import type { Started, Waiter } from "../../lowlevel.ts";

/** What the sequences need of a response. */
export interface ChunkSource {
  chunk(): Operation<Uint8Array | undefined>;
  close(): void;
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array>;
}

/** Makes items of pieces. What it throws ends the sequence. */
export interface ItemDecoder<T> {
  /** The next piece. All items of the one before have been taken. */
  add(chunk: Uint8Array): void;
  /** No more will come. */
  end(): void;
  /** The next item, or `NO_ITEM` when another piece is needed. */
  next(): T | typeof NO_ITEM;
}

export const NO_ITEM: unique symbol = Symbol("no item");

type Result<T> = IteratorResult<T, undefined>;

const ENDED: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

/**
 * Items of a response body, one after the other: for `yield* items.next()`, for `forEach` and all that takes sequences, and for
 * `for await` in promise code.
 *
 * Cancelling a `next` takes nothing. Stopping before the end closes the response. An error comes after the items before it, and
 * closes the response, too.
 */
export class BodyItems<T> implements Sequence<T>, AsyncIterable<T> {
  readonly #source: ChunkSource;
  readonly #decoder: ItemDecoder<T>;
  readonly #nextOperation: Operation<Result<T>>;
  #isEnded = false;
  /** An item that was decoded and not taken yet. */
  #ready: { readonly item: T } | null = null;

  /** Made by `lines()`, `ndjson()` and `events()` of a response. @internal */
  constructor(source: ChunkSource, decoder: ItemDecoder<T>, what: string) {
    this.#source = source;
    this.#decoder = decoder;
    const takeReady = new TakeReady(this, what);
    this.#nextOperation = { [Symbol.iterator]: () => (this.#isReady() ? takeReady : this.#read()) };
  }

  /** Waits for the next item, or for the end. */
  next(): Operation<Result<T>> {
    return this.#nextOperation;
  }

  /** Gives up the rest: closes the response, by the call. */
  close(): void {
    this.#isEnded = true;
    this.#ready = null;
    this.#source.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** What takes a sequence or an async iterable prefers the sequence: it needs no promise for each item. @internal */
  get receiver(): this {
    return this;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, undefined, undefined> {
    const chunks = this.#source[Symbol.asyncIterator]();
    try {
      for (;;) {
        while (this.#isReady()) yield this.takeReady().value!;
        if (this.#isEnded) return undefined;
        const step = await chunks.next();
        this.#accept(step.done === true ? undefined : step.value);
      }
    } finally {
      if (!this.#isEnded) this.close();
    }
  }

  /** @internal */
  takeReady(): Result<T> {
    const { item } = this.#ready!;
    this.#ready = null;
    return { done: false, value: item };
  }

  *#read(): Coroutine<Result<T>> {
    for (;;) {
      if (this.#isReady()) return this.takeReady();
      if (this.#isEnded) return ENDED;
      this.#accept(yield* this.#source.chunk());
    }
  }

  #accept(chunk: Uint8Array | undefined): void {
    if (this.#isEnded) return; // closed by another task meanwhile
    if (chunk !== undefined) return this.#decoder.add(chunk);
    this.#decoder.end();
    this.#isReady(); // the last item, which nothing but the end has completed
    this.#isEnded = true;
  }

  #isReady(): boolean {
    if (this.#ready !== null) return true;
    if (this.#isEnded) return false;
    try {
      const item = this.#decoder.next();
      if (item === NO_ITEM) return false;
      this.#ready = { item };
      return true;
    } catch (error) {
      this.close();
      throw error;
    }
  }
}

/** Completes at once, but counts as a step, so that a long iteration gives way to the host. */
class TakeReady<T> extends Wait<Result<T>> {
  readonly reason: string;
  readonly #items: BodyItems<T>;

  constructor(items: BodyItems<T>, what: string) {
    super();
    this.#items = items;
    this.reason = `the next ${what}`;
  }

  protected start(task: Waiter): Started<Result<T>> {
    return task.complete(this, this.#items.takeReady());
  }

  withdraw(): boolean {
    return true;
  }
}
