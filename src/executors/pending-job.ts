/**
 * A job between submission and outcome: the entry in the executor's line, and the wait of whoever wants its result.
 *
 * One object for both, because every job is waited for exactly once: by the task behind its handle, or by the task that has called
 * it. Cancelling that wait is cancelling the job. A job that has not begun is gone at once. One that runs is asked to stop, and
 * the wait goes on until it has: a scope does not end before what it has started elsewhere. What a running job returns in spite of a request
 * is its result; a value is never dropped.
 */
import {
  Cancelled,
  CancelledError,
  describeValue,
  Scope,
  sharedWait,
  TimeoutError,
  Wait,
  yieldNow,
} from "../core/index.ts";
import type { Coroutine, EventLoop, JobBlocker, Operation, Started, Task, Waiter } from "../core/index.ts";
import { sleep } from "../time/index.ts";
import type { AnyJob } from "./job.ts";
import type { CarriedValue, JobEnd, JobNews, JobShape, JobWhereabouts, PoolJob } from "./pool.ts";

/** `"new"`: nobody has it yet. `"queued"`: in line. `"taken"`: a pool has it. */
export type PendingState = "new" | "queued" | "taken" | "settled";

/** The executor as a job needs it. */
export interface JobKeeper {
  readonly name: string;
  readonly isOutside: boolean;
  cancelJob(job: PendingJob, reason: unknown): "withdrawn" | "requested";
  hasBegun(job: PendingJob): boolean;
  whereIs(job: PendingJob): JobWhereabouts | null;
}

/** What a job is submitted with. */
export interface JobRequest {
  readonly id: number;
  readonly name: string;
  readonly job: AnyJob;
  readonly shape: JobShape;
  readonly args: readonly unknown[];
  readonly transfer: readonly unknown[] | null;
  readonly idempotencyKey: string | null;
  readonly locals: readonly CarriedValue[] | null;
  readonly priority: number;
  /** On the clock of `loop`; `Infinity` for none. */
  readonly deadline: number;
  /** Of the loop's clock, as the deadline; from the same look at it. */
  readonly submittedAt: number;
  readonly loop: EventLoop;
}

export class PendingJob extends Wait<unknown> implements PoolJob {
  /** Its neighbours in line. */
  ahead: PendingJob | null = null;
  behind: PendingJob | null = null;
  state: PendingState = "new";
  /** Its place among those that the pool has, see `TakenJobs`. */
  takenAt = -1;
  /** The task behind its handle, while that is there to be cancelled. */
  follower: Task<unknown> | null = null;
  /** Set by the pool that has it. */
  place: unknown = null;
  readonly request: JobRequest;
  readonly submittedAt: number;
  end: JobEnd | null = null;
  /** Told when it has settled, before whoever waits. */
  onSettled: ((end: JobEnd) => void) | null = null;
  /** Told what it tells while it runs, when there is no handle. */
  onNews: ((news: JobNews) => void) | null = null;
  /** The cancellation that its waiter was told to stop by, if there was one. */
  cancelled: Cancelled | null = null;
  readonly #keeper: JobKeeper;
  #waiter: Waiter | null = null;
  #isCancelRequested = false;

  constructor(keeper: JobKeeper, request: JobRequest) {
    super();
    this.#keeper = keeper;
    this.request = request;
    this.submittedAt = request.submittedAt;
  }

  get id(): number {
    return this.request.id;
  }

  get name(): string {
    return this.request.name;
  }

  get job(): AnyJob {
    return this.request.job;
  }

  get shape(): JobShape {
    return this.request.shape;
  }

  get args(): readonly unknown[] {
    return this.request.args;
  }

  get transfer(): readonly unknown[] | null {
    return this.request.transfer;
  }

  get idempotencyKey(): string {
    return this.request.idempotencyKey ?? `${this.#keeper.name}/${this.request.id}`;
  }

  get hasOwnKey(): boolean {
    return this.request.idempotencyKey !== null;
  }

  get locals(): readonly CarriedValue[] | null {
    return this.request.locals;
  }

  get loop(): EventLoop {
    return this.request.loop;
  }

  get reason(): string {
    return `job "${this.name}" #${this.id} (${this.standing} in ${this.#keeper.name})`;
  }

  /** How far it is, as far as is known here. */
  get standing(): JobBlocker["state"] {
    if (this.state !== "taken") return this.state;
    return this.#keeper.hasBegun(this) ? "running" : "sent";
  }

  override get blocker(): JobBlocker {
    const where = this.state === "taken" ? this.#keeper.whereIs(this) : null;
    return {
      kind: "job",
      id: this.id,
      name: this.name,
      executor: this.#keeper.name,
      state: this.standing,
      ageMs: this.ageMs(),
      threadId: where === null ? null : where.threadId,
      task: where === null ? null : where.task,
    };
  }

  override get external(): boolean {
    return this.#keeper.isOutside;
  }

  get hasBegun(): boolean {
    return this.state === "taken" && this.#keeper.hasBegun(this);
  }

  remainingMs(): number {
    const { deadline, loop } = this.request;
    return deadline === Infinity ? Infinity : Math.max(0, deadline - loop.now());
  }

  ageMs(): number {
    return this.request.loop.now() - this.submittedAt;
  }

  protected start(task: Waiter): Started<unknown> {
    if (this.end !== null) return task.complete(this, this.end);
    if (this.#waiter !== null) throw sharedWait(this.reason);
    this.#waiter = task;
    return task.park(this);
  }

  withdraw(_task: Waiter, cancelled: Cancelled | null): boolean {
    if (this.end !== null) return true;
    if (!this.#isCancelRequested) {
      this.#isCancelRequested = true;
      this.cancelled = cancelled;
      if (this.cancel(cancelled?.reason) === "withdrawn") return true;
    }
    if (cancelled !== null) return false; // however often it is asked for: it ends when the job has
    this.#waiter = null;
    return true;
  }

  /** Asks for its end. `"withdrawn"`: it had not begun and never will. */
  cancel(reason: unknown): "withdrawn" | "requested" {
    if (this.end !== null) return "requested";
    const answer = this.#keeper.cancelJob(this, reason);
    if (answer === "withdrawn") this.finish({ status: "cancelled", reason, runMs: 0 });
    return answer;
  }

  /** Its outcome is there. The first one counts. */
  finish(end: JobEnd): void {
    if (this.end !== null) return;
    this.end = end;
    this.state = "settled";
    this.onSettled?.(end);
    const waiter = this.#waiter;
    this.#waiter = null;
    waiter?.wake(this, end);
  }
}

/** Waits for the job and gives its value; throws what it threw. Cancelling cancels the job. @package */
export function* outcomeOf(pending: PendingJob): Coroutine<unknown> {
  let end: JobEnd;
  try {
    end = (yield* pending) as JobEnd;
  } catch (cancelled) {
    // Cancelled before it could begin to wait, so nobody has told the job.
    if (cancelled instanceof Cancelled) pending.cancelled ??= cancelled;
    if (pending.end === null && pending.cancel((cancelled as Cancelled).reason) === "requested") yield* pending;
    throw cancelled;
  }
  return yield* valueOf(pending, end);
}

/**
 * The same for the task behind a handle, which does nothing else. A job that ends on its own although its handle was cancelled at once, before
 * that task could begin to wait, keeps its value, as one whose handle was cancelled later: `cancel()` says whether it was in time. @package
 */
export function* followed(pending: PendingJob): Coroutine<unknown> {
  let end: JobEnd;
  try {
    end = (yield* pending) as JobEnd;
  } catch (cancelled) {
    if (cancelled instanceof Cancelled) pending.cancelled ??= cancelled;
    if (pending.end === null && pending.cancel((cancelled as Cancelled).reason) === "withdrawn") throw cancelled;
    end = pending.end ?? ((yield* pending) as JobEnd);
    if (end.status === "cancelled") throw cancelled;
  }
  return yield* valueOf(pending, end);
}

function* valueOf(pending: PendingJob, end: JobEnd): Coroutine<unknown> {
  if (end.status === "succeeded") return end.value;
  if (end.status === "failed") throw end.error;
  yield* yieldNow(); // when it was cancelled because this task was, this throws `Cancelled`
  // After the process has stood still, the worker's copy of a deadline may have fired first. Ours is due, and fires before this sleep ends.
  if (pending.remainingMs() === 0) yield* sleep(1);
  throw new CancelledError(`job "${pending.name}"`, end.reason);
}

/**
 * Runs `body`, which waits for the job, until `limitMs` after it was submitted: what it has waited for room counts.
 * @throws {TimeoutError} @package
 */
export function* within(pending: PendingJob, limitMs: number, body: () => Operation<unknown>): Coroutine<unknown> {
  const leftMs = Math.max(0, pending.submittedAt + limitMs - pending.loop.now());
  const own = Scope.enter({ name: `deadline of job ${describeValue(pending.name)}`, timeoutMs: leftMs });
  own.deadline = Math.min(own.deadline, pending.submittedAt + limitMs); // as long as its copy at the worker: the clock has gone on since
  const value = yield* own.run(body());
  if (!own.isCaught) return value;
  own.throwUnlessDeadline();
  throw new TimeoutError(`job "${pending.name}"`, limitMs, undefined, own.waitedFor);
}
