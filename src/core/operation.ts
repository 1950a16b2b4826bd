/**
 * The contract of suspension. Everything else in Fibril is built on what this file fixes.
 *
 * User code only writes `yield*`. However deep the generators, each suspension ends in a `Wait`, an iterator that the
 * runtime owns, and a wait has three states, seen from its task:
 *
 * - NEW:     the task does not wait for it. `next()` starts it.
 * - PENDING: it is the task's wait and the task is not running. `next()` only suspends again, and may look around first.
 * - READY:   it is the task's wait and the task runs: the runtime has put a value or an error there. `next()` takes it.
 *
 * Only the runtime makes a wait READY, so a suspended chain may be resumed at any time without effect. The pending wait
 * then stands on top of all generator frames: that is how await stacks are captured, for nothing until asked.
 *
 * The state lives in the task, not in the wait: a task has one wait at a time, so a wait such as `yieldNow()` can be one
 * shared object, and a sleeping task needs three fields less.
 *
 * Every suspension returns the same frozen object, `SUSPENDED`. V8 passes it through `yield*` untouched, so the driver
 * sees by identity that nothing but `yield*` stands between it and the wait. An engine that rebuilds the object
 * (JavaScriptCore) still carries the token inside.
 *
 * Rejected: yielding instructions to an interpreter (an allocation and a switch for each, and untyped results);
 * `generator.return()` for cancellation (see docs/decisions/0001).
 */
import type { Cancelled } from "./cancelled.ts";
import { UsageError } from "./errors.ts";
import type { LoopPort, Timer } from "./loop-port.ts";
import { INTERRUPTED, RUNNING, STAGE } from "./task-state.ts";
import type { Stage } from "./task-state.ts";

declare const writeYieldStarInsteadOfYield: unique symbol;

/** What a coroutine yields. Nobody can make one, so a raw `yield x` and a forgotten star are type errors. */
export interface Suspend {
  readonly [writeYieldStarInsteadOfYield]: true;
}

/** Anything that `yield*` accepts: a coroutine, a task, a future, `sleep(10)`, `lock.acquire()`. */
export interface Operation<T> {
  [Symbol.iterator](): Iterator<Suspend, T, unknown>;
}

/**
 * The return type of a generator function that is a coroutine.
 *
 * @example
 * function* greet(name: string): Coroutine<string> { yield* sleep(10); return `hello ${name}`; }
 */
export type Coroutine<T> = Generator<Suspend, T, unknown>;

/** An operation, or a function that makes one: what combinators take. */
export type Body<T> = Operation<T> | (() => Operation<T>);

/** Whether `yield*` may take it for an operation. A string can be iterated too, but never is one. @package */
export function isOperation(value: unknown): value is Operation<never> {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as Partial<Operation<never>>)[Symbol.iterator] === "function"
  );
}

/** What `Wait.start` returns: `task.park(this)`, `task.complete(this, value)` or `task.fail(this, error)`. */
export type Started<T> = IteratorResult<Suspend, T>;

/** The value inside `SUSPENDED`; also what an engine that rebuilds result objects still carries. */
export const SUSPEND_TOKEN: Suspend = Object.freeze({}) as Suspend;

/** The one result of every suspension. */
export const SUSPENDED: IteratorYieldResult<Suspend> = Object.freeze({ done: false, value: SUSPEND_TOKEN });

/**
 * Who waits, as its wait sees it: a task, or an arm of a `select`, which waits on behalf of its task.
 * As a timer, it ends its wait with `undefined`.
 */
export interface Waiter extends Timer {
  readonly id: number;
  readonly name: string;
  readonly loop: LoopPort;
  /** The task behind it; for a task itself. Who owns a lock is asked of this one. */
  readonly task: Waiter;
  /** Suspends the task at `wait`. */
  park(wait: Wait<unknown>): Started<never>;
  /** Ends `wait` in the step that started it. It still counts, so the loop can give way to the host. */
  complete<T>(wait: Wait<T>, value: T): Started<T>;
  /** Ends `wait` in the step that started it, by throwing. */
  fail(wait: Wait<unknown>, error: unknown): Started<never>;
  /** Ends `wait` with `value` in the next turn; until then every other ready task runs. */
  pass<T>(wait: Wait<T>, value: T): Started<T>;
  /** Ends a pending wait with a value; the task runs in the next turn. `false` when it is not at that wait any more. */
  wake<T>(wait: Wait<T>, value: T): boolean;
  /** Ends a pending wait by throwing `error` there. `false` when the task is not at that wait any more. */
  wakeError(wait: Wait<unknown>, error: unknown): boolean;
}

/**
 * What has to happen before a wait can end, where that is known to be a task's or a job's doing. For observers: they draw
 * who waits for whom.
 */
export type Blocker =
  /** That task has to settle, or to give something back. */
  | { readonly kind: "task"; readonly task: Waiter }
  /** All tasks of the scope that the waiting task is about to leave have to settle. */
  | { readonly kind: "children"; readonly scope: object }
  /** A job of an executor has to end. */
  | JobBlocker;

export interface JobBlocker {
  readonly kind: "job";
  /** Unique in its executor. */
  readonly id: number;
  readonly name: string;
  /** Name of the executor. */
  readonly executor: string;
  /** `"new"`: it waits for room. `"queued"`: it stands in the executor's line. `"sent"`: handed on, not begun as far as is known here. */
  readonly state: "new" | "queued" | "sent" | "running" | "settled";
  /** How long ago it was submitted, in milliseconds. */
  readonly ageMs: number;
  /** The thread that has it; `null` when none has, or when it is not known. */
  readonly threadId: number | null;
  /** The task of this thread that runs it, if one does. */
  readonly task: Waiter | null;
}

/** A task as the kernel's own waits see it: the one that runs. @package */
export interface RunningTask extends Waiter {
  /** The wait that the task is at, or `null`. */
  readonly wait: Wait<unknown> | null;
  /** The state as a number, see `task-state.ts`. */
  readonly stage: Stage;
  /** The state and flags of the kernel, see `task-state.ts`. */
  readonly flags: number;
  /** The result of a wait that is READY. */
  takeResult<T>(): Started<T>;
  /** Throws the pending cancellation at a wait that is about to start. */
  interruptAt(wait: Wait<unknown>): Started<never>;
  /** Lets go of the current wait, in whatever state, because somebody drives it by hand. */
  withdrawWait(): void;
  /** Puts a call on the task's own stack; its coroutine runs next. */
  enterFrame(frame: Frame): void;
}

/** A call on a task's own stack, see `coroutine.ts`. @package */
export interface Frame {
  readonly callee: Iterator<Suspend, unknown, unknown>;
  caller: Iterator<Suspend, unknown, unknown> | null;
  below: Frame | null;
  /** What the call came to; the caller takes it when it is resumed. */
  end(failed: boolean, value: unknown): void;
}

/**
 * Who runs now, on which loop, and whether a wait that is resumed while pending should report where it stands.
 * One object for the thread; every entry of the runtime saves and restores it, so loops may nest.
 * @package
 */
export const running: {
  task: RunningTask | null;
  loop: LoopPort | null;
  capture: ((calledFrom: (...args: never[]) => unknown) => void) | null;
} = { task: null, loop: null, capture: null };

/**
 * One suspension point. Extend it to write an operation of your own; `yield*` an instance once at a time.
 *
 * `start` begins the wait and returns `task.park(this)`, `task.complete(this, value)` or `task.fail(this, error)`. Whoever ends it calls
 * `task.wake(this, value)`: from any callback, at any time, at most one call has an effect.
 * `withdraw` undoes what `start` did, because the task was cancelled; afterwards the wait must leave no trace.
 */
export abstract class Wait<T> implements Operation<T>, Iterator<Suspend, T, unknown> {
  /** What the task waits for, for people: "sleep 10 ms". Read only when somebody looks. */
  abstract get reason(): string;

  /** Whether something outside the loop will end it: then a loop with nothing else to do is not deadlocked. */
  get external(): boolean {
    return false;
  }

  /** Whose doing it waits for, as far as that is known. Read only when somebody looks. */
  get blocker(): Blocker | null {
    return null;
  }

  protected abstract start(task: Waiter): Started<T>;

  /**
   * Undoes `start`; nothing can wake the task meanwhile. `false` means "cannot be withdrawn": the wait goes on, the
   * cancellation comes at the next one.
   * @param cancelled Why; `null` when somebody drives the coroutine by hand and lets go.
   */
  abstract withdraw(task: Waiter, cancelled: Cancelled | null): boolean;

  /** Starts the wait for `waiter`. What waits on behalf of a task, such as `select`, calls it; everybody else writes `yield*`. */
  begin(waiter: Waiter): Started<T> {
    return this.start(waiter);
  }

  /** Leaves its line, so that nobody serves it any more; `withdraw` follows. Of several waits at once, all do this first. @internal */
  stepAside(): void {}

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<Suspend, T> {
    const task = running.task;
    if (task === null) throw outsideTask(this.reason);
    if (task.wait === (this as Wait<unknown>)) {
      if ((task.flags & STAGE) === RUNNING) return task.takeResult<T>();
      if (running.capture !== null) running.capture(this.next);
      return SUSPENDED;
    }
    if ((task.flags & INTERRUPTED) !== 0) return task.interruptAt(this);
    if (task.wait !== null) throw alreadyWaiting(task, task.wait, this);
    return this.start(task);
  }

  /** Reached only when somebody drives a coroutine by hand. The wait is withdrawn, then the error goes on. */
  throw(error: unknown): IteratorResult<Suspend, T> {
    abandon(this);
    throw error;
  }

  /** Reached only when somebody drives a coroutine by hand. */
  return(value: T): IteratorResult<Suspend, T> {
    abandon(this);
    return { done: true, value };
  }
}

// Not a method: a private one would put a brand on every wait.
function abandon(wait: Wait<unknown>): void {
  const task = running.task;
  if (task !== null && task.wait === wait) task.withdrawWait();
}

function outsideTask(what: string): UsageError {
  return new UsageError(
    `"${what}" was started outside a coroutine; yield* it in a coroutine that run() or spawn() drives`,
    "OUTSIDE_TASK",
  );
}

function alreadyWaiting(task: RunningTask, current: Wait<unknown>, next: Wait<unknown>): UsageError {
  return new UsageError(
    `task "${task.name}" began to wait for "${next.reason}" while it waits for "${current.reason}"; ` +
      "a task has one wait at a time, use race() or all() for several",
    "ALREADY_WAITING",
  );
}

/** For a wait whose `start` finds that another task is at it. @package */
export function sharedWait(what: string): UsageError {
  return new UsageError(
    `"${what}" is awaited by another task already; make a new operation for each wait`,
    "SHARED_WAIT",
  );
}
