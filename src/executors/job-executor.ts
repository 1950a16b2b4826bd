/**
 * The executor in front of every pool: the line and its bound, priorities, handles, the end, the books.
 *
 * How a job goes (the pool is behind `pool.ts`):
 *   1. It is offered to the pool at once when nobody stands in line; else it stands in line; when the line is full, its submitter waits.
 *   2. Whenever the pool has room, the first in line is offered. Then those who wait for room move up, in their order.
 *   3. The pool says how it ended. The handle's task, or the caller, is woken.
 *
 * Invariants: a job is in line, or with the pool, or settled; it settles once; after `shutdown` none comes in, and the pool is
 * closed when the last one has settled.
 */
import { currentScope, currentTask, until, UsageError, WaitQueue } from "../core/index.ts";
import type { Coroutine, EventLoop, Operation, Scope, Sequence, SequenceSource, Task } from "../core/index.ts";
import { valuesToCarry } from "./carried.ts";
import { checkOptions, checkWhole } from "./checks.ts";
import { Drained } from "./drained.ts";
import { ExecutorBrokenError, ExecutorShutdownError, JobError, QueueFullError } from "./errors.ts";
import type {
  Executor,
  ExecutorShutdownOptions,
  ExecutorStatistics,
  MapOptions,
  StreamOptions,
  SubmitOptions,
} from "./executor.ts";
import { importingJob } from "./importing.ts";
import { readCall } from "./job-call.ts";
import type { JobCall } from "./job-call.ts";
import { JobBooks } from "./job-books.ts";
import { JobHandle } from "./job-handle.ts";
import { JobQueue } from "./job-queue.ts";
import { JobResults } from "./job-results.ts";
import type { MapHost } from "./job-results.ts";
import { JobStream } from "./job-stream.ts";
import type { StreamHost } from "./job-stream.ts";
import { checkJob } from "./job.ts";
import type { AnyJob, Job, StreamJob } from "./job.ts";
import { followed, outcomeOf, PendingJob, within } from "./pending-job.ts";
import type { JobEnd, JobNews, JobShape, JobWhereabouts, Pool, PoolJob } from "./pool.ts";
import { ScopeReleases, UnobservedFailures } from "./scope-end.ts";
import { Entrance, Submission } from "./submission.ts";
import type { Admission } from "./submission.ts";
import { TakenJobs } from "./taken-jobs.ts";

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
  readonly #queue = new JobQueue();
  readonly #queueSize: number;
  readonly #room = new WaitQueue<unknown, Admission<unknown>>();
  /** Jobs that the pool has. */
  readonly #taken = new TakenJobs();
  readonly #releases = new ScopeReleases();
  readonly #books = new JobBooks();
  #lastId = 0;
  #isDispatching = false;
  #isShutDown = false;
  #broken: ExecutorBrokenError | null = null;
  /** Shut down, and the last job has settled: the pool is being closed. */
  #isDrained = false;
  #closing: Promise<void> | null = null;
  readonly #enders = new WaitQueue<void, Drained>();
  readonly #onDrained: (() => void)[] = [];

  protected constructor(pool: Pool, options: ExecutorOptions, kind: string) {
    this.name = options.name ?? kind;
    this.#queueSize = options.queueSize ?? QUEUE_SIZE;
    checkWhole("queueSize", this.#queueSize, 0, true);
    this.#pool = pool;
    pool.listen(this);
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
    return new Submission(this, readCall("submit", call), this.#room as never) as Operation<JobHandle<never>>;
  }

  trySubmit<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): JobHandle<T>;
  trySubmit<Args extends readonly unknown[], T>(options: SubmitOptions, job: Job<Args, T>, ...args: Args): JobHandle<T>;
  trySubmit(...call: unknown[]): JobHandle<never> {
    const { job, args, options } = readCall("trySubmit", call);
    const task = currentTask();
    const pending = this.makeJob(job, "call", args, options, task);
    if (this.#room.size > 0 || !this.place(pending)) {
      throw new QueueFullError(this.name, pending.name, this.#queue.size);
    }
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
      place: (pending) => this.#room.size === 0 && this.place(pending),
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
    this.#isShutDown = true;
    for (let entry = this.#room.shift(); entry !== null; entry = this.#room.shift()) {
      entry.fail(new ExecutorShutdownError(this.name, `job "${entry.pending.name}"`));
    }
    const reason = `executor "${this.name}" was shut down`;
    if (cancelPending) {
      for (let job = this.#queue.first; job !== null; job = this.#queue.first) this.#cancelOne(job, reason);
      for (const job of this.#taken.list()) if (!this.hasBegun(job)) this.#cancelOne(job, reason);
    }
    if (cancelRunning) for (const job of this.#taken.list()) this.#cancelOne(job, reason);
    this.#noteDrained();
    return { [Symbol.iterator]: () => (wait ? this.#ended() : nothing())[Symbol.iterator]() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.shutdown();
    if (!this.#isDrained) await new Promise<void>((resolve) => this.#onDrained.push(resolve));
    await this.#closing;
  }

  statistics(): ExecutorStatistics {
    const { workers, idle, crashes } = this.#pool.statistics();
    return Object.freeze({
      name: this.name,
      workers: Object.freeze({ total: workers, idle, crashes }),
      queue: Object.freeze({ size: this.#queue.size, capacity: this.#queueSize, waiting: this.#room.size }),
      running: this.#taken.size,
      ...this.#books.snapshot(),
    });
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

  /** Puts it in line, or with the pool. `false`: no room. @internal */
  place(pending: PendingJob): boolean {
    if (pending.state !== "new") return true; // somebody else who waits for it has placed it, or it was given up
    this.#checkOpen(pending);
    if (this.#queue.size === 0 && this.#offer(pending)) return true;
    if (this.#queue.size >= this.#queueSize) return false;
    this.#queue.push(pending);
    pending.state = "queued";
    return true;
  }

  /** @internal */
  admit(pending: PendingJob): Operation<void> {
    return new Entrance(this, pending, this.#room as never);
  }

  /** Whether it could be placed without overtaking anybody. @internal */
  tryAdmit(pending: PendingJob): boolean {
    return this.#room.size === 0 && this.place(pending);
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
    if (job.state === "new") return "withdrawn";
    if (job.state === "queued") {
      this.#queue.remove(job);
      this.#books.noteWithdrawn();
      this.#advance();
      return "withdrawn";
    }
    const answer = this.#pool.cancel(job, reason);
    if (answer === "withdrawn") {
      this.#taken.delete(job);
      this.#books.noteWithdrawn();
      this.#advance();
    }
    return answer;
  }

  /** @internal */
  hasBegun(job: PendingJob): boolean {
    return this.#taken.has(job) && this.#pool.hasBegun(job);
  }

  /** @internal */
  whereIs(job: PendingJob): JobWhereabouts | null {
    return this.#taken.has(job) ? (this.#pool.whereIs?.(job) ?? null) : null;
  }

  /** @internal */
  settled(poolJob: PoolJob, end: JobEnd): void {
    const job = poolJob as PendingJob;
    if (!this.#taken.delete(job)) return;
    this.#books.noteEnd(end, job.ageMs());
    job.finish(end);
    this.#noteDrained();
  }

  /** @internal */
  news(poolJob: PoolJob, news: JobNews): void {
    (poolJob as PendingJob).onNews?.(news);
  }

  /** @internal */
  roomFreed(): void {
    this.#advance();
  }

  /** @internal */
  broke(cause: unknown): void {
    const error = (this.#broken ??= new ExecutorBrokenError(this.name, cause));
    for (let entry = this.#room.shift(); entry !== null; entry = this.#room.shift()) entry.fail(error);
    const end: JobEnd = { status: "failed", error, done: null, runMs: 0 };
    for (let job = this.#queue.first; job !== null; job = this.#queue.first) {
      this.#queue.remove(job);
      this.#books.noteRefused();
      job.finish(end);
    }
    for (const job of this.#taken.list()) this.settled(job, end);
    this.#noteDrained();
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

  *#ended(): Coroutine<void> {
    if (!this.#isDrained) yield* new Drained(this, this.#enders as never);
    if (this.#closing !== null) yield* until(this.#closing);
  }

  #checkOpen(pending: PendingJob): void {
    if (this.#broken !== null) throw this.#broken;
    if (this.#isShutDown) throw new ExecutorShutdownError(this.name, `job "${pending.name}"`);
    const importing = importingJob();
    if (importing !== null) {
      throw new UsageError(
        `${importing} submits a job while a worker imports it, so it would go on for ever; put what it does behind \`if (isMainThread)\``,
        "RUN_BY_IMPORT",
      );
    }
  }

  #offer(pending: PendingJob): boolean {
    const before = pending.state;
    this.#taken.add(pending); // before: it may settle in the call, when its arguments cannot be sent
    pending.state = "taken";
    let isTaken = false;
    try {
      isTaken = this.#pool.offer(pending);
    } finally {
      if (!isTaken && this.#taken.delete(pending)) pending.state = before;
    }
    return isTaken;
  }

  /** Moves everybody up who can. */
  #advance(): void {
    if (this.#isDispatching) return;
    this.#isDispatching = true;
    try {
      for (let job = this.#queue.first; job !== null; job = this.#queue.first) {
        if (!this.#offer(job)) break;
        this.#queue.remove(job);
      }
      for (let entry = this.#room.first; entry !== null; entry = this.#room.first) {
        if (!this.place(entry.pending)) break;
        this.#room.shift();
        entry.end(entry.result());
      }
    } finally {
      this.#isDispatching = false;
    }
    this.#noteDrained();
  }

  #noteDrained(): void {
    if (!this.#isShutDown || this.#isDrained || this.#taken.size > 0 || this.#queue.size > 0) return;
    this.#isDrained = true;
    this.#closing = this.#pool.close();
    for (let ender = this.#enders.shift(); ender !== null; ender = this.#enders.shift()) ender.end();
    for (const resolve of this.#onDrained.splice(0)) resolve();
  }

  #cancelOne(job: PendingJob, reason: unknown): void {
    job.follower?.cancel(reason);
    if (job.end === null) job.cancel(reason); // of a call or a map; or the task of the handle has not begun to wait
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
