/**
 * What `submit` gives: the job as those see it who have submitted it.
 *
 * Behind a handle stands a task of the scope in which it was submitted. That is what makes a job part of the structure: the scope does not end
 * before it, cancelling the scope cancels it, deadlines hold, the inspector lists it. One thing is different from a spawned task:
 * a failure stays with the handle and does not cancel the scope, as with `concurrent.futures`. A failure that nobody has
 * looked at when the scope ends is reported.
 */
import type { Operation, Outcome, Sequence, Suspend, Task } from "../core/index.ts";
import { Feed } from "./feed.ts";
import type { PendingJob } from "./pending-job.ts";
import type { JobNews } from "./pool.ts";

/** `"pending"`: not begun, however near. `"running"`: begun. `"settled"`: it has an outcome. */
export type JobState = "pending" | "running" | "settled";

/** What a job has logged. */
export interface JobLog {
  readonly message: string;
  readonly data: unknown;
}

const NEWS_KEPT = 256;

/**
 * @example
 * const handle = yield* pool.submit(thumbnail, image, 200);
 * const small = yield* handle;
 */
export class JobHandle<T> implements Operation<T>, PromiseLike<T> {
  /** The task behind it. `wait`, `asCompleted` and `supervise` take handles and look at this. */
  readonly task: Task<T>;
  readonly #pending: PendingJob;
  readonly #isOutside: boolean;
  #progress: Feed<unknown> | null = null;
  #logs: Feed<JobLog> | null = null;

  /** @internal */
  constructor(task: Task<T>, pending: PendingJob) {
    this.task = task;
    this.#pending = pending;
    this.#isOutside = pending.external;
  }

  /** Unique in its executor. */
  get id(): number {
    return this.#pending.id;
  }

  get name(): string {
    return this.#pending.name;
  }

  get state(): JobState {
    if (this.#pending.state === "settled" || this.task.isSettled) return "settled";
    return this.#pending.hasBegun ? "running" : "pending";
  }

  get isSettled(): boolean {
    return this.task.isSettled;
  }

  /** What became of it; `undefined` until it has settled. Looking counts as having seen a failure. */
  get outcome(): Outcome<T> | undefined {
    return this.task.outcome;
  }

  /**
   * The values that it gives to `progress()`, from its beginning; 256 are kept, older ones are dropped. Ends with the job. All who
   * look share them.
   */
  get progress(): Sequence<unknown> {
    return (this.#progress ??= this.#feed<unknown>("progress"));
  }

  /** The entries that it gives to `log()`; as `progress`. */
  get logs(): Sequence<JobLog> {
    return (this.#logs ??= this.#feed<JobLog>("log"));
  }

  /**
   * Asks for its end. The request is made by the call. The operation completes when the job has settled and tells whether that was
   * in time: `true`, it gave no result and never will; `false`, it had ended already, or ended on its own in spite of the request.
   *
   * One that has not begun is gone at once. One that runs is told: a coroutine sees `Cancelled` at its wait, others
   * see `isCancelled()`. After the executor's `graceMs` its thread is ended.
   */
  cancel(reason?: unknown): Operation<boolean> {
    const { task } = this;
    const end = task.cancel(reason);
    return {
      *[Symbol.iterator]() {
        yield* end;
        return task.outcome!.status === "cancelled";
      },
    };
  }

  /** Joins: its value; throws its failure, or `CancelledError`. Cancelling the joiner leaves the job alone. */
  [Symbol.iterator](): Iterator<Suspend, T, unknown> {
    return this.task[Symbol.iterator]();
  }

  /** For promise code: `await handle`. */
  // oxlint-disable-next-line unicorn/no-thenable -- `await handle` is the border to promise code
  then<Fulfilled = T, Rejected = never>(
    onFulfilled?: ((value: T) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onRejected?: ((error: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    return this.task.then(onFulfilled, onRejected);
  }

  /** @internal */
  hear(news: JobNews): void {
    if (news.kind === "progress") (this.progress as Feed<unknown>).put(news.value);
    else if (news.kind === "log") (this.logs as Feed<JobLog>).put(news.value as JobLog);
  }

  /** @internal */
  endNews(): void {
    this.#progress?.finish();
    this.#logs?.finish();
  }

  #feed<Value>(what: string): Feed<Value> {
    const reason = `${what} of job "${this.name}"`;
    const feed = new Feed<Value>({ reason, isOutside: this.#isOutside, capacity: NEWS_KEPT });
    if (this.#pending.state === "settled") feed.finish();
    return feed;
  }
}
