/**
 * `concurrent.futures.ThreadPoolExecutor` on the threads of `fibril/executors`.
 *
 * JavaScript's threads share no functions, so what is submitted is a job (`job(import.meta.url, function …)`), not any callable. The
 * executor has a loop of the kernel of its own: it can be used from every loop and from promise code.
 *
 * A future fails with what the job threw, as in Python, not with the `JobError` around it.
 *
 * The threads are loaded when the first job is submitted: the rest of asyncio runs where there are none, in browsers.
 */
import { EventLoop as KernelLoop, Future as KernelFuture, UsageError } from "../core/index.ts";
import type { Task as KernelTask } from "../core/index.ts";
import type { Executor as JobsExecutor, Job, ThreadPoolOptions } from "../executors/index.ts";
import { ConcurrentFuture } from "./concurrent-future.ts";
import { RuntimeError } from "./errors.ts";

export interface ThreadPoolExecutorOptions extends ThreadPoolOptions {
  /** Where its jobs run instead: any executor of `fibril/executors`. It is not shut down with this one. */
  readonly on?: JobsExecutor;
}

export class ThreadPoolExecutor {
  readonly #options: ThreadPoolExecutorOptions;
  readonly #loop = new KernelLoop({ name: "asyncio executor" });
  readonly #running: Set<KernelTask<unknown>> = new Set();
  #pool: Promise<JobsExecutor> | null = null;
  #isShut = false;

  constructor(options: ThreadPoolExecutorOptions = {}) {
    this.#options = options;
  }

  /**
   * Runs a job in a thread; a future for its result. Cancelling the future cancels the job, cooperatively.
   * @throws {RuntimeError} after `shutdown`.
   * @example
   * const digest = await executor.submit(hashPassword, "secret");
   */
  submit<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): ConcurrentFuture<T> {
    if (this.#isShut) throw new RuntimeError("cannot submit to an executor that was shut down; make a new one");
    if (typeof job === "function") {
      throw new UsageError(
        `a thread cannot be sent the function "${(job as { readonly name: string }).name}"; make it a job: ` +
          "export const name = job(import.meta.url, function name(…) {…}) of fibril/executors",
      );
    }
    const loop = this.#loop;
    const future = new ConcurrentFuture<T>((error) =>
      loop.report({ kind: "callback-failed", message: "a callback of a future of an executor failed:", error }),
    );
    this.#pool ??= this.#open();
    const opened = this.#pool;
    const task = loop.spawn({ name: "submit" }, function* () {
      const pool = new KernelFuture<JobsExecutor>({ external: true });
      opened.then(
        (value) => pool.resolve(value),
        (error: unknown) => pool.reject(error),
      );
      return yield* (yield* pool).call(job, ...args);
    });
    this.#running.add(task);
    task.watch({
      before: null,
      after: null,
      taskSettled: () => {
        this.#running.delete(task);
        const outcome = task.outcome!;
        if (outcome.status === "succeeded") future.setResult(outcome.value);
        else if (outcome.status === "failed") future.setException(thrownByJob(outcome.error));
        else future.cancel();
      },
    });
    future.follow({ cancel: (message) => void task.cancel(message) });
    return future;
  }

  /** The job for every item, all submitted now; the results in the order of the items. The first failure cancels the rest. */
  async *map<Item, T>(job: Job<[item: Item], T>, items: Iterable<Item>): AsyncGenerator<T, void, undefined> {
    const futures = Array.from(items, (item) => this.submit(job, item));
    try {
      for (const future of futures) yield await future;
    } finally {
      for (const future of futures) future.cancel();
    }
  }

  /**
   * Takes no more jobs. Resolves when all have ended and the threads are gone; at once with `wait: false`.
   * @param options.cancelFutures Cancels what is under way. Default: `false`.
   */
  async shutdown(options: { readonly wait?: boolean; readonly cancelFutures?: boolean } = {}): Promise<void> {
    const { wait = true, cancelFutures = false } = options;
    this.#isShut = true;
    if (cancelFutures) for (const task of this.#running) task.cancel("shutdown");
    const ended = this.#close([...this.#running]);
    if (wait) await ended;
    else ended.catch(() => {}); // its jobs tell what they come to
  }

  async #close(tasks: readonly KernelTask<unknown>[]): Promise<void> {
    await Promise.allSettled(tasks);
    if (this.#pool === null || this.#options.on !== undefined) return;
    const pool = await this.#pool;
    await pool[Symbol.asyncDispose]();
  }

  /** `shutdown()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  async #open(): Promise<JobsExecutor> {
    const { on, ...options } = this.#options;
    if (on !== undefined) return on;
    const { ThreadPool } = await import("../executors/index.ts");
    return new ThreadPool({ name: "asyncio threads", ...options });
  }
}

/** What the job itself threw, as Python's executors give it. Its stack is that of the thread. */
function thrownByJob(error: unknown): unknown {
  const { code, cause } = error as { readonly code?: unknown; readonly cause?: unknown };
  return code === "JOB_FAILED" && cause instanceof Error ? cause : error;
}
