/**
 * The job that a task works on, as a task-local: where several jobs run at a time, each coroutine knows its own.
 *
 * A file of its own because it needs the kernel, which jobs that are plain functions do without.
 */
import { running, TaskLocal } from "../core/index.ts";
import { findTaskJobBy } from "./job-context.ts";
import type { JobContext } from "./job-context.ts";

const ofTask = new TaskLocal<JobContext | null>("job", null);

findTaskJobBy(() => (running.task === null ? null : ofTask.get()));

/** From here on the running task works on `context`. @package */
export function setTaskJob(context: JobContext): void {
  ofTask.set(context);
}
