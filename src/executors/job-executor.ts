/**
 * What the callers of every executor see: `submit`, `call`, `map`, `stream`, and the handles. They make jobs of what they are given, and wait for what
 * comes of them; how a job goes meanwhile is the affair of the `Dispatcher` behind them, and the pool behind that (`pool.ts`).
 */
import { currentScope, currentTask, UsageError } from "../core/index.ts";
import type { Coroutine, EventLoop, Operation, Scope, Sequence, SequenceSource, Task } from "../core/index.ts";
import { valuesToCarry } from "./carried.ts";
import { checkOptions, checkWhole } from "./checks.ts";
import { Dispatcher } from "./dispatcher.ts";
import { JobError, QueueFullError } from "./errors.ts";
import type {
  Executor,
  ExecutorShutdownOptions,
  ExecutorStatistics,
  MapOptions,
  StreamOptions,
  SubmitOptions,
} from "./executor.ts";
import { readCall } from "./job-call.ts";
import type { JobCall } from "./job-call.ts";
import { JobHandle } from "./job-handle.ts";
import { JobResults } from "./job-results.ts";
import type { MapHost } from "./job-results.ts";
import { JobStream } from "./job-stream.ts";
import type { StreamHost } from "./job-stream.ts";
import { checkJob } from "./job.ts";
import type { AnyJob, Job, StreamJob } from "./job.ts";
import { followed, outcomeOf, PendingJob, within } from "./pending-job.ts";
import type { JobEnd, JobShape, JobWhereabouts, Pool } from "./pool.ts";
import { ScopeReleases, UnobservedFailures } from "./scope-end.ts";
import { Entrance, Submission } from "./submission.ts";

export interface ExecutorOptions {
  /** Shown in messages, statistics and the inspector. */
  readonly name?: string;
  /** How many jobs may stand in line before `submit` waits. Default: 1,024; `Infinity` is allowed. */
  readonly queueSize?: number;
}

const QUEUE_SIZE = 1_024;
const CHUNKS_PER_WORKER = 4; // one that runs, one that lies ready in the worker, and as many on their way back
const STREAM_BUFFER = 64;

export abstract class JobExecutor implements Executor {
  readonly name: string;
  readonly #pool: Pool;
  readonly #dispatcher: Dispatcher;
  readonly #releases = new ScopeReleases();
  #lastId = 0;

  protected constructor(pool: Pool, options: ExecutorOptions, kind: string) {
    this.name = options.name ?? kind;
    const { queueSize = QUEUE_SIZE } = options;
    checkWhole("queueSize", queueSize, 0, true);
    this.#pool = pool;
    this.#dispatcher = new Dispatcher(this.name, pool, queueSize);
  }

  /** @internal */
  get isOutside(): boolean {
    return this.#pool.isOutside;
  }

  submit<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): Operation<JobHandle<T>>;
  submit<Args extends readonly unknown[], T>(
    options: SubmitOptions,
    job: Job<Args, T>,
    ...args: Args
  ): Operation<JobHandle<T>>;
  submit(...call: unknown[]): Operation<JobHandle<never>> {
    return new Submission(this, readCall("submit", call), this.#dispatcher.room as never) as Operation<
      JobHandle<never>
    >;
  }

  trySubmit<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): JobHandle<T>;
  trySubmit<Args extends readonly unknown[], T>(options: SubmitOptions, job: Job<Args, T>, ...args: Args): JobHandle<T>;
  trySubmit(...call: unknown[]): JobHandle<never> {
    const { job, args, options } = readCall("trySubmit", call);
    const task = currentTask();
    const pending = this.makeJob(job, "call", args, options, task);
    if (!this.tryAdmit(pending)) throw new QueueFullError(this.name, pending.name, this.#dispatcher.size);
    return this.handOut(pending, options, task) as JobHandle<never>;
  }

  call<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): Operation<T>;
  call<Args extends readonly unknown[], T>(options: SubmitOptions, job: Job<Args, T>, ...args: Args): Operation<T>;
  call(...call: unknown[]): Operation<never> {
    return this.#call(readCall("call", call)) as Operation<never>;
  }

  map<Item, T>(job: Job<[item: Item], T>, inputs: SequenceSource<Item>, options: MapOptions = {}): Sequence<T> {
    checkJob("map", job);
    if (job.isStream)
      throw new UsageError(`job "${job.name}" streams its values; run it with stream(), once for each item`);
    const { chunkSize = 1, ordered = true, priority = 0 } = checkOptions("map", options);
    checkWhole("chunkSize", chunkSize, 1);
    const bufferSize = options.bufferSize ?? chunkSize * this.#pool.parallelism * CHUNKS_PER_WORKER;
    checkWhole("bufferSize", bufferSize, 1, true);
    const scope = currentScope();
    const task = currentTask();
    let release: (() => void) | null = null;
    const host: MapHost = {
      isOutside: this.isOutside,
      makeChunk: (items) => this.makeJob(job as AnyJob, "batch", [items], { priority }, task),
      place: (pending) => this.tryAdmit(pending),
      admit: (pending) => this.admit(pending),
      failureOf: failureOfItem,
      left: () => release?.(),
    };
    const results = new JobResults<T>(host, inputs, {
      name: `${this.name}.map of "${job.name}"`,
      chunkSize,
      bufferSize,
      ordered,
    });
    release = this.#releases.add(scope, () => results.close());
    return results;
  }

  stream<Args extends readonly unknown[], Item>(job: StreamJob<Args, Item>, ...args: Args): Sequence<Item>;
  stream<Args extends readonly unknown[], Item>(
    options: StreamOptions,
    job: StreamJob<Args, Item>,
    ...args: Args
  ): Sequence<Item>;
  stream(...call: unknown[]): Sequence<never> {
    const { job, args, options } = readCall("stream", call, true);
    const window = (options as StreamOptions).bufferSize ?? STREAM_BUFFER;
    checkWhole("bufferSize", window, 1);
    const pending = this.makeJob(job, "stream", [window, ...args], options, currentTask());
    let release: (() => void) | null = null;
    const host: StreamHost = {
      isOutside: this.isOutside,
      tryAdmit: (it) => this.tryAdmit(it),
      admit: (it) => this.admit(it),
      grant: (it, count) => this.#pool.grant(it, count),
      left: () => release?.(),
    };
    const stream = new JobStream(host, pending, window);
    release = this.#releases.add(currentScope(), () => stream.close());
    if (pending.end !== null) release();
    return stream as Sequence<never>;
  }

  shutdown(options: ExecutorShutdownOptions = {}): Operation<void> {
    const { wait = true, cancelPending = false, cancelRunning = false } = checkOptions("shutdown", options);
    this.#dispatcher.shutdown({ cancelPending, cancelRunning });
    return { [Symbol.iterator]: () => (wait ? this.#dispatcher.ended() : nothing())[Symbol.iterator]() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.shutdown();
    await this.#dispatcher.whenEnded();
  }

  statistics(): ExecutorStatistics {
    return this.#dispatcher.statistics();
  }

  /** @internal */
  makeJob(
    job: AnyJob,
    shape: JobShape,
    args: readonly unknown[],
    options: SubmitOptions,
    task: Task<unknown>,
  ): PendingJob {
    this.#pool.check(job);
    const scope = task.scope as Scope;
    const inherited = scope.effectiveDeadline;
    const submittedAt = task.loop.now();
    const own = options.deadlineMs === undefined ? Infinity : submittedAt + options.deadlineMs;
    return new PendingJob(this, {
      id: ++this.#lastId,
      name: options.name ?? job.name,
      job,
      shape,
      args,
      transfer: options.transfer ?? null,
      idempotencyKey: options.idempotencyKey ?? null,
      locals: valuesToCarry(task),
      priority: options.priority ?? 0,
      deadline: Math.min(inherited, own),
      submittedAt,
      loop: task.loop as EventLoop,
    });
  }

  /** @internal */
  admit(pending: PendingJob): Operation<void> {
    return new Entrance(this, pending, this.#dispatcher.room as never);
  }

  /** Whether it could be placed without overtaking anybody. @internal */
  tryAdmit(pending: PendingJob): boolean {
    return this.#dispatcher.tryAdmit(pending);
  }

  /** The handle of a job that has been placed, in the scope of `task`. @internal */
  handOut(pending: PendingJob, options: SubmitOptions, task: Task<unknown>): JobHandle<unknown> {
    const scope = (task.scope.host === task ? task.scope : task.ownScope()) as Scope;
    const { deadlineMs } = options;
    const body = deadlineMs === undefined ? followed(pending) : within(pending, deadlineMs, () => followed(pending));
    const follower = scope.launch(body, pending.name);
    follower.keepFailure();
    const handle = new JobHandle(follower, pending);
    pending.follower = follower;
    pending.onNews = (news) => handle.hear(news);
    if (pending.end === null) pending.onSettled = (end) => this.#endHandle(handle, pending, scope, end);
    else this.#endHandle(handle, pending, scope, pending.end);
    return handle;
  }

  /** @internal */
  cancelJob(job: PendingJob, reason: unknown): "withdrawn" | "requested" {
    return this.#dispatcher.cancel(job, reason);
  }

  /** @internal */
  hasBegun(job: PendingJob): boolean {
    return this.#dispatcher.hasBegun(job);
  }

  /** @internal */
  whereIs(job: PendingJob): JobWhereabouts | null {
    return this.#dispatcher.whereIs(job);
  }

  *#call({ job, args, options }: JobCall): Coroutine<unknown> {
    const pending = this.makeJob(job, "call", args, options, currentTask());
    const { deadlineMs } = options;
    if (deadlineMs !== undefined) return yield* within(pending, deadlineMs, () => this.#admitted(pending));
    if (!this.tryAdmit(pending)) yield* this.admit(pending);
    return yield* outcomeOf(pending);
  }

  *#admitted(pending: PendingJob): Coroutine<unknown> {
    if (!this.tryAdmit(pending)) yield* this.admit(pending);
    return yield* outcomeOf(pending);
  }

  #endHandle(handle: JobHandle<unknown>, pending: PendingJob, scope: Scope, end: JobEnd): void {
    pending.follower = null;
    handle.endNews();
    if (end.status === "failed") unobserved.add(scope, handle.task, end.error);
  }
}

const unobserved = new UnobservedFailures();

/** The failure of a chunk, with the number of the item in the whole map. */
function failureOfItem(error: unknown, firstIndex: number): unknown {
  if (!(error instanceof JobError) || error.index === undefined || firstIndex <= 0) return error;
  return new JobError({ name: error.job, id: error.jobId }, error.cause, error.where, firstIndex + error.index);
}

function* nothing(): Coroutine<void> {}
