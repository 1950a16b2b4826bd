/**
 * From promise code into asyncio: one main coroutine on a loop of its own, and that loop put in order afterwards.
 *
 * At the end every task that is left is cancelled, all at once and in the order of creation, and waited for; what they throw is told to the
 * loop's exception handler. Then the loop is closed.
 *
 * Ctrl-C works as in Python: the first one cancels the main task, a second one ends the run at once with `KeyboardInterrupt`. If the
 * main coroutine has let itself be ended by the first one, `KeyboardInterrupt` is what comes out of the run.
 *
 * In Python `run` blocks its thread; here it returns a promise, and several may be under way.
 */
import { describeValue, systemHost, UsageError } from "../core/index.ts";
import { copyContext } from "./context.ts";
import type { Context } from "./context.ts";
import { CancelledError, KeyboardInterrupt, RuntimeError } from "./errors.ts";
import { newEventLoop } from "./event-loop.ts";
import type { EventLoop } from "./event-loop.ts";
import { current } from "./future.ts";
import type { Awaitable } from "./future.ts";
import { gather } from "./gather.ts";
import { allTasks, coroutineOf } from "./task.ts";
import type { Task } from "./task.ts";

export interface RunnerOptions {
  /** Whether to run in debug mode, see `EventLoop#setDebug`. Default: as the loop is. */
  readonly debug?: boolean;
  /** Makes the loop. Default: `newEventLoop`. */
  readonly loopFactory?: () => EventLoop;
  /** Whether to handle Ctrl-C (SIGINT) while it runs, where the platform has signals. Default: `true`. */
  readonly handleSignals?: boolean;
}

/**
 * Several runs on one loop, with one context.
 * @example
 * await using runner = new Runner({ debug: true });
 * const session = await runner.run(connect());
 * await runner.run(query(session));
 */
export class Runner {
  readonly #options: RunnerOptions;
  #loop: EventLoop | null = null;
  #context: Context | null = null;
  #closed = false;
  #interrupts = 0;

  constructor(options: RunnerOptions = {}) {
    this.#options = options;
  }

  /** Its loop; made at the first call. @throws {RuntimeError} once it is closed. */
  getLoop(): EventLoop {
    if (this.#closed) throw new RuntimeError("the runner is closed; make a new one");
    if (this.#loop !== null) return this.#loop;
    const loop = (this.#options.loopFactory ?? newEventLoop)();
    if (this.#options.debug !== undefined) loop.setDebug(this.#options.debug);
    this.#context = copyContext();
    return (this.#loop = loop);
  }

  /**
   * Runs a coroutine to its end; resolves to its result, rejects with its exception or `CancelledError`. Tasks that it leaves behind stay, and
   * go on in the next run.
   *
   * Rejects with `RuntimeError` inside a coroutine, while another run is under way, and once the runner is closed.
   * @param options.context What it runs in. Default: one for all runs of this runner.
   */
  async run<T>(main: Awaitable<T>, options: { readonly context?: Context } = {}): Promise<T> {
    if (current.loop !== null) throw new RuntimeError("run() cannot be called inside a coroutine; yield* it instead");
    if (typeof main === "function") {
      throw new UsageError(
        `run takes a coroutine, got ${describeValue(main)}; call it: run(main())`,
        "NOT_AN_OPERATION",
      );
    }
    const loop = this.getLoop();
    if (loop.isRunning())
      throw new RuntimeError("the runner runs already; await that first, or createTask() inside it");
    const task = loop.createTask(coroutineOf(main), { context: options.context ?? this.#context! });
    task.isOurs = true;
    const stopHandling =
      this.#options.handleSignals === false ? undefined : this.#handleInterrupts(loop, task as Task<unknown>);
    this.#interrupts = 0;
    try {
      return await loop.runUntilComplete(task);
    } catch (error) {
      if (error instanceof CancelledError && this.#interrupts > 0 && task.uncancel() === 0)
        throw new KeyboardInterrupt();
      throw error;
    } finally {
      stopHandling?.();
    }
  }

  /**
   * Cancels all tasks that are left, waits for them and for the default executor, closes the loop. Idempotent.
   *
   * It cancels each task once and then waits for as long as it takes, as in CPython: a task that catches `CancelledError` and goes on, or
   * waits for an operation of Fibril in a `shield`, holds it up until it is done.
   */
  async close(): Promise<void> {
    const loop = this.#loop;
    if (this.#closed || loop === null) return;
    try {
      await cancelAllTasks(loop);
      await loop.shutdownDefaultExecutor();
    } finally {
      loop.close();
      this.#loop = null;
      this.#closed = true;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #handleInterrupts(loop: EventLoop, task: Task<unknown>): (() => void) | undefined {
    return (loop.host ?? systemHost).onSignals?.(["SIGINT"], () => {
      this.#interrupts++;
      if (this.#interrupts === 1 && !task.done()) task.cancel();
      else loop.interrupt(new KeyboardInterrupt());
    });
  }
}

async function cancelAllTasks(loop: EventLoop): Promise<void> {
  const left = [...allTasks(loop)];
  if (left.length === 0) return;
  for (const task of left) task.cancel();
  await loop.runUntilComplete(gather(...left, { returnExceptions: true }));
  for (const task of left) {
    if (!task.hasFailed) continue;
    const message = "unhandled exception during asyncio.run() shutdown";
    loop.callExceptionHandler({ message, exception: task.exception(), task });
  }
}

/**
 * Runs a coroutine to its end on a new loop, then cancels all tasks that it has left behind, waits for them, and closes the loop.
 *
 * Resolves to its result, rejects with its exception, with `CancelledError` when it was cancelled, or with `KeyboardInterrupt`. Rejects with
 * `RuntimeError` inside a coroutine.
 * @example
 * await run(main());
 */
export async function run<T>(main: Awaitable<T>, options: RunnerOptions = {}): Promise<T> {
  if (current.loop !== null) throw new RuntimeError("run() cannot be called inside a coroutine; yield* it instead");
  const runner = new Runner(options);
  try {
    return await runner.run(main);
  } finally {
    await runner.close();
  }
}
