/** What goes along with a job, and how an end that a worker has told is told here. */
import { argumentError } from "../cloning.ts";
import { JobCloneError, JobError, JobNotFoundError } from "../errors.ts";
import type { PoolJob } from "../pool.ts";
import { decodeError } from "../remote-error.ts";
import { hasEnds } from "./thread-channel.ts";
import type { Extras, ReportedError } from "./protocol.ts";

/** Whether it may be sent to a second thread when the first one has not begun it: what was moved is gone. */
export function isMovable(job: PoolJob): boolean {
  return job.transfer === null && (job.shape === "batch" || !hasEnds(job.args));
}

export function extrasOf(job: PoolJob): Extras | null {
  const remainingMs = job.remainingMs();
  const name = job.name === job.job.name ? null : job.name;
  if (remainingMs === Infinity && name === null && job.locals === null && !job.hasOwnKey) return null;
  return {
    name,
    idempotencyKey: job.idempotencyKey,
    remainingMs: remainingMs === Infinity ? null : remainingMs,
    locals: job.locals,
  };
}

/** A reason that every thread can read. */
export function reasonToSend(reason: unknown): unknown {
  if (typeof reason === "string" || typeof reason === "number") return reason;
  if (reason === undefined || reason === null) return reason;
  return reason instanceof Error ? reason.message : undefined;
}

/** What a worker has reported, as the job's failure. */
export function errorOf(job: PoolJob, reported: ReportedError, where: string): unknown {
  const cause = decodeError(reported.error);
  if (reported.reason === "not-found") return new JobNotFoundError(job, job.job.url, reported.text);
  if (reported.reason === "not-cloneable") return new JobCloneError(job, reported.text, cause);
  return new JobError(job, cause, where, reported.index ?? undefined);
}

/** Why its order could not be sent. */
export function refusalOf(job: PoolJob, cause: unknown): unknown {
  return cause instanceof Error && cause.name === "DataCloneError" ? argumentError(job, cause) : cause;
}
