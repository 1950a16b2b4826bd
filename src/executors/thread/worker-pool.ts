/**
 * Threads behind an executor: who gets which job, how many there are, what happens when one dies.
 *
 * Placement. An idle thread first, the one that was busy last, so that the others may rest and end. Then a new thread, up to `maxWorkers`. Then, while
 * jobs are short, one or two go ahead into a busy thread's port: it begins them without a round trip, which is worth a factor of two.
 * A job that lies ready there never has to stay behind a long one: a thread that falls idle takes it back (`takeBack`, one
 * compare-and-exchange) and runs it. What was transferred cannot be sent twice, so such a job goes to an idle thread only.
 *
 * Death. Jobs that had begun have crashed, the others are offered again, first. A thread that dies before it was ready takes its jobs with it:
 * the next one would die the same way.
 */
import { describeValue, systemClock, systemHost, UsageError } from "../../core/index.ts";
import { ThreadStartError } from "../errors.ts";
import type { AnyJob } from "../job.ts";
import type { JobEnd, JobWhereabouts, Pool, PoolJob, PoolListener, PoolStatistics } from "../pool.ts";
import { refuseMain } from "./main-module.ts";
import { isMovable } from "./job-orders.ts";
import type { ThreadSetup } from "./start-worker.ts";
import { WorkerThread } from "./worker-thread.ts";
import type { Place, ThreadOwner } from "./worker-thread.ts";

export interface WorkerPoolPlan extends ThreadSetup {
  readonly minWorkers: number;
  readonly maxWorkers: number;
  readonly idleMs: number;
  readonly recycleAfter: number;
  /** Jobs that may lie ready in a busy thread. */
  readonly prefetch: number;
}

const SHORT_MS = 1; // jobs that take longer gain nothing from lying ready
const TINY_MS = 0.05; // less than a message costs, so they come in bundles
const TINY_FACTOR = 4;
const LONG_MS = 5; // a thread that has said nothing for so long runs a long job

export class WorkerPool implements Pool, ThreadOwner {
  readonly isOutside = true;
  readonly parallelism: number;
  readonly #plan: WorkerPoolPlan;
  #listener: PoolListener | null = null;
  #threads: WorkerThread[] = [];
  /** Jobs of threads that have died, before all others. */
  #orphans: PoolJob[] = [];
  #crashes = 0;
  #lastThread = 0;
  #idleTimer: unknown = undefined;
  #isClosed = false;
  #isBroken = false;
  #isBusyFreeing = false;

  constructor(plan: WorkerPoolPlan) {
    this.#plan = plan;
    this.parallelism = plan.maxWorkers;
  }

  listen(listener: PoolListener): void {
    this.#listener = listener;
    try {
      this.#keepMinimum();
    } catch (error) {
      for (const thread of this.#threads) void thread.stop();
      throw new UsageError(`thread pool "${this.#plan.name}" cannot start a thread: ${describeValue(error)}`, "USAGE", {
        cause: error,
      });
    }
  }

  get threads(): readonly WorkerThread[] {
    return this.#threads;
  }

  check(job: AnyJob): void {
    refuseMain(job);
  }

  offer(job: PoolJob): boolean {
    if (this.#orphans.length > 0) return false;
    return this.#place(job);
  }

  cancel(job: PoolJob, reason: unknown): "withdrawn" | "requested" {
    const orphan = this.#orphans.indexOf(job);
    if (orphan !== -1) {
      this.#orphans.splice(orphan, 1);
      return "withdrawn";
    }
    const place = job.place as Place | null;
    if (place === null) return "requested";
    if (place.thread.takeBack(job)) {
      this.#noteIdle(place.thread);
      return "withdrawn";
    }
    place.thread.cancel(job, reason);
    return "requested";
  }

  hasBegun(job: PoolJob): boolean {
    const place = job.place as Place | null;
    return place !== null && place.thread.hasBegun(job);
  }

  whereIs(job: PoolJob): JobWhereabouts | null {
    const place = job.place as Place | null;
    return place === null ? null : { threadId: place.thread.threadId, task: null };
  }

  grant(job: PoolJob, count: number): void {
    (job.place as Place | null)?.thread.grant(job, count);
  }

  statistics(): PoolStatistics {
    let jobs = this.#orphans.length;
    let idle = 0;
    for (const thread of this.#threads) {
      jobs += thread.size;
      if (thread.size === 0 && !thread.isRetiring) idle++;
    }
    return { workers: this.#threads.length, idle, jobs, crashes: this.#crashes };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#clearIdleTimer();
    await Promise.all(this.#threads.map((thread) => thread.stop()));
  }

  settled(thread: WorkerThread, job: PoolJob, end: JobEnd): void {
    if (thread.served >= this.#plan.recycleAfter) thread.isRetiring = true;
    this.#listener!.settled(job, end);
  }

  news(job: PoolJob, kind: "progress" | "log" | "item", value: unknown): void {
    this.#listener!.news(job, { kind, value });
  }

  freed(thread: WorkerThread): void {
    if (thread.isRetiring && thread.size === 0 && !thread.isGone) void thread.stop();
    if (this.#isBusyFreeing) return;
    this.#isBusyFreeing = true;
    try {
      this.#placeOrphans();
      if (thread.size === 0 && thread.hasFreeSlot) this.#steal(thread, true);
      if (this.#orphans.length === 0) this.#listener!.roomFreed();
      if (thread.size === 0 && thread.hasFreeSlot) this.#steal(thread, false);
      this.#noteIdle(thread);
    } finally {
      this.#isBusyFreeing = false;
    }
  }

  gaveBack(jobs: readonly PoolJob[]): void {
    this.#orphans.push(...jobs);
    this.#orphans.sort((a, b) => a.id - b.id); // as they were submitted
    this.#placeOrphans();
  }

  exited(thread: WorkerThread, orphans: readonly PoolJob[]): void {
    this.#threads = this.#threads.filter((each) => each !== thread);
    if (!thread.isRetiring) this.#crashes++;
    if (this.#isBroken) return;
    this.gaveBack(orphans);
    if (this.#orphans.length === 0) this.#listener!.roomFreed();
    // What lies ready behind a long job may be waiting for just this place; the new thread takes it back when it is ready.
    const isFull = this.#isClosed || this.#threads.length >= this.#plan.maxWorkers;
    try {
      if (!isFull && this.#threads.some((each) => each.size > 1)) this.#start();
      // One that has died before it was ready would be followed by others: they are started when there is a job, not for themselves.
      if (thread.isReady) this.#keepMinimum();
    } catch {
      // No thread can be started now. The jobs that are there go on in the others; the next one that needs a thread is told.
    }
  }

  failedToStart(error: unknown): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#orphans = [];
    for (const thread of this.#threads) void thread.stop();
    this.#listener!.broke(error);
  }

  #place(job: PoolJob): boolean {
    if (this.#isClosed || this.#isBroken) return false;
    let thread: WorkerThread | null;
    try {
      thread = this.#threadFor(job);
    } catch (error) {
      if (this.#threads.some((each) => !each.isRetiring)) return false; // another one will have room
      const failure = new ThreadStartError(job, this.#plan.name, error);
      this.#listener!.settled(job, { status: "failed", error: failure, done: null, runMs: 0 });
      return true;
    }
    if (thread === null) return false;
    thread.run(job);
    return true;
  }

  #threadFor(job: PoolJob): WorkerThread | null {
    let idle: WorkerThread | null = null;
    let ahead: WorkerThread | null = null;
    for (const thread of this.#threads) {
      if (!thread.hasFreeSlot) continue;
      if (this.#plan.isConcurrent) return thread;
      if (thread.size === 0) {
        if (idle === null || rank(thread) > rank(idle)) idle = thread;
      } else if (thread.isReady && thread.size <= this.#ahead(thread) && (ahead === null || thread.size < ahead.size)) {
        ahead = thread;
      }
    }
    if (idle !== null) return idle;
    if (this.#threads.length < this.#plan.maxWorkers) return this.#start();
    return ahead === null || !isMovable(job) ? null : ahead;
  }

  /** How many jobs may lie ready in a thread, by how long its last ones took. */
  #ahead(thread: WorkerThread): number {
    const { prefetch } = this.#plan;
    if (thread.served === 0 || thread.meanRunMs > SHORT_MS) return 0;
    return thread.meanRunMs > TINY_MS ? prefetch : prefetch * TINY_FACTOR;
  }

  /** Takes a job that lies ready behind another one, and runs it in the idle thread. */
  #steal(idle: WorkerThread, onlyFromLong: boolean): void {
    if (this.#plan.isConcurrent || this.#threads.length === 1) return;
    const now = onlyFromLong ? systemClock.now() : 0;
    for (const thread of this.#threads) {
      if (thread === idle || thread.size < (thread.isReady ? 2 : 1)) continue;
      if (onlyFromLong && now - thread.heardAt < LONG_MS) continue;
      for (const job of thread.queued()) {
        if (!isMovable(job) || !thread.takeBack(job)) continue;
        idle.run(job);
        return;
      }
    }
  }

  #placeOrphans(): void {
    while (this.#orphans.length > 0) {
      const [job] = this.#orphans;
      if (!this.#place(job!)) return;
      this.#orphans.shift();
    }
  }

  #start(): WorkerThread {
    const thread = new WorkerThread(
      this,
      this.#plan,
      this.#plan.maxWorkers === 1 ? this.#plan.name : `${this.#plan.name} ${++this.#lastThread}`,
    );
    this.#threads.push(thread);
    return thread;
  }

  #keepMinimum(): void {
    while (!this.#isClosed && !this.#isBroken && this.#threads.length < this.#plan.minWorkers) this.#start();
  }

  #noteIdle(thread: WorkerThread): void {
    if (thread.size > 0 || thread.isGone || thread.isRetiring || this.#plan.idleMs === Infinity) return;
    if (this.#staying <= this.#plan.minWorkers) return;
    if (this.#idleTimer === undefined) this.#setIdleTimer(this.#plan.idleMs);
  }

  #setIdleTimer(delayMs: number): void {
    const timer = systemHost.after(delayMs, false, () => this.#endIdle());
    (timer as { unref?: () => void }).unref?.(); // a thread that does nothing keeps no process alive
    this.#idleTimer = timer;
  }

  #endIdle(): void {
    this.#idleTimer = undefined;
    const now = systemClock.now();
    let next = Infinity;
    for (const thread of [...this.#threads]) {
      if (thread.size > 0 || thread.isRetiring) continue; // it is looked at again when it falls idle
      const leftMs = thread.heardAt + this.#plan.idleMs - now;
      if (leftMs > 0) next = Math.min(next, leftMs);
      else if (this.#staying > this.#plan.minWorkers) void thread.stop();
    }
    if (next !== Infinity) this.#setIdleTimer(next);
  }

  get #staying(): number {
    let staying = 0;
    for (const thread of this.#threads) if (!thread.isRetiring) staying++;
    return staying;
  }

  #clearIdleTimer(): void {
    if (this.#idleTimer !== undefined) systemHost.clear(this.#idleTimer);
    this.#idleTimer = undefined;
  }
}

function rank(thread: WorkerThread): number {
  return thread.isReady ? thread.heardAt : -1;
}
