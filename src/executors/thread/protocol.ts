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

// The words before those of the slots.
/** The executor counts it up after each post, see `linger` in the worker. */
export const BELL = 0;
/** How many messages with progress and log entries are on their way. The worker counts up before it posts one; see `ThreadNews`, `Inbox`. */
export const NEWS = 1;
/** 1 while the worker holds some back, and waits to be told that there is room again. */
export const HELD = 2;
/** 1 once the worker is about to end, by whatever ends it from inside: what would be sent to it now is lost, though its exit is not known here yet. */
export const LEAVING = 3;
/** The worker counts it up after each outcome that it has posted: so it is known that one is missing when a message could not be read, see `Inbox`. */
export const OUTCOMES = 4;
export const FIRST_SLOT = 5;

/** How much news may be on its way: a message port has no bound of its own. */
export const MOST_NEWS = 1_024;
/** When no more than this is on its way, what was held back may come. */
export const ROOM_AGAIN: number = MOST_NEWS / 2;

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
  /** Less news is on its way: what was held back may come. */
  | readonly [kind: "room"]
  /** Import `module` and answer with what its `answer(request, jobs)` gives; the key goes back with it. */
  | readonly [kind: "inspect", key: string, module: string, request: unknown]
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

/** How a job ended. */
export type Outcome =
  | readonly [kind: "value", slot: number, value: unknown, runMs: number]
  | readonly [kind: "error", slot: number, error: ReportedError, runMs: number]
  | readonly [kind: "cancelled", slot: number, reason: unknown, runMs: number];

/** A worker to the executor. */
export type Reply =
  | Outcome
  | readonly [kind: "skipped", slot: number]
  | readonly [kind: "progress" | "log" | "item", slot: number, value: unknown]
  | readonly [kind: "ready"]
  | readonly [kind: "unready", error: RemoteError]
  /** The message with this number, from 1, could not be read here. */
  | readonly [kind: "unread", message: number, error: RemoteError]
  | readonly [kind: "tasks", request: number, tasks: readonly unknown[]]
  /** With an error as text, or the answer. */
  | readonly [kind: "inspected", key: string, why: string | null, answer: unknown];

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
