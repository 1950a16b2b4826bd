/**
 * Values that come one after another, each of them waited for: what an async iterable is to promises.
 *
 * Channels, queues, intervals and HTTP bodies are sequences; whatever takes a sequence also takes arrays, iterables and
 * async iterables. The results are those of iterators, so "no more" needs no special value.
 */
import { describeValue, UsageError } from "./errors.ts";
import { Cancelled } from "./cancelled.ts";
import { Wait } from "./operation.ts";
import type { Coroutine, Operation, Started, Waiter } from "./operation.ts";
import { until } from "./promise.ts";

export interface Sequence<T> {
  /** Waits for the next value, or for the end. Cancelling takes none. */
  next(): Operation<IteratorResult<T, undefined>>;
  /** Called by who stops before the end, so that the source can let go of what it holds. May wait. */
  close?(): Operation<void>;
}

/** What `forEach`, `mapConcurrent` and the like take. */
export type SequenceSource<T> = Sequence<T> | Iterable<T> | AsyncIterable<T>;

/**
 * The source as a sequence. An async iterable is asked for one value at a time: what a cancelled call has asked for
 * is given to the next call. `close` calls `return()`.
 */
export function sequenceOf<T>(source: SequenceSource<T>): Sequence<T> {
  const it = source as Partial<Sequence<T> & Iterable<T> & AsyncIterable<T>> | null | undefined;
  if (typeof it === "string" || (typeof it === "object" && it !== null)) {
    if (typeof it[Symbol.asyncIterator] === "function") return new AsyncIteratorSequence(it[Symbol.asyncIterator]!());
    if (typeof it[Symbol.iterator] === "function") return new IteratorSequence(it[Symbol.iterator]!());
    if (typeof it.next === "function") return source as Sequence<T>;
  }
  throw new UsageError(`expected a sequence, an iterable or an async iterable, got ${describeValue(source)}`);
}

class IteratorSequence<T> implements Sequence<T> {
  readonly #iterator: Iterator<T, unknown>;

  constructor(iterator: Iterator<T, unknown>) {
    this.#iterator = iterator;
  }

  next(): Operation<IteratorResult<T, undefined>> {
    return new Taking(this.#iterator);
  }

  *close(): Coroutine<void> {
    this.#iterator.return?.();
  }
}

/** Never waits, but counts as a step, so that a long iteration gives way to the host. */
class Taking<T> extends Wait<IteratorResult<T, undefined>> {
  readonly #iterator: Iterator<T, unknown>;

  constructor(iterator: Iterator<T, unknown>) {
    super();
    this.#iterator = iterator;
  }

  get reason(): string {
    return "the next value of an iterable";
  }

  protected start(task: Waiter): Started<IteratorResult<T, undefined>> {
    return task.complete(this, ended(this.#iterator.next()));
  }

  withdraw(): boolean {
    return true;
  }
}

class AsyncIteratorSequence<T> implements Sequence<T> {
  readonly #iterator: AsyncIterator<T, unknown>;
  /** Asked for and not taken yet: a cancelled call leaves it to the next one. */
  #asked: Promise<IteratorResult<T, unknown>> | null = null;

  constructor(iterator: AsyncIterator<T, unknown>) {
    this.#iterator = iterator;
  }

  *next(): Coroutine<IteratorResult<T, undefined>> {
    this.#asked ??= this.#iterator.next();
    const asked = this.#asked;
    let result: IteratorResult<T, unknown>;
    try {
      result = yield* until(asked);
    } catch (error) {
      if (!(error instanceof Cancelled)) this.#asked = null;
      throw error;
    }
    this.#asked = null;
    return ended(result);
  }

  *close(): Coroutine<void> {
    const closing = this.#iterator.return?.();
    if (closing !== undefined) yield* until(closing);
  }
}

function ended<T>(result: IteratorResult<T, unknown>): IteratorResult<T, undefined> {
  return result.done === true ? { done: true, value: undefined } : result;
}
