/**
 * The event loop, with CPython's iterations: what is ready, then the timers that are due, and of these only what was there when the
 * iteration began.
 *
 * It stands on a loop of the kernel, which gives it turns, the clock, timers, and the host: one iteration here is one step
 * there. So tasks of Fibril run between the iterations, on the same loop, and the host gets its turn. The ready queue and the timers
 * are its own: their order is what must be the same as in CPython, to the last entry.
 *
 * What CPython leaves open is fixed here: timers with equal deadlines fire in the order in which they were set.
 *
 * Time is in seconds, as in Python. Once the loop has slept until a timer, the time is exactly that timer's, as long as
 * the clock stands still: a virtual clock counts in milliseconds, and 0.1 + 0.2 s must not become another number on the way.
 *
 * A loop runs until it is stopped, and in JavaScript that cannot be waited for in a call: `runForever` and `runUntilComplete`
 * return promises. Between its iterations no loop is "running", so several may be under way in one thread.
 */
import { describeValue, EventLoop as KernelLoop, UsageError } from "../core/index.ts";
import type { EventLoopOptions as KernelLoopOptions } from "../core/index.ts";
import { FifoQueue } from "../data/fifo-queue.ts";
import { TimerQueue } from "../data/timer-queue.ts";
import { running } from "../lowlevel.ts";
import type { Host, Runnable, Timer } from "../lowlevel.ts";
import type { Job } from "../executors/index.ts";
import type { Context } from "./context.ts";
import { endsProgram, RuntimeError, ValueError } from "./errors.ts";
import { current, Future } from "./future.ts";
import type { Awaitable, Coroutine, ExceptionContext, ReadyEntry, UnseenFailure } from "./future.ts";
import { Handle, TimerHandle } from "./handle.ts";
import { ensureFuture, isCoroutine, Task } from "./task.ts";
import type { TaskLoop, TaskOptions } from "./task.ts";
import { ThreadPoolExecutor } from "./thread-pool-executor.ts";
import { UnseenFailures } from "./unseen-failures.ts";

/** Receives what went wrong where nobody could be told. */
export type ExceptionHandler = (loop: EventLoop, context: ExceptionContext) => void;

/** Makes the tasks of a loop. */
export type TaskFactory = <T>(loop: EventLoop, coroutine: Coroutine<T>, options: TaskOptions | undefined) => Task<T>;

export interface EventLoopOptions extends Pick<KernelLoopOptions, "clock" | "host" | "onReport"> {
  /** The loop of the kernel to stand on; `clock`, `host` and `onReport` are its own then. Default: a new one. */
  readonly kernel?: KernelLoop;
  /** Shown in messages. Default: `"asyncio"`. */
  readonly name?: string;
}

/** Where `runInExecutor` may send its calls: anything that takes functions. What it gives may have a `cancel()`. */
export interface Executor {
  submit<Args extends readonly unknown[], T>(fn: (...args: Args) => T, ...args: Args): PromiseLike<Awaited<T>>;
}

/** A promise whose work can be told that nobody waits any more. */
interface Cancellable {
  cancel?(message?: unknown): unknown;
}

type AnyCallback = (...args: readonly unknown[]) => void;
type RunEnd = (failed: boolean, error: unknown) => void;

/** Timers that are due this much later, in seconds, fire together. CPython: the resolution of its clock, 1 ns on Linux. */
const CLOCK_RESOLUTION = 1e-9;
/** What a day-long sleep costs is one wake-up a day; longer ones the host could not take. CPython has the same limit. */
const LONGEST_SLEEP = 24 * 3600;

export class EventLoop implements TaskLoop {
  /** Of a callback or step, in seconds: a longer one is reported in debug mode. Default: 0.1. */
  slowCallbackDuration = 0.1;
  /** @internal */
  runningTask: Task<unknown> | null = null;
  /** @internal */
  readonly unfinished: Set<Task<unknown>> = new Set();
  /** The loop of the kernel that it stands on. */
  readonly kernel: KernelLoop;
  /** Where signals come from. @internal */
  readonly host: Host | null;
  readonly #name: string;
  readonly #ready = new FifoQueue<ReadyEntry>();
  #defaultExecutor: ThreadPoolExecutor | null = null;
  readonly #timers = new TimerQueue<TimerHandle>();
  readonly #unseen: UnseenFailures;
  readonly #iteration: Runnable;
  readonly #alarm: Alarm;
  #exceptionHandler: ExceptionHandler | null = null;
  #taskFactory: TaskFactory | null = null;
  #debug = false;
  #closed = false;
  #stopping = false;
  /** Ends the run that is under way; `null` while none is. */
  #endRun: RunEnd | null = null;
  /** Whether the kernel has an iteration of ours in its queue. */
  #queued = false;
  #iterating = false;
  /** While the kernel's clock shows `#fixedMs`, it is `#fixedTime`. */
  #fixedMs = Number.NaN;
  #fixedTime = 0;

  /** Write `newEventLoop()` instead. @internal */
  constructor(options: EventLoopOptions = {}) {
    const { kernel, name = "asyncio", clock, host, onReport } = options;
    this.#name = name;
    this.host = host ?? null;
    this.kernel =
      kernel ??
      new KernelLoop({
        name,
        ...(clock === undefined ? {} : { clock }),
        ...(host === undefined ? {} : { host }),
        ...(onReport === undefined ? {} : { onReport }),
      });
    this.#unseen = new UnseenFailures(this);
    this.#iteration = { run: () => this.#runIteration(), context: undefined };
    this.#alarm = new Alarm((when) => this.#wakeAt(when));
  }

  /** Seconds of the loop's clock; monotonic, the origin is the clock's own. */
  time(): number {
    const ms = this.kernel.now();
    return ms === this.#fixedMs ? this.#fixedTime : ms / 1000;
  }

  isRunning(): boolean {
    return this.#endRun !== null;
  }

  isClosed(): boolean {
    return this.#closed;
  }

  getDebug(): boolean {
    return this.#debug;
  }

  /** In debug mode slow callbacks are reported, and futures, tasks and handles remember where they were made: 4–6 µs each. */
  setDebug(enabled: boolean): void {
    this.#debug = enabled;
  }

  /** A future of this loop. */
  createFuture<T>(): Future<T> {
    return new Future<T>({ loop: this });
  }

  /** Adds a task; its first step comes in the next iteration. @throws {RuntimeError} when the loop is closed. */
  createTask<T>(coroutine: Coroutine<T>, options?: TaskOptions): Task<T> {
    this.#checkOpen();
    return this.#taskFactory === null
      ? new Task(coroutine, this, options)
      : this.#taskFactory(this, coroutine, options);
  }

  /** Has `factory` make the tasks; `null` puts the default back. It returns a `Task`, with options of its own if it likes. */
  setTaskFactory(factory: TaskFactory | null): void {
    if (factory !== null && typeof factory !== "function") {
      throw new UsageError(`setTaskFactory takes a function or null, got ${describeValue(factory)}`);
    }
    this.#taskFactory = factory;
  }

  getTaskFactory(): TaskFactory | null {
    return this.#taskFactory;
  }

  /**
   * Calls `callback` in the next iteration, in the order of these calls. May be called from anywhere in this thread, also while the
   * loop sleeps. It runs in a copy of the current context; for another one write `callSoon(() => context.run(callback))`.
   * @throws {RuntimeError} when the loop is closed.
   */
  callSoon<Args extends readonly unknown[]>(callback: (...args: Args) => void, ...args: Args): Handle {
    this.#checkOpen();
    checkCallback(callback, "callSoon");
    const handle = new Handle(this, callback as AnyCallback, args, null);
    this.#push(handle);
    return handle;
  }

  /** Calls `callback` in `delay` seconds; see `callAt`. */
  callLater<Args extends readonly unknown[]>(
    delay: number,
    callback: (...args: Args) => void,
    ...args: Args
  ): TimerHandle {
    checkSeconds("delay", delay);
    return this.callAt(this.time() + delay, callback, ...args);
  }

  /**
   * Calls `callback` at `when`, in seconds of the loop's clock: in an iteration of its own, or after what is ready then. Among equal
   * times the one that was set first comes first. A time that has passed keeps its place before later ones.
   */
  callAt<Args extends readonly unknown[]>(when: number, callback: (...args: Args) => void, ...args: Args): TimerHandle {
    checkSeconds("when", when);
    this.#checkOpen();
    checkCallback(callback, "callAt");
    const timer = new TimerHandle(when, this, callback as AnyCallback, args, null);
    this.#timers.insert(timer, when);
    if (this.#isAsleep) this.#sleep();
    return timer;
  }

  /** @internal */
  removeTimer(timer: TimerHandle): void {
    if (this.#timers.remove(timer) && this.#isAsleep) this.#sleep();
  }

  /** @internal */
  pushReady(entry: ReadyEntry): void {
    this.#checkOpen();
    this.#push(entry);
  }

  /** @internal */
  pushCallback(callback: (future: never) => void, future: Future<unknown>, context: Context | null): void {
    this.#checkOpen();
    this.#push(new Handle(this, callback as AnyCallback, [future], context));
  }

  /** @internal */
  noteUnseen(future: Future<unknown>, exception: unknown): UnseenFailure {
    return this.#unseen.note(future, exception);
  }

  /**
   * Runs until `stop` is called. The promise also rejects with a `KeyboardInterrupt` or `SystemExit` that a task or callback has
   * thrown. A run that is waited for keeps nothing alive by itself: with no timer and no open handle Node.js ends.
   * Rejects with `RuntimeError` when the loop runs already, is closed, or when called inside a coroutine.
   */
  async runForever(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#beginRun((failed, error) => (failed ? reject(error as Error) : resolve()));
    });
  }

  /**
   * Runs until the future is done; a coroutine is made a task. Resolves to its result, rejects with its exception or `CancelledError`,
   * and with `RuntimeError` when `stop` came first.
   * @example
   * const loop = newEventLoop();
   * console.log(await loop.runUntilComplete(main()));
   * loop.close();
   */
  async runUntilComplete<T>(awaitable: Awaitable<T>): Promise<T> {
    this.#checkOpen();
    this.#checkIdle();
    const future = ensureFuture(awaitable, { loop: this });
    if (future !== awaitable) (future as Task<T>).isOurs = true;
    return await new Promise<T>((resolve, reject) => {
      future.addDoneCallback(stopLoop);
      this.#beginRun((failed, error) => {
        future.removeDoneCallback(stopLoop);
        if (failed) {
          if (future !== awaitable) future.markSeen();
          reject(error as Error);
          return;
        }
        try {
          if (!future.done()) throw new RuntimeError("the event loop was stopped before the future was done");
          resolve(future.result());
        } catch (thrown) {
          reject(thrown as Error);
        }
      });
    });
  }

  /** Ends the run after the iteration that is under way; before a run, that run has exactly one iteration. */
  stop(): void {
    this.#stopping = true;
    if (this.#isAsleep) this.#queue();
  }

  /**
   * Drops everything that is scheduled and takes nothing more. Failures that nobody has looked at are reported, and tasks that are
   * not done. Idempotent.
   * @throws {RuntimeError} while it runs.
   */
  close(): void {
    if (this.isRunning()) throw new RuntimeError("cannot close a loop that runs; stop() it first");
    if (this.#closed) return;
    this.#closed = true;
    while (this.#ready.shift() !== undefined);
    for (let timer = this.#timers.popDue(Infinity); timer !== undefined; timer = this.#timers.popDue(Infinity));
    this.#unseen.reportAll();
    for (const task of this.unfinished) {
      if (task.isOurs) continue;
      this.callExceptionHandler({ message: "Task was destroyed but it is pending!", task, ...tracebackOf(task) });
    }
    this.unfinished.clear();
  }

  getExceptionHandler(): ExceptionHandler | null {
    return this.#exceptionHandler;
  }

  /** Who is told of errors that nobody else can be told; `null` puts the default back, which prints a report. */
  setExceptionHandler(handler: ExceptionHandler | null): void {
    if (handler !== null && typeof handler !== "function") {
      throw new UsageError(`setExceptionHandler takes a function or null, got ${describeValue(handler)}`);
    }
    this.#exceptionHandler = handler;
  }

  /** Prints the error, by way of the kernel's `onReport`. For handlers of your own that leave some errors to it. */
  defaultExceptionHandler(context: ExceptionContext): void {
    const message = [
      context.message === "" ? "unhandled exception in event loop" : context.message,
      ...(["future", "task", "handle", "taskGroup"] as const)
        .filter((key) => context[key] !== undefined)
        .map((key) => `${key}: ${String(context[key])}`),
      ...(context.sourceTraceback === undefined ? [] : [`created at:\n${context.sourceTraceback}`]),
    ].join("\n");
    const kind = context.handle === undefined ? "unobserved-failure" : "callback-failed";
    this.kernel.report({ kind, message, ...("exception" in context ? { error: context.exception } : {}) });
  }

  /** Tells the exception handler. One that throws itself is reported, too, and does not stop the loop. */
  callExceptionHandler(context: ExceptionContext): void {
    const handler = this.#exceptionHandler;
    if (handler === null) {
      this.defaultExceptionHandler(context);
      return;
    }
    try {
      const about = context.task ?? context.future ?? context.handle;
      if (about instanceof Task || about instanceof Handle) {
        const own = about.getContext();
        (own.entered ? own.copy() : own).run(handler, this, context);
      } else handler(this, context);
    } catch (exception) {
      if (endsProgram(exception)) throw exception;
      this.defaultExceptionHandler({ message: "unhandled error in exception handler", exception, context });
    }
  }

  /** `callSoon`, from outside of the loop: from promise code, another loop's coroutine, a callback of the host. */
  callSoonThreadsafe<Args extends readonly unknown[]>(callback: (...args: Args) => void, ...args: Args): Handle {
    return this.callSoon(callback, ...args);
  }

  /**
   * Has the executor run a job, or call a function if it takes functions; a future for the result. Cancelling the future drops the
   * result, and cancels the job if its executor can. The context is not handed on.
   * @param executor `null` for the default one: threads that are started when needed.
   * @example
   * const digest = yield* loop.runInExecutor(null, hashPassword, "secret");
   */
  runInExecutor<Args extends readonly unknown[], T>(
    executor: ThreadPoolExecutor | null,
    job: Job<Args, T>,
    ...args: Args
  ): Future<T>;
  runInExecutor<Args extends readonly unknown[], T>(
    executor: Executor,
    fn: (...args: Args) => T,
    ...args: Args
  ): Future<Awaited<T>>;
  runInExecutor(executor: Executor | ThreadPoolExecutor | null, work: unknown, ...args: unknown[]): Future<unknown> {
    this.#checkOpen();
    const chosen = executor ?? (this.#defaultExecutor ??= new ThreadPoolExecutor());
    if (!(chosen instanceof ThreadPoolExecutor)) checkCallback(work, "runInExecutor");
    const promise = (chosen as Executor).submit(work as never, ...(args as never)) as PromiseLike<unknown> &
      Cancellable;
    const future = this.followPromise(promise);
    if (typeof promise.cancel === "function") {
      future.addDoneCallback(() => {
        if (future.cancelled()) promise.cancel!();
      });
    }
    return future;
  }

  /** Where `runInExecutor(null, …)` and `toThread` run their jobs from now on. The caller shuts the earlier one down. */
  setDefaultExecutor(executor: ThreadPoolExecutor): void {
    if (!(executor instanceof ThreadPoolExecutor))
      throw new UsageError("setDefaultExecutor takes a ThreadPoolExecutor");
    this.#defaultExecutor = executor;
  }

  /** Resolves when the jobs of the default executor have ended and its threads are gone. `run` and `Runner.close` wait for it. */
  async shutdownDefaultExecutor(): Promise<void> {
    const executor = this.#defaultExecutor;
    await executor?.shutdown();
  }

  /** A future that gets what the promise settles with; while that is pending the loop counts as waiting for something outside. @internal */
  followPromise<T>(promise: PromiseLike<T>): Future<T> {
    const future = this.createFuture<T>();
    const release = this.kernel.hold();
    const settle = (set: () => void): void => {
      release();
      if (!future.done() && !this.#closed) set();
    };
    promise.then(
      (value) => settle(() => future.setResult(value)),
      (error: unknown) => settle(() => future.setException(error)),
    );
    return future;
  }

  toString(): string {
    return `<EventLoop "${this.#name}" running=${this.isRunning()} closed=${this.#closed} debug=${this.#debug}>`;
  }

  /** Whether a run is under way and has no next iteration ordered. */
  get #isAsleep(): boolean {
    return this.#endRun !== null && !this.#queued && !this.#iterating;
  }

  #push(entry: ReadyEntry): void {
    this.#ready.push(entry);
    if (this.#isAsleep) this.#queue();
  }

  #checkOpen(): void {
    if (this.#closed) throw new RuntimeError("the event loop is closed");
  }

  #checkIdle(): void {
    if (this.isRunning()) throw new RuntimeError("the event loop runs already");
    if (current.loop !== null)
      throw new RuntimeError("cannot run an event loop inside a coroutine or callback of another; yield* instead");
  }

  #beginRun(end: RunEnd): void {
    this.#checkOpen();
    this.#checkIdle();
    this.#endRun = end;
    this.#queue();
  }

  #finishRun(failed: boolean, error: unknown): void {
    const end = this.#endRun!;
    this.#endRun = null;
    this.#stopping = false;
    this.kernel.removeTimer(this.#alarm);
    this.#unseen.letGo();
    end(failed, error);
  }

  /** Ends the run at once, with an error. @internal */
  interrupt(error: unknown): void {
    if (this.#endRun !== null) this.#finishRun(true, error);
  }

  #queue(): void {
    if (this.#queued) return;
    this.#queued = true;
    this.kernel.enqueue(this.#iteration);
  }

  #runIteration(): void {
    this.#queued = false;
    if (this.#endRun === null) return; // interrupted meanwhile
    running.task = null;
    const outer = current.loop;
    current.loop = this;
    this.#iterating = true;
    try {
      this.#iterate();
    } catch (error) {
      this.#iterating = false;
      this.#finishRun(true, error);
      return;
    } finally {
      this.#iterating = false;
      current.loop = outer;
    }
    if (this.#endRun === null) return;
    if (this.#stopping) this.#finishRun(false, undefined);
    else if (this.#ready.size > 0) this.#queue();
    else this.#sleep();
  }

  #iterate(): void {
    const ready = this.#ready;
    if (this.#timers.size > 0) {
      const end = this.time() + CLOCK_RESOLUTION;
      for (let due = this.#timers.nextDeadline; due < end; due = this.#timers.nextDeadline) {
        ready.push(this.#timers.popDue(due)!);
      }
    }
    const count = ready.size;
    // The kernel reads the clock after so many steps, to give the host its turn; it has to hear how many these were.
    this.kernel.budget -= count;
    for (let i = 0; i < count; i++) {
      const entry = ready.shift();
      if (entry === undefined) return; // interrupted and closed
      if (entry.isSkipped) continue;
      try {
        if (this.#debug) this.#runTimed(entry);
        else entry.run();
      } catch (exception) {
        if (endsProgram(exception)) throw exception;
        this.callExceptionHandler({ message: `exception in ${entry.describe()}`, exception, handle: entry });
      }
    }
  }

  #runTimed(entry: ReadyEntry): void {
    const what = entry.describe();
    const begin = this.time();
    entry.run();
    const took = this.time() - begin;
    if (took < this.slowCallbackDuration) return;
    this.kernel.report({ kind: "slow-callback", message: `executing ${what} took ${took.toFixed(3)} seconds` });
  }

  /** Nothing is ready: the kernel wakes us for the first timer. */
  #sleep(): void {
    const { kernel } = this;
    this.#unseen.letGo();
    const when = this.#timers.nextDeadline;
    if (when === this.#alarm.when && this.#alarm.heapIndex !== -1) return;
    kernel.removeTimer(this.#alarm);
    if (when === Infinity) return;
    const now = this.time();
    if (when <= now) {
      this.#queue();
      return;
    }
    this.#alarm.when = when;
    kernel.addTimer(this.#alarm, kernel.now() + Math.min(when - now, LONGEST_SLEEP) * 1000);
  }

  #wakeAt(when: number): void {
    const ms = this.kernel.now();
    if (Math.abs(ms / 1000 - when) < CLOCK_RESOLUTION) {
      this.#fixedMs = ms;
      this.#fixedTime = when;
    }
    this.#queue();
  }
}

/** Our one timer in the kernel. */
class Alarm implements Timer {
  heapIndex = -1;
  /** Seconds. */
  when = Number.NaN;
  readonly #wake: (when: number) => void;

  constructor(wake: (when: number) => void) {
    this.#wake = wake;
  }

  fire(): void {
    this.#wake(this.when);
  }
}

function stopLoop(future: Future<unknown>): void {
  if (!future.cancelled() && endsProgram(future.exception())) return; // the run has ended already
  (future.loop as EventLoop).stop();
}

function tracebackOf(future: Future<unknown>): { readonly sourceTraceback?: string } {
  return future.sourceTraceback === undefined ? {} : { sourceTraceback: future.sourceTraceback };
}

function checkSeconds(what: string, value: unknown): void {
  if (typeof value !== "number")
    throw new UsageError(`${what} must be a number of seconds, got ${describeValue(value)}`);
  if (Number.isNaN(value)) throw new ValueError(`${what} must be a number of seconds, not NaN`);
}

function checkCallback(callback: unknown, method: string): void {
  if (typeof callback === "function" && !isGeneratorFunction(callback)) return;
  const hint =
    isCoroutine(callback) || typeof callback === "function" ? "; a coroutine is started with createTask()" : "";
  throw new UsageError(`${method} takes a callback, got ${describeValue(callback)}${hint}`);
}

const generatorFunctionPrototype: unknown = Object.getPrototypeOf(function* () {});

function isGeneratorFunction(callback: object): boolean {
  return Object.getPrototypeOf(callback) === generatorFunctionPrototype;
}

/** The loop whose coroutine or callback runs now. @throws {RuntimeError} outside of all. */
export function getRunningLoop(): EventLoop {
  if (current.loop === null) {
    throw new RuntimeError("there is no running event loop here: not inside a coroutine or callback of one");
  }
  return current.loop as EventLoop;
}

/**
 * A new loop, which does not run yet. Close it when you are done with it; `run` and `Runner` do all that for you.
 * @example
 * const loop = newEventLoop();
 * await loop.runUntilComplete(main());
 * loop.close();
 */
export function newEventLoop(options: EventLoopOptions = {}): EventLoop {
  return new EventLoop(options);
}
