/**
 * The wait of those who put something in: send, put, publish.
 */
import { QueuedWait } from "../core/index.ts";
import type { Started, Waiter, WaitQueue } from "../core/index.ts";

/** Where values can be put: a sender, a queue, a broadcast. */
export interface Sink<T> {
  /** Those who wait with a value. */
  readonly putters: WaitQueue<void, Put<T>>;
  /** How many of them wait at this one: others may share the line. Kept by the waits. */
  waiting: number;
  /** Whether something outside the loop ends its waits. */
  readonly external: boolean;
  /** `send to channel "jobs"`. */
  readonly putReason: string;
  /** Whether nothing can be put any more. */
  readonly isRefusing: boolean;
  /** Why not. */
  refusal(): Error;
  /**
   * Accepts the value if it can be done now.
   * @param task Who puts it: its own waits, which are other arms of the same select, must not be served. `null`: nobody waits.
   */
  offer(value: T, task: Waiter | null): boolean;
}

/** It is a value that stands in line. Whoever serves it takes the value, and `end`s it. */
export class Put<T> extends QueuedWait<void> {
  readonly sink: Sink<T>;
  readonly value: T;

  constructor(sink: Sink<T>, value: T) {
    super(sink.putters);
    this.sink = sink;
    this.value = value;
  }

  get reason(): string {
    return this.sink.putReason;
  }

  override get external(): boolean {
    return this.sink.external;
  }

  protected attempt(task: Waiter): Started<void> | null {
    const { sink } = this;
    if (sink.isRefusing) return task.fail(this, sink.refusal());
    if (sink.offer(this.value, task.task)) return task.complete(this, undefined);
    sink.waiting++;
    return null;
  }

  override end(value: void): void {
    this.sink.waiting--;
    super.end(value);
  }

  override fail(error: unknown): void {
    this.sink.waiting--;
    super.fail(error);
  }

  protected override left(): void {
    this.sink.waiting--;
  }
}

/** Fails those who wait; of a sink that shares its line with others, only its own. */
export function refuseAll<T>(putters: WaitQueue<void, Put<T>>, only: Sink<T> | null): void {
  // First all of them are found, because ending one may take others out of the line: arms of the same select.
  for (const put of only === null ? [...putters] : putsOf(only)) {
    if (putters.remove(put)) put.fail(put.sink.refusal());
  }
}

/** Does not look at the whole line unless it has to: thousands of senders may close while thousands wait. */
function putsOf<T>(sink: Sink<T>): readonly Put<T>[] {
  const found: Put<T>[] = [];
  if (sink.waiting === 0) return found;
  for (const put of sink.putters) {
    if (put.sink === sink && found.push(put) === sink.waiting) break;
  }
  return found;
}
