/**
 * Values that come one after another, each of them waited for: what an async iterable is to promises.
 *
 * Channels, queues, intervals and HTTP bodies are sequences; whatever takes a sequence also takes arrays, iterables and
 * async iterables. The results are those of iterators, so "no more" needs no special value.
 */
import { describeValue, UsageError } from "./errors.ts";
import { running, SUSPENDED, Wait } from "./operation.ts";
import type { Coroutine, Operation, Started, Waiter } from "./operation.ts";
import { until } from "./promise.ts";
import { QueuedWait, WaitQueue } from "./wait-queue.ts";

export interface Sequence<T> {
  /** Waits for the next value, or for the end. Cancelling takes none. */
  next(): Operation<IteratorResult<T, undefined>>;
  /**
   * Called by who stops before the end, so that the source can let go of what it holds. It does so by the call; where there is
   * something to wait for, it returns an operation.
   */
  close?(): Operation<void> | void;
}

/** Lets go of the source, and waits until it has. */
export function* closeSequence(sequence: Sequence<unknown>): Coroutine<void> {
  const closing = sequence.close?.();
  if (closing !== undefined) yield* closing;
}

/** What `forEach`, `mapConcurrent` and the like take. Of what has a receiving end, such as a channel, that end. */
export type SequenceSource<T> = Sequence<T> | { readonly receiver: Sequence<T> } | Iterable<T> | AsyncIterable<T>;

/**
 * The source as a sequence. An async iterable is asked for one value at a time: what a cancelled call has asked for
 * is given to the next call. `close` calls `return()`.
 */
export function sequenceOf<T>(source: SequenceSource<T>): Sequence<T> {
  const it = source as
    | Partial<Sequence<T> & { receiver: Sequence<T> } & Iterable<T> & AsyncIterable<T>>
    | null
    | undefined;
  if (typeof it === "string" || (typeof it === "object" && it !== null)) {
    if (typeof it.receiver?.next === "function") return it.receiver; // its `close` lets go; that of a channel ends the sending
    if (typeof it[Symbol.asyncIterator] === "function") return new AsyncIteratorSequence(it[Symbol.asyncIterator]!());
    if (typeof it[Symbol.iterator] === "function") {
      const iterator = it[Symbol.iterator]!();
      if (iterator instanceof Wait) throw new UsageError(`${NO_SOURCE}, got ${describeValue(source)}`);
      return new IteratorSequence(iterator);
    }
    if (typeof it.next === "function") return source as Sequence<T>;
  }
  throw new UsageError(`expected a sequence, an iterable or an async iterable, got ${describeValue(source)}`);
}

const NO_SOURCE = "an operation is no source of values; write yield* to get its value, which may be one";

class IteratorSequence<T> implements Sequence<T> {
  readonly #iterator: Iterator<T, unknown>;

  constructor(iterator: Iterator<T, unknown>) {
    this.#iterator = iterator;
  }

  next(): Operation<IteratorResult<T, undefined>> {
    return new Taking(this.#iterator);
  }

  close(): void {
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
    const step: unknown = this.#iterator.next();
    if (step === SUSPENDED) {
      running.task?.withdrawWait(); // the generator is a coroutine: its wait is not ours
      throw new UsageError(NO_SOURCE);
    }
    return task.complete(this, ended(step as IteratorResult<T, unknown>));
  }

  withdraw(): boolean {
    return true;
  }
}

/** Asks for one value at a time, for whoever has waited longest; what a cancelled call had asked for is kept for the next one. */
class AsyncIteratorSequence<T> implements Sequence<T> {
  readonly line: WaitQueue<IteratorResult<T, undefined>, NextValue<T>> = new WaitQueue();
  readonly #iterator: AsyncIterator<T, unknown>;
  #isAsking = false;
  #kept: Answer<T> | null = null;

  constructor(iterator: AsyncIterator<T, unknown>) {
    this.#iterator = iterator;
  }

  next(): Operation<IteratorResult<T, undefined>> {
    return new NextValue(this);
  }

  close(): Operation<void> | void {
    if (this.#iterator.return === undefined) return;
    const closing = asking(() => this.#iterator.return!());
    closing.then(undefined, () => {});
    // An async generator answers only after the value that it was asked for, which may never come.
    if (!this.#isAsking) return until(closing) as Operation<unknown> as Operation<void>;
  }

  serve(task: Waiter, wait: NextValue<T>): Started<IteratorResult<T, undefined>> | null {
    const kept = this.#kept;
    this.#kept = null;
    if (kept !== null) return kept.failed ? task.fail(wait, kept.error) : task.complete(wait, ended(kept.result));
    if (!this.#isAsking) this.#ask();
    return null;
  }

  #ask(): void {
    this.#isAsking = true;
    asking(() => this.#iterator.next()).then(
      (result) => this.#answer({ failed: false, result }),
      (error: unknown) => this.#answer({ failed: true, error }),
    );
  }

  #answer(answer: Answer<T>): void {
    this.#isAsking = false;
    const first = this.line.shift();
    if (first === null) this.#kept = answer;
    else if (answer.failed) first.fail(answer.error);
    else first.end(ended(answer.result));
    if (this.line.size > 0) this.#ask();
  }
}

/** A hand-written iterator may throw, or answer without a promise, which `for await` takes too. */
function asking<T>(ask: () => PromiseLike<T> | T): PromiseLike<T> {
  try {
    const answer = ask();
    return typeof (answer as Partial<PromiseLike<T>> | null)?.then === "function"
      ? (answer as PromiseLike<T>)
      : Promise.resolve(answer);
  } catch (error) {
    return Promise.reject(error);
  }
}

type Answer<T> =
  | { readonly failed: false; readonly result: IteratorResult<T, unknown> }
  | { readonly failed: true; readonly error: unknown };

class NextValue<T> extends QueuedWait<IteratorResult<T, undefined>> {
  readonly #sequence: AsyncIteratorSequence<T>;

  constructor(sequence: AsyncIteratorSequence<T>) {
    super(sequence.line);
    this.#sequence = sequence;
  }

  get reason(): string {
    return "the next value of an async iterable";
  }

  override get external(): boolean {
    return true;
  }

  protected attempt(task: Waiter): Started<IteratorResult<T, undefined>> | null {
    return this.#sequence.serve(task, this);
  }
}

function ended<T>(result: IteratorResult<T, unknown>): IteratorResult<T, undefined> {
  return result.done === true ? { done: true, value: undefined } : result;
}
