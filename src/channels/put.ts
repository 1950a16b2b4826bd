/**
 * The wait of those who put something in: send, put, publish.
 */
import { QueuedWait } from "../core/index.ts";
import type { Started, Waiter, WaitQueue } from "../core/index.ts";

/** Where values can be put: a sender, a queue, a broadcast. */
export interface Sink<T> {
  /** Those who wait with a value. */
  readonly putters: WaitQueue<void, Put<T>>;
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

  protected attempt(task: Waiter): Started<void> | null {
    const { sink } = this;
    if (sink.isRefusing) return task.fail(this, sink.refusal());
    return sink.offer(this.value, task.task) ? task.complete(this, undefined) : null;
  }
}

/** Fails those who wait; of a sink that shares its line with others, only its own. */
export function refuseAll<T>(putters: WaitQueue<void, Put<T>>, only: Sink<T> | null): void {
  // A copy, because ending one may take others out of the line: arms of the same select.
  for (const put of [...putters]) {
    if ((only === null || put.sink === only) && putters.remove(put)) put.fail(put.sink.refusal());
  }
}
