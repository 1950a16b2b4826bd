/**
 * A fixed crew of worker tasks that work through a source: what `mapConcurrent`, `mapStream` and `forEachConcurrent` share.
 *
 * A task for each item would cost a task for each item, and need a gate in front of it. Here a worker takes an item, runs `fn`
 * to its end and comes back for the next one, so the number of workers is the limit, and nothing is held but what they have.
 *
 * Taking (`Take`): one worker at a time, first come first served. An iterable gives its item at once. Any other source may
 * make the worker wait; the others stand in line behind it, since two calls of `next` on an async iterator may give the same
 * value to both. Workers are hired only when there is an item for them.
 *
 * An item has what a task of its own would have: what `fn` spawns has ended and what it defers has been released before the item
 * counts as done, and task-locals that it sets are gone. A worker's own scope is made only when it is needed, so for other items
 * this is one comparison.
 *
 * Rejected: leading each result through a promise-like slot (p-limit), a task for each item (with a gate in front of it, and a burst of memory).
 */
import {
  currentTask,
  describeValue,
  QueuedWait,
  running,
  Scope,
  sequenceOf,
  SUSPENDED,
  UsageError,
  WaitQueue,
  yieldNow,
} from "../core/index.ts";
import type { Coroutine, Operation, Sequence, SequenceSource, Started, Task, Waiter, Watcher } from "../core/index.ts";
import { checkCount } from "./errors.ts";
import { checkedOperation } from "./operands.ts";

/** Ten: enough to hide latency, few enough for a database or a host on the other side. */
export const DEFAULT_LIMIT = 10;

export type ItemFunction<Item, Result> = (item: Item, index: number) => Operation<Result>;

export abstract class Crew<Item, Result> {
  readonly what: string;
  readonly scope: Scope;
  readonly fn: ItemFunction<Item, Result>;
  /** How many items have been taken. */
  taken = 0;
  /** How many of them are done. */
  finished = 0;
  /** Whether the source has no more. */
  isEnded = false;
  readonly #limit: number;
  /** Set for a source that gives at once. */
  readonly #iterator: Iterator<Item, unknown> | null;
  readonly #sequence: Sequence<Item>;
  readonly #line = new WaitQueue<void, Take<Item, Result>>();
  #isPulling = false;
  #hired = 0;

  /** Enters a scope in the running task; `hold` must follow. */
  constructor(what: string, source: SequenceSource<Item>, fn: ItemFunction<Item, Result>, limit: number) {
    checkCount("limit", limit, 1);
    if (typeof fn !== "function")
      throw new UsageError(`${what}() takes a source and a function, got ${describeValue(fn)} as the function`);
    this.what = what;
    this.fn = fn;
    this.#limit = limit;
    this.#iterator = iteratorOf(source);
    this.#sequence = this.#iterator === null ? sequenceOf(source) : closing(this.#iterator);
    this.scope = Scope.enter({ name: what, onChildFailure: () => {} }); // `settled` hears of it
    this.scope.defer(() => (this.isEnded ? undefined : this.#sequence.close?.()));
  }

  /** The worker has the result of an item. */
  protected abstract done(index: number, result: Result): void;

  /** An item was taken. */
  protected began?(): void;

  /** The source has ended, and every item is done. */
  protected drained?(): void;

  /** Whether one more item may be taken now. When that changes, call `advance`. */
  protected get mayTake(): boolean {
    return true;
  }

  /** Whether who wanted the results has gone, so that a failure that nobody waits for is only told. */
  protected get isObsolete(): boolean {
    return false;
  }

  /** Runs `body` while the crew works, then waits for the crew. */
  *hold<T>(body: Operation<T>): Coroutine<T> {
    const value = yield* this.scope.run(body);
    if (this.scope.isCaught) throw this.scope.asError(); // somebody has cancelled the scope itself
    // Items were left because of a cancellation that `fn` has swallowed: it still waits for the host.
    if (!this.isObsolete && (!this.isEnded || this.finished < this.taken)) yield* yieldNow();
    return value as T;
  }

  /** Hires the first workers: as many as there are items for, or one that asks. */
  start(): void {
    if (this.#iterator === null) {
      this.#hire(new Take(this, this.#line as never));
      return;
    }
    while (this.#hired < this.#limit) {
      const take = new Take(this, this.#line as never);
      this.#pull(take, this.#iterator);
      if (take.isEnd) return;
      this.#hire(take);
    }
  }

  /** Serves the line: an item may be taken again. */
  advance(): void {
    while (this.#line.size > 0 && this.#mayPull) {
      const take = this.#line.shift()!;
      try {
        this.serve(take);
      } catch (error) {
        take.fail(error);
        continue;
      }
      take.end();
    }
  }

  /** Gives it an item, the end, or the right to ask the source. @internal */
  serve(take: Take<Item, Result>): void {
    if (this.isEnded) take.isEnd = true;
    else if (this.#iterator !== null) this.#pull(take, this.#iterator);
    else {
      this.#isPulling = true;
      take.isGranted = true;
    }
  }

  /** @internal */
  tryServe(take: Take<Item, Result>): boolean {
    if (this.#line.size > 0 || !this.#mayPull) return false;
    this.serve(take);
    return true;
  }

  /** Asks a source that may wait, on behalf of all. @internal */
  *ask(take: Take<Item, Result>): Coroutine<void> {
    take.isGranted = false;
    const step = yield* this.#sequence.next();
    this.#isPulling = false;
    this.#fill(take, step);
    if (take.isEnd) return;
    if (this.#line.size === 0 && this.#hired < this.#limit) this.#hire(new Take(this, this.#line as never));
    else this.advance();
  }

  /** @internal */
  finish(index: number, result: Result): void {
    this.finished++;
    this.done(index, result);
    if (this.isEnded && this.finished === this.taken) this.drained?.();
  }

  /** @internal */
  settled(task: Task<unknown>): void {
    const outcome = task.outcome!;
    if (outcome.status === "succeeded") return;
    const isReached = this.scope.isReached;
    if (outcome.status === "cancelled") {
      if (!isReached) this.scope.fail(task.failure()); // by its own doing: its item will never be done
    } else if (isReached && this.isObsolete && task.unwinding === null) {
      const message = `"${task.name}" failed in the turn in which nobody wanted the results of ${this.what} any more:`;
      this.scope.loop.report({ kind: "lost-error", message, error: outcome.error });
    } else this.scope.fail(outcome.error);
  }

  get #mayPull(): boolean {
    return this.isEnded || (!this.#isPulling && this.mayTake);
  }

  #pull(take: Take<Item, Result>, iterator: Iterator<Item, unknown>): void {
    const step: unknown = iterator.next();
    if (step === SUSPENDED) {
      running.task?.withdrawWait(); // its wait is not ours
      throw new UsageError(
        `the source of ${this.what}() is a coroutine; write yield* to get its value, which may be one`,
      );
    }
    this.#fill(take, step as IteratorResult<Item, undefined>);
  }

  #fill(take: Take<Item, Result>, step: IteratorResult<Item, undefined>): void {
    if (step.done === true) {
      take.isEnd = true;
      if (this.isEnded) return;
      this.isEnded = true;
      this.advance(); // who stands in line goes home
      if (this.finished === this.taken) this.drained?.();
      return;
    }
    take.item = step.value;
    take.index = this.taken++;
    take.hasItem = true;
    this.began?.();
  }

  #hire(take: Take<Item, Result>): void {
    this.#hired++;
    const task = this.scope.launch(work(this, take), this.fn.name === "" ? `${this.what} worker` : this.fn);
    task.watch(new Hired(this as Crew<unknown, unknown>));
  }
}

function* work<Item, Result>(crew: Crew<Item, Result>, take: Take<Item, Result>): Coroutine<void> {
  const self = currentTask();
  const { scope: outside, locals } = self;
  for (;;) {
    if (!take.hasItem) {
      if (crew.scope.isReached) return; // `fn` has swallowed the cancellation; see `hold`
      yield* take;
      if (take.isGranted) yield* crew.ask(take);
      if (take.isEnd) return;
    }
    const { index } = take;
    const item = take.item!;
    take.hasItem = false;
    take.item = undefined;
    const result = yield* checkedOperation(crew.what, crew.fn(item, index));
    // As at the end of a task; when `fn` throws, it is the end of this one.
    if (self.scope !== outside) yield* self.scope.close(false, undefined);
    if (self.locals !== locals) self.locals = locals;
    crew.finish(index, result);
  }
}

/** A worker's place in line; used again for each of its items. It never holds more than one. */
class Take<Item, Result> extends QueuedWait<void> {
  item: Item | undefined = undefined;
  index = 0;
  hasItem = false;
  isEnd = false;
  /** The source may be asked now, and nobody else may. */
  isGranted = false;
  private readonly crew: Crew<Item, Result>;

  constructor(crew: Crew<Item, Result>, line: WaitQueue<void, never>) {
    super(line);
    this.crew = crew;
  }

  get reason(): string {
    return `the next item of ${this.crew.what}`;
  }

  protected attempt(task: Waiter): Started<void> | null {
    return this.crew.tryServe(this) ? task.complete(this, undefined) : null;
  }
}

class Hired implements Watcher {
  before: Hired | null = null;
  after: Hired | null = null;
  readonly #crew: Crew<unknown, unknown>;

  constructor(crew: Crew<unknown, unknown>) {
    this.#crew = crew;
  }

  taskSettled(task: Task<unknown>): void {
    this.#crew.settled(task);
  }
}

/** For what can be iterated at once; else `null`. */
function iteratorOf<T>(source: SequenceSource<T>): Iterator<T, unknown> | null {
  const it = source as Partial<Iterable<T> & AsyncIterable<T>> | null | undefined;
  if (it === null || it === undefined || typeof it[Symbol.asyncIterator] === "function") return null;
  return typeof it[Symbol.iterator] === "function" ? (it as Iterable<T>)[Symbol.iterator]() : null;
}

function closing<T>(iterator: Iterator<T, unknown>): Sequence<T> {
  return sequenceOf({ [Symbol.iterator]: () => iterator } as Iterable<T>);
}
