/**
 * The machine behind `debounce` and `throttle`: calls come from anywhere, runs begin at a pace.
 *
 * In a structured program a delayed call must belong to somebody. Here it is a task of the scope that made the function: from the call on
 * that waits for its time until the run has ended. So the scope waits for what was promised, cancelling the scope takes it back, a
 * failure is the scope's, and the inspector shows it. Between calls there is no task and no timer: nothing has to be released.
 *
 * At most one call is pending, with the latest arguments, and at most one run goes on. The pace says when a pending call is due.
 * Rejected: one long-lived worker task (the scope would never end).
 */
import { currentScope, Future, running, toOperation, UsageError, Wait } from "../core/index.ts";
import type { Coroutine, Operation, Scope, Started, Task, Waiter } from "../core/index.ts";
import { checkChoice, checkFunction } from "./limits.ts";

/** When calls are due. Times are milliseconds of the loop's clock. */
export interface Pace {
  /** A call came while none is pending. When it is due; `"at once"`: nothing that follows changes it; `null`: it is left out. */
  first(now: number): number | "at once" | null;
  /** A call came while one is pending that was due at `due`. When it is due now. */
  again(now: number, due: number): number;
  /** A run begins. */
  began(now: number): void;
}

export interface PacedOptions {
  /** Whose tasks the runs are. Default: the current scope. */
  readonly scope?: Scope;
  /** What a run does that is due while the one before still goes on. `"await"` (default): waits for it. `"cancel"`: cancels it first. */
  readonly previous?: "await" | "cancel";
  /** Shown to those who look. Default: the name of the function. */
  readonly name?: string;
}

/** A function whose calls are paced. */
export interface PacedFunction<Args extends readonly unknown[]> {
  /** Asks for a run with these arguments. Plain, may be called from anywhere. @throws {ScopeClosedError} when the scope has ended. */
  (...args: Args): void;
  /** Whether a call waits for its time. */
  readonly isPending: boolean;
  /**
   * Makes the pending call due now; the operation completes when no run goes on any more that had been asked for by then.
   * @throws {UsageError} in a run of its own, which would wait for itself.
   */
  flush(): Operation<void>;
  /** Forgets the pending call. A run that has begun goes on. */
  cancel(): void;
  statistics(): PacedStatistics;
}

/** Counts of one paced function, at one moment. */
export interface PacedStatistics {
  readonly calls: number;
  readonly runs: number;
  readonly isPending: boolean;
  readonly isRunning: boolean;
}

export function paced<Args extends readonly unknown[]>(
  what: "debounce" | "throttle",
  pace: Pace,
  fn: (...args: Args) => Operation<unknown>,
  options: PacedOptions,
): PacedFunction<Args> {
  checkFunction(what, fn, "a coroutine function");
  const { previous = "await", scope = currentScope() } = options;
  const name = options.name ?? (fn.name === "" ? what : fn.name);
  checkChoice(`\`previous\` of "${name}"`, previous, ["await", "cancel"]);
  const calls = new PacedCalls(pace, fn, scope, previous === "cancel", name);
  const call = (...args: Args): void => calls.call(args);
  Object.defineProperty(call, "name", { value: name });
  Object.defineProperty(call, "isPending", { get: () => calls.isPending });
  return Object.assign(call as PacedFunction<Args>, {
    flush: () => calls.flush(),
    cancel: () => calls.cancel(),
    statistics: () => calls.statistics(),
  });
}

class PacedCalls<Args extends readonly unknown[]> {
  readonly name: string;
  readonly #pace: Pace;
  readonly #fn: (...args: Args) => Operation<unknown>;
  readonly #scope: Scope;
  readonly #cancelsPrevious: boolean;
  #pending: Pending<Args> | null = null;
  /** The task whose run has begun last. */
  #latest: Task<void> | null = null;
  #calls = 0;
  #runs = 0;

  constructor(
    pace: Pace,
    fn: (...args: Args) => Operation<unknown>,
    scope: Scope,
    cancelsPrevious: boolean,
    name: string,
  ) {
    this.#pace = pace;
    this.#fn = fn;
    this.#scope = scope;
    this.#cancelsPrevious = cancelsPrevious;
    this.name = name;
  }

  get isPending(): boolean {
    return this.#pending !== null;
  }

  get #isRunning(): boolean {
    return this.#latest !== null && !this.#latest.isSettled;
  }

  call(args: Args): void {
    const now = this.#scope.loop.now();
    this.#calls++;
    const pending = this.#pending;
    if (pending !== null) {
      pending.args = args;
      pending.due = this.#pace.again(now, pending.due);
      return;
    }
    const first = this.#pace.first(now);
    if (first === null) return;
    if (first === "at once" && !this.#isRunning) {
      this.#latest = this.#scope.launch(this.#run(args), this.name);
      this.#begin(now);
      return;
    }
    const due = first === "at once" ? now : first;
    const next: Pending<Args> = { args, due, task: null, wait: null };
    next.task = this.#scope.launch(this.#runLater(next), this.name);
    this.#pending = next;
  }

  flush(): Operation<void> {
    const pending = this.#pending;
    if (this.#isRunning && running.task === this.#latest) {
      throw new UsageError(
        `a run of "${this.name}" cannot flush() itself, it would wait for its own end; call it again instead`,
        "SELF_JOIN",
      );
    }
    if (pending === null) return endOf(this.#latest);
    pending.due = -Infinity;
    pending.wait?.end();
    return endOf(pending.task);
  }

  cancel(): void {
    const pending = this.#pending;
    if (pending === null) return;
    this.#pending = null;
    pending.task!.cancel(`the pending call of "${this.name}" was cancelled`);
  }

  statistics(): PacedStatistics {
    return Object.freeze({
      calls: this.#calls,
      runs: this.#runs,
      isPending: this.isPending,
      isRunning: this.#isRunning,
    });
  }

  *#runLater(pending: Pending<Args>): Coroutine<void> {
    const { loop } = this.#scope;
    try {
      for (;;) {
        // Calls that come while it waits move the time, so look again after each wait.
        if (loop.now() < pending.due) yield* (pending.wait = new Due(this.name, pending.due));
        else if (this.#isRunning) {
          const previous = this.#latest!;
          if (this.#cancelsPrevious) yield* previous.cancel(`a newer call of "${this.name}" is due`);
          else yield* endOf(previous);
        } else break;
      }
      if (this.#pending !== pending) return; // cancelled when it could not take a cancellation any more
    } finally {
      if (this.#pending === pending) this.#pending = null;
    }
    this.#latest = pending.task;
    this.#begin(loop.now());
    yield* this.#run(pending.args);
  }

  /** At the call where it can be: a second call in the same step has to know. */
  #begin(now: number): void {
    this.#runs++;
    this.#pace.began(now);
  }

  *#run(args: Args): Coroutine<void> {
    yield* toOperation(() => this.#fn(...args));
  }
}

/** A call that waits for its time, or for the run before it. */
interface Pending<Args> {
  args: Args;
  due: number;
  task: Task<void> | null;
  wait: Due | null;
}

/** Waits for the time of a call; a flush ends it earlier. */
class Due extends Wait<void> {
  readonly #name: string;
  readonly #due: number;
  #waiter: Waiter | null = null;

  constructor(name: string, due: number) {
    super();
    this.#name = name;
    this.#due = due;
  }

  get reason(): string {
    return `the time of the pending call of "${this.#name}"`;
  }

  protected start(task: Waiter): Started<void> {
    this.#waiter = task;
    if (this.#due !== Infinity) task.loop.addTimer(task, this.#due);
    return task.park(this);
  }

  withdraw(task: Waiter): boolean {
    task.loop.removeTimer(task);
    return true;
  }

  end(): void {
    const waiter = this.#waiter;
    if (waiter !== null && waiter.wake(this, undefined)) waiter.loop.removeTimer(waiter);
  }
}

/** Waits until the task has settled, however it ended: a failure is its scope's. */
function* endOf(task: Task<void> | null): Coroutine<void> {
  if (task === null || task.isSettled) return;
  const end = new Future<void>({ name: `end of "${task.name}"` });
  const watcher = { before: null, after: null, taskSettled: () => void end.tryResolve() };
  task.watch(watcher);
  try {
    yield* end;
  } finally {
    task.unwatch(watcher);
  }
}
