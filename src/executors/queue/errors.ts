/**
 * What can go wrong between machines, one class per cause.
 */
import { describeValue, FibrilError, UsageError } from "../../core/index.ts";
import { JobFailure } from "../errors.ts";
import type { JobSubject } from "../errors.ts";

/** Arguments or result are larger than the executor allows. Code: `JOB_PAYLOAD_TOO_LARGE`. */
export class PayloadTooLargeError extends JobFailure {
  readonly bytes: number;
  readonly limit: number;

  constructor(job: JobSubject, what: string, bytes: number, limit: number) {
    super(
      "JOB_PAYLOAD_TOO_LARGE",
      `${what} of job "${job.name}" would take ${bytes} bytes in the queue, more than its limit of ${limit}; ` +
        "put the data where both sides can read it and pass its address, or raise payloadLimit",
      job,
    );
    this.bytes = bytes;
    this.limit = limit;
  }
}

/**
 * The workers of a job were lost under it again and again, so it is not tried any more: it may be what ends them. What it had done by then is unknown.
 * Code: `JOB_WORKER_LOST`.
 */
export class WorkerLostError extends JobFailure {
  /** How often it was delivered. */
  readonly deliveries: number;

  constructor(job: JobSubject, deliveries: number) {
    super(
      "JOB_WORKER_LOST",
      `the worker of job "${job.name}" was lost ${deliveries === 1 ? "once" : `${deliveries} times`}, more often than maxStalled allows; ` +
        "what the job had done by then is unknown; see whether it ends its worker, or holds its loop up longer than leaseMs",
      job,
    );
    this.deliveries = deliveries;
  }
}

/** No worker knows the job, or none in this version. Code: `JOB_UNKNOWN`. */
export class UnknownJobError extends JobFailure {
  /** `name@version`. */
  readonly address: string;
  readonly refusals: number;

  constructor(job: JobSubject, address: string, refusals: number) {
    super(
      "JOB_UNKNOWN",
      `no worker knows job ${address}: it was refused ${refusals} times; start a worker that serves this version, or submit one that is served`,
      job,
    );
    this.address = address;
    this.refusals = refusals;
  }
}

/** The engine has neither the job nor its outcome: never submitted, or its result was kept no longer. Code: `JOB_NOT_KEPT`. */
export class JobNotKeptError extends JobFailure {
  constructor(job: JobSubject, id: string) {
    super(
      "JOB_NOT_KEPT",
      `the queue has neither job "${id}" nor its outcome: it was never submitted, or ended longer ago than its resultTtlMs`,
      job,
    );
  }
}

/** The engine cannot be reached, and as many jobs wait for it as may. Code: `EXECUTOR_UNAVAILABLE`. */
export class ExecutorUnavailableError extends FibrilError {
  constructor(executor: string, buffered: number, cause?: unknown) {
    super(
      "EXECUTOR_UNAVAILABLE",
      `executor "${executor}" cannot reach its queue, and ${buffered} jobs wait for it already; see whether it runs, or raise bufferSize`,
      cause === undefined ? undefined : { cause },
    );
  }
}

/** Streams need a push that is never lost, which a queue does not have. Code: `STREAM_UNSUPPORTED`. */
export class StreamUnsupportedError extends UsageError {
  constructor(executor: string, job: string) {
    super(
      `job "${job}" streams its values, and executor "${executor}" can only give one result: a queue may lose what is sent on the way; ` +
        "use progress() for what may be lost, return a list, or run it on a ThreadPool",
      "STREAM_UNSUPPORTED",
    );
  }
}

/** A package of the engine is not installed. Code: `EXECUTOR_ENGINE_MISSING`. */
export class EngineMissingError extends FibrilError {
  constructor(name: string, range: string, cause: unknown) {
    super(
      "EXECUTOR_ENGINE_MISSING",
      `cannot open a queue on Redis: the package "${name}" (${range}) is not installed or does not load (${describeValue(cause)}); run "npm install bullmq ioredis"`,
      { cause },
    );
  }
}

/** The package that reads cron expressions is not installed. Code: `EXECUTOR_CRON_MISSING`. */
export class CronPackageMissingError extends FibrilError {
  constructor(cause: unknown) {
    super(
      "EXECUTOR_CRON_MISSING",
      `cannot read a cron expression: the package "cron-parser" (^5) is not installed or does not load (${describeValue(cause)}); ` +
        'run "npm install cron-parser", or use everyMs',
      { cause },
    );
  }
}

/**
 * What lies in the queue for a job, or as its outcome, cannot be read: it was damaged, or written by another version or by somebody else. It is not
 * tried again. Code: `JOB_UNREADABLE`.
 */
export class JobUnreadableError extends JobFailure {
  /** `"the payload"`, `"the arguments"`, `"the outcome"`. */
  readonly what: string;

  constructor(job: JobSubject, what: string, cause: unknown) {
    super(
      "JOB_UNREADABLE",
      `${what} of job "${job.name}" in the queue cannot be read: ${cause instanceof Error ? cause.message : describeValue(cause)}; ` +
        "use the same version and codecs on both sides, and let nobody else write to the queue",
      job,
      { cause },
    );
    this.what = what;
  }
}

/**
 * Redis does not let this process in: the password or the user is wrong or missing, or may not do what is asked. Only before it ever has; later the calls
 * wait, as for a Redis that is away. Code: `EXECUTOR_ENGINE_REFUSED`.
 */
export class EngineRefusedError extends FibrilError {
  constructor(name: string, host: string, cause: Error) {
    super(
      "EXECUTOR_ENGINE_REFUSED",
      `cannot open queue "${name}": Redis at ${host} refuses (${cause.message}); check user and password in its URL, redis://user:password@host:port`,
      { cause },
    );
  }
}

/** The engine was closed here while something needed it. Code: `EXECUTOR_ENGINE_CLOSED`. */
export class EngineClosedError extends FibrilError {
  constructor(name: string) {
    super(
      "EXECUTOR_ENGINE_CLOSED",
      `queue "${name}" was closed here; close it after the executors and workers that use it`,
    );
  }
}

/** A value that the codec cannot carry. It becomes the `cause` of a `JobCloneError`. Its name is that of structured clone's own error. */
export class CodecError extends Error {
  override readonly name = "DataCloneError";
  /** Where in the value: `".list[1]"`; empty for the value itself. */
  readonly path: string;

  constructor(path: string, what: string) {
    super(`${what} cannot go into a queue`);
    this.path = path;
  }
}

/** What no patience helps against: the engine was closed here, was never there, or does not let us in. @package */
export function isFinal(error: Error): boolean {
  const { code } = error as { readonly code?: unknown };
  return code === "EXECUTOR_ENGINE_MISSING" || code === "EXECUTOR_ENGINE_CLOSED" || code === "EXECUTOR_ENGINE_REFUSED";
}
