/**
 * Several awaitables as one future.
 */
import { CancelledError } from "./errors.ts";
import { getRunningLoop } from "./event-loop.ts";
import { current, Future } from "./future.ts";
import type { Awaitable, FutureLoop } from "./future.ts";
import { ensureFuture, Task } from "./task.ts";
import type { TaskLoop } from "./task.ts";

export interface GatherOptions {
  /** Whether what the awaitables throw stands among the results, instead of ending the whole. Default: `false`. */
  readonly returnExceptions?: boolean;
  /** Needed outside of a running loop, when all that is gathered are coroutines. Default: the running one. */
  readonly loop?: TaskLoop;
}

type Results<Awaitables extends readonly Awaitable<unknown>[]> = {
  -readonly [Index in keyof Awaitables]: Awaitables[Index] extends Awaitable<infer T> ? T : never;
};

/** Cancelling it cancels what is in it; it is done once all of that is. */
class GatheringFuture<T> extends Future<T> {
  readonly #children: readonly Future<unknown>[];
  /** @internal */
  cancelRequested = false;

  constructor(children: readonly Future<unknown>[], loop: FutureLoop) {
    super({ loop });
    this.#children = children;
  }

  override cancel(message?: unknown): boolean {
    if (this.done()) return false;
    let any = false;
    for (const child of this.#children) if (child.cancel(message)) any = true;
    if (any) this.cancelRequested = true;
    return any;
  }
}

/**
 * A future for the results of all, in the order given. Coroutines become tasks; the same future given twice is awaited once.
 *
 * The first exception is that of the whole, at once: the others go on, and what they throw later is dropped. With
 * `returnExceptions` it is a result like any other, the whole ends after the last one, and has no exception of its own.
 * Cancelling the whole cancels all that are not done, and ends with `CancelledError` after the last one, even with `returnExceptions`.
 * One that is cancelled by somebody else counts as one that threw `CancelledError`; the whole is not cancelled then.
 * @example
 * const [user, orders] = yield* gather(fetchUser(id), fetchOrders(id));
 * const outcomes = yield* gather(...tasks, { returnExceptions: true });
 */
export function gather<Awaitables extends readonly Awaitable<unknown>[]>(
  ...awaitables: Awaitables
): Future<Results<Awaitables>>;
export function gather<Awaitables extends readonly Awaitable<unknown>[]>(
  ...args: [...awaitables: Awaitables, options: GatherOptions & { readonly returnExceptions: true }]
): Future<{ -readonly [Index in keyof Awaitables]: unknown }>;
export function gather<Awaitables extends readonly Awaitable<unknown>[]>(
  ...args: [...awaitables: Awaitables, options: GatherOptions]
): Future<Results<Awaitables>>;
export function gather(...args: readonly (Awaitable<unknown> | GatherOptions)[]): Future<unknown> {
  const last = args.at(-1);
  const options: GatherOptions = isOptions(last) ? last : {};
  const awaitables = (isOptions(last) ? args.slice(0, -1) : args) as readonly Awaitable<unknown>[];
  if (awaitables.length === 0) {
    const nothing = (options.loop ?? getRunningLoop()).createFuture<unknown[]>();
    nothing.setResult([]);
    return nothing;
  }
  return new Gathering(awaitables, options).outer;
}

function isOptions(value: unknown): value is GatherOptions {
  return typeof value === "object" && value !== null && !(Symbol.iterator in value) && !("then" in value);
}

class Gathering {
  outer: GatheringFuture<unknown[]>;
  readonly #children: Future<unknown>[] = [];
  readonly #returnExceptions: boolean;
  readonly #task: Future<unknown> | null;
  #different = 0;
  #finished = 0;

  constructor(awaitables: readonly Awaitable<unknown>[], options: GatherOptions) {
    this.#returnExceptions = options.returnExceptions ?? false;
    let loop = options.loop ?? (current.loop as TaskLoop | null) ?? undefined;
    this.#task = (current.loop as TaskLoop | null)?.runningTask ?? null;
    const futures = new Map<Awaitable<unknown>, Future<unknown>>();
    const doneAlready: Future<unknown>[] = [];
    const childDone = (child: Future<unknown>): void => this.#childDone(child);
    for (const awaitable of awaitables) {
      let child = futures.get(awaitable);
      if (child === undefined) {
        child = ensureFuture(awaitable, { loop });
        loop ??= child.loop as TaskLoop;
        if (child !== awaitable && child instanceof Task) child.isOurs = true;
        futures.set(awaitable, child);
        this.#different++;
        if (child.done()) doneAlready.push(child);
        else {
          if (this.#task !== null) child.addAwaiter(this.#task);
          child.addDoneCallback(childDone);
        }
      }
      this.#children.push(child);
    }
    this.outer = new GatheringFuture(this.#children, loop!);
    for (const child of doneAlready) this.#childDone(child);
  }

  #childDone(child: Future<unknown>): void {
    this.#finished++;
    if (this.#task !== null) child.discardAwaiter(this.#task);
    const { outer } = this;
    if (outer.done()) {
      child.markSeen();
      return;
    }
    if (!this.#returnExceptions && !child.hasSucceeded) {
      outer.setException(child.failure());
      return;
    }
    if (this.#finished < this.#different) return;
    const results = this.#children.map(resultOf);
    // CPython takes that of the last in the list, not of the last to end; its message is what shows.
    if (outer.cancelRequested) outer.setException(this.#children.at(-1)!.makeCancelledError());
    else outer.setResult(results);
  }
}

function resultOf(child: Future<unknown>): unknown {
  if (child.cancelled())
    return child.cancelMessage === undefined ? new CancelledError() : new CancelledError(child.cancelMessage);
  return child.hasSucceeded ? child.result() : child.failure();
}
