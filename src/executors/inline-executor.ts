/**
 * Jobs in this process, on the loop of who submits them: for tests, for programs that have no threads, and as the measure of the others.
 *
 * Arguments and results are cloned all the same, so that a program that works here works with threads; and since nothing is real but the
 * loop, a simulated run on virtual time repeats. What it cannot do is end a job that ignores its cancellation.
 */
import { CancelledError } from "../core/index.ts";
import type { Coroutine, EventLoop, Operation, Scope, Task } from "../core/index.ts";
import { checkWhole } from "./checks.ts";
import { cloneArguments, cloneResult } from "./cloning.ts";
import { JobCloneError, JobError } from "./errors.ts";
import { Feed } from "./feed.ts";
import type { JobContext } from "./job-context.ts";
import { JobExecutor } from "./job-executor.ts";
import type { ExecutorOptions } from "./job-executor.ts";
import type { JobEnd, JobWhereabouts, Pool, PoolJob, PoolListener, PoolStatistics } from "./pool.ts";
import { BatchFailure, isCancellation } from "./returned.ts";
import { runJob } from "./run-job.ts";

export interface InlineExecutorOptions extends ExecutorOptions {
  /** How many jobs run at a time. A plain function runs to its end in one go. Default: 4. */
  readonly concurrency?: number;
}

const CONCURRENCY = 4;
const DEADLINE_SLACK_MS = 50; // the submitter's deadline decides, as with threads
const WHERE = "this process";

/**
 * @example
 * const executor = yield* use(new InlineExecutor());
 * const small = yield* executor.call(thumbnail, image, 200);
 */
export class InlineExecutor extends JobExecutor {
  constructor(options: InlineExecutorOptions = {}) {
    const { concurrency = CONCURRENCY } = options;
    checkWhole("concurrency", concurrency, 1, true);
    super(new InlinePool(concurrency), options, "inline executor");
  }
}

class InlinePool implements Pool {
  readonly isOutside = false;
  readonly parallelism: number;
  #listener: PoolListener | null = null;
  readonly #jobs = new Map<PoolJob, InlineRun>();

  constructor(concurrency: number) {
    this.parallelism = concurrency;
  }

  listen(listener: PoolListener): void {
    this.#listener = listener;
  }

  check(): void {}

  offer(job: PoolJob): boolean {
    if (this.#jobs.size >= this.parallelism) return false;
    const run = new InlineRun(job, this.#listener!, (end) => {
      this.#jobs.delete(job);
      this.#listener!.settled(job, end);
      this.#listener!.roomFreed();
    });
    this.#jobs.set(job, run);
    run.start();
    return true;
  }

  cancel(job: PoolJob, reason: unknown): "withdrawn" | "requested" {
    const run = this.#jobs.get(job);
    if (run === undefined) return "requested";
    const answer = run.cancel(reason);
    if (answer === "withdrawn") this.#jobs.delete(job);
    return answer;
  }

  hasBegun(job: PoolJob): boolean {
    return this.#jobs.get(job)?.hasBegun ?? false;
  }

  whereIs(job: PoolJob): JobWhereabouts | null {
    const task = this.#jobs.get(job)?.task ?? null;
    return task === null ? null : { threadId: null, task };
  }

  grant(job: PoolJob, count: number): void {
    this.#jobs.get(job)?.grant(count);
  }

  statistics(): PoolStatistics {
    const jobs = this.#jobs.size;
    return { workers: this.parallelism, idle: this.parallelism - jobs, jobs, crashes: 0 };
  }

  close(): null {
    return null;
  }
}

class InlineRun implements JobContext {
  hasBegun = false;
  isCancelled = false;
  readonly #job: PoolJob;
  readonly #listener: PoolListener;
  readonly #onEnd: (end: JobEnd) => void;
  #task: Task<unknown> | null = null;
  #controller: AbortController | null = null;
  #reason: unknown = undefined;
  #startedAt = 0;
  #credits = 0;
  readonly #granted: Feed<void>;

  constructor(job: PoolJob, listener: PoolListener, onEnd: (end: JobEnd) => void) {
    this.#job = job;
    this.#listener = listener;
    this.#onEnd = onEnd;
    this.#granted = new Feed({ reason: `somebody to take values of job "${job.name}"`, isOutside: false, capacity: 1 });
  }

  /** What runs it; `null` before it has started. */
  get task(): Task<unknown> | null {
    return this.#task;
  }

  get id(): number {
    return this.#job.id;
  }

  get name(): string {
    return this.#job.name;
  }

  get idempotencyKey(): string {
    return this.#job.idempotencyKey;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.isCancelled) this.#abort();
    return this.#controller.signal;
  }

  progress(value: unknown): void {
    this.#listener.news(this.#job, { kind: "progress", value: cloneResult(this.#job, value, "the progress") });
  }

  log(message: string, data?: unknown): void {
    const value = { message, data: cloneResult(this.#job, data, "the log entry") };
    this.#listener.news(this.#job, { kind: "log", value });
  }

  start(): void {
    const loop = this.#job.loop as EventLoop;
    const task = loop.spawn({ name: this.name }, () => this.#run());
    task.keepFailure();
    task.locals = new Map(); // not those of the submitter: what goes along is said, as with threads
    const remainingMs = this.#job.remainingMs();
    if (remainingMs !== Infinity) (task.ownScope() as Scope).deadline = loop.now() + remainingMs + DEADLINE_SLACK_MS;
    this.#task = task;
    task.watch({ before: null, after: null, taskSettled: () => this.#settled(task) });
  }

  cancel(reason: unknown): "withdrawn" | "requested" {
    if (!this.hasBegun) {
      this.#task!.cancel(reason); // what it would do at its first step
      this.#job.place = "withdrawn";
      return "withdrawn";
    }
    if (this.isCancelled) return "requested";
    this.isCancelled = true;
    this.#reason = reason;
    this.#abort();
    this.#task!.cancel(reason);
    return "requested";
  }

  grant(count: number): void {
    this.#credits += count;
    this.#granted.put();
  }

  *#run(): Coroutine<unknown> {
    if (this.#job.place === "withdrawn") return undefined;
    this.hasBegun = true;
    this.#startedAt = (this.#job.loop as EventLoop).now();
    const { job, shape, locals } = this.#job;
    const args = cloneArguments(this.#job);
    if (shape === "stream") this.#credits = args[0] as number;
    const value = yield* runJob({ job, shape, args, locals, context: this, emit: (item) => this.#emit(item) });
    return cloneResult(this.#job, value, "the result");
  }

  #emit(value: unknown): Operation<void> | null {
    this.#listener.news(this.#job, { kind: "item", value: cloneResult(this.#job, value, "a value") });
    return --this.#credits > 0 ? null : waitForCredit(this.#granted, () => this.#credits > 0);
  }

  #settled(task: Task<unknown>): void {
    const outcome = task.outcome!;
    if (this.#job.place === "withdrawn") return;
    const runMs = (this.#job.loop as EventLoop).now() - this.#startedAt;
    if (outcome.status === "succeeded") this.#onEnd({ status: "succeeded", value: outcome.value, runMs });
    else if (outcome.status === "cancelled") this.#onEnd({ status: "cancelled", reason: this.#reason, runMs });
    else this.#onEnd(failureEnd(this.#job, outcome.error, runMs, this.isCancelled, this.#reason));
  }

  #abort(): void {
    const controller = this.#controller;
    if (controller !== null && !controller.signal.aborted) {
      controller.abort(new CancelledError(`job "${this.name}"`, this.#reason));
    }
  }
}

function* waitForCredit(granted: Feed<void>, hasCredit: () => boolean): Coroutine<void> {
  while (!hasCredit()) yield* granted.next();
}

function failureEnd(job: PoolJob, thrown: unknown, runMs: number, isCancelled: boolean, reason: unknown): JobEnd {
  const isBatch = thrown instanceof BatchFailure;
  const error: unknown = isBatch ? thrown.error : thrown;
  if (isCancelled && isCancellation(error)) return { status: "cancelled", reason, runMs };
  const done = isBatch ? (cloneResult(job, thrown.done, "the results") as unknown[]) : null;
  const failure =
    error instanceof JobCloneError ? error : new JobError(job, error, WHERE, isBatch ? thrown.index : undefined);
  return { status: "failed", error: failure, done, runMs };
}
