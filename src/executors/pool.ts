/**
 * The seam between an executor and what runs its jobs: in process, in threads, elsewhere.
 *
 * The executor keeps the line of jobs, their priorities, the handles and the books. A pool takes jobs as it has room and tells
 * how each one ended, once. So a pool has six methods, and a test of the executor needs no thread.
 */
import type { Waiter } from "../core/index.ts";
import type { AnyJob } from "./job.ts";

/** A job as its pool sees it. */
export interface PoolJob {
  readonly id: number;
  readonly name: string;
  readonly job: AnyJob;
  readonly shape: JobShape;
  /** Of a `"batch"`: one list of items. */
  readonly args: readonly unknown[];
  readonly transfer: readonly unknown[] | null;
  readonly idempotencyKey: string;
  /** Whether the submitter has given the key. */
  readonly hasOwnKey: boolean;
  /** Values of task-locals that go along, see `carried`. */
  readonly locals: readonly CarriedValue[] | null;
  /** How much time it has left, in milliseconds; `Infinity` for no deadline. */
  remainingMs(): number;
  /** How long ago it was submitted, in milliseconds. */
  ageMs(): number;
  /** Where a pool that runs jobs on the loop of who submits should run it. */
  readonly loop: object;
  /** For the pool alone. */
  place: unknown;
}

/** `"call"`: the function, once. `"batch"`: for each item of a list. `"stream"`: an iterable, item by item. */
export type JobShape = "call" | "batch" | "stream";

export interface CarriedValue {
  readonly url: string;
  readonly name: string;
  readonly value: unknown;
}

/** How a job ended. `runMs` is the time that it ran. */
export type JobEnd =
  | { readonly status: "succeeded"; readonly value: unknown; readonly runMs: number }
  | {
      readonly status: "failed";
      readonly error: unknown;
      readonly done: readonly unknown[] | null;
      readonly runMs: number;
    }
  | { readonly status: "cancelled"; readonly reason: unknown; readonly runMs: number };

/** What a job tells while it runs. */
export interface JobNews {
  readonly kind: "progress" | "log" | "item";
  readonly value: unknown;
}

/** Who hears what becomes of the jobs. No method may throw. */
export interface PoolListener {
  settled(job: PoolJob, end: JobEnd): void;
  news(job: PoolJob, news: JobNews): void;
  /** It may take another job now. */
  roomFreed(): void;
  /** It can never run a job again. */
  broke(cause: unknown): void;
}

/** Where a job is, as far as observers can follow it. */
export interface JobWhereabouts {
  /** Of the thread that has it. */
  readonly threadId: number | null;
  /** The task of this thread that runs it. */
  readonly task: Waiter | null;
}

export interface PoolStatistics {
  /** Threads, or how many jobs it runs at a time. */
  readonly workers: number;
  readonly idle: number;
  /** Jobs that it has begun, or that lie ready in a worker. */
  readonly jobs: number;
  readonly crashes: number;
}

export interface Pool {
  /** Where its jobs run is outside the loop of who waits for them. */
  readonly isOutside: boolean;
  /** How many jobs it works on at a time at most. */
  readonly parallelism: number;
  listen(listener: PoolListener): void;
  /** @throws {UsageError} when it can never run this one. */
  check(job: AnyJob): void;
  /** Takes a job, to begin now or very soon; `false`: no room. */
  offer(job: PoolJob): boolean;
  /** Cancels one that it has taken: `"withdrawn"` when it had not begun and is gone; else `settled` will tell what became of it. */
  cancel(job: PoolJob, reason: unknown): "withdrawn" | "requested";
  /** Whether the job has begun. */
  hasBegun(job: PoolJob): boolean;
  /** Where a job is that it has taken. Absent: that cannot be told. */
  whereIs?(job: PoolJob): JobWhereabouts | null;
  /** Of a `"stream"`: `count` more items may be sent. */
  grant(job: PoolJob, count: number): void;
  statistics(): PoolStatistics;
  /** Called once, when no job is left. Ends when everything that it holds has been let go of; `null`: it has been already. */
  close(): Promise<void> | null;
}
