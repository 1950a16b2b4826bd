/**
 * Jobs in threads of this process: for work that would hold up the loop, and for all cores.
 */
import { availableParallelism } from "node:os";
import type { ResourceLimits } from "node:worker_threads";
import { UsageError } from "../core/index.ts";
import { checkMs, checkOptions, checkWhole } from "./checks.ts";
import { JobExecutor } from "./job-executor.ts";
import type { ExecutorOptions } from "./job-executor.ts";
import { checkJob } from "./job.ts";
import type { Job } from "./job.ts";
import { WorkerPool } from "./thread/worker-pool.ts";

export interface ThreadPoolOptions extends ExecutorOptions {
  /** Threads at most. Default: what the machine can run at a time. */
  readonly maxWorkers?: number;
  /** Threads that are started at once and kept when idle. Default: 0. */
  readonly minWorkers?: number;
  /** How long a thread above `minWorkers` may be idle before it ends, in milliseconds. Default: 30,000; `Infinity` is allowed. */
  readonly idleMs?: number;
  /**
   * How long a job that was told to stop may go on, its cleanup included, before its thread is ended and replaced, in milliseconds.
   * Default: 1,000; `Infinity`: a thread is never ended.
   */
  readonly graceMs?: number;
  /** Runs in each thread before its first job. When it fails, the executor is broken. */
  readonly initializer?: Initializer;
  /** Memory and stack of each thread, as Node takes them. A thread that needs more ends: its job is a `WorkerCrashedError`. */
  readonly resourceLimits?: ResourceLimits;
  /** A thread is replaced after so many jobs, against leaks of others. Default: never. */
  readonly recycleAfter?: number;
  /** How many short jobs may lie ready in a busy thread, four times as many when they take less than a message. They are taken back when another one falls idle. Default: 2. */
  readonly prefetch?: number;
  /** The module that threads begin with, for bundles: a file that imports `fibril/executors/worker`. Default: our own file. */
  readonly workerEntry?: URL;
}

/** A job and its arguments, see `ThreadPoolOptions.initializer`. */
export interface Initializer {
  readonly job: Job<never, unknown>;
  readonly args?: readonly unknown[];
}

const IDLE_MS = 30_000;
export const GRACE_MS = 1_000;
const PREFETCH = 2;

/**
 * Threads are started when they are needed, and idle ones do not keep the process alive.
 *
 * @example
 * const pool = yield* use(new ThreadPool({ maxWorkers: 4 }));
 * const handle = yield* pool.submit(thumbnail, image, 200);
 * yield* forEach(pool.map(hash, passwords), function* (digest) { … });
 */
export class ThreadPool extends JobExecutor {
  /** @throws {UsageError} when an option is wrong. */
  constructor(options: ThreadPoolOptions = {}) {
    const {
      maxWorkers = availableParallelism(),
      minWorkers = 0,
      idleMs = IDLE_MS,
      graceMs = GRACE_MS,
    } = checkOptions("ThreadPool", options);
    const { recycleAfter = Infinity, prefetch = PREFETCH, initializer } = options;
    checkWhole("maxWorkers", maxWorkers, 1);
    checkWhole("minWorkers", minWorkers, 0);
    if (minWorkers > maxWorkers)
      throw new UsageError(`minWorkers is ${minWorkers}, more than maxWorkers, ${maxWorkers}`);
    checkMs("idleMs", idleMs);
    checkMs("graceMs", graceMs);
    checkWhole("recycleAfter", recycleAfter, 1, true);
    checkWhole("prefetch", prefetch, 0);
    if (initializer !== undefined) checkJob("initializer", initializer.job);
    const pool = new WorkerPool({
      name: options.name ?? "thread pool",
      maxWorkers,
      minWorkers,
      idleMs,
      graceMs,
      recycleAfter,
      prefetch,
      // Withdrawn jobs keep their slot until the worker has seen them, so there are some more than can be used.
      slots: 16 * (prefetch + 1),
      isConcurrent: false,
      initializer:
        initializer === undefined
          ? null
          : { url: initializer.job.url, name: initializer.job.name, args: initializer.args ?? [] },
      resourceLimits: options.resourceLimits,
      entry: options.workerEntry,
    });
    super(pool, options, "thread pool");
  }
}
