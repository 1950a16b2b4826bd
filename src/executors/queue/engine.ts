/**
 * The seam between a `QueueExecutor`, the workers that serve it, and the engine that keeps the jobs between them.
 *
 * An engine keeps orders until somebody finishes them, at least once each, and one record of the outcome for a while. It knows nothing
 * of functions, arguments or errors: payload and record are text. Calls are operations, so that an engine in memory works on virtual
 * time; what comes by itself (outcomes, cancellations) is pushed to listeners, and **every push may be lost**: who waits for an
 * outcome asks for the states of its jobs now and then, who runs a job hears of its cancellation by the next heartbeat at the latest.
 *
 * How each method is carried out:
 *
 * | method            | BullMQ on Redis                                          | NATS JetStream                                             |
 * |-------------------|----------------------------------------------------------|------------------------------------------------------------|
 * | `enqueue`         | `addBulk`, the id as `jobId`: a known one is ignored     | publish, the id as `Nats-Msg-Id`; KV `create` "waiting"    |
 * | `claim`           | `getNextJob`, lock by token                              | `consumer.next`; KV `update`, whose revision is the fence   |
 * | `renew`           | `extendLocks`, and a look at the keys of cancellations   | `msg.working()`, KV `get` of cancellations                 |
 * | `finish`          | script: lock is ours → record `NX PX`, publish; complete | KV `update` at that revision, publish, `ack`                |
 * | `release`         | script: lock is ours → counters; `moveToWait`, or a retry | `nak(delay)`; counters in KV                               |
 * | `tell`            | publish on the submitter's channel                       | core publish on the submitter's subject                    |
 * | `requestCancel`   | remove, else a key and a publish                         | KV `create` of a cancelled record if "waiting", else publish |
 * | `states`          | `MGET` of the records, `EXISTS` of jobs and locks        | KV `get`                                                   |
 * | `subscribe`, `watchCancels` | Redis subscriptions                            | core subscriptions                                         |
 * | `counts`          | `getJobCounts`                                           | consumer info: pending, ack pending                        |
 * | `putSchedule`, `removeSchedule`, `schedules` | `upsertJobScheduler` and its like | a message with `Nats-Schedule` on a subject of its own     |
 *
 * Concretely, for JetStream: docs/decisions/0012. Left out on purpose: rate limits, flows, sandboxes. Who needs them uses the engine itself.
 */
import type { Operation } from "../../core/index.ts";

/** A job as it lies in the queue. */
export interface JobOrder {
  /** The idempotency key. A second order with the same id is ignored while the first one, or its record, is there. */
  readonly id: string;
  /** `name@version`. */
  readonly address: string;
  /** What the worker needs, see `envelope.ts`. */
  readonly payload: string;
  /** Higher ones first. */
  readonly priority: number;
  /** How long it must not be begun, in milliseconds. */
  readonly delayMs: number;
  /** Whom to tell, see `QueueEngine.subscribe`. */
  readonly replyTo: string;
  /** How long the record of its outcome is kept, in milliseconds. */
  readonly resultTtlMs: number;
}

/** A job that a worker has, until the lease runs out. */
export interface JobLease {
  readonly order: JobOrder;
  /** How often it was delivered, this time included. It is the fence: only the latest delivery may finish. */
  readonly delivery: number;
  /** How often it has failed and was put back. */
  readonly failures: number;
  /** How often it was refused by workers that do not know it. */
  readonly refusals: number;
  /** How often its worker was lost. */
  readonly stalls: number;
  /** How long it lay in the queue, in milliseconds, as well as the engine can tell. */
  readonly waitedMs: number;
  /** Somebody has asked for its end already. */
  readonly cancel: { readonly reason: string } | null;
  /** For the engine alone. */
  readonly token: unknown;
}

export type OutcomeStatus = "succeeded" | "failed" | "cancelled" | "lost";

/** What is kept of a job that has ended. */
export interface OutcomeRecord {
  readonly status: OutcomeStatus;
  readonly delivery: number;
  /** Who ran it. */
  readonly worker: string;
  readonly runMs: number;
  /** The encoded value, failure or reason. */
  readonly body: string;
}

/** Pushed while a job runs. */
export interface JobTidings {
  readonly kind: "started" | "progress" | "log";
  readonly body: string;
}

/** `"unknown"`: the engine has neither the job nor a record. */
export type JobStanding =
  | { readonly state: "waiting" | "running" | "unknown" }
  | { readonly state: "settled"; readonly record: OutcomeRecord };

/** `"removed"`: it had not begun, and is gone. `"requested"`: its worker is told. */
export type CancelAnswer = "removed" | "requested" | "settled" | "unknown";

/** Whether a lease still holds, and whether somebody has asked for the end of its job. */
export interface Renewal {
  readonly isHeld: boolean;
  readonly cancel: { readonly reason: string } | null;
}

export interface QueueCounts {
  readonly waiting: number;
  readonly delayed: number;
  readonly running: number;
}

/** When the firings of a schedule are: every so many milliseconds, or by the five or six fields of cron in a time zone. */
export type ScheduleTimes =
  | { readonly everyMs: number }
  | { readonly cron: string; /** Of the IANA: `"Europe/Paris"`. */ readonly timeZone: string };

/**
 * An order that is given again and again.
 *
 * Each firing is an ordinary job, whose id names the schedule and the time, so whoever makes it makes the same one. **At most one firing waits
 * to be begun**: the next one is made when that one has begun, so nothing is piled up while no worker is there.
 */
export interface ScheduleOrder {
  readonly id: string;
  readonly times: ScheduleTimes;
  /** `"skip"`: a firing that is claimed while the one before has no outcome is recorded as cancelled, and given to nobody. */
  readonly overlap: "allow" | "skip";
  /** What each firing is. */
  readonly order: Pick<JobOrder, "address" | "payload" | "priority" | "resultTtlMs">;
}

/** A schedule as the engine has it. Plain data. */
export interface ScheduleStanding {
  readonly id: string;
  readonly times: ScheduleTimes;
  readonly overlap: "allow" | "skip";
  /** `name@version` of its job. */
  readonly address: string;
  /** When its next firing is due, in milliseconds since 1970; in the past, when that waits for a worker. */
  readonly nextAt: number;
  /** The id of that job, for `attach`; `null` when the engine cannot tell. */
  readonly nextJobId: string | null;
}

/** Who submits. Called from anywhere, and more than once for the same thing. No method may throw. */
export interface SubmitterListener {
  settled(id: string, record: OutcomeRecord): void;
  told(id: string, tidings: JobTidings): void;
  /** The engine was lost, or is there again: pushes may have been missed. */
  connected(isConnected: boolean): void;
}

/** Which end a release is counted as: `"failure"` and `"refusal"` come back in the lease, `"nothing"` does not. */
export type ReleaseReason = "failure" | "refusal" | "nothing";

export interface QueueEngine {
  readonly name: string;
  /** Whether it lives outside the loop of who waits for it. */
  readonly isOutside: boolean;
  /** How long a lease holds without `renew`, in milliseconds. */
  readonly leaseMs: number;

  /** Keeps orders. When it has completed, they are kept. Cancelling may leave them kept or not. */
  enqueue(orders: readonly JobOrder[]): Operation<void>;
  /** Waits for a job that nobody has. Cancelling takes none. Jobs that have a record are never given. */
  claim(worker: string): Operation<JobLease>;
  /** The heartbeat, for all leases of a worker at once. */
  renew(leases: readonly JobLease[]): Operation<readonly Renewal[]>;
  /** Records an outcome, once: `false` when the lease was lost, or an outcome is there. */
  finish(lease: JobLease, record: OutcomeRecord): Operation<boolean>;
  /** Puts a job back, for whoever claims it after `delayMs`. Nothing when the lease was lost. */
  release(lease: JobLease, delayMs: number, reason: ReleaseReason): Operation<void>;
  /** Tells the submitter, best effort, in order; what is too much at a time is dropped. */
  tell(lease: JobLease, tidings: JobTidings): void;
  /** Ends a job that has not begun, else tells its worker. */
  requestCancel(id: string, reason: string): Operation<CancelAnswer>;
  /** Where jobs stand: one answer for each id, in order. What was told of a job comes before the answer that it has an outcome, best effort. */
  states(ids: readonly string[]): Operation<readonly JobStanding[]>;
  counts(): Operation<QueueCounts>;
  /**
   * Makes a schedule, or puts it in the place of the one with its id: what of that has not begun is gone. The very same again leaves a firing that is due, and
   * waits for a worker, where it is.
   * @throws {UsageError} when its times cannot be read, or never come.
   */
  putSchedule(schedule: ScheduleOrder): Operation<ScheduleStanding>;
  /** Ends a schedule, and what of it has not begun. `false`: there was none. */
  removeSchedule(id: string): Operation<boolean>;
  schedules(): Operation<readonly ScheduleStanding[]>;
  /** Pushes what becomes of orders with this `replyTo`, until the returned function is called. */
  subscribe(replyTo: string, listener: SubmitterListener): Operation<() => void>;
  /** Pushes requests to cancel jobs that run somewhere, until the returned function is called. */
  watchCancels(listener: (id: string, reason: string) => void): Operation<() => void>;
  /** Lets go of connections. What is kept stays. */
  close(): Promise<void>;
  /** `close()`, for `use` and `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** How long a claimed job stays with a worker that says nothing, unless an engine is told otherwise, in milliseconds. */
export const LEASE_MS = 30_000;
/** How often a job may be taken over from a worker that said nothing, unless an engine is told otherwise. */
export const MAX_STALLED = 3;
/** How many tidings may be on their way at a time; what comes on top is dropped. */
export const TELL_AT_ONCE = 1_000;
/** Why a firing was cancelled that nobody has cancelled. */
export const OVERLAP = "the firing before it has not ended";
