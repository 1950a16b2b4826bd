/**
 * Looking after tasks that somebody else owns: wait for some of them, for a while, and touch none.
 */
import { describeValue, sharedWait, UsageError, Wait } from "../core/index.ts";
import type { Operation, Started, Task, Timer, Waiter, Watcher } from "../core/index.ts";
import { checkMs } from "./errors.ts";
import { checkList, heldTask } from "./operands.ts";
import type { TaskOrHolder } from "./operands.ts";

export interface WaitOptions {
  /** How long to wait at most, in milliseconds. Default: for ever. Zero looks at once. */
  readonly timeoutMs?: number;
  /**
   * `"all"` have settled (default), the `"first"` has, or the `"firstFailure"` has come: a task that was cancelled is no
   * failure, and without one it waits for all.
   */
  readonly returnWhen?: "all" | "first" | "firstFailure";
}

/** Both in the order of the operands. */
export interface WaitResult<AnyTask> {
  readonly done: AnyTask[];
  readonly pending: AnyTask[];
}

/**
 * Waits for tasks without joining them: tells which have settled and which have not. It throws nothing that they threw, not
 * even when the time runs out, and cancels nobody. Of no tasks it gives two empty lists at once.
 *
 * A failure among `done` counts as seen only when somebody looks at it; with `"firstFailure"` this call looks.
 * Cancelling the wait leaves the tasks alone.
 * @throws {UsageError} at once when an operand is no task or an option is wrong.
 * @example
 * const { done, pending } = yield* wait(tasks, { timeoutMs: 500, returnWhen: "first" });
 * for (const task of pending) task.cancel();
 */
export function wait<AnyTask extends TaskOrHolder<unknown>>(
  tasks: readonly AnyTask[],
  options: WaitOptions = {},
): Operation<WaitResult<AnyTask>> {
  const { timeoutMs = Infinity, returnWhen = "all" } = options;
  checkMs("timeoutMs", timeoutMs);
  if (!["all", "first", "firstFailure"].includes(returnWhen)) {
    throw new UsageError(
      `returnWhen must be "all", "first" or "firstFailure", got ${describeValue(returnWhen as unknown)}`,
    );
  }
  checkList("wait", tasks);
  for (const task of tasks) {
    if (heldTask(task) === null)
      throw new UsageError(`wait() takes tasks, got ${describeValue(task)}; spawn() what is to be waited for`);
  }
  return new WaitFor([...tasks], timeoutMs, returnWhen);
}

class WaitFor<AnyTask extends TaskOrHolder<unknown>> extends Wait<WaitResult<AnyTask>> implements Timer, Watcher {
  heapIndex = -1;
  /** It stands in no list: see `Task.watchAlone`. */
  before: Watcher | null = null;
  after: Watcher | null = null;
  readonly #tasks: readonly AnyTask[];
  readonly #timeoutMs: number;
  readonly #returnWhen: "all" | "first" | "firstFailure";
  #waiter: Waiter | null = null;
  /** For tasks that others watch too. */
  #watches: Watch[] = [];
  #open = 0;
  #isExternal = false;

  constructor(tasks: readonly AnyTask[], timeoutMs: number, returnWhen: "all" | "first" | "firstFailure") {
    super();
    this.#tasks = tasks;
    this.#timeoutMs = timeoutMs;
    this.#returnWhen = returnWhen;
  }

  get reason(): string {
    const open = this.#tasks.filter(({ task }) => !task.isSettled).map(({ task }) => `"${task.name}"`);
    const shown = open.length > 3 ? `${open.slice(0, 3).join(", ")} and ${open.length - 3} more` : open.join(", ");
    const which = { all: "all", first: "the first", firstFailure: "the first failure" }[this.#returnWhen];
    return `${which} of task(s) ${shown}`;
  }

  override get external(): boolean {
    return this.#isExternal;
  }

  protected start(task: Waiter): Started<WaitResult<AnyTask>> {
    if (this.#waiter !== null) throw sharedWait("wait");
    const result = this.#result();
    if (result.pending.length === 0 || this.#timeoutMs === 0 || result.done.some((it) => this.#isEnough(it.task)))
      return task.complete(this, result);
    this.#isExternal = false;
    for (const { task: pending } of result.pending) {
      if ((pending as unknown) === task.task)
        throw new UsageError(`task "${task.name}" cannot wait for itself`, "SELF_JOIN");
      if (pending.loop !== task.loop) this.#isExternal = true;
    }
    this.#waiter = task;
    this.#open = result.pending.length;
    for (const { task: pending } of result.pending) {
      if (!pending.watchAlone(this)) pending.watch(this.watcherOf(pending));
    }
    if (this.#timeoutMs !== Infinity) task.loop.addTimer(this, task.loop.now() + this.#timeoutMs);
    return task.park(this);
  }

  withdraw(): boolean {
    this.#stop();
    return true;
  }

  /** The time is over. @internal */
  fire(): void {
    const waiter = this.#waiter;
    if (waiter === null) return;
    this.#stop();
    waiter.wake(this, this.#result());
  }

  /** @internal */
  watcherOf(task: Task<unknown>): Watch {
    const watch = new Watch(this as never, task);
    this.#watches.push(watch);
    return watch;
  }

  /** @internal */
  taskSettled(task: Task<unknown>): void {
    if (--this.#open === 0 || this.#isEnough(task)) this.fire();
  }

  #isEnough(task: Task<unknown>): boolean {
    if (this.#returnWhen === "first") return true;
    return this.#returnWhen === "firstFailure" && task.outcome!.status === "failed";
  }

  #result(): WaitResult<AnyTask> {
    const done: AnyTask[] = [];
    const pending: AnyTask[] = [];
    for (const it of this.#tasks) (it.task.isSettled ? done : pending).push(it);
    return { done, pending };
  }

  #stop(): void {
    this.#waiter?.loop.removeTimer(this);
    this.#waiter = null;
    if (this.#open > 0) for (const { task } of this.#tasks) task.unwatch(this);
    for (const watch of this.#watches) watch.task.unwatch(watch);
    this.#watches = [];
  }
}

class Watch implements Watcher {
  before: Watch | null = null;
  after: Watch | null = null;
  readonly task: Task<unknown>;
  readonly #waits: WaitFor<TaskOrHolder<unknown>>;

  constructor(waits: WaitFor<TaskOrHolder<unknown>>, task: Task<unknown>) {
    this.#waits = waits;
    this.task = task;
  }

  taskSettled(task: Task<unknown>): void {
    this.#waits.taskSettled(task);
  }
}
