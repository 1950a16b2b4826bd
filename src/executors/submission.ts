/**
 * Waiting for room in an executor's line.
 *
 * Those who wait are served first come first served, whatever the priority of their job: priorities order the line, not the door to it.
 */
import { QueuedWait, taskOf } from "../core/index.ts";
import type { JobBlocker, Started, Task, Waiter, WaitQueue } from "../core/index.ts";
import type { SubmitOptions } from "./executor.ts";
import type { JobCall } from "./job-call.ts";
import type { JobHandle } from "./job-handle.ts";
import type { AnyJob } from "./job.ts";
import type { PendingJob } from "./pending-job.ts";
import type { JobShape } from "./pool.ts";

/** The executor as its submitters need it. */
export interface Admitter {
  readonly name: string;
  readonly isOutside: boolean;
  makeJob(
    job: AnyJob,
    shape: JobShape,
    args: readonly unknown[],
    options: SubmitOptions,
    task: Task<unknown>,
  ): PendingJob;
  tryAdmit(pending: PendingJob): boolean;
  handOut(pending: PendingJob, options: SubmitOptions, task: Task<unknown>): JobHandle<unknown>;
}

/** A place in the line of those who wait for room in the line. */
export abstract class Admission<T> extends QueuedWait<T> {
  protected readonly executor: Admitter;

  constructor(executor: Admitter, line: WaitQueue<unknown, never>) {
    super(line);
    this.executor = executor;
  }

  abstract readonly pending: PendingJob;

  /** What it gives, once the job has been placed. */
  abstract result(): T;

  get reason(): string {
    return `room for job "${this.pending.name}" in ${this.executor.name}`;
  }

  override get blocker(): JobBlocker | null {
    return this.pending.blocker;
  }

  override get external(): boolean {
    return this.executor.isOutside;
  }

  protected attempt(task: Waiter): Started<T> | null {
    return this.executor.tryAdmit(this.pending) ? task.complete(this, this.result()) : null;
  }
}

/** For a job that is there already. Several may wait for the same one; it is placed once. */
export class Entrance extends Admission<void> {
  readonly pending: PendingJob;

  constructor(executor: Admitter, pending: PendingJob, line: WaitQueue<unknown, never>) {
    super(executor, line);
    this.pending = pending;
  }

  result(): void {}
}

/** Its end is a handle. The job is made when somebody waits: it belongs to that task. */
export class Submission extends Admission<JobHandle<unknown>> {
  readonly #call: JobCall;
  #made: { readonly pending: PendingJob; readonly task: Task<unknown> } | null = null;

  constructor(executor: Admitter, call: JobCall, line: WaitQueue<unknown, never>) {
    super(executor, line);
    this.#call = call;
  }

  get pending(): PendingJob {
    return this.#made!.pending;
  }

  override get reason(): string {
    return this.#made === null ? `submit to ${this.executor.name}` : super.reason;
  }

  protected override attempt(waiter: Waiter): Started<JobHandle<unknown>> | null {
    const { job, args, options } = this.#call;
    const task = taskOf(waiter);
    this.#made = { pending: this.executor.makeJob(job, "call", args, options, task), task };
    return super.attempt(waiter);
  }

  result(): JobHandle<unknown> {
    const { pending, task } = this.#made!;
    return this.executor.handOut(pending, this.#call.options, task);
  }
}
