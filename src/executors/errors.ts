/**
 * What can go wrong with a job, one class per cause.
 *
 * A job that throws is a `JobError` with what was thrown as its `cause`, on every executor alike: an error that has crossed a
 * thread is a copy, and code that works with one executor should not see another class with the next. The copy keeps class name, message,
 * `code`, causes and plain properties; built-in classes are built anew, so `error.cause instanceof RangeError` holds.
 */
import { describeValue, FibrilError, UsageError } from "../core/loopless.ts";

/** What an error says about its job. */
export interface JobSubject {
  readonly name: string;
  readonly id: number;
}

/** Base of what happens to a job. Code: see the classes below. */
export class JobFailure extends FibrilError {
  readonly job: string;
  readonly jobId: number;

  constructor(code: string, message: string, job: JobSubject, options?: ErrorOptions) {
    super(code, message, options);
    this.job = job.name;
    this.jobId = job.id;
  }
}

/** The job has thrown. Code: `JOB_FAILED`; `cause` is what it threw. */
export class JobError extends JobFailure {
  /** The class of what was thrown, `"RangeError"`; the kind of value when it was no error. */
  readonly className: string;
  /** The `code` of what was thrown, if it had one. */
  readonly remoteCode: string | number | undefined;
  /** Where it ran: `"thread 3"`, `"this thread"`. */
  readonly where: string;
  /** Of a job over many items (`map`): the number of the item, from 0. */
  readonly index: number | undefined;

  constructor(job: JobSubject, cause: unknown, where: string, index?: number) {
    const item = index === undefined ? "" : ` at item ${index}`;
    super("JOB_FAILED", `job "${job.name}" failed${item}: ${describeValue(cause)}`, job, { cause });
    this.className = classNameOf(cause);
    this.remoteCode = codeOf(cause);
    this.where = where;
    this.index = index;
    // The stack of this object is that of a message handler, which helps nobody.
    const stack = cause instanceof Error ? cause.stack : undefined;
    this.stack = `${this.name}: ${this.message}\n    --- in ${where} ---\n${framesOf(stack)}`;
  }
}

/** The thread of a job ended under it: `process.exit`, an uncaught error, out of memory. The job may have had effects. Code: `WORKER_CRASHED`. */
export class WorkerCrashedError extends JobFailure {
  readonly exitCode: number | undefined;

  constructor(job: JobSubject, where: string, exitCode: number | undefined, cause: unknown) {
    const why = cause === undefined ? `it ended with exit code ${exitCode ?? "unknown"}` : describeValue(cause);
    super(
      "WORKER_CRASHED",
      `${where} crashed while it ran job "${job.name}": ${why}; what the job had done by then is unknown, other jobs are not concerned`,
      job,
      cause === undefined ? undefined : { cause },
    );
    this.exitCode = exitCode;
  }
}

/** There is no thread for the job and none can be started: the system refuses, or an option of the executor is wrong. Code: `THREAD_NOT_STARTED`. */
export class ThreadStartError extends JobFailure {
  constructor(job: JobSubject, executor: string, cause: unknown) {
    super(
      "THREAD_NOT_STARTED",
      `job "${job.name}" has no thread, and executor "${executor}" cannot start one: ${describeValue(cause)}; ` +
        "look at workerEntry, resourceLimits, the initializer's args, and how many threads the system allows",
      job,
      { cause },
    );
  }
}

/** The thread has no such job. Code: `JOB_NOT_FOUND`. */
export class JobNotFoundError extends JobFailure {
  constructor(job: JobSubject, url: string, why: string, cause?: unknown) {
    super(
      "JOB_NOT_FOUND",
      `job "${job.name}" of ${url} cannot be run: ${why}`,
      job,
      cause === undefined ? undefined : { cause },
    );
  }
}

/** An argument or a result cannot go to another thread. Code: `JOB_NOT_CLONEABLE`; `cause` is the `DataCloneError`. */
export class JobCloneError extends JobFailure {
  /** What cannot go: `"argument 2 (options.onDone)"`, `"the result"`. */
  readonly what: string;

  constructor(job: JobSubject, what: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : describeValue(cause);
    super(
      "JOB_NOT_CLONEABLE",
      `${what} of job "${job.name}" cannot go to another thread: ${reason}; pass plain data, typed arrays, or what is in the transfer list`,
      job,
      { cause },
    );
    this.what = what;
  }
}

/** Nothing more can be submitted. Code: `EXECUTOR_SHUT_DOWN`. */
export class ExecutorShutdownError extends UsageError {
  constructor(executor: string, what: string) {
    super(
      `${what} was given to executor "${executor}" after its shutdown; submit before, or open another one`,
      "EXECUTOR_SHUT_DOWN",
    );
  }
}

/** The initializer of a worker failed, so the executor can run nothing. Code: `EXECUTOR_BROKEN`. */
export class ExecutorBrokenError extends FibrilError {
  constructor(executor: string, cause: unknown) {
    super(
      "EXECUTOR_BROKEN",
      `the initializer of executor "${executor}" failed: ${describeValue(cause)}; no job can run on it`,
      {
        cause,
      },
    );
  }
}

/** `trySubmit` found no room. Code: `EXECUTOR_QUEUE_FULL`. */
export class QueueFullError extends FibrilError {
  constructor(executor: string, job: string, size: number) {
    super(
      "EXECUTOR_QUEUE_FULL",
      `job "${job}" found ${size} jobs waiting in executor "${executor}", its queueSize; \`yield* submit(…)\` waits for room`,
    );
  }
}

export function classNameOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return thrown === null ? "null" : typeof thrown;
  return thrown.name !== "" && thrown.name !== "Error" ? thrown.name : (thrown.constructor?.name ?? "Error");
}

function codeOf(thrown: unknown): string | number | undefined {
  if (typeof thrown !== "object" || thrown === null) return undefined;
  const { code } = thrown as { readonly code?: unknown };
  return typeof code === "string" || typeof code === "number" ? code : undefined;
}

function framesOf(stack: string | undefined): string {
  if (stack === undefined) return "    (no stack)";
  const frames = stack.split("\n").filter((line) => /^\s+(at|---) /.test(line));
  return frames.length === 0 ? "    (no stack)" : frames.join("\n");
}
