/**
 * An event loop of its own in a thread of its own, to which tasks are added from here.
 *
 * It is an executor with one thread that runs all its jobs at the same time: coroutines share that thread's loop. It belongs to the scope
 * in which it was started. When that ends, what runs there is cancelled and awaited, then the thread ends: a scope spans threads.
 */
import { currentScope, Wait } from "../core/index.ts";
import type { Coroutine, Operation, Started, TaskSnapshot, Waiter } from "../core/index.ts";
import { JobExecutor } from "./job-executor.ts";
import type { JobHandle } from "./job-handle.ts";
import { job as defineJob } from "./job.ts";
import type { Job } from "./job.ts";
import type { SubmitOptions } from "./executor.ts";
import { GRACE_MS } from "./thread-pool.ts";
import type { Initializer } from "./thread-pool.ts";
import { WorkerPool } from "./thread/worker-pool.ts";
import { checkMs } from "./checks.ts";

export interface LoopThreadOptions {
  /** Shown in messages and statistics, and the name of the loop there. Default: `"loop thread"`. */
  readonly name?: string;
  /**
   * How long what was cancelled there may go on before the thread is ended, in milliseconds. Default: 1,000. All that runs there ends
   * with it; the tasks that were not cancelled are then a `WorkerCrashedError`.
   */
  readonly graceMs?: number;
  /** Runs there first. */
  readonly initializer?: Initializer;
  /** See `ThreadPoolOptions`. */
  readonly workerEntry?: URL;
}

const MOST_TASKS = 16_384;

/**
 * @example
 * const thread = yield* LoopThread.start({ name: "feeds" });
 * const watching = thread.spawn(watchFeed, "https://example.org/feed");
 * console.log(yield* thread.tasks());
 * yield* watching.cancel();
 */
export class LoopThread extends JobExecutor {
  readonly #threads: WorkerPool;

  private constructor(options: LoopThreadOptions) {
    const { name = "loop thread", graceMs = GRACE_MS, initializer } = options;
    checkMs("graceMs", graceMs);
    const pool = new WorkerPool({
      name,
      maxWorkers: 1,
      minWorkers: 0,
      idleMs: Infinity,
      graceMs,
      recycleAfter: Infinity,
      prefetch: 0,
      slots: MOST_TASKS,
      isConcurrent: true,
      initializer:
        initializer === undefined
          ? null
          : { url: initializer.job.url, name: initializer.job.name, args: initializer.args ?? [] },
      resourceLimits: undefined,
      entry: options.workerEntry,
    });
    super(pool, { name, queueSize: Infinity }, name);
    this.#threads = pool;
  }

  /** Starts a thread with a loop and waits until that runs. It belongs to the current scope. Cancelling ends it again. */
  static *start(options: LoopThreadOptions = {}): Coroutine<LoopThread> {
    const thread = new LoopThread(options);
    currentScope().defer(() => thread.#stop());
    yield* thread.call(ready);
    return thread;
  }

  /**
   * Adds a task to the loop over there. The handle belongs to the current scope like that of any job: cancelling it cancels the task there.
   * @throws {ExecutorShutdownError} when the thread has ended.
   */
  spawn<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): JobHandle<T>;
  spawn<Args extends readonly unknown[], T>(options: SubmitOptions, job: Job<Args, T>, ...args: Args): JobHandle<T>;
  spawn(...call: unknown[]): JobHandle<never> {
    return (this.trySubmit as (...args: unknown[]) => JobHandle<never>).apply(this, call);
  }

  /**
   * What runs there at this moment: all tasks of its loop, their states and what they wait for; nothing once the thread has ended. While its loop is
   * blocked there is no answer: put a `timeout` around it, or take a `snapshot` (`fibril/inspector`), which says so. Cancelling asks no longer.
   */
  tasks(): Operation<readonly TaskSnapshot[]> {
    return { [Symbol.iterator]: () => new AskTasks(this.name, this.#threads) };
  }

  #stop(): Operation<void> {
    return this.shutdown({ cancelPending: true, cancelRunning: true });
  }
}

class AskTasks extends Wait<readonly TaskSnapshot[]> {
  readonly #name: string;
  readonly #pool: WorkerPool;
  #takeBack: (() => void) | null = null;

  constructor(name: string, pool: WorkerPool) {
    super();
    this.#name = name;
    this.#pool = pool;
  }

  get reason(): string {
    return `the tasks of thread "${this.#name}"`;
  }

  override get external(): boolean {
    return true;
  }

  protected start(task: Waiter): Started<readonly TaskSnapshot[]> {
    const [thread] = this.#pool.threads;
    if (thread === undefined || thread.isGone) return task.complete(this, []);
    this.#takeBack = thread.tasks((tasks) => void task.wake(this, tasks as readonly TaskSnapshot[]));
    return task.park(this);
  }

  withdraw(): boolean {
    this.#takeBack?.();
    return true;
  }
}

/** Its thread runs when this has. */
const ready: Job<[], void> = defineJob(import.meta.url, function ready() {}, { name: "ready" }); // named for minifiers
