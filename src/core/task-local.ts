/**
 * Values that belong to a task: inherited by the tasks it spawns, invisible to its parent.
 *
 * A task holds one immutable map and copies it on writing, so spawning costs nothing and a child sees what was set when it
 * was spawned.
 */
import { currentTask } from "./current.ts";
import { running } from "./operation.ts";
import type { Body, Coroutine } from "./operation.ts";
import { toOperation } from "./scope.ts";
import type { Task } from "./task.ts";

/**
 * @example
 * const user = new TaskLocal("user", "nobody");
 * user.set("ada"); spawn(function* () { console.log(user.get()) });   // ada
 */
export class TaskLocal<T> {
  readonly name: string;
  readonly #initial: T;

  constructor(name: string, initial: T) {
    this.name = name;
    this.#initial = initial;
  }

  /** The value in the running task; the initial one when none was set, and outside tasks. */
  get(): T {
    const locals = (running.task as Task<unknown> | null)?.locals;
    return locals?.has(this) === true ? (locals.get(this) as T) : this.#initial;
  }

  /** Sets it for the running task and for what it spawns from now on. @throws {UsageError} outside a coroutine. */
  set(value: T): void {
    const task = currentTask();
    task.locals = new Map(task.locals).set(this, value);
  }

  /** Runs `body` with the value, then puts back what was there. */
  *with<Result>(value: T, body: Body<Result>): Coroutine<Result> {
    const task = currentTask();
    const hadOne = task.locals?.has(this) === true;
    const before = this.get();
    this.set(value);
    try {
      return yield* toOperation(body);
    } finally {
      const locals = new Map(task.locals); // others may have been set meanwhile
      if (hadOne) locals.set(this, before);
      else locals.delete(this);
      task.locals = locals;
    }
  }
}
