/**
 * The event loop: ready queue, timers, tasks, clock.
 *
 * A slice is what the loop does in one go on the host: turns, until nothing is ready or the budget is used up.
 * A turn runs what was ready when it began, first in first out; then the due timers fire, ordered by (deadline, insertion).
 * What becomes ready meanwhile belongs to the next turn, so a task that wakes itself cannot starve timers.
 *
 * Giving way. A clock read costs 35–50 ns, so not every step has one: the slice reads the clock after 1 step, then 2, 4, 8 …
 * up to `MOST_STEPS_PER_CLOCK_READ`: steps that were short say nothing about the next ones. Past `SLICE_MS` it stops, even in the middle of
 * a turn, and goes on in a macrotask. Operations that complete at once count as steps. Slices that follow each other in
 * microtasks share one budget, or promises that settle each other could keep the host from its I/O for ever.
 *
 * One host timer stands behind the whole heap. It is set only when the loop goes to rest.
 */
import { FifoQueue } from "../data/fifo-queue.ts";
import { TimerQueue } from "../data/timer-queue.ts";
import type { StackFrame } from "./await-stack.ts";
import { checkDuration, DeadlockError, suppressedErrors, UsageError } from "./errors.ts";
import { kernelPresence, systemClock, systemHost } from "./host.ts";
import type { Clock, Host } from "./host.ts";
import type { AsyncContext, Runnable, Timer } from "./loop-port.ts";
import { running } from "./operation.ts";
import type { Operation } from "./operation.ts";
import { ProbeHub } from "./probe.ts";
import type { Probe } from "./probe.ts";
import type { Report } from "./report.ts";
import { Scope } from "./scope.ts";
import type { SpawnOptions } from "./scope.ts";
import type { Task, TaskScope } from "./task.ts";
import type { TaskState } from "./task-state.ts";

kernelPresence.isLoaded = true;

/** Which of the ready entries runs next. The default is the oldest. */
export interface ReadyOrder {
  /** @param ready How many entries of this turn are left, at least 1. @returns 0 (the oldest) to `ready - 1`. */
  pick(ready: number): number;
}

export interface EventLoopOptions {
  /** Shown in messages and the inspector. Default: `"loop"`. */
  readonly name?: string;
  /** Default: the system's monotonic clock. */
  readonly clock?: Clock;
  /** Default: the platform's microtasks, macrotasks and timers. */
  readonly host?: Host;
  /** Default: first in, first out. */
  readonly order?: ReadyOrder;
  /** Receives what no task can be told. Default: the console. */
  readonly onReport?: (report: Report) => void;
  /** Keeps the platform's implicit context for each task, as `nodeAsyncContext()` does. Default: nobody, which costs nothing. */
  readonly asyncContext?: AsyncContext;
}

/** A callback in the loop; `cancel` is idempotent. */
export interface Handle {
  readonly isCancelled: boolean;
  cancel(): void;
}

/** One task at one moment: plain, frozen data. */
export interface TaskSnapshot {
  readonly id: number;
  readonly name: string;
  readonly state: TaskState;
  /** What it waits for; `null` when it does not wait. */
  readonly waitingFor: string | null;
  readonly scope: string;
  /** `null` for a task that was spawned from outside. */
  readonly parentId: number | null;
  readonly steps: number;
  /** Whether a cancellation is pending or unwinding. */
  readonly isCancelling: boolean;
  /** Innermost frame first. */
  readonly awaitStack: readonly StackFrame[];
}

export interface LoopStatistics {
  /** Tasks that have not settled. */
  readonly tasks: number;
  /** Entries of the ready queue. */
  readonly ready: number;
  readonly timers: number;
  /** Pending waits and holds that something outside the loop will end. */
  readonly outside: number;
  /** Since the loop was made. */
  readonly tasksSpawned: number;
}

const SLICE_MS = 5; // what a socket or timer of the host may have to wait for us
const MOST_STEPS_PER_CLOCK_READ = 32; // a read costs 1.5 ns a step then; this many long steps in a row pass unseen
const MOST_STEPS = 65_536; // of one slice, for a clock that stands still, as virtual ones do
const CLOCK_READ_EVERY_MS = 0.5; // steps that make a read come later than this are not short
const STEPS_BETWEEN_TIMERS = 16; // under load; with less the clock would cost more than the steps

export class EventLoop {
  readonly name: string;
  /** @internal */
  budget = 1;
  /** @internal */
  outside = 0;
  /** @internal */
  lastTaskId = 0;
  /** @internal */
  probes: ProbeHub | null = null;
  /** @internal */
  readonly asyncContext: AsyncContext | null;
  readonly #clock: Clock;
  readonly #host: Host;
  readonly #order: ReadyOrder | null;
  readonly #onReport: ((report: Report) => void) | null;
  readonly #ready = new FifoQueue<Runnable>();
  readonly #timers = new TimerQueue<Timer>();
  readonly #root: Scope;
  readonly #slice = (): void => this.#runSlice();
  readonly #wakeByTimer = (): void => this.#runAfterTimer();
  readonly #clockIsCheap: boolean;
  #phase: "resting" | "scheduled" | "running" = "resting";
  #leftOfTurn = 0;
  /** Steps until the clock is read again, when the budget is full. */
  #stepsPerClockRead = 1;
  #stepsOfSlice = 0;
  #clockReadAt: number;
  /** When the host last had its turn, as far as we know. */
  #hostTurnAt: number;
  #hostTimer: unknown = undefined;
  #hostTimerDue = Infinity;
  #hostTimerOutside = false;
  #supervised = new Set<Supervised>();
  readonly #neighbours: Neighbours;
  /** Where it stands among its neighbours. */
  #standing: "idle" | "busy" | "waiting" = "idle";
  #weakSelf: WeakRef<EventLoop> | null = null;
  #isParked = false;

  constructor(options: EventLoopOptions = {}) {
    this.name = options.name ?? "loop";
    this.#clock = options.clock ?? systemClock;
    this.#host = options.host ?? systemHost;
    this.#order = options.order ?? null;
    this.#onReport = options.onReport ?? null;
    this.#neighbours = neighboursOn(this.#host);
    this.asyncContext = options.asyncContext ?? null;
    this.#hostTurnAt = this.#clockReadAt = this.#clock.now();
    this.#clockIsCheap = this.#clock !== systemClock;
    this.#root = new Scope(this, null, null, {
      name: this.name,
      onChildFailure: (task, error) => {
        const place = task.spawnedAt === null ? "" : `; it was spawned ${task.spawnedAt}`;
        this.report({
          kind: "unobserved-failure",
          message: `task "${task.name}" failed and nobody joined it${place}:`,
          error,
        });
      },
    });
  }

  /**
   * Every loop of this thread on the platform's own host, and on that of the running step, that has something to do, waits for something
   * or has unfinished tasks. One that has ended everything is not among them, and nothing is kept alive for this list.
   */
  static live(): EventLoop[] {
    const found = new Set<EventLoop>();
    const add = (loop: EventLoop | undefined): void => {
      if (loop !== undefined) found.add(loop);
    };
    const { loop } = running;
    add((loop as EventLoop | null) ?? undefined);
    for (const host of loop === null ? [systemHost] : [systemHost, (loop as EventLoop).#host]) {
      const { busy, waiting, parked } = neighboursOn(host);
      for (const each of busy) add(each);
      for (const each of waiting) add(each.deref());
      for (const each of parked) add(each.deref());
    }
    return [...found];
  }

  /** The loop of the running step or callback. @throws {UsageError} outside of one. */
  static current(): EventLoop {
    const loop = running.loop;
    if (loop === null)
      throw new UsageError("there is no running event loop here: not inside a step of a task", "NO_LOOP");
    return loop as EventLoop;
  }

  now(): number {
    return this.#clock.now();
  }

  /** A number from 0 up to 1, for jitter; from the host, so that a simulated run can be repeated. */
  random(): number {
    return (this.#host.random ?? systemHost.random!)();
  }

  /** The scope of the tasks that were spawned from outside; it never ends. Cancelling it stops the loop for good. */
  get root(): Scope {
    return this.#root;
  }

  /**
   * Adds a task to the loop, at any moment, from inside or outside. It belongs to no other task; its failure is reported
   * unless somebody joins it. `await` the task from promise code.
   * @example
   * const task = loop.spawn(poll, "https://example.org");
   */
  spawn<Args extends readonly unknown[], T>(
    options: SpawnOptions,
    fn: (...args: Args) => Operation<T>,
    ...args: Args
  ): Task<T>;
  spawn<Args extends readonly unknown[], T>(fn: (...args: Args) => Operation<T>, ...args: Args): Task<T>;
  spawn(...args: unknown[]): Task<unknown> {
    const task = (this.#root.spawn as (...args: unknown[]) => Task<unknown>).apply(this.#root, args);
    task.noteSite(this.spawn);
    return task;
  }

  /**
   * Every task that has not settled, in creation order.
   * @param options.awaitStacks Whether to find out where each task waits, 6–30 µs a task. Default: `true`; without, the
   * stacks are empty.
   */
  tasks(options: { readonly awaitStacks?: boolean } = {}): TaskSnapshot[] {
    const withStacks = options.awaitStacks ?? true;
    return this.#allTasks().map((task) =>
      Object.freeze({
        id: task.id,
        name: task.name,
        state: task.state,
        waitingFor: task.waitingFor,
        scope: task.owner.name,
        parentId: task.parent?.id ?? null,
        steps: task.steps,
        isCancelling: task.isCancelling,
        awaitStack: withStacks ? task.awaitStack() : [],
      }),
    );
  }

  /** Counts, for tests and dashboards. Counting takes a walk over all tasks. */
  statistics(): LoopStatistics {
    return Object.freeze({
      tasks: this.#walk((): void => {}),
      ready: this.#ready.size,
      timers: this.#timers.size,
      outside: this.outside,
      tasksSpawned: this.lastTaskId,
    });
  }

  /** Calls `callback` in the next turn, in the order of the ready queue. */
  callSoon<Args extends readonly unknown[]>(callback: (...args: Args) => void, ...args: Args): Handle {
    const handle = new CallbackHandle(this, callback as AnyCallback, args);
    this.enqueue(handle);
    return handle;
  }

  /** Calls `callback` once `delayMs` have passed. */
  callLater<Args extends readonly unknown[]>(
    delayMs: number,
    callback: (...args: Args) => void,
    ...args: Args
  ): Handle {
    checkDuration("delayMs", delayMs);
    return this.#callAt(this.now() + delayMs, callback as AnyCallback, args);
  }

  /** Calls `callback` at `deadline`, in milliseconds of the loop's clock. */
  callAt<Args extends readonly unknown[]>(deadline: number, callback: (...args: Args) => void, ...args: Args): Handle {
    checkDuration("the deadline", deadline);
    return this.#callAt(deadline, callback as AnyCallback, args);
  }

  #callAt(deadline: number, callback: AnyCallback, args: readonly unknown[]): Handle {
    const handle = new CallbackHandle(this, callback, args);
    if (deadline !== Infinity) this.addTimer(handle, deadline); // never: no timer that would hide a deadlock
    return handle;
  }

  /** Runs `callback` on the loop soon. May be called at any time, from anywhere in this thread. */
  post(callback: () => void): void {
    this.callSoon(callback);
  }

  /** Says that something outside the loop is pending, until the returned function is called: then it is not deadlocked. */
  hold(): () => void {
    this.outside++;
    this.#wake(); // a host with a virtual clock has to hear of it
    let held = true;
    return () => {
      if (held) this.outside--;
      held = false;
      this.#wake();
    };
  }

  /** Attaches an observer; the returned function detaches it. */
  addProbe(probe: Probe): () => void {
    const hub = (this.probes ??= new ProbeHub((report) => this.report(report)));
    const detach = hub.add(probe);
    return () => {
      detach();
      if (hub.size === 0 && this.probes === hub) this.probes = null;
    };
  }

  /** Watches `task` for a stall: when nothing can ever wake it again, `onDeadlock` is called. @internal */
  supervise(task: Task<unknown>, onDeadlock: (error: DeadlockError) => void): () => void {
    const entry: Supervised = { task, onDeadlock };
    this.#supervised.add(entry);
    return () => void this.#supervised.delete(entry);
  }

  /** First steps may come in another order than that of the queue: tasks have to be listed before they begin, see `Scope.enlist`. @internal */
  get enlistsEarly(): boolean {
    return this.#order !== null;
  }

  /** All tasks that have not got to their first wait enter the lists of their scopes, in the order in which they were spawned. @internal */
  enlistAll(): void {
    (running.task as Task<unknown> | null)?.enlist();
    this.#ready.visitNew(enlist);
  }

  /** @internal */
  createTaskScope(task: Task<unknown>, owner: TaskScope): TaskScope {
    return new Scope(this, owner, task, { name: task.name, isTaskScope: true });
  }

  /** @internal */
  enqueue(runnable: Runnable): void {
    this.#ready.push(runnable);
    if (this.#phase === "resting") this.#wake();
  }

  /**
   * Runs it inside the caller when nothing runs in this thread, the loop rests but is not idle, and the host is not owed its turn;
   * otherwise it stands in line. For borders where what comes from outside begins a task and nobody is surprised that it runs: that
   * saves a microtask and a slice.
   * @internal
   */
  runAtOnce(runnable: Runnable): void {
    const rests = running.loop === null && this.#phase === "resting" && this.#standing !== "idle";
    if (!rests || (this.budget <= 0 && !this.refillBudget())) this.enqueue(runnable);
    else {
      this.#ready.push(runnable);
      this.#runSlice();
    }
  }

  /** @internal */
  addTimer(timer: Timer, deadline: number): void {
    this.#timers.insert(timer, deadline);
    if (this.#phase === "resting" && deadline < this.#hostTimerDue) this.#wake();
  }

  /** @internal */
  removeTimer(timer: Timer): boolean {
    const removed = this.#timers.remove(timer);
    // The host's timer may have stood for this one; left alone it would keep the process alive.
    if (removed && this.#phase === "resting" && this.#timers.size === 0) this.#wake();
    return removed;
  }

  /** @internal */
  deadlineOf(timer: Timer): number | undefined {
    return this.#timers.deadlineOf(timer);
  }

  report(report: Report): void {
    if (this.#onReport === null) {
      this.#print(report);
      return;
    }
    try {
      this.#onReport(report);
    } catch (error) {
      this.#host.report("fibril: onReport threw", error);
      this.#print(report);
    }
  }

  #print(report: Report): void {
    this.#host.report(`fibril: ${report.message}`, report.error);
    for (const later of suppressedErrors(report.error)) this.#host.report("fibril: and after that:", later);
  }

  #wake(): void {
    if (this.#phase !== "resting") return;
    this.#phase = "scheduled";
    // One that waits for the outside stays where it is: either way it is not idle, and this is the path of every event from outside.
    if (this.#standing === "idle") {
      const { busy, stalled } = this.#neighbours;
      stalled.delete(this);
      busy.add(this);
      this.#standing = "busy";
    }
    // Once the budget of this turn of the host is used up, the host goes first, however the loop is woken.
    if (this.budget > 0 || this.refillBudget()) this.#host.soon(this.#slice);
    else this.#host.afterIo(this.#slice);
  }

  #runAfterTimer(): void {
    this.#hostTimer = undefined;
    this.#hostTimerDue = Infinity;
    this.budget = 0; // the host has just had its turn: a full slice
    if (this.#phase === "resting") this.#runSlice();
  }

  #runSlice(): void {
    const outer = { loop: running.loop, task: running.task };
    (outer.task as Task<unknown> | null)?.enlist(); // while this loop runs, the other one cannot know which its running task is
    running.loop = this;
    running.task = null;
    this.#phase = "running";
    if (this.budget <= 0) this.#beginSlice();
    try {
      if (this.#runTurns()) this.#rest();
      else {
        this.#phase = "scheduled";
        this.#host.afterIo(this.#slice);
      }
    } catch (error) {
      (running.task as Task<unknown> | null)?.enlist(); // or whoever looks for it would not find it
      this.report({ kind: "internal", message: `a step of loop "${this.name}" broke; the loop goes on:`, error });
      this.#phase = "scheduled";
      this.#host.afterIo(this.#slice);
    } finally {
      running.loop = outer.loop;
      running.task = outer.task;
    }
  }

  /** `true` when nothing is ready any more; `false` when the budget is used up. */
  #runTurns(): boolean {
    const ready = this.#ready;
    const { asyncContext } = this;
    let sinceTimers = 0;
    for (;;) {
      if (this.#leftOfTurn === 0) this.#leftOfTurn = ready.size;
      sinceTimers += this.#leftOfTurn;
      while (this.#leftOfTurn > 0) {
        if (this.budget <= 0 && !this.refillBudget()) return false;
        const next = this.#order === null ? ready.shift() : ready.takeAt(this.#order.pick(this.#leftOfTurn));
        this.#leftOfTurn--;
        this.budget--;
        if (asyncContext === null) next!.run();
        else runIn(asyncContext, next!);
      }
      if (this.#timers.size > 0 && (ready.size === 0 || sinceTimers >= STEPS_BETWEEN_TIMERS || this.#clockIsCheap)) {
        sinceTimers = 0;
        this.#fireTimers();
      }
      if (ready.size === 0) return true;
    }
  }

  #fireTimers(): void {
    running.task = null;
    const now = this.now();
    for (let timer = this.#timers.popDue(now); timer !== undefined; timer = this.#timers.popDue(now)) timer.fire();
  }

  /** @internal */
  refillBudget(): boolean {
    const now = this.now();
    this.#stepsOfSlice += this.#stepsPerClockRead;
    if (now - this.#clockReadAt > CLOCK_READ_EVERY_MS)
      this.#stepsPerClockRead = Math.max(1, this.#stepsPerClockRead >> 2);
    else if (this.#stepsPerClockRead < MOST_STEPS_PER_CLOCK_READ) this.#stepsPerClockRead *= 2;
    this.#clockReadAt = now;
    if (now - this.#hostTurnAt >= SLICE_MS || this.#stepsOfSlice >= MOST_STEPS) return false;
    this.budget = this.#stepsPerClockRead;
    return true;
  }

  /** The host has had its turn: a whole slice is ahead. */
  #beginSlice(): void {
    this.#hostTurnAt = this.#clockReadAt = this.now();
    this.#stepsPerClockRead = 1;
    this.#stepsOfSlice = 0;
    this.budget = 1;
  }

  #rest(): void {
    running.task = null;
    this.#phase = "resting";
    const due = this.#timers.nextDeadline;
    const outside = this.outside > 0;
    if (due !== Infinity) {
      // One that stands earlier is left: it fires, finds nothing due, and is set anew. Setting one for every change costs more.
      if (due >= this.#hostTimerDue && outside === this.#hostTimerOutside) return;
      this.#clearHostTimer();
      this.#hostTimerDue = due;
      this.#hostTimerOutside = outside;
      this.#hostTimer = this.#host.after(Math.max(0, due - this.now()), outside, this.#wakeByTimer);
      return;
    }
    this.#clearHostTimer();
    if (outside) this.#waitOutside();
    else this.#fallIdle();
  }

  #waitOutside(): void {
    if (this.#standing === "waiting") return;
    const { busy, waiting } = this.#neighbours;
    busy.delete(this);
    // Made only here: the engine keeps what a new weak reference names until its current job is over.
    waiting.add((this.#weakSelf ??= new WeakRef(this)));
    this.#standing = "waiting";
  }

  /** Nothing can happen here any more, unless another loop of the thread does it: shared locks and channels know no loops. */
  #fallIdle(): void {
    const { busy, waiting, stalled, parked } = this.#neighbours;
    busy.delete(this);
    if (this.#weakSelf !== null) waiting.delete(this.#weakSelf);
    this.#standing = "idle";
    // Its tasks wait for what others may do yet. It stays listed until it falls idle without any.
    if (this.#root.size > 0 !== this.#isParked) this.#notePark(parked);
    if (this.#supervised.size > 0) stalled.add(this);
    if (busy.size > 0) return; // the last one looks after those that are stalled when it falls idle itself
    for (const neighbour of waiting) {
      if (neighbour.deref() !== undefined) return;
      waiting.delete(neighbour);
    }
    const idle = [...stalled];
    stalled.clear();
    for (const loop of idle) loop.#reportStall();
  }

  #notePark(parked: Set<WeakRef<EventLoop>>): void {
    this.#isParked = !this.#isParked;
    if (!this.#isParked) parked.delete(this.#weakSelf!);
    else {
      parked.add((this.#weakSelf ??= new WeakRef(this)));
      if (parked.size % PARKED_BETWEEN_SWEEPS === 0) {
        for (const each of parked) if (each.deref() === undefined) parked.delete(each);
      }
    }
  }

  #clearHostTimer(): void {
    if (this.#hostTimer !== undefined) this.#host.clear(this.#hostTimer);
    this.#hostTimer = undefined;
    this.#hostTimerDue = Infinity;
  }

  /**
   * Nothing is ready, no timer is set, nothing outside is pending. Tasks that were spawned from outside may be fed from
   * outside, so while one of those is left it is no deadlock: no false alarms.
   */
  #reportStall(): void {
    // Each call takes a stronger measure; again, as long as the last one has moved nothing.
    while (this.#ready.size === 0 && this.#timers.size === 0) {
      const supervised = [...this.#supervised].filter((entry) => !entry.task.isSettled);
      if (supervised.length === 0 || supervised.length < this.#root.size) return;
      const error = new DeadlockError(this.#allTasks().map((task) => task.describe()));
      for (const entry of supervised) entry.onDeadlock(error);
    }
  }

  #allTasks(): Task<unknown>[] {
    const tasks: Task<unknown>[] = [];
    this.#walk((task) => void tasks.push(task));
    return tasks.sort((a, b) => a.id - b.id);
  }

  /** Calls `visit` for every task that has not settled, those who spawned before those who were spawned; returns how many there are. */
  #walk(visit: (task: Task<unknown>) => void): number {
    let count = 0;
    const scopes: Scope[] = [this.#root];
    for (let i = 0; i < scopes.length; i++) {
      for (const task of scopes[i]!.children) {
        count++;
        visit(task);
        for (let scope = task.scope; scope.host === task; scope = scope.parent!) {
          if ((scope as Scope).size > 0) scopes.push(scope as Scope);
        }
      }
    }
    return count;
  }
}

function enlist(runnable: Runnable): void {
  runnable.enlist?.();
}

function runIn(asyncContext: AsyncContext, step: Runnable): void {
  const { context } = step;
  const left = asyncContext.run(step, context);
  if (left !== context) step.context = left;
}

/**
 * The loops on one host. Tasks of different loops may share a lock or a channel, so a loop that has nothing left to do is stuck only
 * when none of the others has: a request per `run` with a semaphore for all of them is no deadlock.
 */
interface Neighbours {
  /** Something is ready, or a timer is set. */
  readonly busy: Set<EventLoop>;
  /** Something is pending outside, or was when it last rested: it stays here until it is idle. Weak, since what waits for a promise that nobody keeps can never run again. */
  readonly waiting: Set<WeakRef<EventLoop>>;
  /** Idle, though a `run` has not ended. */
  readonly stalled: Set<EventLoop>;
  /** Idle with tasks left, when they last rested: only for `live`. Weak, as `waiting`. */
  readonly parked: Set<WeakRef<EventLoop>>;
}

const PARKED_BETWEEN_SWEEPS = 256; // of loops that were forgotten with their tasks a weak reference each would pile up

const neighbourhoods = new WeakMap<Host, Neighbours>();

function neighboursOn(host: Host): Neighbours {
  let neighbours = neighbourhoods.get(host);
  if (neighbours === undefined)
    neighbourhoods.set(
      host,
      (neighbours = { busy: new Set(), waiting: new Set(), stalled: new Set(), parked: new Set() }),
    );
  return neighbours;
}

interface Supervised {
  readonly task: Task<unknown>;
  readonly onDeadlock: (error: DeadlockError) => void;
}

type AnyCallback = (...args: readonly unknown[]) => void;

const NO_ARGUMENTS: readonly unknown[] = []; // most callbacks have none, and a timer may be one of a million

class CallbackHandle implements Handle, Runnable, Timer {
  heapIndex = -1;
  context: unknown;
  readonly #loop: EventLoop;
  #callback: AnyCallback | null;
  readonly #args: readonly unknown[];

  constructor(loop: EventLoop, callback: AnyCallback, args: readonly unknown[]) {
    this.#loop = loop;
    this.#callback = callback;
    this.#args = args.length === 0 ? NO_ARGUMENTS : args;
    this.context = loop.asyncContext === null ? undefined : loop.asyncContext.capture();
  }

  get isCancelled(): boolean {
    return this.#callback === null;
  }

  cancel(): void {
    this.#callback = null;
    this.#loop.removeTimer(this);
  }

  fire(): void {
    this.#loop.enqueue(this);
  }

  run(): void {
    const callback = this.#callback;
    if (callback === null) return;
    running.task = null;
    try {
      callback(...this.#args);
    } catch (error) {
      this.#loop.report({
        kind: "callback-failed",
        message: `callback ${callback.name || "(anonymous)"} threw:`,
        error,
      });
    }
  }
}
