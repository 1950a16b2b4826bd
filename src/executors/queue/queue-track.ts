/**
 * A job of a submitter, from the call until its outcome is there; and the order that it becomes.
 */
import type { Coroutine } from "../../core/index.ts";
import { JobCloneError } from "../errors.ts";
import type { AnyJob } from "../job.ts";
import type { PoolJob } from "../pool.ts";
import type { JobOrder, OutcomeRecord, QueueEngine, ScheduleOrder } from "./engine.ts";
import { encodeData, sealEnvelope } from "./envelope.ts";
import type { QueueSettings, QueueSubmitOptions, ScheduleSettings } from "./options.ts";

/** What the executor has noted at a job (`PoolJob.place`). */
export interface QueuePlace {
  readonly options: QueueSubmitOptions;
  readonly priority: number;
  /** The id of a job that is there already. */
  readonly attachTo: string | null;
  /** Its handle lets go of it, the job goes on. */
  isDetached: boolean;
  id: string;
  track: Track | null;
}

/** A job of which an outcome is to come. */
export interface Track {
  readonly id: string;
  /** `null`: attached. */
  readonly order: JobOrder | null;
  readonly jobs: Set<PoolJob>;
  /** `"sending"`: the engine may have it. */
  stage: "outbox" | "sending" | "sent";
  hasBegun: boolean;
  /** In how many sweeps in a row the engine did not know it. */
  missing: number;
  cancelReason: string | null;
  isCancelling: boolean;
}

/** What a submitter does beside whoever calls: sends jobs, asks for outcomes, asks for an end. */
export type Errand = "courier" | "sweep" | "cancellation";

/** The submitter as its parts need it. */
export interface TrackHost {
  readonly engine: QueueEngine;
  readonly settings: QueueSettings;
  /** The channel that outcomes come back on, unique among all submitters. */
  readonly address: string;
  readonly isClosed: boolean;
  /** Whether its outcome is still to come. */
  isTracked(track: Track): boolean;
  /** All that the engine should know. */
  sent(): Track[];
  hasTracks(): boolean;
  settle(track: Track, record: OutcomeRecord): void;
  fail(track: Track, errorFor: (job: PoolJob) => unknown): void;
  /** Runs something beside whoever calls. It handles its own errors. */
  launch(errand: Errand, body: () => Coroutine<void>): void;
}

export function newTrack(id: string, order: JobOrder | null, job: PoolJob): Track {
  return {
    id,
    order,
    jobs: new Set([job]),
    stage: order === null ? "sent" : "outbox",
    hasBegun: false,
    missing: 0,
    cancelReason: null,
    isCancelling: false,
  };
}

/** The order of a job. What it transfers is gone from here afterwards. @throws {JobCloneError} @throws {PayloadTooLargeError} */
export function orderOf(
  job: PoolJob,
  place: QueuePlace,
  id: string,
  replyTo: string,
  settings: QueueSettings,
): JobOrder {
  const { codec, payloadLimit } = settings;
  const { attempts, backoffMs, resultTtlMs, delayMs = 0 } = { ...settings, ...place.options };
  // What goes on when its scope has ended is not bound by that scope's deadline.
  const isDetachable = settings.onScopeCancelled === "detach";
  const remainingMs = isDetachable ? (place.options.deadlineMs ?? Infinity) : job.remainingMs();
  const payload = sealEnvelope(job, {
    number: job.id,
    name: job.name,
    shape: job.shape,
    codec: codec.name,
    data: encodeData(job, codec),
    remainingMs: remainingMs === Infinity ? null : Math.ceil(remainingMs),
    attempts,
    backoffMs,
    payloadLimit,
  });
  moveAway(job);
  return { id, address: addressOf(job.job), payload, priority: place.priority, delayMs, replyTo, resultTtlMs };
}

/** What each firing of a schedule is. It is nobody's: no task-locals go along. @throws {JobCloneError} @throws {PayloadTooLargeError} */
export function scheduleOrderOf(
  id: string,
  job: AnyJob,
  args: readonly unknown[],
  schedule: ScheduleSettings,
  { codec, payloadLimit }: QueueSettings,
): ScheduleOrder {
  const { times, overlap, name = job.name, attempts, backoffMs, resultTtlMs, priority, deadlineMs } = schedule;
  const subject = { id: 0, name, shape: "call", args, locals: null } as const;
  const payload = sealEnvelope(subject, {
    number: 0,
    name,
    shape: "call",
    codec: codec.name,
    data: encodeData(subject, codec),
    remainingMs: deadlineMs === Infinity ? null : Math.ceil(deadlineMs),
    attempts,
    backoffMs,
    payloadLimit,
  });
  return { id, times, overlap, order: { address: addressOf(job), payload, priority, resultTtlMs } };
}

function addressOf(job: AnyJob): string {
  return `${job.name}@${job.version}`;
}

/** What was to be transferred is gone here, as with threads, so that a program does not work with one executor alone. */
function moveAway(job: PoolJob): void {
  if (job.transfer === null || job.transfer.length === 0) return;
  try {
    structuredClone(job.transfer, { transfer: job.transfer as ArrayBuffer[] });
  } catch (error) {
    throw new JobCloneError(job, "the transfer list", error);
  }
}
