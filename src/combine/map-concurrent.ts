import type { Coroutine, Operation, SequenceSource } from "../core/index.ts";
import { Crew, DEFAULT_LIMIT } from "./crew.ts";
import type { ItemFunction } from "./crew.ts";

export interface ForEachConcurrentOptions {
  /** How many items are worked on at the same time at most. Default: 10; `Infinity` is allowed. */
  readonly limit?: number;
}

export interface MapConcurrentOptions extends ForEachConcurrentOptions {
  /** Whether the results stand in the order of the items (default), or in the order in which they were there. */
  readonly ordered?: boolean;
}

/**
 * Runs `fn` for every item of an array, iterable, async iterable, channel or other sequence, at most `limit` at the same time,
 * and gives all results. For results as they come, or a source without end, see `mapStream` and `forEachConcurrent`.
 *
 * Items are taken one at a time, when there is somebody to work on them, each exactly once. The first failure, of `fn` or of
 * the source, cancels the others, waits for them, closes the source and is thrown; later ones are in `suppressedErrors`.
 * Cancelling does the same; what was taken by then is gone, and so are the results so far.
 *
 * The work is done by `limit` tasks in turn. What `fn` spawns has ended, and what it defers has been released, before its
 * item is done.
 * @param fn A generator function, or a function that returns any operation; it gets the item and its number, from 0.
 * @throws {UsageError} when `limit` is no whole number from 1 up, or the source nothing that can be iterated.
 * @example
 * const pages = yield* mapConcurrent(urls, download, { limit: 10 });
 */
export function* mapConcurrent<Item, Result>(
  source: SequenceSource<Item>,
  fn: (item: Item, index: number) => Operation<Result>,
  options: MapConcurrentOptions = {},
): Coroutine<Result[]> {
  const crew = new Mapping(source, fn, options.limit ?? DEFAULT_LIMIT, options.ordered ?? true);
  yield* crew.hold(work(crew));
  return crew.results;
}

/**
 * Runs `fn` for every item of the source, at most `limit` at the same time, and keeps nothing: for sources without end.
 * Everything else is as with `mapConcurrent`.
 * @example
 * yield* forEachConcurrent(jobs, handle, { limit: 50 });     // jobs: the receiving end of a channel
 */
export function* forEachConcurrent<Item>(
  source: SequenceSource<Item>,
  fn: (item: Item, index: number) => Operation<unknown>,
  options: ForEachConcurrentOptions = {},
): Coroutine<void> {
  const crew = new Visiting("forEachConcurrent", source, fn, options.limit ?? DEFAULT_LIMIT);
  yield* crew.hold(work(crew));
}

function* work(crew: { start(): void }): Coroutine<void> {
  crew.start(); // the scope waits for the workers
}

class Mapping<Item, Result> extends Crew<Item, Result> {
  results: Result[] = [];
  readonly #ordered: boolean;

  constructor(source: SequenceSource<Item>, fn: ItemFunction<Item, Result>, limit: number, ordered: boolean) {
    super("mapConcurrent", source, fn, limit);
    this.#ordered = ordered;
  }

  protected override began(): void {
    if (this.#ordered) this.results.push(undefined as Result); // no gaps: an array with holes is slower
  }

  protected done(index: number, result: Result): void {
    if (this.#ordered) this.results[index] = result;
    else this.results.push(result);
  }
}

class Visiting<Item> extends Crew<Item, unknown> {
  protected done(): void {}
}
