/**
 * A value that somebody will set. Any number of tasks may wait for it; it settles once.
 */
import { IntrusiveList } from "../data/intrusive-list.ts";
import type { Linked } from "../data/intrusive-list.ts";
import { InvalidStateError } from "./errors.ts";
import { Wait } from "./operation.ts";
import type { Operation, Started, Suspend, Waiter } from "./operation.ts";

export interface FutureOptions {
  /** Shown to those who wait. Default: `"future"`. */
  readonly name?: string;
  /** Whether something outside the loop will settle it, so that waiting for it is no deadlock. Default: `false`. */
  readonly external?: boolean;
}

type FutureState<T> =
  | { readonly status: "pending" }
  | { readonly status: "resolved"; readonly value: T }
  | { readonly status: "rejected"; readonly error: unknown };

const PENDING = { status: "pending" } as const;

/**
 * @example
 * const answer = new Future<number>();
 * spawn(function* () { answer.resolve(42) });
 * console.log(yield* answer);
 */
export class Future<T> implements Operation<T>, PromiseLike<T> {
  readonly name: string;
  readonly external: boolean;
  #state: FutureState<T> = PENDING;
  readonly #watchers = new IntrusiveList<FutureWatcher<T>>();

  constructor(options: FutureOptions = {}) {
    this.name = options.name ?? "future";
    this.external = options.external ?? false;
  }

  get isSettled(): boolean {
    return this.#state !== PENDING;
  }

  /** @throws {InvalidStateError} when it is settled already. */
  resolve(value: T): void {
    if (!this.tryResolve(value))
      throw new InvalidStateError(`future "${this.name}" is settled already; use tryResolve()`);
  }

  /** @throws {InvalidStateError} when it is settled already. */
  reject(error: unknown): void {
    if (!this.tryReject(error))
      throw new InvalidStateError(`future "${this.name}" is settled already; use tryReject()`);
  }

  /** `false` when it is settled already. */
  tryResolve(value: T): boolean {
    return this.#settle({ status: "resolved", value });
  }

  /** `false` when it is settled already. */
  tryReject(error: unknown): boolean {
    return this.#settle({ status: "rejected", error });
  }

  /** Waits for the value. Cancelling leaves the future as it is. */
  [Symbol.iterator](): Iterator<Suspend, T, unknown> {
    return new FutureWait(this);
  }

  /** For promise code: `await future`. */
  // oxlint-disable-next-line unicorn/no-thenable -- `await future` is the border to promise code
  then<Fulfilled = T, Rejected = never>(
    onFulfilled?: ((value: T) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onRejected?: ((error: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    return new Promise<T>((resolve, reject) => {
      this.watch({ before: null, after: null, resolved: resolve, rejected: reject });
    }).then(onFulfilled, onRejected);
  }

  /** Tells the watcher once; at once when it is settled. @internal */
  watch(watcher: FutureWatcher<T>): void {
    if (this.#state.status === "pending") this.#watchers.push(watcher);
    else tell(watcher, this.#state);
  }

  /** @internal */
  unwatch(watcher: FutureWatcher<T>): void {
    this.#watchers.remove(watcher);
  }

  /** The result for a wait that starts now, or `null` while it is pending. @internal */
  begin(task: Waiter, wait: Wait<T>): Started<T> | null {
    if (this.#state.status === "pending") return null;
    if (this.#state.status === "rejected") return task.fail(wait, this.#state.error);
    return task.complete(wait, this.#state.value);
  }

  #settle(state: FutureState<T>): boolean {
    if (this.#state !== PENDING) return false;
    this.#state = state;
    for (let next = this.#watchers.shift(); next !== null; next = this.#watchers.shift()) tell(next, state);
    return true;
  }
}

/** @package */
export interface FutureWatcher<T> extends Linked<FutureWatcher<T>> {
  resolved(value: T): void;
  rejected(error: unknown): void;
}

function tell<T>(watcher: FutureWatcher<T>, state: FutureState<T>): void {
  if (state.status === "resolved") watcher.resolved(state.value);
  else if (state.status === "rejected") watcher.rejected(state.error);
}

class FutureWait<T> extends Wait<T> implements FutureWatcher<T> {
  before: FutureWatcher<T> | null = null;
  after: FutureWatcher<T> | null = null;
  readonly #future: Future<T>;
  #waiter: Waiter | null = null;

  constructor(future: Future<T>) {
    super();
    this.#future = future;
  }

  get reason(): string {
    return this.#future.name;
  }

  override get external(): boolean {
    return this.#future.external;
  }

  protected start(task: Waiter): Started<T> {
    const result = this.#future.begin(task, this);
    if (result !== null) return result;
    this.#waiter = task;
    this.#future.watch(this);
    return task.park(this);
  }

  withdraw(): boolean {
    this.#future.unwatch(this);
    return true;
  }

  resolved(value: T): void {
    this.#waiter!.wake(this, value);
  }

  rejected(error: unknown): void {
    this.#waiter!.wakeError(this, error);
  }
}
