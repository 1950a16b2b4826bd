/**
 * Values that arrive from a job: its progress, its log, its items. Filled from callbacks, taken by waiting, ends once.
 */
import { QueuedWait, WaitQueue } from "../core/index.ts";
import type { Operation, Sequence, Started, Waiter } from "../core/index.ts";

type Step<T> = IteratorResult<T, undefined>;

const END: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

export interface FeedSetup {
  /** What who takes waits for, for people. */
  readonly reason: string;
  readonly isOutside: boolean;
  /** How many values are kept; older ones are dropped for newer ones. `Infinity`: whoever fills it is bounded elsewhere. */
  readonly capacity: number;
  /** A value has been taken. */
  readonly onTaken?: () => void;
  /** Somebody has begun to wait; or nobody waits any more. */
  readonly onWaiting?: (somebodyWaits: boolean) => void;
}

export class Feed<T> implements Sequence<T> {
  /** Values that were dropped, because nobody took them in time. */
  dropped = 0;
  readonly setup: FeedSetup;
  readonly #takers = new WaitQueue<Step<T>, FeedTake<T>>();
  #values: T[] = [];
  #at = 0;
  #end: { readonly error: unknown; readonly failed: boolean } | null = null;

  constructor(setup: FeedSetup) {
    this.setup = setup;
  }

  /** Waits for the next value, or for the end. Cancelling takes none. */
  next(): Operation<Step<T>> {
    return new FeedTake<T>(this, this.#takers as never);
  }

  close(): void {
    this.#values = [];
    this.#at = 0;
    this.finish();
    if (this.#end?.failed === true) this.#end = { failed: false, error: undefined };
  }

  put(value: T): void {
    if (this.#end !== null) return;
    const taker = this.#takers.shift();
    if (taker !== null) {
      taker.end({ done: false, value });
      this.noteLeft();
      this.setup.onTaken?.();
      return;
    }
    if (this.#values.length - this.#at >= this.setup.capacity) {
      this.#shift();
      this.dropped++;
    }
    this.#values.push(value);
  }

  finish(): void {
    if (this.#end !== null) return;
    this.#end = { failed: false, error: undefined };
    for (let taker = this.#takers.shift(); taker !== null; taker = this.#takers.shift()) taker.end(END);
  }

  /** Ends it by an error, which the next one who takes gets, once. */
  fail(error: unknown): void {
    if (this.#end !== null) return;
    this.#end = { failed: true, error };
    const taker = this.#takers.shift();
    if (taker === null) return;
    this.#end = { failed: false, error: undefined };
    taker.fail(error);
    for (let next = this.#takers.shift(); next !== null; next = this.#takers.shift()) next.end(END);
  }

  /** @internal */
  serve(task: Waiter, wait: FeedTake<T>): Started<Step<T>> | null {
    if (this.#at < this.#values.length) {
      const value = this.#shift();
      this.setup.onTaken?.();
      return task.complete<Step<T>>(wait, { done: false, value });
    }
    const end = this.#end;
    if (end === null) {
      this.setup.onWaiting?.(true);
      return null;
    }
    if (!end.failed) return task.complete<Step<T>>(wait, END);
    this.#end = { failed: false, error: undefined };
    return task.fail(wait, end.error);
  }

  /** @internal */
  noteLeft(): void {
    if (this.#takers.size === 0) this.setup.onWaiting?.(false);
  }

  #shift(): T {
    const value = this.#values[this.#at]!;
    this.#values[this.#at++] = undefined as never;
    if (this.#at > 1_024 && this.#at * 2 > this.#values.length) {
      this.#values = this.#values.slice(this.#at);
      this.#at = 0;
    }
    return value;
  }
}

class FeedTake<T> extends QueuedWait<Step<T>> {
  readonly #feed: Feed<T>;

  constructor(feed: Feed<T>, takers: WaitQueue<Step<T>, never>) {
    super(takers);
    this.#feed = feed;
  }

  get reason(): string {
    return this.#feed.setup.reason;
  }

  override get external(): boolean {
    return this.#feed.setup.isOutside;
  }

  protected attempt(task: Waiter): Started<Step<T>> | null {
    return this.#feed.serve(task, this);
  }

  protected override left(): void {
    this.#feed.noteLeft();
  }
}
