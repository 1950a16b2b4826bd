/**
 * What a job can ask and do while it runs, from anywhere below its function: am I cancelled, here is progress.
 *
 * Functions rather than an argument, so that a job keeps the signature that its callers see, and code that knows of no executor
 * can be called by one that does. Outside of a job they do nothing.
 *
 * A worker of a pool runs one job at a time, so there the job is a variable of the thread. Where several run at a time, in
 * process and in a `LoopThread`, each coroutine has it as a task-local; a plain function has the variable, since nothing comes between;
 * an async function has Node's `AsyncLocalStorage`, which costs every promise of the thread something, and only there.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { CancelledError } from "../core/loopless.ts";

/** The running job. */
export interface JobContext {
  readonly id: number;
  readonly name: string;
  /** The same for every attempt at one piece of work: an executor that promises "at least once" may run it twice. */
  readonly idempotencyKey: string;
  /** Whether it was told to stop. Costs one atomic read. */
  readonly isCancelled: boolean;
  /** Aborts when it is told to stop, for APIs of promises. Made when first asked for. */
  readonly signal: AbortSignal;
  /** Sends a value to the handle's `progress`. */
  progress(value: unknown): void;
  /** Sends an entry to the handle's `logs`. */
  log(message: string, data?: unknown): void;
}

const ofPromises = new AsyncLocalStorage<JobContext>();
let ofThread: JobContext | null = null;
let areAsync = false;
/** Set by `task-job.ts`, which comes with the loop: a thread without one has no tasks to ask. */
let ofRunningTask: (() => JobContext | null) | null = null;

/** The running job, or `null` outside of one. */
export function currentJob(): JobContext | null {
  const nearest = ofRunningTask?.() ?? ofThread;
  return nearest ?? (areAsync ? (ofPromises.getStore() ?? null) : null);
}

/**
 * Whether the running job was told to stop: for plain functions, which have no wait that a cancellation could be thrown at.
 * Costs an atomic read, so it may stand in a loop. `false` outside of a job.
 *
 * @example
 * for (const row of rows) { if (isCancelled()) return partial; … }
 */
export function isCancelled(): boolean {
  return currentJob()?.isCancelled ?? false;
}

/** Throws `CancelledError` when the running job was told to stop: then its handle is cancelled, as if at a wait. */
export function throwIfCancelled(): void {
  const job = currentJob();
  if (job !== null && job.isCancelled) throw new CancelledError(`job "${job.name}"`, undefined);
}

/** Sends a value to the `progress` of the running job's handle; it must be cloneable. Does nothing outside of a job. */
export function progress(value: unknown): void {
  currentJob()?.progress(value);
}

/** Sends an entry to the `logs` of the running job's handle. Does nothing outside of a job. */
export function log(message: string, data?: unknown): void {
  currentJob()?.log(message, data);
}

const AsyncFunction = (async () => {}).constructor;

/** Calls the function of a job as part of it. @package */
export function withJob<T>(context: JobContext, fn: (...args: readonly unknown[]) => T, args: readonly unknown[]): T {
  const outer = ofThread;
  if (fn instanceof AsyncFunction && outer !== context) {
    areAsync = true;
    return ofPromises.run(context, fn, ...args);
  }
  ofThread = context;
  try {
    return fn(...args);
  } finally {
    ofThread = outer;
  }
}

/** From here to the next call this thread works on `context`. @package */
export function setThreadJob(context: JobContext | null): void {
  ofThread = context;
}

/** How the job of the running task is found. @package */
export function findTaskJobBy(find: () => JobContext | null): void {
  ofRunningTask = find;
}
