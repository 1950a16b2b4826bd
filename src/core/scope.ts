/**
 * A scope owns tasks: it ends after all of them, cancels them together, and may carry a deadline.
 *
 * How a scope ends, in this order (`close`):
 *   1. The body has returned or thrown. What it threw is the first failure, unless a child failed before it.
 *   2. All children settle. This wait cannot be withdrawn: a scope never outlives its tasks. Until then new tasks are admitted.
 *   3. The releases run, last in first out, shielded. Their errors are failures like any other.
 *   4. The host leaves the scope, and with it what was unwinding because of it.
 *   5. The first failure is thrown, or the cancellation that passes through to a scope further out, or the value is returned.
 *
 * The first failure cancels the rest. It is thrown as it is: the same object, however many others fail; those are kept in
 * `suppressedErrors`.
 *
 * A task stands in its scope's list only from its first wait on, or from when somebody looks; until then it is counted, and the loop
 * finds it in its ready queue. Many end in their first step: for those the list was 14 of the 110 ns that spawning and joining took.
 * See `enlist`.
 *
 * Cancelling is a request that stays: `cancelled` is set once, every task inside (up to shields) is told, each takes it at
 * its current or next wait. After `cleanupMs` the scope expires: from then on every wait in it throws.
 *
 * Source: trio's nurseries and cancel scopes, merged into one; anyio's rules for what a cancelled task may still receive.
 */
import { IntrusiveList } from "../data/intrusive-list.ts";
import { formatFrame } from "./await-stack.ts";
import { Cancelled } from "./cancelled.ts";
import type { CancelSource } from "./cancelled.ts";
import {
  CancelledError,
  checkDuration,
  checkFunction,
  CleanupOverrunError,
  notAnOperation,
  ScopeClosedError,
  suppress,
  UsageError,
} from "./errors.ts";
import { Future } from "./future.ts";
import type { Timer } from "./loop-port.ts";
import { isOperation, running, Wait } from "./operation.ts";
import type { Blocker, Body, Coroutine, Operation, Started, Waiter } from "./operation.ts";
import { until } from "./promise.ts";
import { generatorPrototype, Task } from "./task.ts";
import { INTERRUPTED } from "./task-state.ts";
import type { TaskLoop, TaskScope } from "./task.ts";

export interface ScopeOptions {
  /** Shown in messages, traces and the inspector. Default: `"scope"`. */
  readonly name?: string;
  /** Cancels the scope this many milliseconds after it was entered. Default: never. */
  readonly timeoutMs?: number;
  /**
   * How long cleanup may wait after a cancellation, in milliseconds, before every further wait throws `Cancelled` again.
   * `Infinity` is allowed. Default: that of the scope around it; 5,000 at the outermost.
   */
  readonly cleanupMs?: number;
}

/** Options of one task. */
export interface SpawnOptions {
  /** Default: the name of the function. */
  readonly name?: string;
}

/** What a scope runs when it ends: a plain function, or one that makes an operation or a promise. */
export type Cleanup = () => Operation<unknown> | PromiseLike<unknown> | void;

type TaskFunction<Args extends readonly unknown[], T> = (...args: Args) => Operation<T>;

const DEFAULT_CLEANUP_MS = 5_000;

/** `open`: takes tasks. `closed`: its body has returned and its last task has settled. `left`: its host has left it. */
type ScopeState = "open" | "closed" | "left";

/** @package */
export interface ScopeSetup extends ScopeOptions {
  readonly isShield?: boolean;
  readonly isTaskScope?: boolean;
  /** Children that fail do not cancel the others: the root of a loop. */
  readonly onChildFailure?: (task: Task<unknown>, error: unknown) => void;
}

export class Scope {
  readonly name: string;
  readonly loop: TaskLoop;
  /** @internal */
  parent: TaskScope | null;
  /** @internal */
  readonly host: Task<unknown> | null;
  /** @internal */
  readonly isShield: boolean;
  /** @internal */
  readonly isTaskScope: boolean;
  /** @internal */
  readonly heldOnEntry: Cancelled | null;
  /** @internal */
  isReached: boolean;
  /** @internal */
  isExpired = false;
  /** Whether the body, or what it left running, ended because this scope was cancelled. @internal */
  isCaught = false;
  /** Whether a child was ended by the cancellation of this scope or of one around it. @internal */
  isCutShort = false;
  /** What the host waited for when the deadline passed; `null` when it did not wait then. @internal */
  waitedFor: string | null = null;
  #cleanupMs: number;
  /** Those that have not settled, as far as they are listed. */
  readonly #listed = new IntrusiveList<Task<unknown>>();
  #size = 0;
  readonly #onChildFailure: ((task: Task<unknown>, error: unknown) => void) | null;
  #state: ScopeState = "open";
  #cancelled: Cancelled | null = null;
  #failure: { readonly error: unknown } | null = null;
  #cleanups: Cleanup[] | null = null;
  #deadlineTimer: DeadlineTimer | null = null;
  #expiryTimer: ExpiryTimer | null = null;
  #childrenEnd: ChildrenEnd | null = null;
  #starting: Set<Task<unknown>> | null = null;
  #end: Future<void> | null = null;
  #endElsewhere: Future<void> | null = null;
  /** Whether the body itself cancelled the scope. */
  #isMeant = false;
  /** Around the release that runs now. */
  #releasing: Scope | null = null;
  /** Once a cancellation has reached it: until when releases may take. */
  #releaseLimit = Infinity;

  /** Use `scope()`. @internal */
  constructor(loop: TaskLoop, parent: TaskScope | null, host: Task<unknown> | null, setup: ScopeSetup) {
    this.name = setup.name ?? "scope";
    this.loop = loop;
    this.parent = parent;
    this.host = host;
    this.isShield = setup.isShield ?? false;
    this.isTaskScope = setup.isTaskScope ?? false;
    this.#onChildFailure = setup.onChildFailure ?? null;
    if (setup.cleanupMs !== undefined) checkDuration("cleanupMs", setup.cleanupMs);
    this.#cleanupMs = setup.cleanupMs ?? (parent === null ? DEFAULT_CLEANUP_MS : parent.cleanupMs);
    this.isReached = parent !== null && !this.isShield && parent.isReached;
    // A task scope stands for the whole task, so it was entered before anything could unwind.
    this.heldOnEntry = this.isTaskScope || host === null ? null : host.unwinding;
  }

  /** Enters a new scope in the running task. The caller must run its body with `run`. @internal */
  static enter(setup: ScopeSetup): Scope {
    const host = running.task as Task<unknown> | null;
    if (host === null) throw new UsageError("a scope can only be opened inside a coroutine", "OUTSIDE_TASK");
    if (setup.timeoutMs !== undefined) checkDuration("timeoutMs", setup.timeoutMs);
    const scope = new Scope(host.loop, host.scope, host, setup);
    host.scope = scope;
    host.unwinding = null;
    if (scope.heldOnEntry !== null || scope.isReached || (host.flags & INTERRUPTED) !== 0) host.refreshInterrupt();
    if (setup.timeoutMs !== undefined) scope.deadline = scope.loop.now() + setup.timeoutMs;
    return scope;
  }

  /** The request to cancel it, or `null`. */
  get cancelled(): Cancelled | null {
    return this.#cancelled;
  }

  /** How long cleanup may wait after a cancellation, see `ScopeOptions`. Scopes opened later inside inherit it. */
  get cleanupMs(): number {
    return this.#cleanupMs;
  }

  set cleanupMs(cleanupMs: number) {
    checkDuration("cleanupMs", cleanupMs);
    this.#cleanupMs = cleanupMs;
  }

  /** How many of its tasks have not settled. */
  get size(): number {
    return this.#size;
  }

  /** Its tasks that have not settled, in creation order. */
  get tasks(): readonly Task<unknown>[] {
    return [...this.children];
  }

  /** The same without a copy; walk it in one go. @internal */
  get children(): Iterable<Task<unknown>> {
    if (this.#size > this.#listed.size) this.loop.enlistAll();
    return this.#listed;
  }

  /**
   * Puts a task into the list, at the end. The list is in the order of spawning: the loop runs first steps in that order, so whoever
   * comes to a first wait was spawned before all that have not begun; who is listed for another reason comes after `enlistAll`.
   * @internal
   */
  enlist(task: Task<unknown>): void {
    this.#listed.push(task);
  }

  /** When the scope will be cancelled, in milliseconds of the loop's clock; `Infinity` for never. It may be moved. */
  get deadline(): number {
    const timer = this.#deadlineTimer;
    return timer === null ? Infinity : (this.loop.deadlineOf(timer) ?? timer.deadline);
  }

  set deadline(deadline: number) {
    checkDuration(`the deadline of scope "${this.name}"`, deadline);
    if (this.#deadlineTimer !== null) this.loop.removeTimer(this.#deadlineTimer);
    this.#deadlineTimer = null;
    if (deadline === Infinity || this.#state === "left" || this.#cancelled !== null) return;
    this.#deadlineTimer = new DeadlineTimer(this, deadline);
    if (deadline <= this.loop.now()) this.request("deadline", undefined);
    else this.loop.addTimer(this.#deadlineTimer, deadline);
  }

  /** The earliest deadline of this scope and those around it, up to a shield; `Infinity` for none. */
  get effectiveDeadline(): number {
    let earliest = Infinity;
    for (let scope: TaskScope | null = this; scope !== null; scope = scope.parent) {
      earliest = Math.min(earliest, scope.deadline);
      if (scope.isShield) break;
    }
    return earliest;
  }

  /**
   * Adds a task. Its first step comes in the next turn; its failure cancels the scope.
   *
   * May be called from anywhere, also from outside the loop. A cancelled scope admits tasks, which then are cancelled at
   * their first wait.
   * @throws {ScopeClosedError} when the body has returned and the last task has settled.
   * @example
   * const task = scope.spawn(download, url);
   */
  spawn<Args extends readonly unknown[], T>(options: SpawnOptions, fn: TaskFunction<Args, T>, ...args: Args): Task<T>;
  spawn<Args extends readonly unknown[], T>(fn: TaskFunction<Args, T>, ...args: Args): Task<T>;
  spawn(first: SpawnOptions | TaskFunction<readonly unknown[], unknown>, ...rest: unknown[]): Task<unknown> {
    if (typeof first === "function") return this.launch(first(...rest), first);
    const [fn, ...args] = rest as [TaskFunction<readonly unknown[], unknown>, ...unknown[]];
    checkFunction("spawn", fn ?? first);
    return this.launch(fn(...args), first?.name ?? fn);
  }

  /** @param isHeld Whether it does not run until its `schedule` is called. @internal */
  launch<T>(body: Operation<T>, label: string | { readonly name: string }, isHeld = false): Task<T> {
    if (this.#state !== "open")
      throw new ScopeClosedError(`spawn "${(typeof label === "string" ? label : label.name) || "task"}"`, this.name);
    const task = Task.create<T>(this, body, label);
    this.#size++;
    if (isHeld || this.loop.enlistsEarly) {
      this.loop.enlistAll(); // those before it first
      task.enlist();
    }
    if (!isHeld) task.schedule();
    return task;
  }

  /**
   * Spawns a task and waits until it says that it is ready, by calling its first argument. Returns what it passed there.
   *
   * Until then its failure is thrown here and does not fail the scope. Cancelling the wait cancels the task and waits for it.
   * @throws {UsageError} when the task ends without having said so.
   * @example
   * const port = yield* scope.start(serve, "127.0.0.1");   // function* serve(ready: (port: number) => void, host: string)
   */
  start<Args extends readonly unknown[], Value>(
    fn: (ready: (value: Value) => void, ...args: Args) => Operation<unknown>,
    ...args: Args
  ): Coroutine<Value>;
  start<Args extends readonly unknown[]>(
    fn: (ready: () => void, ...args: Args) => Operation<unknown>,
    ...args: Args
  ): Coroutine<void>;
  *start(
    fn: (ready: (value?: unknown) => void, ...args: readonly unknown[]) => Operation<unknown>,
    ...args: readonly unknown[]
  ): Coroutine<never> {
    const readiness = new Future<{ readonly value: unknown } | null>({ name: `task "${fn.name}" to be ready` });
    const starting = (this.#starting ??= new Set());
    let task: Task<unknown> | undefined = undefined;
    let isReady = false;
    const ready = (value?: unknown): void => {
      isReady = true;
      if (task !== undefined) starting.delete(task); // from here on its failure is the scope's
      readiness.tryResolve({ value });
    };
    task = this.launch<unknown>(fn(ready, ...args), fn);
    if (!isReady) starting.add(task);
    task.watch({ before: null, after: null, taskSettled: () => void readiness.tryResolve(null) });
    try {
      const arrived = yield* readiness;
      if (arrived !== null) return arrived.value as never;
    } catch (error) {
      yield* shieldedEnd(task.cancel("its start was cancelled"));
      const outcome = task.outcome!;
      throw !isReady && outcome.status === "failed" ? outcome.error : error; // later ones are the scope's
    } finally {
      starting.delete(task);
    }
    const outcome = task.outcome!;
    if (outcome.status !== "succeeded") throw task.failure();
    throw new UsageError(`task "${task.name}" ended without calling ready()`, "NOT_READY");
  }

  /**
   * Cancels the scope: its body and all its tasks. Idempotent. The request is made by the call; the operation that it
   * returns completes when the scope has ended.
   */
  cancel(reason?: unknown): Operation<void> {
    this.request("request", reason);
    // For a task of another loop this loop is outside, so it waits for a future of its own.
    const external = running.loop !== null && running.loop !== this.loop;
    const name = `end of scope "${this.name}"`;
    const end = external
      ? (this.#endElsewhere ??= new Future<void>({ name, external }))
      : (this.#end ??= new Future<void>({ name }));
    if (this.#state === "left") end.tryResolve();
    return end;
  }

  /** Registers a release: it runs when the scope ends, last in first out, shielded. Its error is a failure of the scope. */
  defer(cleanup: Cleanup): void {
    checkFunction("defer", cleanup);
    if (this.#state !== "open") throw new ScopeClosedError("register a release", this.name);
    (this.#cleanups ??= []).push(cleanup);
  }

  /** What its cancellation is to those outside. @internal */
  asError(): CancelledError {
    const passed = this.#cancelled?.source === "deadline" ? "its deadline has passed" : undefined;
    return new CancelledError(`scope "${this.name}"`, this.#cancelled?.reason ?? passed);
  }

  /** For `timeout` and `moveOnAfter`, whose bodies may cancel the scope by hand too. @internal */
  throwUnlessDeadline(): void {
    if (this.#cancelled !== null && this.#cancelled.source !== "deadline") throw this.asError();
  }

  /** Whether the host has left it. */
  get isLeft(): boolean {
    return this.#state === "left";
  }

  /** @internal */
  request(source: CancelSource, reason: unknown, culprit: { readonly name: string } | null = running.task): void {
    if (this.#cancelled !== null || this.#state === "left") return;
    const by = culprit === null ? null : culprit.name;
    if (source === "deadline" && this.host !== null) this.waitedFor = this.host.waitingFor;
    this.#cancelled = new Cancelled(this, source, reason, by, this.loop.now());
    // A body that cancels and then returns had no more use for what was left.
    this.#isMeant = source === "obsolete" || (source === "request" && running.task === this.host);
    if (this.#deadlineTimer !== null) this.loop.removeTimer(this.#deadlineTimer);
    this.loop.probes?.cancelRequested?.(this, this.#cancelled);
    if (this.cleanupMs !== Infinity) {
      this.#expiryTimer = new ExpiryTimer(this);
      this.loop.addTimer(this.#expiryTimer, this.loop.now() + this.cleanupMs);
    }
    for (const task of this.#reach()) task.refreshInterrupt();
  }

  /** The time for cleanup is over. @internal */
  expire(): void {
    if (this.isExpired || this.#state === "left") return;
    this.isExpired = true;
    for (const task of this.#reach()) {
      if (task.waitingFor !== null && !(task.wait instanceof ChildrenEnd) && this.#isCleaningUp(task)) {
        this.#reportOverrun(task);
      }
      task.refreshInterrupt();
    }
  }

  /** A failure of the body, a child or a release. The first one cancels the scope. @internal */
  fail(error: unknown, culprit: { readonly name: string } | null = running.task): void {
    if (this.#failure === null) {
      this.#failure = { error };
      this.request("failure", error, culprit);
    } else if (!suppress(this.#failure.error, error)) {
      this.loop.report({
        kind: "lost-error",
        message: `scope "${this.name}" failed with a primitive; a later failure:`,
        error,
      });
    }
  }

  /** @internal */
  childSettled(task: Task<unknown>, failing: boolean): void {
    this.#size--;
    this.#listed.remove(task);
    const wasStarting = this.#starting !== null && this.#starting.delete(task);
    if (failing) this.#childFailed(task, wasStarting);
    if (this.#size > 0) return;
    if (this.#childrenEnd !== null) this.#childrenEnd.end();
    else if (this.host === null && this.#expiryTimer !== null) {
      // The root of a loop never ends; with nobody left to clean up, its timer would only keep the process alive.
      this.loop.removeTimer(this.#expiryTimer);
    }
  }

  #childFailed(task: Task<unknown>, wasStarting: boolean): void {
    const observed = task.isObserved;
    const outcome = task.outcome!;
    if (outcome.status === "cancelled") {
      if ((outcome.cancelled.scope as Scope).host !== task) this.isCutShort = true; // not by its own cancel()
    } else if (outcome.status === "failed") {
      if (task.keepsFailure) {
        if (!observed) task.forgetObservation();
      } else if (this.#onChildFailure === null) {
        if (!wasStarting) this.fail(outcome.error, task);
      } else if (!observed) this.#onChildFailure(task, outcome.error);
    }
  }

  /** Runs the body in the host and ends the scope. @internal */
  *run<T>(body: Operation<T>): Coroutine<T | undefined> {
    let failed = false;
    let value: unknown;
    try {
      value = yield* body;
    } catch (error) {
      failed = true;
      value = error;
    }
    return (yield* this.close(failed, value)) as T | undefined;
  }

  /** Ends the scope after its body. @internal */
  *close(failed: boolean, value: unknown): Coroutine<unknown> {
    const host = this.host!;
    let passing: Cancelled | null = null;
    if (failed) {
      if (!(value instanceof Cancelled) || !this.#isWithin(value.scope)) this.fail(toFailure(value));
      else if (value.scope === this) this.isCaught = true;
      else {
        passing = value;
        // Kept outside a shield and thrown again inside: what the body has left here was never told.
        if (!this.isReached) this.request("failure", value.reason);
      }
    }
    while (this.#size > 0) {
      this.#childrenEnd = new ChildrenEnd(this); // again, when one was spawned after the last had settled
      yield* this.#childrenEnd;
      this.#childrenEnd = null;
    }
    this.#state = "closed";
    if (this.#cleanups !== null) yield* this.#release(this.#cleanups);
    this.#leave(host);
    if (this.#failure !== null) throw this.#failure.error;
    if (passing !== null) throw passing;
    if (this.isCutShort && !this.#isMeant) {
      // The body had returned, what it left running did not end: that is not what the caller asked for.
      if ((host.flags & INTERRUPTED) !== 0) throw host.takeCancellation();
      if (this.#cancelled !== null) this.isCaught = true;
    }
    if (this.isCaught) {
      if (this.isTaskScope) throw this.#cancelled;
      return undefined;
    }
    return value;
  }

  *#release(cleanups: Cleanup[]): Coroutine<void> {
    if (this.isReached) this.#limitReleases();
    for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) {
      const shield = Scope.enter({ name: `cleanup of ${this.name}`, isShield: true });
      this.#releasing = shield;
      shield.deadline = this.#releaseLimit;
      try {
        yield* shield.run(perform(cleanup));
        if (shield.isCaught) shield.throwUnlessDeadline();
        if (shield.isCaught) this.fail(new CleanupOverrunError(`a release of scope "${this.name}"`, this.cleanupMs));
      } catch (error) {
        this.fail(toFailure(error));
      }
      this.#releasing = null;
    }
  }

  #limitReleases(): void {
    if (this.#releaseLimit !== Infinity) return;
    this.#releaseLimit = this.loop.now() + this.#cleanupMs;
    if (this.#releasing !== null) this.#releasing.deadline = this.#releaseLimit;
  }

  #leave(host: Task<unknown>): void {
    this.#state = "left";
    if (this.#deadlineTimer !== null) this.loop.removeTimer(this.#deadlineTimer);
    if (this.#expiryTimer !== null) this.loop.removeTimer(this.#expiryTimer);
    if (host.scope !== this) {
      throw new UsageError(
        `scope "${this.name}" was left while a scope inside it is still open; leave them inside out`,
      );
    }
    host.scope = this.parent!;
    // What unwinds towards a scope further out goes on; otherwise what unwound before this scope was entered is back.
    if (host.unwinding === null || host.unwinding.scope === this) host.unwinding = this.heldOnEntry;
    if ((host.flags & INTERRUPTED) !== 0 || host.unwinding !== null || this.parent!.isReached) host.refreshInterrupt();
    this.#end?.tryResolve();
    this.#endElsewhere?.tryResolve();
  }

  #isWithin(target: object): boolean {
    for (let scope: TaskScope | null = this; scope !== null; scope = scope.parent) if (scope === target) return true;
    return false;
  }

  /**
   * Every task that a cancellation of this scope concerns: its host, its children, and what those enclose, up to shields.
   * Marks the scopes on the way, so that a task spawned later knows without walking outwards.
   */
  #reach(): Task<unknown>[] {
    this.#markReached();
    const reached: Task<unknown>[] = [];
    const scopes: Scope[] = [this];
    const enter = (task: Task<unknown>, from: TaskScope | null): void => {
      const inside: Scope[] = [];
      for (let scope: TaskScope | null = task.scope; scope !== null && scope !== from; scope = scope.parent) {
        inside.push(scope as Scope);
      }
      for (let i = inside.length - 1; i >= 0; i--) {
        const scope = inside[i]!;
        if (scope.isShield) return;
        scope.#markReached();
        scopes.push(scope);
      }
      reached.push(task);
    };
    if (this.host !== null) enter(this.host, this);
    for (let i = 0; i < scopes.length; i++) {
      const next = scopes[i]!;
      for (const child of next.children) enter(child, next);
    }
    return reached;
  }

  #markReached(): void {
    this.isReached = true;
    if (this.#releasing !== null) this.#limitReleases();
  }

  /** Whether what the task does now is cleanup after a cancellation of this scope. */
  #isCleaningUp(task: Task<unknown>): boolean {
    if (task.unwinding !== null) return true;
    for (let scope: TaskScope | null = task.scope; scope !== null && scope !== this; scope = scope.parent) {
      if (scope.heldOnEntry !== null) return true;
    }
    return false;
  }

  #reportOverrun(task: Task<unknown>): void {
    const where = task.awaitStack()[0];
    const place = `the cleanup of task "${task.name}"${where === undefined ? "" : ` at ${formatFrame(where)}`} (${task.waitingFor})`;
    const error = new CleanupOverrunError(place, this.cleanupMs);
    this.loop.report({ kind: "cleanup-overrun", message: error.message });
  }
}

/**
 * Opens a scope in the running task, runs `body` in it, and waits for everything that was spawned in it.
 *
 * Returns what the body returns. Throws the first failure of body, tasks or releases (`suppressedErrors` has the later
 * ones), and `CancelledError` when the scope was cancelled before its body had returned. Cancelling the task that waits
 * here cancels everything in the scope first.
 *
 * @example
 * const sum = yield* scope(function* (scope) {
 *   const a = scope.spawn(fetchPrice, "a");
 *   const b = scope.spawn(fetchPrice, "b");
 *   return (yield* a) + (yield* b);
 * });
 */
export function* scope<T>(body: (scope: Scope) => Operation<T>, options: ScopeOptions = {}): Coroutine<T> {
  checkFunction("scope", body);
  const own = Scope.enter(options);
  const value = yield* own.run(callWith(body, own));
  if (own.isCaught) throw own.asError();
  return value as T;
}

// A body that throws before it makes an operation must still end the scope.
function* callWith<T>(body: (scope: Scope) => Operation<T>, own: Scope): Coroutine<T> {
  return yield* checked(body, body(own));
}

/**
 * Holds cancellation from outside back until `body` has ended; it is thrown at the next wait after that. A deadline inside
 * the shield still fires. Use it for what must not be torn: keep it short, since whoever cancels has to wait for it.
 *
 * @example
 * yield* shield(connection.commit());
 */
export function* shield<T>(body: Body<T>): Coroutine<T> {
  const operation = toOperation(body); // what it refuses must not leave a scope open
  const own = Scope.enter({ name: "shield", isShield: true });
  const value = yield* own.run(operation);
  if (own.isCaught) throw own.asError();
  return value as T;
}

/** The operation that a `Body` stands for. A function is called when the operation runs. @package */
export function toOperation<T>(body: Body<T>): Operation<T> {
  if (typeof body === "function") return call(body);
  if (generatorPrototype.isPrototypeOf(body)) {
    if (driven.has(body)) {
      throw new UsageError(
        "this coroutine has run already, it has no second value; pass the function that makes it",
        "REUSED",
      );
    }
    driven.add(body);
  } else if (!isOperation(body)) throw notAnOperation("the body", body);
  return body;
}

/** Generator objects that a combinator was given: a second run would silently give `undefined`. */
const driven = new WeakSet<object>();

function* call<T>(body: () => Operation<T>): Coroutine<T> {
  return yield* checked(body, body());
}

function checked<T>(body: { readonly name: string }, operation: Operation<T>): Operation<T> {
  if (!isOperation(operation)) throw notAnOperation(body.name || "the body", operation);
  return operation;
}

function* perform(cleanup: Cleanup): Coroutine<void> {
  const result: unknown = cleanup();
  if (isOperation(result)) yield* result;
  else if (typeof (result as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function") {
    yield* until(result as PromiseLike<unknown>);
  }
}

/** Waits for the end of something that was cancelled; nothing interrupts that. */
function* shieldedEnd(end: Operation<void>): Coroutine<void> {
  const own = Scope.enter({ name: "end", isShield: true });
  yield* own.run(end);
}

/** What a body threw, as a failure. A `Cancelled` that belongs to no scope around was kept and thrown again too late. */
function toFailure(error: unknown): unknown {
  return error instanceof Cancelled ? new CancelledError("something else", error.reason) : error;
}

class DeadlineTimer implements Timer {
  heapIndex = -1;
  readonly #scope: Scope;
  readonly deadline: number;

  constructor(scope: Scope, deadline: number) {
    this.#scope = scope;
    this.deadline = deadline;
  }

  fire(): void {
    this.#scope.request("deadline", undefined);
  }
}

class ExpiryTimer implements Timer {
  heapIndex = -1;
  readonly #scope: Scope;

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  fire(): void {
    this.#scope.expire();
  }
}

/** The host waits for its children. It cannot be withdrawn, and a pending cancellation does not keep it from starting. */
class ChildrenEnd extends Wait<void> {
  readonly #scope: Scope;
  #waiter: Waiter | null = null;

  constructor(scope: Scope) {
    super();
    this.#scope = scope;
  }

  get reason(): string {
    return `${this.#scope.size} task(s) of scope "${this.#scope.name}"`;
  }

  override get blocker(): Blocker {
    return { kind: "children", scope: this.#scope };
  }

  override next(): Started<void> {
    const task = running.task;
    return task === null || task.wait === this ? super.next() : this.start(task);
  }

  protected start(task: Waiter): Started<void> {
    this.#waiter = task;
    return task.park(this);
  }

  withdraw(): boolean {
    return false;
  }

  end(): void {
    this.#waiter?.wake(this, undefined);
  }
}
