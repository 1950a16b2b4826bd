/**
 * Random programs: a small language for everything that a coroutine can do with tasks, scopes and time, an interpreter
 * that runs it on Fibril and keeps the books, and the promises that must hold whatever the program is.
 *
 * Every program ends by itself: sleeps are short, futures are resolved by a timer, and whoever waits for another task
 * gives up after a while. So a program that gets stuck is a bug, and so is each entry in `broken`.
 */
import {
  all,
  Cancelled,
  coroutine,
  currentScope,
  currentTask,
  defer,
  EventLoop,
  Future,
  moveOnAfter,
  race,
  scope,
  shield,
  sleep,
  spawn,
  suppressedErrors,
  timeout,
  TimeoutError,
  use,
  yieldNow,
} from "fibril";
import type { Coroutine, Operation, Scope, Task } from "fibril";
import { WaitQueue } from "fibril/lowlevel";
import { simulateSync } from "fibril/testing";
import type { SimulateOptions } from "fibril/testing";
import fc from "fast-check";

export type Node =
  | { readonly do: "sleep"; readonly ms: number }
  | { readonly do: "yieldNow" }
  | { readonly do: "raise" }
  | { readonly do: "cancelScope"; readonly wait: boolean }
  | { readonly do: "cancelTask"; readonly task: number; readonly wait: boolean }
  | { readonly do: "join"; readonly task: number }
  | { readonly do: "await"; readonly future: number }
  | { readonly do: "resolve"; readonly future: number; readonly fails: boolean }
  | { readonly do: "moveDeadline"; readonly ms: number }
  | { readonly do: "use"; readonly ms: number }
  | { readonly do: "spawn" | "shield" | "frame" | "catch" | "swallow" | "start" | "permit"; readonly body: Body }
  | { readonly do: "defer"; readonly body: Body }
  | { readonly do: "spawnOutside"; readonly scope: number; readonly body: Body }
  | { readonly do: "timeout" | "moveOnAfter"; readonly ms: number; readonly body: Body }
  | { readonly do: "scope"; readonly timeoutMs: number | null; readonly cleanupMs: number | null; readonly body: Body }
  | { readonly do: "tryFinally"; readonly body: Body; readonly cleanup: Body }
  | { readonly do: "all" | "race"; readonly bodies: readonly Body[] };

export type Body = readonly Node[];

const FUTURES = 3;
const PATIENCE_MS = 15; // of whoever waits for another task
const FUTURES_AT_MS = 40;

const ms = fc.integer({ min: 0, max: 4 });
const index = fc.nat({ max: 5 });

const body: fc.Arbitrary<Body> = fc.letrec<{ node: Node; body: Body; leaf: Node }>((tie) => ({
  leaf: fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant("sleep" as const), ms }) },
    { weight: 3, arbitrary: fc.constant({ do: "yieldNow" as const }) },
    { weight: 1, arbitrary: fc.constant({ do: "raise" as const }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("cancelScope" as const), wait: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("cancelTask" as const), task: index, wait: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("join" as const), task: index }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("await" as const), future: index }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("resolve" as const), future: index, fails: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("moveDeadline" as const), ms }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("use" as const), ms }) },
  ),
  node: fc.oneof(
    { depthSize: "max", maxDepth: 4, withCrossShrink: true },
    { weight: 6, arbitrary: tie("leaf") },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constantFrom(
          "spawn" as const,
          "shield" as const,
          "frame" as const,
          "catch" as const,
          "swallow" as const,
          "start" as const,
          "permit" as const,
        ),
        body: tie("body"),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("defer" as const), body: tie("body") }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("spawnOutside" as const), scope: index, body: tie("body") }) },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constantFrom("timeout" as const, "moveOnAfter" as const), ms, body: tie("body") }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant("scope" as const),
        timeoutMs: fc.option(ms),
        cleanupMs: fc.option(ms),
        body: tie("body"),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant("tryFinally" as const), body: tie("body"), cleanup: tie("body") }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constantFrom("all" as const, "race" as const),
        bodies: fc.array(tie("body"), { minLength: 1, maxLength: 3 }),
      }),
    },
  ),
  body: fc.array(tie("node"), { maxLength: 5, size: "max" }),
})).body;

/** A program of random size: often several tasks side by side that survive each other's failures. */
export const program: fc.Arbitrary<Body> = fc.oneof(
  body,
  fc
    .array(body, { minLength: 2, maxLength: 5, size: "max" })
    .map((bodies): Body => bodies.map((it) => ({ do: "spawn", body: [{ do: "catch", body: it }] }))),
);

export interface Result {
  /** What the program broke; empty is right. */
  readonly broken: readonly string[];
  /** Everything that happened, in order. */
  readonly trace: readonly string[];
  readonly steps: number;
}

class Raised extends Error {}

/** Two permits, first come first served: whoever is cancelled must not keep one. */
class Permits {
  free = 2;
  readonly queue = new WaitQueue();

  *acquire(): Coroutine<true> {
    if (this.free > 0) this.free--;
    else yield* this.queue.park("a permit");
    return true;
  }

  release(): void {
    if (this.queue.unpark(1, undefined) === 0) this.free++;
  }
}

interface Opened {
  readonly own: Scope;
  readonly tasks: Task<unknown>[];
  readonly deferred: number[];
}

/** Whom to cancel from outside, and after how many steps. */
export interface Cancellation {
  readonly at: number;
  readonly target: "main" | "stepped";
}

/** Ways to run a program that must make no difference. */
export interface Manner {
  /** Delegates natively where the program says `frame`. */
  readonly withoutFrames?: boolean;
  /** Takes the await stack of every task after every step, which resumes them all. */
  readonly looking?: boolean;
}

/** Runs the program, cancels it from outside if asked, and says what was broken. */
export function execute(
  body: Body,
  options: SimulateOptions = {},
  cancellation?: Cancellation,
  manner: Manner = {},
): Result {
  const books = new Books(manner.withoutFrames !== true);
  const simulation = simulateSync(
    function* main() {
      const loop = EventLoop.current();
      for (const future of books.futures) loop.callLater(FUTURES_AT_MS, () => future.tryResolve());
      yield* books.run(body, "main");
    },
    {
      ...options,
      probe: {
        taskSettled: (task) => void books.settled.add(task.id),
        ...(manner.looking === true ? { afterStep: () => void EventLoop.current().tasks() } : {}),
      },
    },
    (main, stepped, steps) => {
      if (steps !== cancellation?.at) return;
      const task = cancellation.target === "main" || stepped === null ? main : stepped;
      books.cancelledTasks.add(task.id);
      task.cancel("from outside");
    },
  );
  const { outcome } = simulation;
  for (const leak of simulation.leaks) books.broken.push(`leak: ${leak}`);
  for (const report of simulation.reports) {
    if (report.error !== undefined) books.account(report.error);
    if (report.kind !== "cleanup-overrun" && report.kind !== "lost-error")
      books.broken.push(`report ${report.kind}: ${report.message}`);
  }
  if (outcome.status === "failed") {
    books.account(outcome.error);
    if (outcome.error instanceof Cancelled) books.broken.push("main failed with Cancelled itself");
  }
  if (outcome.status === "cancelled" && !books.cancelledTasks.has(1)) books.broken.push("nobody cancelled main");
  books.close();
  books.trace.push(`${outcome.status} at ${simulation.elapsedMs} after ${simulation.steps}`);
  return { broken: books.broken, trace: books.trace, steps: simulation.steps };
}

class Books {
  readonly broken: string[] = [];
  readonly trace: string[] = [];
  readonly settled = new Set<number>();
  readonly cancelledTasks = new Set<number>();
  readonly futures = Array.from({ length: FUTURES }, (_, i) => new Future<void>({ name: `future ${i}` }));
  readonly #tasks: Task<unknown>[] = [];
  readonly #opened: Opened[] = [];
  readonly #raised = new Map<unknown, string>();
  readonly #accounted = new Set<unknown>();
  readonly #finally = new Map<number, "entered" | "cleaning">();
  readonly #held = new Map<number, "taken" | "released">();
  readonly #permits = new Permits();
  /** Bodies of tasks that are running now. */
  readonly #active = new Set<string>();
  /** For each task that cleans up after a cancellation: the scopes in which it began to, innermost last. */
  readonly #cleaning = new Map<number, object[]>();
  readonly #usesFrames: boolean;
  #ids = 0;

  constructor(usesFrames: boolean) {
    this.#usesFrames = usesFrames;
  }

  *run(body: Body, path: string): Coroutine<void> {
    for (const [i, node] of body.entries()) {
      this.#note(`${path}.${i} ${node.do}`);
      yield* this.#step(node, `${path}.${i}`);
    }
  }

  /** What was still open when everything had ended. */
  close(): void {
    for (const error of this.#accounted) for (const later of suppressedErrors(error)) this.#accounted.add(later);
    for (const [error, path] of this.#raised)
      if (!this.#accounted.has(error)) this.broken.push(`the error raised at ${path} is lost`);
    for (const [id, state] of this.#finally) if (state === "entered") this.broken.push(`finally ${id} never ran`);
    for (const [id, state] of this.#held) if (state === "taken") this.broken.push(`resource ${id} was not released`);
    if (this.#permits.free !== 2 || this.#permits.queue.size > 0)
      this.broken.push(`${2 - this.#permits.free} permit(s) lost`);
    for (const it of this.#opened)
      if (it.deferred.length > 0) this.broken.push(`releases ${it.deferred.join()} never ran`);
  }

  /** Somebody has seen this error, with those that were or will be noted under it. */
  account(error: unknown): void {
    this.#accounted.add(error);
  }

  *#step(node: Node, path: string): Coroutine<void> {
    switch (node.do) {
      case "sleep":
        return yield* this.#wait(sleep(node.ms));
      case "yieldNow":
        return yield* this.#wait(yieldNow());
      case "await":
        return yield* this.#wait(this.futures[node.future % FUTURES]!);
      case "raise":
        throw this.#raise(path);
      case "resolve": {
        const future = this.futures[node.future % FUTURES]!;
        if (!node.fails) future.tryResolve();
        else {
          const error = new Raised(`future at ${path}`); // not counted: each of its waiters gets it, maybe none
          future.tryReject(error);
        }
        return;
      }
      case "cancelScope": {
        const own = currentScope();
        const { host } = own as unknown as { host: Task<unknown> };
        if ((own as unknown as { isTaskScope: boolean }).isTaskScope) this.cancelledTasks.add(host.id);
        const end = own.cancel(path);
        if (!node.wait) return;
        yield* this.#patiently(() => this.#wait(end, () => own.isLeft));
        return;
      }
      case "cancelTask": {
        const task = this.#taskAt(node.task);
        if (task === undefined) return;
        this.cancelledTasks.add(task.id);
        const end = task.cancel(path);
        if (node.wait) yield* this.#patiently(() => this.#wait(end, () => task.isSettled));
        return;
      }
      case "join": {
        const task = this.#taskAt(node.task);
        if (task === undefined || task === currentTask()) return;
        return yield* this.#patiently(() => this.#wait(task, () => task.isSettled));
      }
      case "moveDeadline": {
        const own = currentScope();
        if (own.deadline !== Infinity) own.deadline = EventLoop.current().now() + node.ms;
        return;
      }
      case "use": {
        const id = this.#ids++;
        const held = this.#held;
        function* acquire(): Coroutine<Disposable> {
          yield* sleep(node.do === "use" ? node.ms : 0);
          held.set(id, "taken");
          return { [Symbol.dispose]: () => void held.set(id, "released") };
        }
        yield* use(acquire());
        return;
      }
      case "spawn": {
        const own = currentScope();
        this.#admit(
          spawn({ name: path }, () => this.#taskBody(node.body, path)),
          own,
        );
        return;
      }
      case "spawnOutside": {
        const it = this.#opened[node.scope % Math.max(1, this.#opened.length)];
        if (it === undefined) return;
        EventLoop.current().callSoon(() => {
          try {
            const name = `outside ${path}`;
            this.#admit(
              it.own.spawn({ name }, () => this.#taskBody(node.body, name)),
              it.own,
            );
          } catch {
            // The scope has ended: then it takes nobody.
          }
        });
        return;
      }
      case "start": {
        const own = currentScope();
        const books = this;
        yield* own.start(function* (ready: () => void) {
          books.#admit(currentTask(), own);
          yield* books.#taskBody(node.body, path);
          ready();
          yield* sleep(1);
        });
        return;
      }
      case "frame":
        return yield* this.#usesFrames ? runFramed(this, node.body, path) : this.run(node.body, path);
      case "shield":
        return yield* this.#opening(path, (body) => shield(() => body(node.body)));
      case "timeout":
        try {
          return yield* this.#opening(path, (body) => timeout(node.ms, () => body(node.body)));
        } catch (error) {
          if (!(error instanceof TimeoutError)) throw error;
          this.#note(`${path} timed out`);
          return;
        }
      case "moveOnAfter":
        return yield* this.#opening(path, (body) => moveOnAfter(node.ms, () => body(node.body)));
      case "scope": {
        const options = {
          name: path,
          ...(node.timeoutMs === null ? {} : { timeoutMs: node.timeoutMs }),
          ...(node.cleanupMs === null ? {} : { cleanupMs: node.cleanupMs }),
        };
        return yield* this.#opening(path, (body) => scope(() => body(node.body), options));
      }
      case "all":
      case "race": {
        const bodies = node.bodies.map((it, i) => () => this.#taskBody(it, `${path}[${i}]`));
        try {
          if (node.do === "all") yield* all(bodies);
          else yield* race(bodies);
        } finally {
          const active = [...this.#active].filter((it) => it.startsWith(`${path}[`));
          if (active.length > 0) this.broken.push(`${node.do} at ${path} ended before ${active.join()}`);
        }
        return;
      }
      case "permit": {
        const permits = this.#permits;
        if ((yield* moveOnAfter(PATIENCE_MS, permits.acquire())) !== true) return;
        try {
          yield* this.run(node.body, path);
        } finally {
          permits.release();
        }
        return;
      }
      case "catch":
        try {
          return yield* this.run(node.body, path);
        } catch (error) {
          if (error instanceof Cancelled) throw error;
          this.account(error);
          this.#note(`${path} caught`);
          return;
        }
      case "swallow":
        try {
          return yield* this.run(node.body, path);
        } catch (error) {
          this.account(error);
          this.#note(`${path} swallowed`);
          return;
        }
      case "tryFinally": {
        const id = this.#ids++;
        let failure: unknown;
        const task = currentTask();
        try {
          this.#finally.set(id, "entered");
          yield* this.run(node.body, path);
        } catch (error) {
          failure = error;
          throw error;
        } finally {
          if (this.#finally.get(id) !== "entered") this.broken.push(`finally ${id} at ${path} ran twice`);
          this.#finally.set(id, "cleaning");
          const cleaning = this.#cleaning.get(task.id) ?? [];
          this.#cleaning.set(task.id, cleaning);
          if (failure instanceof Cancelled) cleaning.push(currentScope());
          try {
            yield* this.run(node.cleanup, `${path}!`);
          } catch (error) {
            this.account(failure); // JavaScript itself forgets it: an error in `finally` takes its place
            throw error; // oxlint-disable-line no-unsafe-finally -- that is what the program does
          } finally {
            if (failure instanceof Cancelled) cleaning.pop();
          }
        }
        return;
      }
      case "defer":
        this.#defer(node.body, path);
        return;
    }
  }

  /** A wait, with a look at what it throws. */
  *#wait(operation: Operation<unknown>, holds: () => boolean = () => true): Coroutine<void> {
    const task = currentTask();
    try {
      yield* operation;
      if (!holds()) this.broken.push(`${task.name} went on before what it waited for had ended`);
    } catch (error) {
      if (error instanceof Cancelled) this.#checkCancelled(task, error);
      throw error;
    } finally {
      if (this.settled.has(task.id)) this.broken.push(`task ${task.name} ran after it had settled`);
      if (currentTask() !== task) this.broken.push(`${task.name} was resumed as ${currentTask().name}`);
    }
  }

  /** A cancellation arrives only inside the scope that was cancelled, and not through a shield. */
  #checkCancelled(task: Task<unknown>, cancelled: Cancelled): void {
    const cleaningIn = this.#cleaning.get(task.id)?.at(-1);
    let isOutside = false;
    for (let it = task.scope as typeof task.scope | null; it !== null; it = it.parent) {
      if (it === cleaningIn) isOutside = true;
      if (it === cancelled.scope) {
        if (it.cancelled !== cancelled) this.broken.push(`${task.name} got a Cancelled that is not its scope's`);
        if (isOutside && !it.isExpired) this.broken.push(`${task.name} was interrupted in its cleanup`);
        return;
      }
      if (it.isShield) {
        this.broken.push(`a cancellation went through a shield in ${task.name}`);
        return;
      }
    }
    this.broken.push(`${task.name} got the cancellation of a scope that it is not in`);
  }

  *#patiently(body: () => Coroutine<void>): Coroutine<void> {
    try {
      yield* moveOnAfter(PATIENCE_MS, body);
    } catch (error) {
      if (error instanceof Cancelled || error instanceof Raised) throw error;
      this.account(error);
    }
  }

  *#taskBody(body: Body, path: string): Coroutine<void> {
    this.#note(`${path} begins`);
    this.#active.add(path);
    try {
      yield* this.run(body, path);
    } finally {
      this.#active.delete(path);
      this.#note(`${path} body ends`);
    }
  }

  /** Runs a body in a scope that `enter` opens, and looks whether the scope has really ended afterwards. */
  *#opening(path: string, enter: (inside: (body: Body) => Coroutine<void>) => Coroutine<unknown>): Coroutine<void> {
    const books = this;
    let own: Scope | undefined = undefined;
    function* inside(body: Body): Coroutine<void> {
      own = currentScope();
      books.#open(own);
      yield* books.run(body, path);
    }
    try {
      yield* enter(inside);
    } finally {
      books.#left(own, path);
    }
  }

  #open(own: Scope): Opened {
    let it = this.#opened.find((other) => other.own === own);
    if (it === undefined) this.#opened.push((it = { own, tasks: [], deferred: [] }));
    return it;
  }

  #left(own: Scope | undefined, path: string): void {
    const it = this.#opened.find((other) => other.own === own);
    if (it === undefined) return;
    if (!it.own.isLeft || it.own.size > 0) this.broken.push(`scope ${path} ended with ${it.own.size} task(s)`);
    for (const task of it.tasks)
      if (!task.isSettled) this.broken.push(`scope ${path} ended before its task ${task.name}`);
    if (it.deferred.length > 0) this.broken.push(`scope ${path} ended before its releases ${it.deferred.join()}`);
  }

  #admit(task: Task<unknown>, own: Scope): void {
    this.#tasks.push(task);
    this.#open(own).tasks.push(task);
  }

  #taskAt(at: number): Task<unknown> | undefined {
    return this.#tasks.length === 0 ? undefined : this.#tasks[at % this.#tasks.length];
  }

  #defer(body: Body, path: string): void {
    const id = this.#ids++;
    const it = this.#open(currentScope());
    it.deferred.push(id);
    const books = this;
    defer(function* () {
      if (it.deferred.pop() !== id) books.broken.push(`release ${id} at ${path} ran out of order, or twice`);
      if (it.tasks.some((task) => !task.isSettled))
        books.broken.push(`release ${id} at ${path} ran before the tasks had ended`);
      books.#note(`${path} releases`);
      yield* books.run(body, `${path}~`);
    });
  }

  #raise(path: string): Raised {
    const error = new Raised(path);
    this.#raised.set(error, path);
    return error;
  }

  #note(text: string): void {
    if (this.settled.has(currentTask().id)) this.broken.push(`${text}: after its task had settled`);
    this.trace.push(`${EventLoop.current().now()} ${text}`);
  }
}

const runFramed = coroutine(function* runFramed(books: Books, body: Body, path: string): Coroutine<void> {
  yield* books.run(body, path);
});
