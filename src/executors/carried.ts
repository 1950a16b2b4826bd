/**
 * Task-locals that go along with a job: a request id, a user, a locale.
 *
 * Opt-in, one by one: a task-local may hold a connection, or a secret, which has no business in another thread. Like a job, such a
 * local is found again by its module and name.
 */
import { currentTask, running, UsageError } from "../core/index.ts";
import type { Task, TaskLocal } from "../core/index.ts";
import type { CarriedValue } from "./pool.ts";

interface Carried {
  readonly url: string;
  readonly local: TaskLocal<unknown>;
}

const all = new Map<string, Carried>();

/**
 * Lets the value of a task-local go along with every job that is submitted while it is set; in the worker the job sees it. The
 * value must be cloneable. Define it on the top level of a module, like a job.
 *
 * @example
 * export const requestId = carried(import.meta.url, new TaskLocal("requestId", "none"));
 */
export function carried<T>(url: string, local: TaskLocal<T>): TaskLocal<T> {
  if (local.name === "") throw new UsageError(`a task-local of ${url} that goes along with jobs needs a name`);
  all.set(`${url}#${local.name}`, { url, local: local as unknown as TaskLocal<unknown> });
  return local;
}

/** What `task` has set of them. @package */
export function valuesToCarry(task: Task<unknown>): readonly CarriedValue[] | null {
  const { locals } = task;
  if (all.size === 0 || locals === null) return null;
  const values: CarriedValue[] = [];
  for (const { url, local } of all.values()) {
    if (locals.has(local)) values.push({ url, name: local.name, value: locals.get(local) });
  }
  return values.length === 0 ? null : values;
}

/** Sets them in the running task. Their modules must have been imported. @package */
export function setCarried(values: readonly CarriedValue[]): void {
  if (running.task === null) return;
  const task = currentTask();
  for (const { url, name, value } of values) {
    const found = all.get(`${url}#${name}`);
    if (found !== undefined) task.locals = new Map(task.locals).set(found.local, value);
  }
}
