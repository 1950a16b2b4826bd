/**
 * The waits of those who take something out: receive, get, changed, and `next`, which sees the end as a result.
 */
import { QueuedWait } from "../core/index.ts";
import type { Started, Waiter, WaitQueue } from "../core/index.ts";

/** Stands for "there is none", since any value can be sent. */
export const NOTHING: unique symbol = Symbol("nothing");

/** Where values come from: a receiver, a queue, a subscription, an observer. */
export interface Source<T> {
  /** Those who wait for a value. */
  readonly takers: WaitQueue<unknown, Taker<T>>;
  /** How many of them wait at this one: others may share the line. Kept by the waits. */
  waiting: number;
  /** Whether something outside the loop ends its waits. */
  readonly external: boolean;
  /** `receive from channel "jobs"`. */
  readonly takeReason: string;
  /** Whether it was closed itself: then it gives nothing, whatever is there. */
  readonly isClosed: boolean;
  /** Whether nothing more will come once everything has been taken. */
  readonly hasEnded: boolean;
  /** What `receive` throws at the end. */
  endError(): Error;
  /**
   * Takes what can be taken now, or `NOTHING`.
   * @param task Who takes it: its own waits, which are other arms of the same select, must not be served. `null`: nobody waits.
   */
  take(task: Waiter | null): T | typeof NOTHING;
}

/** What is there now. An object, because any value can be sent, `undefined` too. */
export interface Taken<T> {
  readonly value: T;
}

const END: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

/** Stands in line for a value. Whoever serves it takes it out of the line first. */
export abstract class Taker<T, Result = unknown> extends QueuedWait<Result> {
  readonly source: Source<T>;

  constructor(source: Source<T>) {
    super(source.takers);
    this.source = source;
  }

  get reason(): string {
    return this.source.takeReason;
  }

  override get external(): boolean {
    return this.source.external;
  }

  /** Ends it with the value. */
  abstract deliver(value: T): void;

  /** Ends it because nothing will come. */
  abstract finish(): void;

  override end(value: Result): void {
    this.source.waiting--;
    super.end(value);
  }

  override fail(error: unknown): void {
    this.source.waiting--;
    super.fail(error);
  }

  protected override left(): void {
    this.source.waiting--;
  }
}

/** Throws at the end. */
export class Take<T> extends Taker<T, T> {
  deliver(value: T): void {
    this.end(value);
  }

  finish(): void {
    this.fail(this.source.endError());
  }

  protected attempt(task: Waiter): Started<T> | null {
    const { source } = this;
    if (!source.isClosed) {
      const value = source.take(task.task);
      if (value !== NOTHING) return task.complete(this, value);
      if (!source.hasEnded) {
        source.waiting++;
        return null;
      }
    }
    return task.fail(this, source.endError());
  }
}

/** Gives the result of an iterator. */
export class TakeNext<T> extends Taker<T, IteratorResult<T, undefined>> {
  deliver(value: T): void {
    this.end({ done: false, value });
  }

  finish(): void {
    this.end(END);
  }

  protected attempt(task: Waiter): Started<IteratorResult<T, undefined>> | null {
    const { source } = this;
    if (!source.isClosed) {
      const value = source.take(task.task);
      if (value !== NOTHING) return task.complete(this, { done: false, value });
      if (!source.hasEnded) {
        source.waiting++;
        return null;
      }
    }
    return task.complete<IteratorResult<T, undefined>>(this, END);
  }
}

/** Takes without waiting; `undefined` when there is nothing yet. @throws what `receive` throws at the end. */
export function takeNow<T>(source: Source<T>): Taken<T> | undefined {
  if (!source.isClosed) {
    const value = source.take(null);
    if (value !== NOTHING) return { value };
    if (!source.hasEnded) return undefined;
  }
  throw source.endError();
}

/** Ends those who wait; of a source that shares its line with others, only its own. */
export function finishAll<T>(takers: WaitQueue<unknown, Taker<T>>, only: Source<T> | null): void {
  // First all of them are found, because ending one may take others out of the line: arms of the same select.
  for (const taker of only === null ? [...takers] : takersOf(only)) {
    if (takers.remove(taker)) taker.finish();
  }
}

/** Does not look at the whole line unless it has to: thousands of observers may close while thousands wait. */
function takersOf<T>(source: Source<T>): readonly Taker<T>[] {
  const found: Taker<T>[] = [];
  if (source.waiting === 0) return found;
  for (const taker of source.takers) {
    if (taker.source === source && found.push(taker) === source.waiting) break;
  }
  return found;
}
