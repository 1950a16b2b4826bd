/**
 * A task: one coroutine that the loop runs, from `created` to `settled`.
 *
 * Invariants:
 * - The state changes only in `become`, along the table in `task-state.ts`; settled is final.
 * - A task has at most one wait. It ends once: by `wake`, by `wakeError`, or withdrawn because of a cancellation.
 * - `scope` is the innermost scope that the task has entered; walking `parent` from there meets the scopes of the task,
 *   then its owner, then those around. The owner counts it as a child until it has settled.
 *
 * A program may hold a million of these, so every field is paid for a million times: there is no field for what can be
 * found (the loop, the owner, the parent), and what few tasks need is created when needed (own scope, watchers, locals).
 * A task is its own timer, so that a sleep needs no object with state.
 * No part of a step allocates. Methods and hot fields are `private` in TypeScript's sense: a `#method` would put a brand on
 * every instance, another field and a slower constructor.
 *
 * Cancellation. The flag `INTERRUPTED` says that something has to be thrown at the next wait; `unwinding` is the `Cancelled` that is
 * on its way through the task and has not been caught by its scope yet. While it is set, the scopes that were cancelled
 * already do not throw again, so cleanup may wait, until their time for cleanup is over. See `pendingCancellation`.
 */
import { IntrusiveList } from "../data/intrusive-list.ts";
import type { Linked } from "../data/intrusive-list.ts";
import { captureAwaitStack, formatFrame } from "./await-stack.ts";
import type { StackFrame } from "./await-stack.ts";
import { Cancelled } from "./cancelled.ts";
import { CancelledError, ForeignYieldError, InternalError, notAnOperation, UsageError } from "./errors.ts";
import type { AsyncContext, LoopPort, Runnable } from "./loop-port.ts";
import { isOperation, running, SUSPEND_TOKEN, SUSPENDED, Wait } from "./operation.ts";
import type { Blocker, Coroutine, Frame, Operation, RunningTask, Started, Suspend, Waiter } from "./operation.ts";
import type { ProbeHub, TaskView } from "./probe.ts";
import { CREATED, INTERRUPTED, READY, RUNNING, SETTLED, STAGE, TASK_STATES, WAITING } from "./task-state.ts";
import type { Stage, TaskState } from "./task-state.ts";

/** What became of a task. */
export type Outcome<T> =
  | { readonly status: "succeeded"; readonly value: T }
  | { readonly status: "failed"; readonly error: unknown }
  | { readonly status: "cancelled"; readonly cancelled: Cancelled };

/** The loop as tasks need it. @package */
export interface TaskLoop extends LoopPort {
  /** `null` while nobody observes. @internal */
  readonly probes: ProbeHub | null;
  /** `null` on most loops. @internal */
  readonly asyncContext: AsyncContext | null;
  /** @internal */
  lastTaskId: number;
  /** @internal */
  runAtOnce(runnable: Runnable): void;
  /** @internal */
  readonly enlistsEarly: boolean;
  /** @internal */
  enlistAll(): void;
  /** Makes the task's own scope, see `Task.ownScope`. @internal */
  createTaskScope(task: Task<unknown>, owner: TaskScope): TaskScope;
}

/** A scope as tasks need it. @package */
export interface TaskScope {
  readonly name: string;
  readonly loop: TaskLoop;
  /** @internal */
  parent: TaskScope | null;
  /** The task that entered it; `null` for the root of a loop. */
  readonly host: Task<unknown> | null;
  /** Whether it is the scope that stands for its whole host. @internal */
  readonly isTaskScope: boolean;
  readonly cancelled: Cancelled | null;
  /** Holds back cancellation from outside. @internal */
  readonly isShield: boolean;
  /** Its time for cleanup is over: every wait in it throws. @internal */
  readonly isExpired: boolean;
  /** What was unwinding its host when the host entered it. @internal */
  readonly heldOnEntry: Cancelled | null;
  /** Whether it or a scope around it, up to a shield, is cancelled. @internal */
  readonly isReached: boolean;
  readonly cleanupMs: number;
  readonly deadline: number;
  cancel(reason?: unknown): Operation<void>;
  /** @internal */
  enlist(task: Task<unknown>): void;
  /** @internal */
  childSettled(task: Task<unknown>, failing: boolean): void;
  /** Ends the scope after its body; returns what the body's end becomes. @internal */
  close(failed: boolean, value: unknown): Coroutine<unknown>;
}

/** The task behind a waiter. @package */
export function taskOf(waiter: Waiter): Task<unknown> {
  return waiter.task as Task<unknown>;
}

/** Told once when a task settles, in the order of coming. @package */
export interface Watcher extends Linked<Watcher> {
  taskSettled(task: Task<unknown>): void;
  /** For `watchAlone`: who watches the task from now on, since others do too. */
  watcherOf?(task: Task<unknown>): Watcher;
}

const FAILING = 8; // the wait ends by throwing; after settling: the task did not succeed
const WAS_CANCELLED = 32; // settled by a cancellation
const OBSERVED = 64; // somebody joined it or looked at its outcome
const WITHDRAWING = 256; // its wait is being withdrawn: nothing wakes it
const WRAPPED = 128; // a hand-written iterator was reported for it
const KEEPS_FAILURE = 512; // its failure does not fail its scope

const UNLISTED = 1024; // its scope has counted it and has it in no list yet
const WATCHED = 2048; // what stands in `extra` is its only watcher

const WAKEABLE = STAGE | WITHDRAWING;

const DONE: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

/** State that most tasks never have: six fields less in each of a million. */
class Rare {
  frame: Frame | null = null;
  unwinding: Cancelled | null = null;
  locals: ReadonlyMap<object, unknown> | null = null;
  watchers: IntrusiveList<Watcher> | null = null;
  /** Holds the stack of the call that spawned it from outside. */
  site: { readonly stack?: unknown } | null = null;
  context: unknown = undefined;
}

// It is a `RunningTask`, `Runnable`, `Timer` and `Linked` too, and does not say so: a published type must not claim members that
// are stripped from it. The compiler checks it wherever a task is used as one.
export class Task<T> implements TaskView, Operation<T>, PromiseLike<T> {
  readonly id: number;
  /** A name, or the function that has it: reading the name of a function costs more than keeping it. */
  private readonly label: string | { readonly name: string };
  /** The generator that runs next: the innermost frame, or the coroutine itself. @internal */
  top: Iterator<Suspend, unknown, unknown> | null;
  /** @internal */
  wait: Wait<unknown> | null = null;
  /** The innermost scope. @internal */
  scope: TaskScope;
  /** @internal */
  before: Task<unknown> | null = null;
  /** @internal */
  after: Task<unknown> | null = null;
  steps = 0;
  /** Place in the timer heap while it sleeps: a task is its own timer. @internal */
  heapIndex = -1;
  /** The state in the low bits, flags above: one number instead of two fields. @internal */
  flags: number = CREATED | UNLISTED;
  /** What the wait ended with; after settling the result. */
  private value: unknown = undefined;
  /** What few tasks have; or, with `WATCHED`, the only thing that many have, their one watcher: then an object less for each. */
  private extra: Rare | Watcher | null = null;

  // Nothing but stores, so that V8 builds the task inside `spawn`: with more in here, making one costs three times as much.
  private constructor(
    id: number,
    owner: TaskScope,
    top: Iterator<Suspend, unknown, unknown>,
    label: string | { readonly name: string },
  ) {
    this.id = id;
    this.label = label;
    this.top = top;
    this.scope = owner;
  }

  /** Made by `spawn`. The owner must count it among its children and call `schedule`. @internal */
  static create<T>(owner: TaskScope, body: Operation<T>, label: string | { readonly name: string }): Task<T> {
    const task = new Task<T>(++owner.loop.lastTaskId, owner, iteratorOf(body, label), label);
    const spawner = running.task as Task<unknown> | null;
    if (spawner !== null && spawner.locals !== null) task.locals = spawner.locals;
    if (owner.isReached && pendingCancellation(task as Task<unknown>) !== null) task.flags |= INTERRUPTED;
    return task;
  }

  get name(): string {
    const name = typeof this.label === "string" ? this.label : this.label.name;
    return name === "" ? `task ${this.id}` : name;
  }

  private get rare(): Rare | null {
    return (this.flags & WATCHED) !== 0 ? null : (this.extra as Rare | null);
  }

  private makeRare(): Rare {
    const { extra } = this;
    if (extra !== null && (this.flags & WATCHED) === 0) return extra as Rare;
    const rare = new Rare();
    this.extra = rare;
    if (extra === null) return rare;
    this.flags &= ~WATCHED;
    const watcher = extra as Watcher;
    watcher.before = null;
    rare.watchers = new IntrusiveList();
    rare.watchers.push(watcher.watcherOf === undefined ? watcher : watcher.watcherOf(this as Task<unknown>));
    return rare;
  }

  /** Calls on the task's own stack, innermost first. @internal */
  get frame(): Frame | null {
    return this.rare === null ? null : this.rare.frame;
  }

  /** The `Cancelled` that is on its way through the task, until its scope has caught it. @internal */
  get unwinding(): Cancelled | null {
    return this.rare === null ? null : this.rare.unwinding;
  }

  /** @internal */
  set unwinding(cancelled: Cancelled | null) {
    if (this.rare !== null || cancelled !== null) this.makeRare().unwinding = cancelled;
  }

  /** @internal */
  get locals(): ReadonlyMap<object, unknown> | null {
    return this.rare === null ? null : this.rare.locals;
  }

  /** @internal */
  set locals(locals: ReadonlyMap<object, unknown> | null) {
    this.makeRare().locals = locals;
  }

  /** What the loop's `AsyncContext` keeps for it. @internal */
  get context(): unknown {
    return this.rare === null ? undefined : this.rare.context;
  }

  /** @internal */
  set context(context: unknown) {
    if (context === undefined && this.rare === null) return; // as on a loop that keeps stores, in a program that has none
    // A task that has settled may be kept for long; what it saw must not be kept with it.
    this.makeRare().context = this.stage === SETTLED ? undefined : context;
  }

  /** Where it was spawned, for one that was spawned from outside: a line of a stack. */
  get spawnedAt(): string | null {
    const stack = this.rare?.site?.stack;
    return typeof stack === "string" ? (stack.split("\n")[1]?.trim() ?? null) : null;
  }

  /** Remembers the caller of `below` as the place where it was spawned; 1–4 µs. @internal */
  noteSite(below: (...args: never[]) => unknown): void {
    const { captureStackTrace } = Error as { captureStackTrace?: (target: object, below: unknown) => void };
    if (captureStackTrace === undefined) return;
    const site = {};
    captureStackTrace(site, below);
    this.makeRare().site = site;
  }

  /** Whether a cancellation is pending or unwinding. */
  get isCancelling(): boolean {
    return this.unwinding !== null || (this.flags & INTERRUPTED) !== 0;
  }

  get state(): TaskState {
    return TASK_STATES[this.stage]!;
  }

  get loop(): TaskLoop {
    return this.scope.loop;
  }

  /** Itself: the task behind a waiter. @internal */
  get task(): this {
    return this;
  }

  get waitingFor(): string | null {
    return this.stage === WAITING && this.wait !== null ? reasonOf(this.wait) : null;
  }

  /** @internal */
  get stage(): Stage {
    return (this.flags & STAGE) as Stage;
  }

  get isSettled(): boolean {
    return this.stage === SETTLED;
  }

  /** The scope that this task belongs to. */
  get owner(): TaskScope {
    let scope = this.scope;
    while (scope.host === this && scope.parent !== null) scope = scope.parent;
    return scope;
  }

  /** The task whose scope it belongs to; `null` for a task that was spawned from outside. */
  get parent(): Task<unknown> | null {
    return this.owner.host;
  }

  /** What became of it; `undefined` until it has settled. Looking counts as having seen a failure. */
  get outcome(): Outcome<T> | undefined {
    if (this.stage !== SETTLED) return undefined;
    this.flags |= OBSERVED;
    if (!(this.flags & FAILING)) return { status: "succeeded", value: this.value as T };
    if (this.flags & WAS_CANCELLED) return { status: "cancelled", cancelled: this.value as Cancelled };
    return { status: "failed", error: this.value };
  }

  /** Where it waits, innermost frame first; empty while it runs or before its first step. Costs 6–30 µs. */
  awaitStack(): readonly StackFrame[] {
    return captureAwaitStack(this);
  }

  /**
   * Cancels the task and everything in it. The request is made by the call; the operation that it returns completes when
   * the task has settled, cleanup included. Cancelling again changes nothing. A task always reaches its first wait.
   */
  cancel(reason?: unknown): Operation<void> {
    if (this.top !== null) this.ownScope().cancel(reason); // null: it has settled, or is about to
    return { [Symbol.iterator]: () => new Join(this as Task<unknown>, true) as Wait<void> };
  }

  /** Joins: the value of the task; throws its failure, or `CancelledError`. Cancelling the joiner leaves the task alone. */
  [Symbol.iterator](): Iterator<Suspend, T, unknown> {
    return this.stage === SETTLED ? this : new Join(this);
  }

  /** The wait that joining it is. @internal */
  join(): Wait<T> {
    return new Join(this);
  }

  /**
   * A task that has settled is the iterator of its own join: nothing to wait for, nothing to allocate. Whatever is not that
   * simple (a failure, a pending cancellation, a budget that is used up) is left to a `Join`, which is then the task's wait.
   * @internal
   */
  next(): IteratorResult<Suspend, T> {
    const task = running.task;
    if (
      task !== null &&
      task.wait === null &&
      ((this.flags & FAILING) | (task.flags & INTERRUPTED)) === 0 &&
      --task.loop.budget > 0
    ) {
      return { done: true, value: this.value as T };
    }
    return (this.joinOf(task) ?? this.join()).next();
  }

  /** Reached only when somebody drives a coroutine by hand. @internal */
  throw(error: unknown): IteratorResult<Suspend, T> {
    return (this.joinOf(running.task) ?? this.join()).throw(error);
  }

  /** Reached only when somebody drives a coroutine by hand. @internal */
  return(value: T): IteratorResult<Suspend, T> {
    return (this.joinOf(running.task) ?? this.join()).return(value);
  }

  /** The `Join` by which `task` waits for this one. */
  private joinOf(task: RunningTask | null): Join<T> | null {
    const wait = task === null ? null : task.wait;
    return wait instanceof Join && wait.target === (this as unknown) ? (wait as Join<T>) : null;
  }

  /** For promise code: `await task`. Rejects with the failure, or with `CancelledError`. */
  // oxlint-disable-next-line unicorn/no-thenable -- `await task` is the border to promise code
  then<Fulfilled = T, Rejected = never>(
    onFulfilled?: ((value: T) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onRejected?: ((error: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    return new Promise<T>((resolve, reject) => {
      const settled = (task: Task<unknown>): void => {
        const outcome = (task as Task<T>).outcome!;
        if (outcome.status === "succeeded") resolve(outcome.value);
        else reject(task.failure());
      };
      this.watch({ before: null, after: null, taskSettled: settled });
    }).then(onFulfilled, onRejected);
  }

  /** The scope that stands for the whole task: made when something is spawned, deferred or cancelled in it. @internal */
  ownScope(): TaskScope {
    let outermost: TaskScope | null = null;
    let scope: TaskScope = this.scope;
    while (scope.host === this) {
      if (scope.isTaskScope) return scope;
      outermost = scope;
      scope = scope.parent!;
    }
    const own = this.loop.createTaskScope(this as Task<unknown>, scope);
    if (outermost === null) this.scope = own;
    else outermost.parent = own;
    return own;
  }

  /** Tells the watcher when the task settles; at once when it has. @internal */
  watch(watcher: Watcher): void {
    if (this.stage === SETTLED) watcher.taskSettled(this as Task<unknown>);
    else if (watcher.before !== null || !this.watchAlone(watcher)) {
      (this.makeRare().watchers ??= new IntrusiveList()).push(watcher);
    } else watcher.before = watcher; // it shows that it stands somewhere, as the first of a list does
  }

  /**
   * The same for one that watches many tasks, with `watcherOf`: it stands in no list. `false` when it cannot be had, the task having
   * settled, another watcher, or anything else that few tasks have. @internal
   */
  watchAlone(watcher: Watcher): boolean {
    if (this.extra !== null || this.stage === SETTLED) return false;
    this.extra = watcher;
    this.flags |= WATCHED;
    return true;
  }

  /** @internal */
  unwatch(watcher: Watcher): void {
    if (this.extra !== watcher) this.rare?.watchers?.remove(watcher);
    else this.takeWatcher(watcher);
  }

  /** The only watcher goes. */
  private takeWatcher(watcher: Watcher): void {
    this.extra = null;
    this.flags &= ~WATCHED;
    if (watcher.before !== null) watcher.before = null;
  }

  /** Joins a task that has settled. @internal */
  handOver(task: Waiter, wait: Wait<T>): Started<T> {
    return (this.flags & FAILING) === 0 ? task.complete(wait, this.value as T) : task.fail(wait, this.failure());
  }

  /** Whether there is a value. @internal */
  get hasSucceeded(): boolean {
    return (this.flags & (STAGE | FAILING)) === SETTLED;
  }

  /** The value, when there is one. @internal */
  get settledValue(): T | undefined {
    return this.stage === SETTLED && (this.flags & FAILING) === 0 ? (this.value as T) : undefined;
  }

  /** What joining this task throws. Only for one that has not succeeded. @internal */
  failure(): unknown {
    this.flags |= OBSERVED;
    if (!(this.flags & WAS_CANCELLED)) return this.value;
    return new CancelledError(`task "${this.name}"`, (this.value as Cancelled).reason);
  }

  /** Its failure is told by a handle; the scope that it belongs to does not fail by it. @internal */
  keepFailure(): void {
    this.flags |= KEEPS_FAILURE;
  }

  /** @internal */
  get keepsFailure(): boolean {
    return (this.flags & KEEPS_FAILURE) !== 0;
  }

  /** Nobody has seen its outcome after all. @internal */
  forgetObservation(): void {
    this.flags &= ~OBSERVED;
  }

  /** The first step comes in the next turn; with `atOnce` inside the caller where that can be, see `EventLoop.runAtOnce`. @internal */
  schedule(atOnce = false): void {
    this.become(CREATED, READY);
    const { loop } = this;
    if (loop.asyncContext !== null) this.context = loop.asyncContext.capture();
    if (loop.probes !== null) this.announce(loop.probes);
    if (atOnce) loop.runAtOnce(this);
    else loop.enqueue(this);
  }

  /** Listed first: the loop cannot find it yet, and a probe may look, or cancel its scope. */
  private announce({ taskSpawned }: ProbeHub): void {
    if (taskSpawned === null) return;
    this.loop.enlistAll();
    this.enlist();
    taskSpawned(this);
  }

  /** One step: from where it waits to where it waits next. Called by the loop only. @internal */
  run(): void {
    if ((this.flags & STAGE) !== READY) return; // an operation driven by hand left its entry in the queue
    const { probes } = this.loop;
    this.become(READY, RUNNING);
    this.steps++;
    running.task = this;
    if (probes !== null) probes.beforeStep?.(this);
    for (;;) {
      const top: Iterator<Suspend, unknown, unknown> = this.top!;
      let result: IteratorResult<Suspend, unknown>;
      try {
        result = resume.call(top);
        if (result !== SUSPENDED && result.done !== true) result = this.examine(top, result);
      } catch (error) {
        if (this.end(true, error)) continue;
        break;
      }
      if (result.done === true) {
        if (this.end(false, result.value)) continue;
        break;
      }
      if (this.top === top) break;
    }
    if (probes !== null) probes.afterStep?.(this); // `running.task` stays: the loop clears it once it does something else
    if (this.top === null) this.settle();
    else if ((this.flags & UNLISTED) !== 0) this.enlist();
  }

  /** It enters the list of its scope, unless it has. @internal */
  enlist(): void {
    if ((this.flags & UNLISTED) === 0) return;
    this.flags &= ~UNLISTED;
    const { scope } = this;
    (scope.host === this ? this.owner : scope).enlist(this as Task<unknown>);
  }

  /** @internal */
  park(wait: Wait<unknown>): Started<never> {
    this.wait = wait;
    this.become(RUNNING, WAITING);
    if (wait.external) this.loop.outside++;
    const { probes } = this.loop;
    if (probes !== null) probes.waitStarted?.(this);
    return SUSPENDED;
  }

  /** @internal */
  complete<V>(wait: Wait<V>, value: V): Started<V> {
    const { loop } = this;
    if (--loop.budget <= 0 && !loop.refillBudget()) return this.pass(wait, value);
    return value === undefined ? (DONE as Started<V>) : { done: true, value };
  }

  /** @internal */
  fail(wait: Wait<unknown>, error: unknown): Started<never> {
    const { loop } = this;
    if (--loop.budget > 0 || loop.refillBudget()) throw error;
    this.flags |= FAILING;
    return this.pass(wait, error) as Started<never>;
  }

  /** Ends the step; the wait is READY with `value` when the task runs again, in the next turn. @internal */
  pass<V>(wait: Wait<V>, value: V): Started<V> {
    this.wait = wait;
    this.value = value;
    // It waits already when somebody has left by hand what cannot be withdrawn, and is cancelled at the next wait.
    if (this.stage === WAITING) this.become(WAITING, READY);
    else this.become(RUNNING, READY);
    this.loop.enqueue(this);
    return SUSPENDED;
  }

  /** @internal */
  wake<V>(wait: Wait<V>, value: V): boolean {
    if (this.wait !== (wait as Wait<unknown>) || (this.flags & WAKEABLE) !== WAITING) return false;
    this.value = value;
    this.unpark(wait as Wait<unknown>);
    return true;
  }

  /** @internal */
  wakeError(wait: Wait<unknown>, error: unknown): boolean {
    if (this.wait !== wait || (this.flags & WAKEABLE) !== WAITING) return false;
    this.value = error;
    this.flags |= FAILING;
    this.unpark(wait);
    return true;
  }

  /** The time that it slept for is over. @internal */
  fire(): void {
    this.wake(this.wait!, undefined);
  }

  /** @internal */
  takeResult<V>(): Started<V> {
    const value = this.value;
    this.wait = null;
    this.value = undefined;
    if (this.flags & FAILING) {
      this.flags &= ~FAILING;
      throw value;
    }
    return value === undefined ? (DONE as Started<V>) : { done: true, value: value as V };
  }

  /** Throws the pending cancellation at a wait that is about to start; counts, so that swallowing it cannot spin. @internal */
  interruptAt(wait: Wait<unknown>): Started<never> {
    return this.fail(wait, this.deliver());
  }

  /** Throws a cancellation that came while the task could not take it. @internal */
  takeCancellation(): Cancelled {
    return this.deliver();
  }

  /** Looks again whether a cancellation is pending, and interrupts the current wait if so. @internal */
  refreshInterrupt(): void {
    const cancelled = pendingCancellation(this as Task<unknown>);
    this.setInterrupted(cancelled !== null);
    // Also while its wait is being withdrawn: what that aborts may cancel again, and the outer call delivers for both.
    if (cancelled === null || (this.flags & WAKEABLE) !== WAITING) return;
    const wait = this.wait!;
    if (this.withdraw(wait, cancelled)) this.wakeError(wait, this.deliver());
  }

  /** @internal */
  enterFrame(frame: Frame): void {
    if (this.wait !== null) throw new UsageError(`task "${this.name}" called a coroutine while it waits`);
    const rare = this.makeRare();
    frame.caller = this.top;
    frame.below = rare.frame;
    rare.frame = frame;
    this.top = frame.callee;
  }

  private withdraw(wait: Wait<unknown>, cancelled: Cancelled): boolean {
    this.flags |= WITHDRAWING; // an operation that aborts something may hear of it at once
    try {
      return wait.withdraw(this, cancelled);
    } catch (error) {
      const message = `"${wait.reason}" threw while it was withdrawn from task "${this.name}":`;
      this.loop.report({ kind: "lost-error", message, error });
      return true; // the others have to be told too; this task goes on as if it had worked
    } finally {
      this.flags &= ~WITHDRAWING;
    }
  }

  /** The caller knows where it comes from, so comparing with that one is the whole check. */
  private become(from: Stage, next: Stage): void {
    if ((this.flags & STAGE) !== from) {
      throw new InternalError(`task "${this.name}" cannot go from ${this.state} to ${TASK_STATES[next]}`);
    }
    this.flags += next - from;
  }

  private unpark(wait: Wait<unknown>): void {
    const { loop } = this;
    if (wait.external) loop.outside--;
    if (loop.probes !== null) loop.probes.waitEnded?.(this);
    this.become(WAITING, READY);
    loop.enqueue(this);
  }

  private deliver(): Cancelled {
    const cancelled = pendingCancellation(this as Task<unknown>);
    if (cancelled === null) throw new InternalError(`task "${this.name}" was to be cancelled by no scope`);
    this.unwinding = cancelled;
    this.setInterrupted(pendingCancellation(this as Task<unknown>) !== null);
    return cancelled;
  }

  private setInterrupted(interrupted: boolean): void {
    this.flags = interrupted ? this.flags | INTERRUPTED : this.flags & ~INTERRUPTED;
  }

  /**
   * A result that is neither the shared one nor an end. On engines that rebuild result objects each suspension comes here;
   * elsewhere somebody drives an operation by hand, or yielded a value.
   */
  private examine(
    top: Iterator<Suspend, unknown, unknown>,
    result: IteratorYieldResult<Suspend>,
  ): IteratorResult<Suspend, unknown> {
    for (let current: IteratorResult<Suspend, unknown> = result; ;) {
      if (current.done === true || current === SUSPENDED) return current;
      if (current.value === SUSPEND_TOKEN && (this.top !== top || this.stage !== RUNNING)) {
        if (KEEPS_IDENTITY) this.reportWrapped();
        return SUSPENDED;
      }
      this.withdrawWait();
      current = throwInto(top, new ForeignYieldError(this.name, current.value));
    }
  }

  private reportWrapped(): void {
    if (this.flags & WRAPPED) return;
    this.flags |= WRAPPED;
    const at = this.wait === null ? "" : ` while it waits for "${this.wait.reason}"`;
    this.loop.report({
      kind: "wrapped-yield",
      message:
        `task "${this.name}" has a hand-written iterator between a coroutine and its operation${at}; ` +
        "the operation is unharmed, the await stack is not exact. Delegate with yield* instead",
    });
  }

  /** @internal */
  withdrawWait(): void {
    const { wait } = this;
    if (wait === null) return;
    if (this.stage === WAITING) {
      if (!wait.withdraw(this, null)) throw new InternalError(`"${wait.reason}" was left while it cannot be withdrawn`);
      if (wait.external) this.loop.outside--;
    }
    this.flags = (this.flags & ~STAGE) | RUNNING; // not in the table: the step never ended
    this.wait = null;
    this.flags &= ~FAILING;
  }

  /** The innermost coroutine has ended. `true` when the step goes on: in the calling frame, or with closing a scope. */
  private end(failed: boolean, value: unknown): boolean {
    if (this.wait !== null) this.withdrawWait();
    const { rare } = this;
    if (rare !== null && rare.frame !== null) {
      const { frame } = rare;
      frame.end(failed, value);
      this.top = frame.caller;
      rare.frame = frame.below;
      frame.caller = null;
      frame.below = null;
      return true;
    }
    if (this.scope.host === this) {
      this.top = this.scope.close(failed, value);
      return true;
    }
    this.top = null;
    this.value = value;
    if (failed) this.flags |= FAILING;
    return false;
  }

  private settle(): void {
    running.task = null; // what hears of it does not run as this task
    this.become(RUNNING, SETTLED);
    this.flags &= ~UNLISTED;
    if ((this.flags & FAILING) !== 0 && this.value instanceof Cancelled) {
      if (isAround(this.value.scope, this)) this.flags |= WAS_CANCELLED;
      else this.value = new CancelledError("something else", this.value.reason); // rethrown far from where it was caught
    }
    const { loop } = this;
    if (loop.probes !== null) loop.probes.taskSettled?.(this);
    if (this.extra !== null) this.tellWatchers();
    this.scope.childSettled(this as Task<unknown>, (this.flags & FAILING) !== 0);
  }

  private tellWatchers(): void {
    if ((this.flags & WATCHED) !== 0) {
      const watcher = this.extra as Watcher;
      this.takeWatcher(watcher);
      watcher.taskSettled(this as Task<unknown>);
    } else this.tellAll(this.extra as Rare);
  }

  private tellAll(rare: Rare): void {
    rare.context = undefined;
    const { watchers } = rare;
    if (watchers === null) return;
    rare.watchers = null;
    for (let watcher = watchers.shift(); watcher !== null; watcher = watchers.shift()) {
      watcher.taskSettled(this as Task<unknown>);
    }
  }

  /** Whether anybody has seen, or will see, how it ended. @internal */
  get isObserved(): boolean {
    return (this.flags & OBSERVED) !== 0;
  }

  /** `name (waiting for …) at file:line`, for messages. @internal */
  describe(): string {
    const where = this.awaitStack()[0];
    return `"${this.name}" ${this.waitingFor === null ? this.state : `waits for ${this.waitingFor}`}${
      where === undefined ? "" : ` at ${formatFrame(where)}`
    }`;
  }
}

/**
 * The cancellation that has to be thrown at the task's next wait, or `null`.
 *
 * Walks outwards from the innermost scope up to a shield and takes the outermost cancelled scope, so that one throw
 * unwinds all of them. A scope whose cancellation is unwinding already is held: it does not throw again until it has
 * expired. What holds is `task.unwinding`, and for scopes that were entered during an unwinding what they remember.
 */
function pendingCancellation(task: Task<unknown>): Cancelled | null {
  let found: Cancelled | null = null;
  let held = task.unwinding !== null;
  for (let scope: TaskScope | null = task.scope; scope !== null; scope = scope.parent) {
    if (scope.cancelled !== null && (!held || scope.isExpired)) found = scope.cancelled;
    if (scope.isShield) break;
    if (scope.heldOnEntry !== null) held = true;
  }
  return found;
}

function isAround(target: object, task: Task<unknown>): boolean {
  if ((target as TaskScope).isTaskScope && (target as TaskScope).host === task) return true; // left already
  for (let scope: TaskScope | null = task.scope; scope !== null; scope = scope.parent)
    if (scope === target) return true;
  return false;
}

/** Whoever looks at a task must not break because of an operation of somebody else's. */
function reasonOf(wait: Wait<unknown>): string {
  try {
    return wait.reason;
  } catch (error) {
    return `an operation that cannot say what it waits for (${String(error)})`;
  }
}

/** What generator objects inherit from. @package */
export const generatorPrototype: Coroutine<unknown> = (
  Object.getPrototypeOf(function* () {}) as { readonly prototype: Coroutine<unknown> }
).prototype;

// Called directly: each generator function makes objects of a shape of their own, so `top.next` would be a megamorphic load.
const resume = generatorPrototype.next as (
  this: Iterator<Suspend, unknown, unknown>,
) => IteratorResult<Suspend, unknown>;

function iteratorOf(
  body: Operation<unknown>,
  label: string | { readonly name: string },
): Iterator<Suspend, unknown, unknown> {
  // A generator is its own iterator; asking a framed one would give a call that needs a caller.
  if (generatorPrototype.isPrototypeOf(body)) return body as Coroutine<unknown>;
  if (!isOperation(body)) {
    throw notAnOperation(typeof label === "string" ? label : label.name, body);
  }
  return delegate(body);
}

function* delegate(body: Operation<unknown>): Coroutine<unknown> {
  return yield* body;
}

/** Plain iterables such as arrays have no `throw`; the engine's complaint about that would hide what is wrong. */
function throwInto(
  top: Iterator<Suspend, unknown, unknown>,
  error: ForeignYieldError,
): IteratorResult<Suspend, unknown> {
  if (top.throw === undefined) throw error;
  try {
    return top.throw(error);
  } catch (thrown) {
    throw thrown instanceof TypeError && thrown.message.includes("throw") ? error : thrown;
  }
}

const KEEPS_IDENTITY = ((): boolean => {
  const suspendsOnce = { [Symbol.iterator]: () => ({ next: () => SUSPENDED }) } as Operation<void>;
  function* delegate(): Coroutine<void> {
    yield* suspendsOnce;
  }
  return delegate().next() === SUSPENDED;
})();

/** Waits for a task and takes over how it ended; or, with `endOnly`, waits until it has ended, however. */
class Join<T> extends Wait<T> implements Watcher {
  before: Watcher | null = null;
  after: Watcher | null = null;
  readonly target: Task<T>;
  private readonly endOnly: boolean;
  private waiter: Waiter | null = null;

  constructor(target: Task<T>, endOnly = false) {
    super();
    this.target = target;
    this.endOnly = endOnly;
  }

  get reason(): string {
    return `${this.endOnly ? "end of" : "join"} task "${this.target.name}"`;
  }

  /** A task of another loop: that loop is outside. */
  override get external(): boolean {
    return this.waiter !== null && this.waiter.loop !== this.target.loop;
  }

  override get blocker(): Blocker {
    return { kind: "task", task: this.target };
  }

  protected start(task: Waiter): Started<T> {
    if (task.task === (this.target as unknown))
      throw new UsageError(`task "${task.name}" cannot join itself`, "SELF_JOIN");
    if (this.target.isSettled) {
      return this.endOnly ? task.complete(this, undefined as T) : this.target.handOver(task, this);
    }
    this.waiter = task;
    this.target.watch(this);
    return task.park(this);
  }

  withdraw(): boolean {
    this.target.unwatch(this);
    return true;
  }

  taskSettled(target: Task<unknown>): void {
    if (this.endOnly) {
      this.waiter!.wake(this, undefined as T);
      return;
    }
    const wasObserved = target.isObserved;
    const outcome = target.outcome!;
    const isHeard =
      outcome.status === "succeeded"
        ? this.waiter!.wake(this, outcome.value as T)
        : this.waiter!.wakeError(this, target.failure());
    if (!isHeard && !wasObserved) target.forgetObservation(); // the joiner was cancelled in between: nobody has seen it
  }
}
