/**
 * A future: a result that somebody will set, and callbacks that the loop calls once it is there.
 *
 * It follows CPython's in every step that can be observed: callbacks are never called by the setter but by `callSoon`, in the
 * order of adding; awaiting one that is done does not suspend; `CancelledError` is made anew at each look, except the first
 * look at a task's own, which gives the very one that ended it.
 *
 * How `yield*` suspends: a future is its own iterator and keeps no state for it. While it is pending, `next` leaves itself in `awaited`
 * and returns one shared object, which travels through all generators to the task's step; once it is done, `next` gives the result.
 * So a suspended chain can be resumed without effect, and that is how its stack is captured (see `call-graph.ts`).
 *
 * Differences from CPython: a failure that nobody looked at is reported when the future is collected or at the latest when the
 * loop is closed (CPython reports at collection only); a future keeps its loop alive, and the loop keeps its tasks alive.
 */
import type { StackFrame } from "../core/index.ts";
import { running } from "../lowlevel.ts";
import { copyContext } from "./context.ts";
import type { Context } from "./context.ts";
import { CancelledError, InvalidStateError, RuntimeError } from "./errors.ts";

declare const suspensionBrand: unique symbol;

/** What an asyncio coroutine yields. Nobody can make one, so a raw `yield x` and a forgotten star are type errors. */
export interface Suspension {
  readonly [suspensionBrand]: true;
}

/** Anything that `yield*` accepts in an asyncio coroutine: a coroutine, a future, a task. */
export interface Awaitable<T> {
  [Symbol.iterator](): Iterator<Suspension, T, unknown>;
}

/**
 * The return type of a generator function that is an asyncio coroutine; Python's `async def`. Calling the function starts nothing.
 * @example
 * function* fetchBoth(): Coroutine<string[]> { return yield* gather(fetchOne("a"), fetchOne("b")) }
 */
export type Coroutine<T> = Generator<Suspension, T, unknown>;

/** The token inside `AWAITING`; an engine that rebuilds result objects still carries it. @package */
export const AWAIT_TOKEN: Suspension = Object.freeze({}) as Suspension;

const AWAITING: IteratorYieldResult<Suspension> = Object.freeze({ done: false, value: AWAIT_TOKEN });

/** The future that the running coroutine has just begun to await; its task takes it. @package */
export const awaited: { future: Future<unknown> | null } = { future: null };

/** The loop whose iteration runs now. @package */
export const current: { loop: FutureLoop | null } = { loop: null };

/** What stands in the ready queue: a handle, or a task whose next step is due. @package */
export interface ReadyEntry {
  readonly isSkipped: boolean;
  /** Throws only what ends the program. */
  run(): void;
  /** For the warning about slow callbacks. */
  describe(): string;
  toString(): string;
}

/** What an exception handler is told. Read only; which fields there are depends on what happened. */
export interface ExceptionContext {
  readonly message: string;
  readonly exception?: unknown;
  readonly future?: Future<unknown>;
  readonly task?: Future<unknown>;
  readonly handle?: { toString(): string };
  readonly taskGroup?: { toString(): string };
  /** Where the future, task or handle was made; in debug mode. */
  readonly sourceTraceback?: string;
  readonly context?: ExceptionContext;
}

/** The loop as futures see it. */
export interface FutureLoop {
  /** Seconds of the loop's clock. */
  time(): number;
  getDebug(): boolean;
  isClosed(): boolean;
  callExceptionHandler(context: ExceptionContext): void;
  /** @internal */
  readonly runningTask: object | null;
  /** @internal */
  pushReady(entry: ReadyEntry): void;
  /** @internal */
  pushCallback(callback: (future: never) => void, future: Future<unknown>, context: Context | null): void;
  /** Notes a failure that nobody has looked at. @internal */
  noteUnseen(future: Future<unknown>, exception: unknown): UnseenFailure;
}

/** A failure until somebody looks at it. @package */
export interface UnseenFailure {
  seen(): void;
}

/** Who is told that a future is done: a waiting task, or a callback. @package */
export interface DoneListener {
  futureDone(future: Future<unknown>): void;
}

class DoneCallback implements DoneListener {
  readonly callback: (future: never) => void;
  readonly context: Context;

  constructor(callback: (future: never) => void, context: Context) {
    this.callback = callback;
    this.context = context;
  }

  futureDone(future: Future<unknown>): void {
    future.loop.pushCallback(this.callback, future, this.context);
  }
}

const PENDING = 0;
const CANCELLED = 1;
const FINISHED = 2;
const FAILED = 3;

const STATE_NAMES = ["pending", "cancelled", "finished", "finished"] as const;

export interface FutureOptions {
  /** Default: the running loop. */
  readonly loop?: FutureLoop;
}

/**
 * @example
 * const future = getRunningLoop().createFuture<number>();
 * getRunningLoop().callLater(1, () => future.setResult(42)); // in a second
 * const answer = yield* future;
 */
export class Future<T> implements Awaitable<T> {
  /** @internal */
  readonly loop: FutureLoop;
  private state: typeof PENDING | typeof CANCELLED | typeof FINISHED | typeof FAILED = PENDING;
  /** The result, or what was thrown. */
  private value: unknown = undefined;
  private listeners: DoneListener | DoneListener[] | null = null;
  /** @internal */
  cancelMessage: unknown = undefined;
  /** The error that ended a task, for the first who looks. @internal */
  cancelledError: CancelledError | null = null;
  private unseen: UnseenFailure | null = null;
  /** Who awaits it, for call graphs. */
  private awaiters: Future<unknown> | Set<Future<unknown>> | null = null;
  /** Where it was made; in debug mode. @internal */
  readonly sourceTraceback: string | undefined;

  /** Inside a coroutine write `getRunningLoop().createFuture()`. @throws {RuntimeError} when there is no loop. */
  constructor(options: FutureOptions = {}) {
    const loop = options.loop ?? current.loop;
    if (loop === null) throw new RuntimeError("there is no running event loop here; pass { loop }");
    this.loop = loop;
    this.sourceTraceback = loop.getDebug() ? creationStack() : undefined;
  }

  /** The loop that it belongs to. */
  getLoop(): FutureLoop {
    return this.loop;
  }

  /** Whether it has a result, an exception, or was cancelled. */
  done(): boolean {
    return this.state !== PENDING;
  }

  cancelled(): boolean {
    return this.state === CANCELLED;
  }

  /**
   * The result; or throws the exception, or `CancelledError`.
   * @throws {InvalidStateError} while it is pending.
   */
  result(): T {
    if (this.state === FINISHED) return this.value as T;
    if (this.state === PENDING)
      throw new InvalidStateError("the result is not ready; yield* the future, or ask done()");
    throw this.failure();
  }

  /**
   * The exception; `null` when it succeeded.
   * @throws {CancelledError} when it was cancelled.
   * @throws {InvalidStateError} while it is pending.
   */
  exception(): unknown {
    if (this.state === FINISHED) return null;
    if (this.state === PENDING)
      throw new InvalidStateError("no exception is set yet; yield* the future, or ask done()");
    if (this.state === CANCELLED) throw this.makeCancelledError();
    return this.failure();
  }

  /** What awaiting it throws, for one that has not succeeded. Counts as having looked. @internal */
  failure(): unknown {
    if (this.state === CANCELLED) return this.makeCancelledError();
    this.markSeen();
    return this.value;
  }

  /** Whether it failed, cancellations not included. Does not count as having looked. @internal */
  get hasFailed(): boolean {
    return this.state === FAILED;
  }

  /** @internal */
  get hasSucceeded(): boolean {
    return this.state === FINISHED;
  }

  /**
   * Cancels it: whoever awaits it gets `CancelledError`. Callbacks are scheduled.
   * @param message Travels with the `CancelledError`.
   * @returns `false` when it is done already; nothing changes then.
   */
  cancel(message?: unknown): boolean {
    this.markSeen();
    if (this.state !== PENDING) return false;
    this.settleCancelled(message);
    return true;
  }

  /** @throws {InvalidStateError} when it is done already. */
  setResult(result: T): void {
    this.settleResult(result);
  }

  /** @throws {InvalidStateError} when it is done already. */
  setException(exception: unknown): void {
    this.settleException(exception);
  }

  /**
   * Has the loop call `callback` with the future once it is done, in the order of adding; never from within the setter. If it is
   * done already, in the next iteration.
   * @param options.context Default: a copy of the current one.
   */
  addDoneCallback(callback: (future: this) => void, options: { readonly context?: Context } = {}): void {
    const context = options.context ?? null;
    if (this.state !== PENDING)
      this.loop.pushCallback(callback as (future: never) => void, this as Future<unknown>, context);
    else this.addListener(new DoneCallback(callback as (future: never) => void, context ?? copyContext()));
  }

  /** Removes every registration of `callback`; returns how many there were. One that is scheduled already is called all the same. */
  removeDoneCallback(callback: (future: this) => void): number {
    const all = this.listeners === null ? [] : Array.isArray(this.listeners) ? this.listeners : [this.listeners];
    const left = all.filter((it) => !(it instanceof DoneCallback && it.callback === callback));
    this.listeners = left.length === 0 ? null : left;
    return all.length - left.length;
  }

  /** Awaits it: `yield* future`. One that is done gives its result at once. Cancelling the task that awaits it cancels it. */
  [Symbol.iterator](): Iterator<Suspension, T, unknown> {
    return this;
  }

  /** @internal */
  next(): IteratorResult<Suspension, T> {
    if (this.state !== PENDING) return { done: true, value: this.result() };
    if (running.capture !== null) running.capture(this.next);
    else if (awaited.future !== null || !isInStep()) throw this.notAwaited();
    else awaited.future = this as Future<unknown>;
    return AWAITING;
  }

  /** @internal */
  throw(error: unknown): IteratorResult<Suspension, T> {
    throw error;
  }

  /** @internal */
  return(value: T): IteratorResult<Suspension, T> {
    return { done: true, value };
  }

  /** @internal */
  addListener(listener: DoneListener): void {
    if (this.listeners === null) this.listeners = listener;
    else if (Array.isArray(this.listeners)) this.listeners.push(listener);
    else this.listeners = [this.listeners, listener];
  }

  /** @internal */
  makeCancelledError(): CancelledError {
    const own = this.cancelledError;
    if (own !== null) {
      this.cancelledError = null;
      return own;
    }
    return this.cancelMessage === undefined ? new CancelledError() : new CancelledError(this.cancelMessage);
  }

  /** @internal */
  settleResult(result: unknown): void {
    if (this.state !== PENDING) throw this.settledTwice();
    this.value = result;
    this.state = FINISHED;
    this.tellListeners();
  }

  /** @internal */
  settleException(exception: unknown): void {
    if (this.state !== PENDING) throw this.settledTwice();
    this.value = exception;
    this.state = FAILED;
    this.tellListeners();
    this.unseen = this.loop.noteUnseen(this as Future<unknown>, exception);
  }

  /** @internal */
  settleCancelled(message: unknown): void {
    this.state = CANCELLED;
    this.cancelMessage = message;
    this.tellListeners();
  }

  /** Says that somebody has looked at the failure, so that it is not reported. @internal */
  markSeen(): void {
    if (this.unseen === null) return;
    this.unseen.seen();
    this.unseen = null;
  }

  /** @internal */
  addAwaiter(waiter: Future<unknown>): void {
    const { awaiters } = this;
    if (awaiters === null) this.awaiters = waiter;
    else if (awaiters instanceof Set) awaiters.add(waiter);
    else if (awaiters !== waiter) this.awaiters = new Set([awaiters, waiter]);
  }

  /** @internal */
  discardAwaiter(waiter: Future<unknown>): void {
    const { awaiters } = this;
    if (awaiters === waiter) this.awaiters = null;
    else if (awaiters instanceof Set) awaiters.delete(waiter);
  }

  /** Who awaits it, directly or by way of `gather`, `wait`, `shield` and groups. @internal */
  get awaitedBy(): readonly Future<unknown>[] {
    const { awaiters } = this;
    return awaiters === null ? [] : awaiters instanceof Set ? [...awaiters] : [awaiters];
  }

  /** Where its coroutine stands; a plain future has none. @internal */
  callStack(): readonly StackFrame[] {
    return [];
  }

  /** What kind it is, its name and its state, for messages. */
  toString(): string {
    const failed = this.state === FAILED ? ` exception=${String(this.value)}` : "";
    return `<${this.constructor.name} ${this.stateName()}${this.details()}${failed}>`;
  }

  /** @internal */
  stateName(): string {
    return STATE_NAMES[this.state];
  }

  /** @internal */
  details(): string {
    return "";
  }

  private tellListeners(): void {
    const { listeners } = this;
    if (listeners === null) return;
    this.listeners = null;
    if (!Array.isArray(listeners)) listeners.futureDone(this as Future<unknown>);
    else for (const listener of listeners) listener.futureDone(this as Future<unknown>);
  }

  // Whoever spreads or prints a pending future would never come to an end otherwise.
  private notAwaited(): RuntimeError {
    awaited.future = null;
    return new RuntimeError(
      `${String(this)} was awaited outside a task's step; write \`yield* future\` in a coroutine of a task`,
    );
  }

  private settledTwice(): InvalidStateError {
    return new InvalidStateError(`${String(this)} is done already; ask done() before you set it`);
  }
}

/** Whether it is a future or task of this module. */
export function isFuture(value: unknown): value is Future<unknown> {
  return value instanceof Future;
}

function isInStep(): boolean {
  return current.loop !== null && current.loop.runningTask !== null;
}

function creationStack(): string | undefined {
  const { stack } = new Error();
  return stack?.split("\n").slice(3).join("\n");
}
