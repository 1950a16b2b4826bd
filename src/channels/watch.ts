/**
 * One value that changes, for those who only want the latest.
 *
 * Observers remember which version they have seen, so none is told twice and none misses that there is something newer; values in
 * between are skipped by design. Every set is a change, also to an equal value: who wants less compares in `update`.
 *
 * Source: Tokio's `watch`. Different from it, `waitFor` is asked at every set and not when the waiting task runs: a value
 * that satisfied it is not missed because the next one came in the same turn.
 */
import { QueuedWait, UsageError, WaitQueue } from "../core/index.ts";
import type { Operation, Sequence, Started, Waiter } from "../core/index.ts";
import { checkOptions, titleOf } from "./capacity.ts";
import type { FeedOptions } from "./capacity.ts";
import { ChannelClosedError } from "./errors.ts";
import { finishAll, NOTHING, Take, takeNow, TakeNext } from "./take.ts";
import type { Taken, Taker } from "./take.ts";

export interface WatchOptions extends FeedOptions {}

export interface ObserveOptions {
  /** Whether the value of now counts as not seen yet, so that the first `changed` gives it at once. Default: `false`. */
  readonly includeCurrent?: boolean;
}

/** A snapshot. */
export interface WatchStatistics {
  readonly name: string;
  /** How often the value was set. */
  readonly changes: number;
  /** Tasks that wait for a change. */
  readonly waitingObservers: number;
  /** Tasks that wait, in `waitFor`, for a value that satisfies their condition. */
  readonly waitingConditions: number;
  readonly isClosed: boolean;
}

/**
 * @example
 * const config = new Watch({ level: "info" }, { name: "config" });
 * const observer = config.observe();
 * config.value = { level: "debug" };
 * console.log((yield* observer.changed()).level);   // "debug"
 */
export class Watch<T> {
  readonly name: string;
  /** @internal */
  readonly external: boolean;
  readonly #label: string;
  readonly #takers: WaitQueue<unknown, Taker<T>> = new WaitQueue();
  readonly #conditions: WaitQueue<T, WaitFor<T>> = new WaitQueue();
  #value: T;
  #version = 0;
  #isClosed = false;
  #isAsking = false;

  /** @throws {UsageError} when the options are none. */
  constructor(initial: T, options: WatchOptions = {}) {
    const { name, external } = checkOptions("watch", options);
    this.name = name;
    this.external = external;
    this.#label = titleOf("watch", this.name);
    this.#value = initial;
  }

  get value(): T {
    return this.#value;
  }

  /** Sets the value and tells everybody who waits. @throws {ChannelClosedError} when the watch is closed. */
  set value(value: T) {
    if (this.#isAsking) {
      throw new UsageError(
        `a condition of waitFor() set ${this.#label}; it must only look at the value that it is given`,
      );
    }
    if (this.#isClosed) throw new ChannelClosedError(`set ${this.#label}`, "it was closed");
    this.#value = value;
    this.#version++;
    // A copy, because ending one may take others out of the line: arms of the same select.
    for (const taker of [...this.#takers]) {
      if (!this.#takers.remove(taker)) continue;
      (taker.source as Observer<T>).seen = this.#version;
      taker.deliver(value);
    }
    for (const condition of [...this.#conditions]) this.#ask(condition, value);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Sets the value to what `fn` makes of it, and returns it. When `fn` throws, nothing is set. */
  update(fn: (value: T) => T): T {
    return (this.value = fn(this.#value));
  }

  /** An observer that has seen the value of now, or all but that one with `includeCurrent`. */
  observe(options: ObserveOptions = {}): Observer<T> {
    return new Observer(this, options.includeCurrent === true ? this.#version - 1 : this.#version);
  }

  /**
   * Waits until the value satisfies the condition, and gives it; at once when it does. The condition is asked at every set, by who
   * sets; what it throws is thrown to the waiting task. Cancelling changes nothing.
   * @throws {ChannelClosedError} when the watch is closed and its last value does not satisfy it.
   * @example
   * yield* connections.waitFor((count) => count === 0);
   */
  waitFor(condition: (value: T) => boolean): Operation<T> {
    return new WaitFor(this, this.#conditions, condition);
  }

  /** The value stays as it is: who waits for a change gets the end, once it has seen the last one. Again changes nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    finishAll(this.#takers, null);
    for (const condition of [...this.#conditions]) {
      if (this.#conditions.remove(condition)) condition.fail(this.endError(condition.reason));
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  statistics(): WatchStatistics {
    return Object.freeze({
      name: this.name,
      changes: this.#version,
      waitingObservers: this.#takers.size,
      waitingConditions: this.#conditions.size,
      isClosed: this.#isClosed,
    });
  }

  /** @internal */
  get version(): number {
    return this.#version;
  }

  /** @internal */
  get label(): string {
    return this.#label;
  }

  /** @internal */
  get takers(): WaitQueue<unknown, Taker<T>> {
    return this.#takers;
  }

  /** @internal */
  endError(what: string): Error {
    return new ChannelClosedError(what, "it was closed, and this is not its last value");
  }

  /** @internal */
  satisfies(condition: (value: T) => boolean, value: T): boolean {
    const wasAsking = this.#isAsking;
    this.#isAsking = true;
    try {
      return condition(value);
    } finally {
      this.#isAsking = wasAsking;
    }
  }

  #ask(waiting: WaitFor<T>, value: T): void {
    let isSatisfied: boolean;
    try {
      isSatisfied = this.satisfies(waiting.condition, value);
    } catch (error) {
      if (this.#conditions.remove(waiting)) waiting.fail(error);
      return;
    }
    if (isSatisfied && this.#conditions.remove(waiting)) waiting.end(value);
  }
}

/**
 * Sees the changes of a watch, never the same one twice.
 *
 * @example
 * const observer = config.observe({ includeCurrent: true });
 * for (;;) apply(yield* observer.changed());
 */
export class Observer<T> implements Sequence<T> {
  /** The version that was seen last. @internal */
  seen: number;
  /** @internal */
  waiting = 0;
  readonly #watch: Watch<T>;
  #isClosed = false;

  /** Made by `Watch.observe`. @internal */
  constructor(watch: Watch<T>, seen: number) {
    this.#watch = watch;
    this.seen = seen;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether there is a value that it has not seen. */
  get hasChanged(): boolean {
    return !this.#isClosed && this.seen !== this.#watch.version;
  }

  /**
   * Waits for a value that this observer has not seen; at once when there is one. Cancelling sees none.
   * @throws {ChannelClosedError} when the watch was closed and its last value was seen, or the observer was closed.
   */
  changed(): Operation<T> {
    return new Take<T>(this);
  }

  /** Like `changed`, with the end as a result: `{ done: true }`. This makes an observer a `Sequence`. */
  next(): Operation<IteratorResult<T, undefined>> {
    return new TakeNext<T>(this);
  }

  /** The value, when it has not been seen; else `undefined`. @throws {ChannelClosedError} like `changed`. */
  tryChanged(): Taken<T> | undefined {
    return takeNow(this);
  }

  /** Closes this observer at once; again changes nothing. */
  close(): void {
    if (!this.#isClosed) {
      this.#isClosed = true;
      finishAll(this.takers, this);
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  get takers(): WaitQueue<unknown, Taker<T>> {
    return this.#watch.takers;
  }

  /** @internal */
  get external(): boolean {
    return this.#watch.external;
  }

  /** @internal */
  get takeReason(): string {
    return `a change of ${this.#watch.label}`;
  }

  /** @internal */
  get hasEnded(): boolean {
    return this.#watch.isClosed;
  }

  /** @internal */
  endError(): Error {
    const why = this.#isClosed ? "this observer was closed" : "it was closed and its last value was seen";
    return new ChannelClosedError(`wait for ${this.takeReason}`, why);
  }

  /** @internal */
  take(): T | typeof NOTHING {
    if (this.seen === this.#watch.version) return NOTHING;
    this.seen = this.#watch.version;
    return this.#watch.value;
  }
}

class WaitFor<T> extends QueuedWait<T> {
  readonly condition: (value: T) => boolean;
  readonly #watch: Watch<T>;

  constructor(watch: Watch<T>, line: WaitQueue<T, WaitFor<T>>, condition: (value: T) => boolean) {
    super(line);
    this.#watch = watch;
    this.condition = condition;
  }

  get reason(): string {
    const { name } = this.condition;
    return `a value of ${this.#watch.label}${name === "" ? "" : ` that satisfies ${name}`}`;
  }

  override get external(): boolean {
    return this.#watch.external;
  }

  protected attempt(task: Waiter): Started<T> | null {
    const { value } = this.#watch;
    if (this.#watch.satisfies(this.condition, value)) return task.complete(this, value);
    return this.#watch.isClosed ? task.fail(this, this.#watch.endError(`wait for ${this.reason}`)) : null;
  }
}
