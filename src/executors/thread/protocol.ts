/**
 * What an executor and its workers say to each other, and the words of shared memory beside it.
 *
 * Messages are flat arrays, which serialize in half the time of objects with keys. A job is named by a number that is explained once to
 * each worker.
 *
 * Every job has a slot in its worker, and every slot a word in shared memory. Both sides move it by compare-and-exchange, so that
 * exactly one of "it has begun" and "it was taken back" happens, without asking a thread that may be busy:
 *
 *   FREE → QUEUED      the executor, before it posts the job
 *   QUEUED → LOADING   the worker, when it first has to import the module of the job; its death is then the job's doing
 *   QUEUED, LOADING → RUNNING   the worker, when it calls the function
 *   QUEUED → WITHDRAWN the executor: cancelled, or given to another worker. The worker skips it and says so; then the slot is free
 *   LOADING, RUNNING → CANCEL   the executor; what `isCancelled()` reads
 *   RUNNING, CANCEL → ENDED  the worker, before it posts the outcome
 */
import type { RemoteError } from "../remote-error.ts";
import type { CarriedValue, JobShape } from "../pool.ts";

/** The word before those of the slots is a bell: the executor counts it up after each post, see `linger` in the worker. */
export const BELL = 0;

export const FREE = 0;
export const QUEUED = 1;
export const RUNNING = 2;
export const WITHDRAWN = 3;
export const CANCEL = 4;
export const ENDED = 5;
export const LOADING = 6;

/** The executor to a worker. */
export type Order =
  | readonly [kind: "define", number: number, url: string, name: string]
  | readonly [
      kind: "run",
      slot: number,
      number: number,
      shape: JobShape,
      args: readonly unknown[],
      id: number,
      more: Extras | null,
    ]
  | readonly [kind: "cancel", slot: number, reason: unknown]
  | readonly [kind: "grant", slot: number, count: number]
  | readonly [kind: "tasks", request: number]
  | readonly [kind: "stop"]
  | readonly [kind: "many", orders: readonly Order[]];

/** What few jobs have. */
export interface Extras {
  readonly name: string | null;
  readonly idempotencyKey: string;
  /** Left at the time of posting, in milliseconds. */
  readonly remainingMs: number | null;
  readonly locals: readonly CarriedValue[] | null;
}

/** A worker to the executor. */
export type Reply =
  | readonly [kind: "value", slot: number, value: unknown, runMs: number]
  | readonly [kind: "error", slot: number, error: ReportedError, runMs: number]
  | readonly [kind: "cancelled", slot: number, reason: unknown, runMs: number]
  | readonly [kind: "skipped", slot: number]
  | readonly [kind: "progress" | "log" | "item", slot: number, value: unknown]
  | readonly [kind: "ready"]
  | readonly [kind: "unready", error: RemoteError]
  | readonly [kind: "tasks", request: number, tasks: readonly unknown[]];

export interface ReportedError {
  readonly reason: "threw" | "not-found" | "not-cloneable";
  readonly error: RemoteError;
  /** Why a job was not found; what could not be cloned. */
  readonly text: string;
  /** Of a batch: the results before it, and its number. */
  readonly done: readonly unknown[] | null;
  readonly index: number | null;
}

/** What a worker is started with. */
export interface WorkerSetup {
  readonly fibrilExecutor: true;
  readonly port: unknown;
  readonly words: Int32Array;
  readonly name: string;
  /** Name of the executor. */
  readonly executor: string;
  /** Whether it may run more than one job at a time. */
  readonly isConcurrent: boolean;
  readonly initializer: { readonly url: string; readonly name: string; readonly args: readonly unknown[] } | null;
}
