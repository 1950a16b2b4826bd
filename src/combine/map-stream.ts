/**
 * `mapConcurrent` as a sequence: results as they come, and no more work than somebody takes the results of.
 *
 * The sequence is given to a body because the workers need a scope: when the body ends, they end. A sequence that was
 * returned would have to be closed by hand, and workers that nobody listens to would keep the scope around it open for ever
 * (the trouble with yielding inside a task group: PEP 789, trio's `as_safe_channel`).
 */
import { checkFunction, scope } from "../core/index.ts";
import type { Coroutine, Operation, Sequence, SequenceSource } from "../core/index.ts";
import { Crew, DEFAULT_LIMIT } from "./crew.ts";
import type { ItemFunction } from "./crew.ts";
import { checkCount } from "./errors.ts";
import type { MapConcurrentOptions } from "./map-concurrent.ts";
import { Outlet } from "./outlet.ts";

export interface MapStreamOptions extends MapConcurrentOptions {
  /**
   * How many results may lie ready while all workers go on. Items that were taken from the source and whose results have
   * not been taken are never more than `limit + bufferSize`. Default: the limit.
   */
  readonly bufferSize?: number;
}

/**
 * Runs `fn` for the items of the source, at most `limit` at the same time, and gives the results to `consume` as a
 * `Sequence`, in the order of the items or (`ordered: false`) as they are ready. Results that are taken slowly stop the intake.
 *
 * Returns what `consume` returns. When it does so before the end, the work under way is cancelled and awaited, results that
 * were not taken are dropped, and the source is closed. A failure of `fn` or of the source cancels `consume` and the other
 * items, closes the source and is thrown. Cancelling does the same.
 *
 * A failure in the turn in which `consume` ends is reported to the loop's `onReport`; what a cleanup throws is thrown.
 * @example
 * yield* mapStream(urls, download, function* (pages) { yield* forEach(pages, save) }, { limit: 8 });
 */
export function* mapStream<Item, Result, T>(
  source: SequenceSource<Item>,
  fn: (item: Item, index: number) => Operation<Result>,
  consume: (results: Sequence<Result>) => Operation<T>,
  options: MapStreamOptions = {},
): Coroutine<T> {
  const limit = options.limit ?? DEFAULT_LIMIT;
  const bufferSize = options.bufferSize ?? limit;
  checkCount("bufferSize", bufferSize, 0);
  checkFunction("mapStream", consume);
  const crew = new Streaming(source, fn, limit, limit + bufferSize, options.ordered ?? true);
  try {
    return yield* crew.hold(stream(crew, consume));
  } finally {
    crew.results.finish(); // for a task outside that has got hold of them
  }
}

function* stream<Item, Result, T>(
  crew: Streaming<Item, Result>,
  consume: (results: Sequence<Result>) => Operation<T>,
): Coroutine<T> {
  crew.start();
  const value = yield* scope(() => consume(crew.results), { name: "results of mapStream" });
  crew.dismiss();
  return value;
}

class Streaming<Item, Result> extends Crew<Item, Result> {
  readonly results: Results<Result>;
  readonly #capacity: number;
  readonly #ordered: boolean;
  /** Results that an earlier one is missing for. */
  readonly #early = new Map<number, Result>();
  #nextIndex = 0;
  #delivered = 0;
  #isDismissed = false;

  constructor(
    source: SequenceSource<Item>,
    fn: ItemFunction<Item, Result>,
    limit: number,
    capacity: number,
    ordered: boolean,
  ) {
    super("mapStream", source, fn, limit);
    this.#capacity = capacity;
    this.#ordered = ordered;
    this.results = new Results(() => {
      this.#delivered++;
      this.advance();
    });
  }

  dismiss(): void {
    this.#isDismissed = true;
    this.scope.request("obsolete", "nobody takes the results any more");
  }

  protected override get isObsolete(): boolean {
    return this.#isDismissed;
  }

  protected override get mayTake(): boolean {
    return this.taken - this.#delivered < this.#capacity;
  }

  protected done(index: number, result: Result): void {
    if (!this.#ordered) {
      this.results.add(result);
      return;
    }
    this.#early.set(index, result);
    while (this.#early.has(this.#nextIndex)) {
      const next = this.#early.get(this.#nextIndex)!;
      this.#early.delete(this.#nextIndex++);
      this.results.add(next);
    }
  }

  protected override drained(): void {
    this.results.finish();
  }
}

class Results<T> extends Outlet<T> {
  readonly reason = "the next result of mapStream";
  readonly #onTaken: () => void;

  constructor(onTaken: () => void) {
    super();
    this.#onTaken = onTaken;
  }

  add(value: T): void {
    this.put(value);
  }

  finish(): void {
    this.end();
  }

  protected override taken(): void {
    this.#onTaken();
  }
}
