/**
 * Runs programs (see program.ts) on `fibril/asyncio` and records their traces.
 *
 * It is interpreter.py in TypeScript: same order of functions, same texts, same rules for what is left out. Keep them
 * side by side. The library is an argument, so that a broken one can be judged, too.
 */
import * as fibrilAsyncio from "../../../src/asyncio/index.ts";
import { isPlain } from "./program.ts";
import type { Block, ErrorKind, PlainStatement, Program, Statement, WaitingStatement } from "./program.ts";
import { virtualLoop } from "./virtual-loop.ts";
import type { Driver } from "./virtual-loop.ts";

export type Library = typeof fibrilAsyncio;
type Task = fibrilAsyncio.Task<unknown>;
type Future = fibrilAsyncio.Future<unknown>;
type Awaitable = fibrilAsyncio.Awaitable<unknown>;
type Coroutine<T> = fibrilAsyncio.Coroutine<T>;

const QUARTER = 0.25;
const MOST_STATEMENTS = 400;
const MOST_TASKS = 40;
const MOST_ROUNDS = 10;

/** What programs raise. Without a stack, which no trace shows and which would cost more than all the rest. */
class E extends Error {
  readonly number: number;

  constructor(number: number) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(String(number));
    Error.stackTraceLimit = limit;
    this.number = number;
  }
}

/** A block that ended by `return`. */
class Return {
  readonly value: number | null;

  constructor(value: number | null) {
    this.value = value;
  }
}

/** What is around a statement: the innermost group and timeout, and the error a handler handles. */
class Env {
  readonly group: fibrilAsyncio.TaskGroup | null;
  readonly timeout: fibrilAsyncio.Timeout | null;
  readonly error: unknown;

  constructor(group: fibrilAsyncio.TaskGroup | null, timeout: fibrilAsyncio.Timeout | null, error: unknown) {
    this.group = group;
    this.timeout = timeout;
    this.error = error;
  }
}

const NOTHING_AROUND = new Env(null, null, null);

/** The trace of a program; of one that shows a fault of the library, the fault. */
export function trace(program: Program, library: Library = fibrilAsyncio): string {
  const run = new Run(program, library);
  try {
    return run.go();
  } catch (error) {
    return [...run.lines, `FAULT ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`].join(
      "\n",
    );
  }
}

function seconds(quarters: number | null): number | null {
  return quarters === null ? null : quarters * QUARTER;
}

function label(s: Statement): string {
  const first = s[1];
  return typeof first === "number" || typeof first === "string" ? `${s[0]}${first}` : s[0];
}

class Run {
  readonly program: Program;
  readonly lib: Library;
  readonly driver: Driver;
  readonly lines: string[] = [];
  statements = 0;
  /** An error that no program can cause: one of this interpreter or of the library. */
  fault: Error | null = null;
  readonly tasks: Task[] = [];
  readonly names = new Map<unknown, string>();
  readonly slots: (Task | undefined)[] = [];
  readonly handles: (fibrilAsyncio.Handle | undefined)[] = [];
  /** For every task that awaits others directly: which. */
  readonly waits = new Map<Task | null, readonly Task[]>();
  /** For every future made of tasks: which. */
  readonly behind = new Map<Future, readonly Task[]>();
  readonly contexts: (fibrilAsyncio.Context | undefined)[] = [];
  readonly callbacks: (((task: Task) => void) | undefined)[] = [];

  locks: fibrilAsyncio.Lock[] = [];
  sems: fibrilAsyncio.Semaphore[] = [];
  events: fibrilAsyncio.Event[] = [];
  conds: fibrilAsyncio.Condition[] = [];
  counts: number[] = [];
  barriers: fibrilAsyncio.Barrier[] = [];
  queues: fibrilAsyncio.Queue<number>[] = [];
  futures: Future[] = [];
  vars: fibrilAsyncio.ContextVar<number>[] = [];
  tokens: (fibrilAsyncio.Token<number> | undefined)[] = [];

  constructor(program: Program, library: Library) {
    this.program = program;
    this.lib = library;
    this.driver = virtualLoop(library);
  }

  makeResources(): void {
    const { lib } = this;
    const r = this.program.res;
    const times = <T>(count: number | undefined, make: () => T): T[] => Array.from({ length: count ?? 0 }, make);
    this.locks = times(r.lock, () => new lib.Lock());
    this.sems = (r.sem ?? []).map(([value, bounded]) =>
      bounded ? new lib.BoundedSemaphore(value) : new lib.Semaphore(value),
    );
    this.events = times(r.ev, () => new lib.Event());
    this.conds = Array.from({ length: r.cond ?? 0 }, (_, i) =>
      r.shared === true && i < this.locks.length ? new lib.Condition(this.locks[i]) : new lib.Condition(),
    );
    this.counts = times(r.cond, () => 0);
    this.barriers = (r.bar ?? []).map((parties) => new lib.Barrier(parties));
    const kinds = { fifo: lib.Queue, lifo: lib.LifoQueue, prio: lib.PriorityQueue };
    this.queues = (r.q ?? []).map(([kind, size]) => new kinds[kind]<number>(size));
    this.futures = times(r.fut, () => this.driver.loop.createFuture());
    this.vars = times(r.ctx, () => new lib.ContextVar("v", { default: 0 }));
  }

  log(what: string, result?: string): void {
    const task = this.lib.currentTask(this.driver.loop);
    const name = task === null ? "-" : this.name(task as Task);
    const time = this.driver.loop.time() / QUARTER;
    this.lines.push(result === undefined ? `${time} ${name} ${what}` : `${time} ${name} ${what} ${result}`);
  }

  name(task: Task): string {
    let name = this.names.get(task);
    if (name === undefined) {
      name = `t${this.tasks.length}`;
      this.names.set(task, name);
      this.tasks.push(task);
    }
    return name;
  }

  go(): string {
    const { loop } = this.driver;
    loop.setExceptionHandler((_loop, context) => this.unhandled(context));
    const main = loop.createTask(this.fn(NOTHING_AROUND, 0)) as Task;
    this.name(main);
    main.addDoneCallback(() => void this.cancelRest("over"));
    for (let round = 0; round < MOST_ROUNDS; round++) {
      this.driver.runUntilIdle();
      if (!this.cancelRest("idle")) break;
    }
    this.log("end");
    const result = this.lines.join("\n");
    this.driver.close();
    if (this.fault !== null) throw this.fault;
    return result;
  }

  cancelRest(why: string): boolean {
    const rest = this.tasks.filter((task) => !task.done());
    if (rest.length > 0 || why === "over") this.log(why, this.text(rest.map((task) => this.name(task))));
    for (const task of rest) task.cancel();
    return rest.length > 0;
  }

  unhandled(context: fibrilAsyncio.ExceptionContext): void {
    const { message } = context;
    if (message.includes("never retrieved") || message.includes("destroyed")) return;
    this.log("unhandled", this.text(context.exception));
  }

  /** A value or an error, as traces show it. */
  text(value: unknown): string {
    if (value === null || value === undefined) return "None";
    if (value === true) return "True";
    if (value === false) return "False";
    if (value instanceof E) return `E${value.number}`;
    if (value instanceof this.lib.CancelledError)
      return value.message === "" ? "Cancelled" : `Cancelled:${value.message}`;
    if (value instanceof this.lib.ExceptionGroup) return `Group${this.text(value.exceptions)}`;
    if (Array.isArray(value)) return `[${value.map((item) => this.text(item)).join(",")}]`;
    if (value instanceof Error) {
      // A fault of the interpreter or of the library must not look like a failure of the program.
      if (["TypeError", "ReferenceError", "RangeError", "InternalError"].includes(value.name)) this.fault ??= value;
      return value.name;
    }
    return String(value as number | string);
  }

  matches(kind: ErrorKind, error: unknown): boolean {
    switch (kind) {
      case "E":
        return error instanceof E;
      case "Exception":
        return error instanceof Error;
      case "Cancelled":
        return error instanceof this.lib.CancelledError;
      case "Timeout":
        return error instanceof this.lib.TimeoutError;
      case "Group":
        return error instanceof this.lib.ExceptionGroup;
      case "Base":
        return true;
    }
  }

  *fn(env: Env, number: number, awaited?: Task[]): Coroutine<number | null> {
    awaited?.push(this.me());
    this.log(`start${number}`);
    if (number === 0) this.makeResources();
    let result;
    try {
      result = yield* this.block(env, this.program.fns[number] as Block);
    } catch (error) {
      this.log(`fail${number}`, this.text(error));
      throw error;
    }
    const value = result === undefined ? null : result.value;
    this.log(`end${number}`, this.text(value));
    return value;
  }

  *block(env: Env, statements: Block): Coroutine<Return | undefined> {
    for (const s of statements) {
      this.statements++;
      if (this.statements > MOST_STATEMENTS) return new Return(null);
      if (isPlain(s)) {
        this.plain(env, s);
      } else {
        const result = yield* this.waitingStatement(env, s);
        if (result !== undefined) return result;
      }
    }
    return undefined;
  }

  plain(env: Env, s: PlainStatement): void {
    const what = label(s);
    let result;
    try {
      result = this.plainStatement(env, s);
    } catch (error) {
      this.log(what, `!${this.text(error)}`);
      throw error;
    }
    this.log(what, this.text(result));
  }

  // ── statements that do not wait ──────────────────────────────────────────────────────────────────────────────────

  plainStatement(env: Env, s: PlainStatement): unknown {
    const { lib } = this;
    const { loop } = this.driver;
    switch (s[0]) {
      case "log":
        return null;
      case "spawn":
      case "eager": {
        if (this.tasks.length >= MOST_TASKS) return "limit";
        const task = lib.createTask(this.fn(env, s[2]), { eagerStart: s[0] === "eager" }) as Task;
        this.slots[s[1]] = task;
        return this.name(task);
      }
      case "ctxspawn": {
        if (this.tasks.length >= MOST_TASKS) return "limit";
        const context = (this.contexts[s[3]] ??= lib.copyContext());
        const task = lib.createTask(this.fn(env, s[2]), { context }) as Task;
        this.slots[s[1]] = task;
        return this.name(task);
      }
      case "gspawn":
      case "geager": {
        if (env.group === null || this.tasks.length >= MOST_TASKS) return "limit";
        const task = env.group.createTask(this.fn(env, s[2]), { eagerStart: s[0] === "geager" }) as Task;
        this.slots[s[1]] = task;
        return this.name(task);
      }
      case "gcancel":
        if (env.group === null) return "none";
        return env.group.cancel();
      case "cancel": {
        const task = this.slots[s[1]];
        if (task === undefined) return "none";
        return s[2] === null ? task.cancel() : task.cancel(s[2]);
      }
      case "cancelself":
        return lib.currentTask()?.cancel() ?? "none";
      case "uncancel":
        return lib.currentTask()?.uncancel() ?? "none";
      case "uncanceltask":
        return this.slots[s[1]]?.uncancel() ?? "none";
      case "cancelling":
        return lib.currentTask()?.cancelling() ?? "none";
      case "tstate": {
        const task = this.slots[s[1]];
        if (task === undefined) return "none";
        if (!task.done()) return `pending ${task.cancelling()}`;
        if (task.cancelled()) return `cancelled ${task.cancelling()}`;
        return `done ${this.text(task.exception())} ${task.cancelling()}`;
      }
      case "tresult": {
        const task = this.slots[s[1]];
        return task === undefined ? "none" : task.result();
      }
      case "tcb": {
        const task = this.slots[s[1]];
        if (task === undefined) return "none";
        const callback = (done: unknown): void => this.log(`done${s[2]}`, this.name(done as Task));
        this.callbacks[s[2]] = callback;
        return task.addDoneCallback(callback);
      }
      case "tuncb": {
        const task = this.slots[s[1]];
        const callback = this.callbacks[s[2]];
        return task === undefined || callback === undefined ? "none" : task.removeDoneCallback(callback);
      }
      case "release":
        return at(this.locks, s[1]).release();
      case "locked":
        return at(this.locks, s[1]).locked();
      case "semrelease":
        return at(this.sems, s[1]).release();
      case "semlocked":
        return at(this.sems, s[1]).locked();
      case "evset":
        return at(this.events, s[1]).set();
      case "evclear":
        return at(this.events, s[1]).clear();
      case "evisset":
        return at(this.events, s[1]).isSet();
      case "notify":
        return at(this.conds, s[1]).notify(s[2]);
      case "notifyall":
        return at(this.conds, s[1]).notifyAll();
      case "inc": {
        const count = at(this.counts, s[1]) + 1;
        this.counts[s[1]] = count;
        return count;
      }
      case "barstate": {
        const barrier = at(this.barriers, s[1]);
        return [barrier.nWaiting, barrier.broken];
      }
      case "putnw":
        return at(this.queues, s[1]).putNowait(s[2]);
      case "getnw":
        return at(this.queues, s[1]).getNowait();
      case "taskdone":
        return at(this.queues, s[1]).taskDone();
      case "shutdown":
        return at(this.queues, s[1]).shutdown(s[2]);
      case "qstate": {
        const queue = at(this.queues, s[1]);
        return [queue.qsize(), queue.empty(), queue.full()];
      }
      case "futset":
        return at(this.futures, s[1]).setResult(s[2]);
      case "futexc":
        return at(this.futures, s[1]).setException(new E(s[2]));
      case "futcancel":
        return s[2] === null ? at(this.futures, s[1]).cancel() : at(this.futures, s[1]).cancel(s[2]);
      case "futstate": {
        const future = at(this.futures, s[1]);
        return [future.done(), future.cancelled()];
      }
      case "futresult":
        return at(this.futures, s[1]).result();
      case "futerror":
        return at(this.futures, s[1]).exception();
      case "futnew":
        this.futures[s[1]] = loop.createFuture();
        return null;
      case "futgather": {
        const tasks = this.tasksOf(s[2]);
        const future = lib.gather(...tasks, { returnExceptions: s[3] }) as Future;
        this.futures[s[1]] = future;
        this.behind.set(future, tasks);
        return null;
      }
      case "futshield": {
        const task = this.slots[s[2]];
        if (task === undefined) return "none";
        this.futures[s[1]] = lib.shield(task);
        return null;
      }
      case "futcb":
        return at(this.futures, s[1]).addDoneCallback(() => this.log(`futdone${s[2]}`));
      case "callsoon":
        this.handles[s[1]] = loop.callSoon(() => this.callback(env, s[2]));
        return null;
      case "calllater":
        this.handles[s[1]] = loop.callLater(s[2] * QUARTER, () => this.callback(env, s[3]));
        return null;
      case "callat":
        this.handles[s[1]] = loop.callAt(s[2] * QUARTER, () => this.callback(env, s[3]));
        return null;
      case "hcancel": {
        const handle = this.handles[s[1]];
        if (handle === undefined) return "none";
        handle.cancel();
        return handle.cancelled();
      }
      case "ctxset":
        this.tokens[s[1]] = at(this.vars, s[1]).set(s[2]);
        return null;
      case "ctxreset": {
        const token = this.tokens[s[1]];
        return token === undefined ? "none" : at(this.vars, s[1]).reset(token);
      }
      case "ctxget":
        return at(this.vars, s[1]).get();
      case "resched":
        if (env.timeout === null) return "none";
        return env.timeout.reschedule(s[1] === null ? null : loop.time() + s[1] * QUARTER);
      case "tmstate": {
        if (env.timeout === null) return "none";
        const when = env.timeout.when();
        return `${when === null ? "None" : when / QUARTER} ${this.text(env.timeout.expired())}`;
      }
      case "split": {
        if (!(env.error instanceof lib.ExceptionGroup)) return "none";
        const [match, rest] = env.error.split((error: unknown) => this.matches(s[1], error));
        return `${this.text(match)} ${this.text(rest)}`;
      }
    }
  }

  callback(env: Env, statements: readonly PlainStatement[]): void {
    for (const s of statements) {
      this.statements++;
      if (this.statements > MOST_STATEMENTS) return;
      this.plain(env, s);
    }
  }

  // ── statements that wait ─────────────────────────────────────────────────────────────────────────────────────────

  /** The task that runs. */
  me(): Task {
    return this.lib.currentTask() as Task;
  }

  /** Awaits, and logs how that ended. */
  *waiting(s: Statement, awaitable: Awaitable): Coroutine<undefined> {
    const what = label(s);
    let result;
    try {
      result = yield* awaitable;
    } catch (error) {
      this.log(what, `!${this.text(error)}`);
      throw error;
    }
    this.log(what, this.text(result));
    return undefined;
  }

  *logged(s: Statement, result: string): Coroutine<undefined> {
    this.log(label(s), result);
    return undefined;
  }

  /** Whether to await these would close a cycle: CPython then recurses without end on cancellation. */
  wouldCycle(tasks: readonly Task[]): boolean {
    const me = this.me();
    const todo = [...tasks];
    const seen = new Set<Task>();
    for (let task = todo.pop(); task !== undefined; task = todo.pop()) {
      if (task === me) return true;
      if (seen.has(task)) continue;
      seen.add(task);
      todo.push(...(this.waits.get(task) ?? []));
    }
    return false;
  }

  /** Awaits other tasks directly; the relation is kept for `wouldCycle`. */
  *awaiting(s: Statement, tasks: readonly Task[], make: () => Awaitable): Coroutine<undefined> {
    if (this.wouldCycle(tasks)) {
      this.log(label(s), "cycle");
      return undefined;
    }
    const me = this.me();
    this.waits.set(me, tasks);
    try {
      return yield* this.waiting(s, make());
    } finally {
      this.waits.delete(me);
    }
  }

  tasksOf(slots: readonly number[]): Task[] {
    return slots.map((slot) => this.slots[slot]).filter((task) => task !== undefined);
  }

  waitingStatement(env: Env, s: WaitingStatement): Coroutine<Return | undefined> {
    const { lib } = this;
    switch (s[0]) {
      case "sleep":
        return this.waiting(s, lib.sleep(s[1] * QUARTER));
      case "await": {
        const task = this.slots[s[1]];
        if (task === undefined) return this.logged(s, "none");
        // A RuntimeError; but CPython then marks the task as awaited wrongly, for all who await it later.
        return task === lib.currentTask() ? this.logged(s, "self") : this.awaiting(s, [task], () => task);
      }
      case "call":
        return this.waiting(s, this.fn(env, s[1]));
      case "shield": {
        const task = this.slots[s[1]];
        return task === undefined ? this.logged(s, "none") : this.waiting(s, lib.shield(task));
      }
      case "shieldfn":
        return this.waiting(s, lib.shield(this.fn(env, s[1])));
      case "wait":
        return this.waiting(s, this.wait(s[1], s[2], s[3]));
      case "waitfor": {
        const task = this.slots[s[1]];
        if (task === undefined) return this.logged(s, "none");
        return this.awaiting(s, [task], () => lib.waitFor(task, seconds(s[2])));
      }
      case "waitforfn":
        return this.waiting(s, lib.waitFor(this.fn(env, s[1]), seconds(s[2])));
      case "gather": {
        const tasks = this.tasksOf(s[1]);
        return this.awaiting(s, tasks, () => lib.gather(...tasks, { returnExceptions: s[2] }));
      }
      case "gatherfn":
        return this.gatherFunctions(env, s);
      case "ascompleted": {
        // Tasks that are done already come in the order of a set: at most one of them takes part.
        const tasks: Task[] = [];
        for (const task of this.tasksOf(s[1])) {
          if (!tasks.includes(task) && (!task.done() || !tasks.some((other) => other.done()))) tasks.push(task);
        }
        return tasks.includes(this.me())
          ? this.logged(s, "self")
          : this.waiting(s, this.eachCompleted(tasks, seconds(s[2])));
      }
      case "timeout":
      case "timeoutat":
        return this.timeout(env, s);
      case "group":
        return this.group(env, s);
      case "lock":
        return this.within(env, s, at(this.locks, s[1]), s[2]);
      case "acquire":
        return this.waiting(s, at(this.locks, s[1]).acquire());
      case "sem":
        return this.within(env, s, at(this.sems, s[1]), s[2]);
      case "semacquire":
        return this.waiting(s, at(this.sems, s[1]).acquire());
      case "evwait":
        return this.waiting(s, at(this.events, s[1]).wait());
      case "cond":
        return this.within(env, s, at(this.conds, s[1]), s[2]);
      case "condwait":
        return this.waiting(s, at(this.conds, s[1]).wait());
      case "condwaitfor":
        return this.waiting(
          s,
          at(this.conds, s[1]).waitFor(() => at(this.counts, s[1]) >= s[2]),
        );
      case "barrier":
        return this.waiting(s, at(this.barriers, s[1]).wait());
      case "barreset":
        return this.waiting(s, at(this.barriers, s[1]).reset());
      case "barabort":
        return this.waiting(s, at(this.barriers, s[1]).abort());
      case "put":
        return this.waiting(s, at(this.queues, s[1]).put(s[2]));
      case "get":
        return this.waiting(s, at(this.queues, s[1]).get());
      case "join":
        return this.waiting(s, at(this.queues, s[1]).join());
      case "futawait": {
        const future = at(this.futures, s[1]);
        return this.awaiting(s, this.tasksBehind([future]), () => future);
      }
      case "shieldfut":
        return this.waiting(s, lib.shield(at(this.futures, s[1])));
      case "futwaitfor": {
        const future = at(this.futures, s[1]);
        return this.awaiting(s, this.tasksBehind([future]), () => lib.waitFor(future, seconds(s[2])));
      }
      case "gatherfut": {
        const futures = s[1].map((i) => at(this.futures, i));
        const gather = (): Awaitable => lib.gather(...futures, { returnExceptions: s[2] });
        return this.awaiting(s, this.tasksBehind(futures), gather);
      }
      case "waitfut":
        return this.waiting(s, this.waitForFutures(s[1], s[2], s[3]));
      case "try":
        return this.tryBlock(env, s[1], s[2], s[3]);
      case "repeat":
        return this.repeat(env, s[1], s[2]);
      case "return":
        return this.returning(s);
      case "raise":
        return this.raising(env, s);
    }
  }

  *wait(slots: readonly number[], timeout: number | null, mode: 0 | 1 | 2): Coroutine<unknown> {
    const parts = yield* this.lib.wait(this.tasksOf(slots), { timeout: seconds(timeout), returnWhen: this.when(mode) });
    const order = (a: unknown, b: unknown): number => this.tasks.indexOf(a as Task) - this.tasks.indexOf(b as Task);
    return parts.map((part) => [...part].toSorted(order).map((task) => this.name(task)));
  }

  tasksBehind(futures: readonly Future[]): Task[] {
    return futures.flatMap((future) => this.behind.get(future) ?? []);
  }

  *waitForFutures(indexes: readonly number[], timeout: number | null, mode: 0 | 1 | 2): Coroutine<unknown> {
    const futures = indexes.map((i) => at(this.futures, i));
    const parts = yield* this.lib.wait(futures, { timeout: seconds(timeout), returnWhen: this.when(mode) });
    return parts.map((part) => indexes.filter((_, i) => part.has(futures[i] as Future)));
  }

  when(mode: 0 | 1 | 2): fibrilAsyncio.ReturnWhen {
    const { lib } = this;
    return ([lib.FIRST_COMPLETED, lib.FIRST_EXCEPTION, lib.ALL_COMPLETED] as const)[mode];
  }

  *gatherFunctions(env: Env, s: Extract<Statement, readonly ["gatherfn", ...unknown[]]>): Coroutine<undefined> {
    const me = this.me();
    const awaited: Task[] = [];
    this.waits.set(me, awaited);
    try {
      const coroutines = s[1].map((fn) => this.fn(env, fn, awaited));
      return yield* this.waiting(s, this.lib.gather(...coroutines, { returnExceptions: s[2] }));
    } finally {
      this.waits.delete(me);
    }
  }

  *eachCompleted(tasks: readonly Task[], timeout: number | null): Coroutine<null> {
    const completed = this.lib.asCompleted(tasks, { timeout });
    for (;;) {
      const { done, value } = yield* completed.anext();
      if (done === true) return null;
      this.log("next", this.name(value as Task));
    }
  }

  *timeout(
    env: Env,
    s: Extract<Statement, readonly ["timeout" | "timeoutat", ...unknown[]]>,
  ): Coroutine<Return | undefined> {
    const timeout = (s[0] === "timeoutat" ? this.lib.timeoutAt : this.lib.timeout)(seconds(s[1]));
    const what = label(s);
    const inner = new Env(env.group, timeout, env.error);
    let result;
    try {
      result = yield* timeout.with(() => this.block(inner, s[2]));
    } catch (error) {
      this.log(what, `!${this.text(error)} ${this.text(timeout.expired())}`);
      throw error;
    }
    this.log(what, this.text(timeout.expired()));
    return result;
  }

  *group(env: Env, s: Extract<Statement, readonly ["group", ...unknown[]]>): Coroutine<Return | undefined> {
    const what = label(s);
    const group = new this.lib.TaskGroup();
    const inner = new Env(group, env.timeout, env.error);
    let result;
    try {
      result = yield* group.with(() => this.block(inner, s[1]));
    } catch (error) {
      this.log(what, `!${this.text(error)}`);
      throw error;
    }
    this.log(what, "ok");
    return result;
  }

  /** `async with` around a block; logs when it is entered, or that it was not. */
  *within(
    env: Env,
    s: Statement,
    manager: { with<T>(body: () => Coroutine<T>): fibrilAsyncio.Awaitable<T> },
    body: Block,
  ): Coroutine<Return | undefined> {
    const run = this;
    const what = label(s);
    let entered = false;
    let result;
    try {
      result = yield* manager.with(function* () {
        entered = true;
        run.log(what, "in");
        return yield* run.block(env, body);
      });
    } catch (error) {
      this.log(what, `${entered ? "out" : ""}!${this.text(error)}`);
      throw error;
    }
    this.log(what, "out");
    return result;
  }

  *tryBlock(
    env: Env,
    body: Block,
    handlers: readonly (readonly [ErrorKind, Block])[],
    last: Block | null,
  ): Coroutine<Return | undefined> {
    let result: Return | undefined;
    let failure: { readonly error: unknown } | null = null;
    try {
      try {
        result = yield* this.block(env, body);
      } catch (error) {
        const handler = handlers.find(([kind]) => this.matches(kind, error));
        if (handler === undefined) throw error;
        this.log("caught", this.text(error));
        result = yield* this.block(new Env(env.group, env.timeout, error), handler[1]);
      }
    } catch (error) {
      failure = { error };
    }
    // `finally`, written out: a `return` in it wins over the error, as in both languages.
    if (last !== null && last.length > 0) {
      this.log("finally");
      const ending = yield* this.block(env, last);
      if (ending !== undefined) return ending;
    }
    if (failure !== null) throw failure.error;
    return result;
  }

  *repeat(env: Env, times: number, body: Block): Coroutine<Return | undefined> {
    for (let i = 0; i < times; i++) {
      const result = yield* this.block(env, body);
      if (result !== undefined) return result;
    }
    return undefined;
  }

  *returning(s: Extract<Statement, readonly ["return", ...unknown[]]>): Coroutine<Return> {
    this.log(label(s));
    return new Return(s[1]);
  }

  *raising(env: Env, s: Extract<Statement, readonly ["raise", ...unknown[]]>): Coroutine<undefined> {
    this.log(label(s));
    const kind = s[1];
    if (kind === "Cancelled") throw new this.lib.CancelledError();
    if (kind === "Timeout") throw new this.lib.TimeoutError();
    if (kind !== "again") throw new E(kind);
    if (env.error !== null) throw env.error;
    return undefined;
  }
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError(`the program has no such resource: ${index}`);
  return item;
}
