/**
 * What every executor does, wherever its jobs run: in this process, in threads, on other machines.
 */
import type { Operation, Sequence, SequenceSource } from "../core/index.ts";
import type { DurationStatistics } from "./durations.ts";
import type { JobHandle } from "./job-handle.ts";
import type { Job, StreamJob } from "./job.ts";

export interface SubmitOptions {
  /** Shown in messages and the inspector. Default: the name of the job. */
  readonly name?: string;
  /** Higher ones are begun first; any number. Default: 0. */
  readonly priority?: number;
  /**
   * How long it may take from here, the time in line and the wait for room included, in milliseconds; then it is cancelled and fails with
   * `TimeoutError` (of `submit`, its handle does). The deadline of the scope holds anyway. Default: no limit of its own.
   */
  readonly deadlineMs?: number;
  /** What of the arguments is moved instead of cloned: buffers, ports. */
  readonly transfer?: readonly unknown[];
  /** The same for every attempt at one piece of work, see `JobContext`. Default: made from executor and id. */
  readonly idempotencyKey?: string;
}

export interface MapOptions {
  /** How many items may be under way, or done and not taken yet. Default: four chunks for each worker. */
  readonly bufferSize?: number;
  /** How many items go to a worker at a time. More cost less each; a chunk runs in one go. Default: 1. */
  readonly chunkSize?: number;
  /** Whether results come in the order of the items (default), or as they are ready. */
  readonly ordered?: boolean;
  /** As in `SubmitOptions`. */
  readonly priority?: number;
}

export interface StreamOptions extends SubmitOptions {
  /** How many items may lie ready. Default: 64. */
  readonly bufferSize?: number;
}

export interface ExecutorShutdownOptions {
  /** Whether to wait for the jobs that are left, and for the workers. Default: `true`. */
  readonly wait?: boolean;
  /** Whether jobs that have not begun are cancelled. Default: `false`: they are run. */
  readonly cancelPending?: boolean;
  /** Whether jobs that run are cancelled too. Default: `false`. */
  readonly cancelRunning?: boolean;
}

/** Plain, frozen data. */
export interface ExecutorStatistics {
  readonly name: string;
  readonly workers: { readonly total: number; readonly idle: number; readonly crashes: number };
  /** `waiting` counts the calls of `submit` that wait for room. */
  readonly queue: { readonly size: number; readonly capacity: number; readonly waiting: number };
  /** Jobs that a worker has. */
  readonly running: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly cancelled: number;
  /** From submission to outcome, without the time that the job ran. */
  readonly wait: DurationStatistics;
  readonly run: DurationStatistics;
}

/**
 * Runs jobs. It is a resource: `yield* use(new ThreadPool())`.
 *
 * @example
 * const pool = yield* use(new ThreadPool());
 * const handle = yield* pool.submit(thumbnail, image, 200);
 */
export interface Executor {
  readonly name: string;

  /**
   * Submits a job; waits while the line is full. Gives its handle as soon as the executor has it. Cancelling this wait submits nothing.
   * Arguments are cloned when the job goes to its worker: leave them alone until it has begun.
   * The job belongs to the current scope, see `JobHandle`.
   * @throws {ExecutorShutdownError} after `shutdown`.
   */
  submit<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): Operation<JobHandle<T>>;
  submit<Args extends readonly unknown[], T>(
    options: SubmitOptions,
    job: Job<Args, T>,
    ...args: Args
  ): Operation<JobHandle<T>>;

  /**
   * Submits without waiting.
   * @throws {QueueFullError} when the line is full.
   * @throws {ExecutorShutdownError} after `shutdown`.
   */
  trySubmit<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): JobHandle<T>;
  trySubmit<Args extends readonly unknown[], T>(options: SubmitOptions, job: Job<Args, T>, ...args: Args): JobHandle<T>;

  /** Submits a job and waits for its value, without a handle. Cancelling cancels the job and waits until it has ended. */
  call<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): Operation<T>;
  call<Args extends readonly unknown[], T>(options: SubmitOptions, job: Job<Args, T>, ...args: Args): Operation<T>;

  /**
   * The job for each item, lazily: items are taken from the source as results are taken here. Closing the sequence, or the end of the
   * current scope, cancels what is under way and closes the source. A failure is thrown in its place, then the sequence has ended.
   */
  map<Item, T>(job: Job<[item: Item], T>, inputs: SequenceSource<Item>, options?: MapOptions): Sequence<T>;

  /** The values of a streaming job as they come, with backpressure. When the line is full, the first `next()` waits for room. Closing the sequence, or the end of the current scope, cancels the job. */
  stream<Args extends readonly unknown[], Item>(job: StreamJob<Args, Item>, ...args: Args): Sequence<Item>;
  stream<Args extends readonly unknown[], Item>(
    options: StreamOptions,
    job: StreamJob<Args, Item>,
    ...args: Args
  ): Sequence<Item>;

  /**
   * Takes no more jobs, from the call on; calls that wait for room fail. The operation completes when every job has settled and every worker is
   * gone, or at once without `wait`. Cancelling it gives up the wait only.
   */
  shutdown(options?: ExecutorShutdownOptions): Operation<void>;

  statistics(): ExecutorStatistics;

  /** `shutdown()`, for `use` and `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}
