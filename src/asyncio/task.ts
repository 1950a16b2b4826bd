/**
 * A task: drives one coroutine, step by step, as CPython's does.
 *
 * A step runs the coroutine up to the next future that is pending. The future tells the task when it is done, that puts the task
 * into the ready queue, and the next iteration takes the next step. So a task is its own entry in the queue: nothing is
 * allocated for a step. Invariant: an unfinished task either awaits one future or stands in the queue once.
 *
 * Cancellation is an edge, as in Python: `cancel` is passed on to the future that the task awaits; if that cannot be
 * cancelled, because it is done or there is none, the next step throws `CancelledError` instead of resuming with the result.
 * What catches it goes on as if nothing had been asked, but for the count that `cancelling` gives. Plain Fibril has none of these traps.
 *
 * The loop keeps its tasks alive until they are done; CPython keeps weak references only.
 */
import { describeValue, UsageError } from "../core/index.ts";
import type { StackFrame } from "../core/index.ts";
import { captureStackOf } from "../lowlevel.ts";
import { copyContext, enterContext, leaveContext } from "./context.ts";
import type { Context } from "./context.ts";
import { CancelledError, endsProgram, InvalidStateError, RuntimeError, ValueError } from "./errors.ts";
import { AWAIT_TOKEN, awaited, current, Future } from "./future.ts";
import type { Awaitable, Coroutine, FutureLoop, Suspension } from "./future.ts";

/** The loop as tasks see it. */
export interface TaskLoop extends FutureLoop {
  isRunning(): boolean;
  createTask<T>(coroutine: Coroutine<T>, options?: TaskOptions): Task<T>;
  createFuture<T>(): Future<T>;
  /** The task whose step runs. @internal */
  runningTask: Task<unknown> | null;
  /** Every task that is not done, in the order of creation. @internal */
  readonly unfinished: Set<Task<unknown>>;
}

export interface TaskOptions {
  /** Default: `Task-1`, `Task-2` … */
  readonly name?: string;
  /** What the coroutine runs in. Default: a copy of the current context. */
  readonly context?: Context;
  /** Whether to run the coroutine up to its first suspension at once, inside the call. Default: `false`. */
  readonly eagerStart?: boolean;
}

const NOTHING: unique symbol = Symbol("nothing to throw");

const generatorPrototype = (Object.getPrototypeOf(function* () {}) as { readonly prototype: Coroutine<unknown> })
  .prototype;

// Called directly: each generator function makes objects of a shape of their own, so `coroutine.next` would be a megamorphic load.
const resume = generatorPrototype.next as (this: Coroutine<unknown>) => IteratorResult<Suspension, unknown>;
const raise = generatorPrototype.throw as (
  this: Coroutine<unknown>,
  error: unknown,
) => IteratorResult<Suspension, unknown>;

let tasksNamed = 0;

/** Made by `createTask`, `TaskGroup#createTask`, `ensureFuture`, `gather`. */
export class Task<T> extends Future<T> {
  /** @internal */
  declare readonly loop: TaskLoop;
  private readonly coroutine: Coroutine<T>;
  private readonly context: Context;
  private name: string;
  private cancelRequests = 0;
  private mustCancel = false;
  /** Whether nobody else can have it, so that nobody can be blamed when the loop is closed before it is done. @internal */
  isOurs = false;
  /** The future that it awaits. */
  private waitsFor: Future<unknown> | null = null;
  /** The future that put it into the ready queue. */
  private wokenBy: Future<unknown> | null = null;
  /** What the next step throws. */
  private toThrow: unknown = NOTHING;

  /** Write `createTask(coroutine)` instead. @internal */
  constructor(coroutine: Coroutine<T>, loop: TaskLoop, options: TaskOptions = {}) {
    if (!isCoroutine(coroutine)) throw notACoroutine(coroutine);
    super({ loop });
    this.coroutine = coroutine as Coroutine<T>;
    this.name = options.name === undefined ? `Task-${++tasksNamed}` : String(options.name);
    this.context = options.context ?? copyContext();
    if (options.eagerStart === true && loop.isRunning()) this.startEagerly();
    else {
      loop.pushReady(this);
      loop.unfinished.add(this as Task<unknown>);
    }
  }

  getName(): string {
    return this.name;
  }

  setName(name: string): void {
    this.name = String(name);
  }

  /** The coroutine that it drives. */
  getCoro(): Coroutine<T> {
    return this.coroutine;
  }

  /** What the coroutine runs in. */
  getContext(): Context {
    return this.context;
  }

  /**
   * Asks the task to end: `CancelledError` is thrown where it awaits, once. It may clean up, take its time, or refuse. A task that has
   * not begun never runs its body. If the future that it awaits is done already, its result is lost and `CancelledError` comes instead.
   * Each call counts, see `cancelling`; a second one during cleanup interrupts the cleanup.
   * @param message Travels with the `CancelledError`.
   * @returns `false` when the task is done; nothing changes then.
   */
  override cancel(message?: unknown): boolean {
    this.markSeen();
    if (this.done()) return false;
    this.cancelRequests++;
    // The future stays noted: it may be a task that refuses, and have to be cancelled again.
    if (this.waitsFor !== null && this.waitsFor.cancel(message)) return true;
    this.mustCancel = true;
    this.cancelMessage = message;
    return true;
  }

  /** How often it was asked to end, minus what `uncancel` has taken back. */
  cancelling(): number {
    return this.cancelRequests;
  }

  /**
   * Takes one request back; for code that made it and has dealt with it, such as a timeout. At 0 a request that has not been
   * thrown yet is dropped.
   * @returns How many are left.
   */
  uncancel(): number {
    if (this.cancelRequests > 0 && --this.cancelRequests === 0) this.mustCancel = false;
    return this.cancelRequests;
  }

  /** @throws {RuntimeError} always: what a task comes to is its coroutine's business. */
  override setResult(): never {
    throw new RuntimeError(`task "${this.name}" gets its result from its coroutine; make a future to set one yourself`);
  }

  /** @throws {RuntimeError} always: what a task comes to is its coroutine's business. */
  override setException(): never {
    throw new RuntimeError(
      `task "${this.name}" gets its exception from its coroutine; make a future to set one yourself`,
    );
  }

  /** Where it stands, outermost frame first; empty while it does not await a future. Costs 6–30 µs. */
  getStack(options: { readonly limit?: number } = {}): readonly StackFrame[] {
    const frames = [...this.callStack()].reverse();
    return options.limit === undefined ? frames : frames.slice(-options.limit);
  }

  /** Innermost first. @internal */
  override callStack(): readonly StackFrame[] {
    return this.waitsFor === null || this.waitsFor.done() ? [] : captureStackOf(this.coroutine);
  }

  /** @internal */
  get isSkipped(): boolean {
    return false;
  }

  /** @internal */
  describe(): string {
    return String(this);
  }

  /** @internal */
  override stateName(): string {
    return this.cancelRequests > 0 && !this.done() ? "cancelling" : super.stateName();
  }

  /** @internal */
  override details(): string {
    const waits =
      this.waitsFor === null || this.waitsFor === this
        ? ""
        : ` wait_for=<${this.waitsFor.constructor.name} ${this.waitsFor.stateName()}>`;
    return ` name="${this.name}"${waits}`;
  }

  /** The future that it awaits is done. @internal */
  futureDone(future: Future<unknown>): void {
    this.wokenBy = future;
    this.loop.pushReady(this);
  }

  /** Called by the loop. @internal */
  run(): void {
    let error = this.toThrow;
    const future = this.wokenBy;
    if (future !== null) {
      this.wokenBy = null;
      future.discardAwaiter(this as Future<unknown>);
      if (!future.hasSucceeded) error = future.failure();
    } else if (error !== NOTHING) this.toThrow = NOTHING;
    const outer = enterContext(this.context);
    try {
      this.step(error);
    } finally {
      leaveContext(outer);
    }
  }

  private step(error: unknown): void {
    if (this.done()) throw new InvalidStateError(`${String(this)} was resumed after its end`);
    let toThrow = error;
    if (this.mustCancel) {
      if (!(toThrow instanceof CancelledError)) toThrow = this.makeCancelledError();
      this.mustCancel = false;
    }
    this.waitsFor = null;
    const { loop } = this;
    loop.runningTask = this as Task<unknown>;
    try {
      this.advance(toThrow);
    } finally {
      loop.runningTask = null;
    }
  }

  private startEagerly(): void {
    const { loop } = this;
    const outerTask = loop.runningTask;
    loop.runningTask = this as Task<unknown>;
    try {
      const outer = enterContext(this.context);
      try {
        this.advance(NOTHING);
      } finally {
        leaveContext(outer);
      }
    } finally {
      loop.runningTask = outerTask;
      if (!this.done()) loop.unfinished.add(this as Task<unknown>);
    }
  }

  private advance(error: unknown): void {
    let result: IteratorResult<Suspension, unknown>;
    awaited.future = null;
    try {
      result = error === NOTHING ? resume.call(this.coroutine) : raise.call(this.coroutine, error);
    } catch (thrown) {
      this.loop.unfinished.delete(this as Task<unknown>);
      if (thrown instanceof CancelledError) {
        this.cancelledError = thrown;
        super.cancel();
        return;
      }
      this.settleException(thrown);
      if (endsProgram(thrown)) throw thrown;
      return;
    }
    if (result.done === true) {
      this.loop.unfinished.delete(this as Task<unknown>);
      if (this.mustCancel) {
        this.mustCancel = false;
        super.cancel(this.cancelMessage);
      } else this.settleResult(result.value);
      return;
    }
    if (result.value === AWAIT_TOKEN && awaited.future !== null) this.awaitFuture(awaited.future);
    else if (result.value === undefined) this.loop.pushReady(this);
    else this.failNext(new RuntimeError(badYield(this, result.value)));
    awaited.future = null;
  }

  private awaitFuture(future: Future<unknown>): void {
    if (future.loop !== this.loop) {
      this.failNext(new RuntimeError(`${String(this)} awaited ${String(future)}, which belongs to another loop`));
      return;
    }
    if (future === (this as Future<unknown>)) {
      this.failNext(new RuntimeError(`${String(this)} cannot await itself`));
      return;
    }
    future.addAwaiter(this as Future<unknown>);
    future.addListener(this);
    this.waitsFor = future;
    if (this.mustCancel && future.cancel(this.cancelMessage)) this.mustCancel = false;
  }

  private failNext(error: RuntimeError): void {
    this.toThrow = error;
    this.loop.pushReady(this);
  }
}

function badYield(task: Task<unknown>, value: unknown): string {
  const hint = value instanceof Future || isCoroutine(value) ? "write `yield*` with a star" : "yield* awaitables only";
  return `${String(task)} yielded ${describeValue(value)}; ${hint}`;
}

/** Whether it is a coroutine: what calling a generator function gives. */
export function isCoroutine(value: unknown): value is Coroutine<unknown> {
  return typeof value === "object" && value !== null && generatorPrototype.isPrototypeOf(value);
}

function notACoroutine(value: unknown): UsageError {
  const hint =
    typeof value === "function" ? "; call it: createTask(main())" : "; write a generator function and call it";
  return new UsageError(`a coroutine was expected, got ${describeValue(value)}${hint}`, "NOT_AN_OPERATION");
}

function runningLoop(): TaskLoop {
  if (current.loop === null)
    throw new RuntimeError("there is no running event loop here: not inside a coroutine or callback of one");
  return current.loop as TaskLoop;
}

/**
 * Adds a task to the running loop. Its first step comes in the next iteration.
 * @throws {RuntimeError} outside a loop.
 * @example
 * const task = createTask(download(url), { name: "download" });
 * const bytes = yield* task;
 */
export function createTask<T>(coroutine: Coroutine<T>, options?: TaskOptions): Task<T> {
  return runningLoop().createTask(coroutine, options);
}

/**
 * The task whose step runs; `null` in a callback.
 * @param loop Default: the running one. @throws {RuntimeError} without a loop.
 * @example
 * currentTask()!.setName("worker");
 */
export function currentTask(loop?: TaskLoop): Task<unknown> | null {
  return (loop ?? runningLoop()).runningTask;
}

/**
 * The tasks that are not done, in the order of creation.
 * @param loop Default: the running one. @throws {RuntimeError} without a loop.
 * @example
 * for (const task of allTasks()) if (task !== currentTask()) task.cancel();
 */
export function allTasks(loop?: TaskLoop): Set<Task<unknown>> {
  return new Set((loop ?? runningLoop()).unfinished);
}

/**
 * A future for an awaitable: a future or task is returned as it is, a coroutine becomes a task.
 * @param options.loop Default: the running one.
 * @throws {ValueError} when the future belongs to another loop than `loop`.
 * @example
 * const task = ensureFuture(download(url));
 */
export function ensureFuture<T>(
  awaitable: Awaitable<T>,
  options: { readonly loop?: TaskLoop | undefined } = {},
): Future<T> {
  if (awaitable instanceof Future) {
    if (options.loop !== undefined && options.loop !== awaitable.loop) {
      throw new ValueError("the future belongs to another loop than the one given as `loop`");
    }
    return awaitable;
  }
  return (options.loop ?? runningLoop()).createTask(coroutineOf(awaitable));
}

/** A coroutine for anything that can be awaited. @package */
export function coroutineOf<T>(awaitable: Awaitable<T>): Coroutine<T> {
  if (isCoroutine(awaitable)) return awaitable as Coroutine<T>;
  if (
    typeof awaitable !== "object" ||
    awaitable === null ||
    typeof awaitable[Symbol.iterator] !== "function" ||
    Array.isArray(awaitable)
  ) {
    const isPromise = typeof (awaitable as unknown as Partial<PromiseLike<unknown>> | null)?.then === "function";
    const hint = isPromise ? "; write wrapFuture(promise)" : typeof awaitable === "function" ? "; call it first" : "";
    throw new UsageError(
      `a future, a coroutine or another awaitable was expected, got ${describeValue(awaitable)}${hint}`,
      "NOT_AN_OPERATION",
    );
  }
  return awaitOne(awaitable);
}

function* awaitOne<T>(awaitable: Awaitable<T>): Coroutine<T> {
  return yield* awaitable;
}
