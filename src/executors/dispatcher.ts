/**
 * How jobs get from those who submit them to a pool: the line and its bound, those who wait for room in it, the end, the books.
 *
 *   1. A job is offered to the pool at once when nobody stands in line; else it stands in line; when the line is full, its submitter waits.
 *   2. Whenever the pool has room, the first in line is offered. Then those who wait for room move up, in their order.
 *   3. The pool says how it ended. The handle's task, or the caller, is woken.
 *
 * Invariants: a job is in line, or with the pool, or settled; it settles once; after `shutdown` none comes in, and the pool is
 * closed when the last one has settled. What callers call, and what they get for it, is in `job-executor.ts`.
 */
import { until, UsageError, WaitQueue } from "../core/index.ts";
import type { Coroutine } from "../core/index.ts";
import { Drained } from "./drained.ts";
import { ExecutorBrokenError, ExecutorShutdownError } from "./errors.ts";
import type { ExecutorStatistics } from "./executor.ts";
import { importingJob } from "./importing.ts";
import { JobBooks } from "./job-books.ts";
import { JobQueue } from "./job-queue.ts";
import type { PendingJob } from "./pending-job.ts";
import type { JobEnd, JobNews, JobWhereabouts, Pool, PoolJob, PoolListener } from "./pool.ts";
import type { Admission } from "./submission.ts";
import { TakenJobs } from "./taken-jobs.ts";

export class Dispatcher implements PoolListener {
  readonly name: string;
  /** Those who wait for room in the line. */
  readonly room: WaitQueue<unknown, Admission<unknown>> = new WaitQueue();
  readonly #pool: Pool;
  readonly #queue = new JobQueue();
  readonly #queueSize: number;
  /** Jobs that the pool has. */
  readonly #taken = new TakenJobs();
  readonly #books = new JobBooks();
  #isDispatching = false;
  #isShutDown = false;
  #broken: ExecutorBrokenError | null = null;
  /** Shut down, and the last job has settled: the pool is being closed. */
  #isDrained = false;
  #closing: Promise<void> | null = null;
  readonly #enders = new WaitQueue<void, Drained>();
  readonly #onDrained: (() => void)[] = [];

  constructor(name: string, pool: Pool, queueSize: number) {
    this.name = name;
    this.#pool = pool;
    this.#queueSize = queueSize;
    pool.listen(this);
  }

  get isOutside(): boolean {
    return this.#pool.isOutside;
  }

  /** How many jobs stand in line. */
  get size(): number {
    return this.#queue.size;
  }

  /** Whether it could be placed without overtaking anybody. */
  tryAdmit(pending: PendingJob): boolean {
    return this.room.size === 0 && this.#place(pending);
  }

  cancel(job: PendingJob, reason: unknown): "withdrawn" | "requested" {
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

  hasBegun(job: PendingJob): boolean {
    return this.#taken.has(job) && this.#pool.hasBegun(job);
  }

  whereIs(job: PendingJob): JobWhereabouts | null {
    return this.#taken.has(job) ? (this.#pool.whereIs?.(job) ?? null) : null;
  }

  settled(poolJob: PoolJob, end: JobEnd): void {
    const job = poolJob as PendingJob;
    if (!this.#taken.delete(job)) return;
    this.#books.noteEnd(end, job.ageMs());
    job.finish(end);
    this.#noteDrained();
  }

  news(poolJob: PoolJob, news: JobNews): void {
    (poolJob as PendingJob).onNews?.(news);
  }

  roomFreed(): void {
    this.#advance();
  }

  broke(cause: unknown): void {
    const error = (this.#broken ??= new ExecutorBrokenError(this.name, cause));
    for (let entry = this.room.shift(); entry !== null; entry = this.room.shift()) entry.fail(error);
    const end: JobEnd = { status: "failed", error, done: null, runMs: 0 };
    for (let job = this.#queue.first; job !== null; job = this.#queue.first) {
      this.#queue.remove(job);
      this.#books.noteRefused();
      job.finish(end);
    }
    for (const job of this.#taken.list()) this.settled(job, end);
    this.#noteDrained();
  }

  shutdown(whom: { readonly cancelPending: boolean; readonly cancelRunning: boolean }): void {
    this.#isShutDown = true;
    for (let entry = this.room.shift(); entry !== null; entry = this.room.shift()) {
      entry.fail(new ExecutorShutdownError(this.name, `job "${entry.pending.name}"`));
    }
    const reason = `executor "${this.name}" was shut down`;
    if (whom.cancelPending) {
      for (let job = this.#queue.first; job !== null; job = this.#queue.first) cancelOne(job, reason);
      for (const job of this.#taken.list()) if (!this.hasBegun(job)) cancelOne(job, reason);
    }
    if (whom.cancelRunning) for (const job of this.#taken.list()) cancelOne(job, reason);
    this.#noteDrained();
  }

  /** Waits until the last job has settled and the pool is closed. It was shut down. */
  *ended(): Coroutine<void> {
    if (!this.#isDrained) yield* new Drained(this, this.#enders as never);
    if (this.#closing !== null) yield* until(this.#closing);
  }

  /** The same for promise code. */
  async whenEnded(): Promise<void> {
    if (!this.#isDrained) await new Promise<void>((resolve) => this.#onDrained.push(resolve));
    await this.#closing;
  }

  statistics(): ExecutorStatistics {
    const { workers, idle, crashes } = this.#pool.statistics();
    return Object.freeze({
      name: this.name,
      workers: Object.freeze({ total: workers, idle, crashes }),
      queue: Object.freeze({ size: this.#queue.size, capacity: this.#queueSize, waiting: this.room.size }),
      running: this.#taken.size,
      ...this.#books.snapshot(),
    });
  }

  /** Puts it in line, or with the pool. `false`: no room. */
  #place(pending: PendingJob): boolean {
    if (pending.state !== "new") return true; // somebody else who waits for it has placed it, or it was given up
    this.#checkOpen(pending);
    if (this.#queue.size === 0 && this.#offer(pending)) return true;
    if (this.#queue.size >= this.#queueSize) return false;
    this.#queue.push(pending);
    pending.state = "queued";
    return true;
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
      for (let entry = this.room.first; entry !== null; entry = this.room.first) {
        if (!this.#place(entry.pending)) break;
        this.room.shift();
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
}

function cancelOne(job: PendingJob, reason: unknown): void {
  job.follower?.cancel(reason);
  if (job.end === null) job.cancel(reason); // of a call or a map; or the task of the handle has not begun to wait
}
