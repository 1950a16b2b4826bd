/**
 * Children that are restarted when they fail, as Erlang's supervisors do it.
 *
 * Strategies, restart types and the limit on restarts are those of the OTP design principles ("Supervisor Behaviour"); the
 * default limit, 3 within 5 seconds, is Elixir's. What is added is a delay before a restart.
 *
 * Two tasks make a supervisor. The children live in a shielded scope of a keeper task, so a cancellation from outside does not
 * reach all of them at once; it reaches the task that called `run`, which stops them one by one, the youngest first, and
 * then lets the keeper go. If the time for cleanup is over before that, the rest is cancelled together.
 *
 * A failure that leads to a restart is reported (`onRestart`), never lost: nobody else will see it.
 */
import { Cancelled, describeValue, Future, Scope, UsageError } from "../core/index.ts";
import type { Coroutine, Operation, Outcome, Task } from "../core/index.ts";
import { checkCount, checkMs, RestartLimitError } from "./errors.ts";
import { Child, Ended } from "./supervised-child.ts";
import type { RestartPolicy } from "./supervised-child.ts";

/** A child, or a child with a restart policy of its own. It is called again for every start. */
export type ChildBody =
  | (() => Operation<unknown>)
  | { readonly run: () => Operation<unknown>; readonly restart?: RestartPolicy };

/** What is told before a child is started again. */
export interface Restart {
  readonly child: string;
  readonly outcome: Outcome<unknown>;
  /** Which restart of the supervisor it is within `withinMs`, from 1. */
  readonly restart: number;
  /** When it comes, from now. */
  readonly delayMs: number;
}

export interface SuperviseOptions {
  /** Shown in messages and as the name of the keeper task. Default: `"supervisor"`. */
  readonly name?: string;
  /**
   * Who is started again with a child that has ended: it alone (`"oneForOne"`, default), all (`"oneForAll"`), or it and those
   * that stand after it (`"restForOne"`). The others are stopped first, the last one first; those that had ended are started
   * too, except with the policy `"never"`.
   */
  readonly strategy?: "oneForOne" | "oneForAll" | "restForOne";
  /**
   * Which ends lead to a restart: `"onFailure"` (default), `"always"`, also when it returned or cancelled itself, or `"never"`.
   */
  readonly restart?: RestartPolicy;
  /** How many restarts there may be within `withinMs` before the supervisor gives up. Default: 3. */
  readonly maxRestarts?: number;
  /** In milliseconds. Default: 5,000. */
  readonly withinMs?: number;
  /**
   * How long to wait before a restart, in milliseconds: a number, or a function of the number of the restart within
   * `withinMs`, from 1, for a backoff. Default: 0. Meanwhile the other children go on.
   */
  readonly delayMs?: number | ((restart: number) => number);
  /** Hears of every restart. Default: a failure is reported to the loop's `onReport`. */
  readonly onRestart?: (restart: Restart) => void;
}

export interface SupervisorStatistics {
  readonly name: string;
  /** Since it was started. */
  readonly restarts: number;
  readonly children: readonly ChildStatistics[];
}

export interface ChildStatistics {
  readonly name: string;
  /** `"delayed"`: it will be started again; `"ended"`: it will not. */
  readonly state: "running" | "delayed" | "ended";
  /** How often it was started. */
  readonly starts: number;
}

/**
 * Runs the children, each in a task of its own with its name, and starts those again that end; see the options.
 *
 * Returns when all children have ended for good. A failure of a child whose policy is `"never"` is reported to the loop's
 * `onReport` and ends only that child. Cancelling stops the children one by one, the last one first, and waits for each;
 * what a cleanup throws is thrown.
 * @throws {RestartLimitError} when there would be more than `maxRestarts` restarts within `withinMs`; `cause` is the last
 * failure. The children are stopped first, in reverse order.
 * @throws {UsageError} at once when an option or a child is wrong.
 * @example
 * yield* supervise({ reader, writer }, { strategy: "oneForAll", delayMs: (n) => Math.min(30_000, 100 * 2 ** n) });
 */
export function supervise(
  children: Readonly<Record<string, ChildBody>>,
  options: SuperviseOptions = {},
): Operation<void> {
  return new Supervisor(children, options).run();
}

function checkChildren(children: unknown): void {
  if (typeof children === "object" && children !== null && !(Symbol.iterator in children)) return;
  throw new UsageError(
    `supervise takes a record of children, got ${describeValue(children)}; write supervise({ worker })`,
  );
}

/**
 * The long form of `supervise`, for those who want to look at it while it runs.
 * @example
 * const supervisor = new Supervisor({ reader, writer }); spawn(() => supervisor.run()); supervisor.statistics();
 */
export class Supervisor {
  readonly name: string;
  readonly #children: Child[];
  readonly #strategy: "oneForOne" | "oneForAll" | "restForOne";
  readonly #maxRestarts: number;
  readonly #withinMs: number;
  readonly #delayMs: number | ((restart: number) => number);
  readonly #onRestart: ((restart: Restart) => void) | null;
  /** When the restarts of the last `withinMs` were. */
  #recent: number[] = [];
  #restarts = 0;
  #isRunning = false;

  constructor(children: Readonly<Record<string, ChildBody>>, options: SuperviseOptions = {}) {
    const { strategy = "oneForOne", maxRestarts = 3, withinMs = 5_000, delayMs = 0, restart = "onFailure" } = options;
    checkOneOf("strategy", strategy, ["oneForOne", "oneForAll", "restForOne"]);
    checkChildren(children);
    checkCount("maxRestarts", maxRestarts, 0);
    checkMs("withinMs", withinMs);
    if (typeof delayMs !== "function") checkMs("delayMs", delayMs);
    this.name = options.name ?? "supervisor";
    this.#strategy = strategy;
    this.#maxRestarts = maxRestarts;
    this.#withinMs = withinMs;
    this.#delayMs = delayMs;
    this.#onRestart = options.onRestart ?? null;
    this.#children = Object.entries(children).map(([name, body], position) => {
      const { run, restart: own = restart } = typeof body === "function" ? { run: body } : body;
      if (typeof run !== "function")
        throw new UsageError(`child "${name}" must be a function, since it may be started again`);
      checkOneOf(`restart of child "${name}"`, own, ["always", "onFailure", "never"]);
      return new Child(name, position, run, own);
    });
  }

  /** The task of a child that runs now, or `null`. */
  child(name: string): Task<unknown> | null {
    return this.#children.find((child) => child.name === name)?.task ?? null;
  }

  statistics(): SupervisorStatistics {
    return Object.freeze({
      name: this.name,
      restarts: this.#restarts,
      children: Object.freeze(
        this.#children.map(({ name, state, starts }) => Object.freeze({ name, state, starts } as const)),
      ),
    });
  }

  /** See `supervise`. @throws {UsageError} when it runs already. */
  *run(): Coroutine<void> {
    if (this.#isRunning) throw new UsageError(`supervisor "${this.name}" runs already`);
    this.#isRunning = true;
    try {
      const scope = Scope.enter({ name: this.name });
      yield* scope.run(this.#keepAndWatch(scope));
      if (scope.isCaught) throw scope.asError();
    } finally {
      for (const child of this.#children) child.retire();
      this.#isRunning = false;
    }
  }

  *#keepAndWatch(scope: Scope): Coroutine<void> {
    const kept = new Future<Scope>({ name: `supervisor "${this.name}" to begin` });
    const released = new Future<void>({ name: `end of supervisor "${this.name}"` });
    const ended = new Ended(this.name);
    scope.launch(keep(kept, released), this.name);
    try {
      yield* this.#watch(yield* kept, ended);
    } catch (error) {
      const later = yield* this.#stopAll();
      if (!(error instanceof Cancelled)) scope.fail(error); // before what came after it
      for (const failure of later) scope.fail(failure);
      throw error;
    } finally {
      released.resolve();
    }
  }

  *#watch(home: Scope, ended: Ended): Coroutine<void> {
    const { loop } = home;
    this.#recent = [];
    this.#restarts = 0;
    for (const child of this.#children) child.dueAt = loop.now();
    for (;;) {
      for (const child of this.#children) if (child.isDue(loop.now())) child.start(home, ended);
      if (this.#children.every((child) => child.state === "ended")) return;
      const child = yield* ended.until(Math.min(...this.#children.map((it) => it.dueAt)));
      if (child !== undefined) yield* this.#childEnded(child, home, ended);
    }
  }

  *#childEnded(child: Child, home: Scope, ended: Ended): Coroutine<void> {
    const outcome = child.takeOutcome()!;
    const isFailure = outcome.status === "failed";
    if (child.policy === "never" || (child.policy === "onFailure" && !isFailure)) {
      if (isFailure) report(home, `child "${child.name}" of supervisor "${this.name}" failed for good:`, outcome.error);
      return;
    }
    const { loop } = home;
    this.#recent = this.#recent.filter((at) => at > loop.now() - this.#withinMs);
    if (this.#recent.length >= this.#maxRestarts)
      throw new RestartLimitError(this.name, child.name, this.#maxRestarts, this.#withinMs, outcome);
    this.#recent.push(loop.now());
    this.#restarts++;
    const restart = this.#recent.length;
    const delayMs = typeof this.#delayMs === "function" ? this.#delayMs(restart) : this.#delayMs;
    checkMs("delayMs", delayMs);
    if (this.#onRestart !== null) this.#onRestart({ child: child.name, outcome, restart, delayMs });
    else if (isFailure) {
      const count = `restart ${restart} of ${this.#maxRestarts} within ${this.#withinMs} ms`;
      report(
        home,
        `child "${child.name}" of supervisor "${this.name}" failed and is restarted, ${count}:`,
        outcome.error,
      );
    }
    const group = this.#groupOf(child);
    for (const other of group.toReversed()) yield* this.#stopForRestart(other, ended);
    for (const it of group) if (it.policy !== "never") it.dueAt = loop.now() + delayMs;
  }

  #groupOf(child: Child): Child[] {
    if (this.#strategy === "oneForOne") return [child];
    return this.#strategy === "oneForAll" ? this.#children : this.#children.slice(child.position);
  }

  *#stopForRestart(child: Child, ended: Ended): Coroutine<void> {
    const { task } = child;
    child.dueAt = Infinity;
    if (task === null) return;
    yield* task.cancel(`supervisor "${this.name}" restarts it`);
    ended.drop(child);
    const outcome = child.takeOutcome()!;
    if (outcome.status === "failed") this.#reportStopped(child, task, outcome.error);
  }

  #reportStopped(child: Child, task: Task<unknown>, error: unknown): void {
    const message = `child "${child.name}" of supervisor "${this.name}" failed while it was stopped:`;
    report(task.owner as Scope, message, error);
  }

  /** Stops the children one by one, the last one first; gives what they failed with meanwhile. */
  *#stopAll(): Coroutine<unknown[]> {
    const failures: unknown[] = [];
    for (const child of this.#children.toReversed()) {
      const { task } = child;
      if (task === null) continue;
      const end = task.cancel(`supervisor "${this.name}" stops it`);
      const isStopping = task.unwinding !== null; // else it was about to go on, perhaps to its own end
      // The first time a cancellation may come in between; the second time no time is left to wait: the scope will.
      for (let attempt = 0; attempt < 2 && !task.isSettled; attempt++) {
        try {
          yield* end;
        } catch (error) {
          if (!(error instanceof Cancelled)) throw error;
        }
      }
      if (!task.isSettled) {
        task.unwatch(child); // its failure is the scope's
        continue;
      }
      const outcome = child.takeOutcome()!;
      if (outcome.status !== "failed") continue;
      if (isStopping) failures.push(outcome.error); // its cleanup is broken
      else this.#reportStopped(child, task, outcome.error); // it would have been restarted
    }
    return failures;
  }
}

/** The task that the children belong to. */
function* keep(kept: Future<Scope>, released: Future<void>): Coroutine<void> {
  // The supervisor hears of failures and looks at them; only those that come too late for it are left.
  const onChildFailure = (_task: Task<unknown>, error: unknown): void => home.fail(error);
  const home = Scope.enter({ name: "children", isShield: true, onChildFailure });
  kept.resolve(home);
  yield* home.run(released);
}

function report(scope: Scope, message: string, error: unknown): void {
  scope.loop.report({ kind: "unobserved-failure", message, error });
}

function checkOneOf(what: string, value: unknown, allowed: readonly string[]): void {
  if (typeof value === "string" && allowed.includes(value)) return;
  throw new UsageError(`${what} must be one of ${allowed.join(", ")}, got ${describeValue(value)}`);
}
