/**
 * A group of tasks that end together.
 *
 * The first error of a task, or of the body, cancels all that are left and the body, waits for them, and is thrown as one
 * `ExceptionGroup` with all others. A task that is cancelled on its own is no error. How the cancellation of the parent by the group
 * is told from one by somebody else, is by counting (`uncancel`), and by asking the parent again where it was somebody else.
 *
 * Semantics of CPython 3.14, with `cancel()` of 3.15rc1, the judge that we can ask. Two of its traps were closed after that (gh-155433, gh-155418)
 * and are open here: a cancellation by somebody else that arrives while a group ends by `cancel()` is lost, and an eager task that cancels
 * its group in its first step does not belong to it yet. The tasks are cancelled in the order of creation; CPython's order is that of a set.
 */
import { CancelledError, endsProgram, RuntimeError } from "./errors.ts";
import { ExceptionGroup } from "./exception-group.ts";
import { getRunningLoop } from "./event-loop.ts";
import type { EventLoop } from "./event-loop.ts";
import type { Awaitable, Coroutine, Future } from "./future.ts";
import { currentTask } from "./task.ts";
import type { Task, TaskOptions } from "./task.ts";

const NOTHING: unique symbol = Symbol("no error");

/**
 * @example
 * yield* new TaskGroup().with(function* (group) {
 *   group.createTask(worker(1));
 *   group.createTask(worker(2));
 * }); // both are done here
 */
export class TaskGroup {
  #entered = false;
  #exiting = false;
  #aborting = false;
  #cancelOnEnter = false;
  #loop: EventLoop | null = null;
  #parent: Task<unknown> | null = null;
  #parentCancelRequested = false;
  readonly #tasks = new Set<Task<unknown>>();
  #errors: unknown[] = [];
  #fatal: unknown = NOTHING;
  #allDone: Future<void> | null = null;
  readonly #taskDone = (task: Future<unknown>): void => this.#onTaskDone(task as Task<unknown>);

  /**
   * Runs `body`, then waits for all tasks of the group; Python's `async with`. Can be used once.
   *
   * When the calling task is cancelled, body and tasks are cancelled, and `CancelledError` comes after the last of them; errors
   * that happen meanwhile win over it, and the request is then made anew, for the next wait.
   * @returns What `body` returns; `undefined` when `cancel()` has cut it short.
   * @throws {ExceptionGroup} of all errors, in the order in which they happened; that of the body is the last.
   */
  *with<T>(body: (group: this) => Awaitable<T>): Coroutine<T | undefined> {
    this.#enter();
    let result: T | undefined;
    let error: unknown = NOTHING;
    try {
      result = yield* body(this);
    } catch (thrown) {
      error = thrown;
    }
    try {
      yield* this.#exit(error);
    } finally {
      this.#parent = null;
      this.#errors = [];
      this.#fatal = NOTHING;
    }
    return result;
  }

  /**
   * Adds a task. Possible from when the group is entered until its last task is done, by the body as well as by tasks.
   * @throws {RuntimeError} before, after, and while the group is shutting down; the coroutine never begins then.
   */
  createTask<T>(coroutine: Coroutine<T>, options?: TaskOptions): Task<T> {
    if (!this.#entered) throw this.#refuse(coroutine, "has not been entered; add tasks in the body given to with()");
    if (this.#exiting && this.#tasks.size === 0)
      throw this.#refuse(coroutine, "is finished; add tasks before its last one ends");
    if (this.#aborting) throw this.#refuse(coroutine, "is shutting down and takes no more tasks");
    const task = this.#loop!.createTask(coroutine, options);
    if (this.#parent !== null) task.addAwaiter(this.#parent as Future<unknown>);
    this.#tasks.add(task as Task<unknown>);
    task.addDoneCallback(this.#taskDone);
    return task;
  }

  /**
   * Ends the group on purpose: cancels its tasks and its body, and `with` returns as if all was done. Before the group is entered, it is
   * ended at its entry; afterwards this does nothing. Idempotent. New in Python 3.15.
   * When the calling task is cancelled by somebody else while the group ends, that request counts but is not thrown.
   */
  cancel(): void {
    if (!this.#entered) {
      this.#cancelOnEnter = true;
      return;
    }
    if ((this.#exiting && this.#tasks.size === 0) || this.#aborting) return;
    this.#abort();
    if (this.#parent === null || this.#parentCancelRequested) return;
    this.#parentCancelRequested = true;
    this.#parent.cancel();
  }

  toString(): string {
    const state = this.#aborting ? " cancelling" : this.#entered ? " entered" : "";
    return `<TaskGroup tasks=${this.#tasks.size} errors=${this.#errors.length}${state}>`;
  }

  #refuse(coroutine: Coroutine<unknown>, why: string): RuntimeError {
    coroutine.return?.(undefined);
    return new RuntimeError(`${String(this)} ${why}`);
  }

  #enter(): void {
    if (this.#entered) throw new RuntimeError(`${String(this)} has been entered already; make a new one`);
    this.#loop = getRunningLoop();
    this.#parent = currentTask(this.#loop);
    if (this.#parent === null) throw new RuntimeError(`${String(this)} is used inside a task`);
    this.#entered = true;
    if (this.#cancelOnEnter) this.cancel();
  }

  *#exit(bodyError: unknown): Coroutine<void> {
    this.#exiting = true;
    if (endsProgram(bodyError) && this.#fatal === NOTHING) this.#fatal = bodyError;
    let cancelled: CancelledError | null = bodyError instanceof CancelledError ? bodyError : null;
    if (bodyError !== NOTHING && !this.#aborting) this.#abort();
    const parent = this.#parent!;

    // A loop: the parent may be cancelled again and again while it waits here.
    while (this.#tasks.size > 0) {
      this.#allDone ??= this.#loop!.createFuture<void>();
      try {
        yield* this.#allDone;
      } catch (error) {
        if (!(error instanceof CancelledError)) throw error;
        if (!this.#aborting) {
          cancelled = error;
          this.#abort();
        }
      }
      this.#allDone = null;
    }

    if (this.#fatal !== NOTHING) throw this.#throwFatal();
    if (this.#parentCancelRequested) {
      // Our own request has done its work. With none left, the cancellation ends here.
      if (parent.uncancel() === 0) cancelled = null;
    }
    if (cancelled !== null && this.#errors.length === 0) throw cancelled;
    if (bodyError !== NOTHING && !(bodyError instanceof CancelledError)) this.#errors.push(bodyError);
    if (this.#errors.length === 0) return;
    // The errors win over a cancellation by somebody else; asking again keeps the count and has it thrown at the next wait.
    if (parent.cancelling() > 0) {
      parent.uncancel();
      parent.cancel();
    }
    throw new ExceptionGroup("unhandled errors in a TaskGroup", this.#errors);
  }

  #throwFatal(): unknown {
    for (const exception of this.#errors) {
      if (exception === this.#fatal) continue;
      const message = "an error in a TaskGroup was not propagated because the program is ending";
      this.#loop!.callExceptionHandler({ message, exception, taskGroup: this });
    }
    return this.#fatal;
  }

  #abort(): void {
    this.#aborting = true;
    for (const task of [...this.#tasks]) if (!task.done()) task.cancel();
  }

  #onTaskDone(task: Task<unknown>): void {
    this.#tasks.delete(task);
    const parent = this.#parent;
    if (parent !== null) task.discardAwaiter(parent as Future<unknown>);
    if (this.#allDone !== null && this.#tasks.size === 0 && !this.#allDone.done()) this.#allDone.setResult(undefined);
    if (!task.hasFailed) return;
    const exception = task.exception();
    this.#errors.push(exception);
    if (endsProgram(exception) && this.#fatal === NOTHING) this.#fatal = exception;
    if (parent === null || parent.done()) {
      const message = `${String(task)} failed when the parent of its group had ended already`;
      this.#loop!.callExceptionHandler({ message, exception, task });
      return;
    }
    if (this.#aborting || this.#parentCancelRequested) return;
    this.#abort();
    this.#parentCancelRequested = true;
    parent.cancel();
  }
}
