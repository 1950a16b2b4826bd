/**
 * One job in a worker: from its lease to what became of it.
 *
 * Whatever lies in the queue, the worker goes on: what it does not know is left to others, what cannot be read by anybody is a failure with a name,
 * recorded at once, and what its own executor cannot run any more is given back and ends the server, not the job.
 */
import type { Coroutine, EventLoop, Operation } from "../../core/index.ts";
import { sleep } from "../../time/index.ts";
import { Durations } from "../durations.ts";
import { ExecutorBrokenError, ExecutorShutdownError, JobError, WorkerCrashedError } from "../errors.ts";
import type { JobExecutor } from "../job-executor.ts";
import type { AnyJob } from "../job.ts";
import { PendingJob } from "../pending-job.ts";
import type { JobEnd } from "../pool.ts";
import { jsonCodec } from "./codec.ts";
import type { JobCodec } from "./codec.ts";
import type { JobLease, OutcomeRecord, QueueEngine } from "./engine.ts";
import { decodeData, encodeEnd, openEnvelope, reasonText } from "./envelope.ts";
import type { Envelope, JobData } from "./envelope.ts";
import { isFinal, JobUnreadableError, UnknownJobError } from "./errors.ts";
import { PAYLOAD_LIMIT } from "./options.ts";
import type { ServeSettings } from "./serve-options.ts";

/** A job that this server has. */
export interface Run {
  readonly lease: JobLease;
  pending: PendingJob | null;
  /** Why it was told to stop. */
  stop: { readonly reason: string } | null;
  isLost: boolean;
  /** Since when only the engine has to be told. */
  endedAt: number | null;
}

/** The server as its runs need it. */
export interface RunHost {
  readonly name: string;
  readonly engine: QueueEngine;
  readonly loop: EventLoop;
  readonly jobs: ReadonlyMap<string, AnyJob>;
  readonly codecs: ReadonlyMap<string, JobCodec>;
  readonly executor: JobExecutor;
  readonly settings: ServeSettings;
  /** Its executor can run nothing any more. */
  broke(error: Error): void;
}

export interface RunCounts {
  succeeded: number;
  failed: number;
  cancelled: number;
  retried: number;
  refused: number;
  givenBack: number;
  leasesLost: number;
  unreadable: number;
}

/** A job that was stopped for this reason is given back. */
export const SHUTDOWN = "shutdown";
const STARTED_AFTER_MS = 5;
const RETRY_MS = 200;
const LONGEST_BACKOFF_MS = 3_600_000;

export class JobRunner {
  readonly ran: Durations = new Durations();
  readonly counts: RunCounts = {
    succeeded: 0,
    failed: 0,
    cancelled: 0,
    retried: 0,
    refused: 0,
    givenBack: 0,
    leasesLost: 0,
    unreadable: 0,
  };
  readonly #host: RunHost;

  constructor(host: RunHost) {
    this.#host = host;
  }

  *serve(run: Run): Coroutine<void> {
    const { lease } = run;
    const { order } = lease;
    const { jobs, codecs } = this.#host;
    let envelope: Envelope;
    let data: JobData;
    let codec: JobCodec | undefined;
    const job = jobs.get(order.address);
    try {
      envelope = openEnvelope(order.address, order.payload);
      codec = codecs.get(envelope.codec);
      if (job === undefined || codec === undefined) {
        run.endedAt = this.#host.loop.now();
        yield* this.#refuse(lease, envelope, job !== undefined);
        return;
      }
      data = decodeData(envelope, codec);
    } catch (error) {
      if (!(error instanceof JobUnreadableError)) throw error;
      this.counts.unreadable++;
      run.endedAt = this.#host.loop.now();
      const subject = { name: error.job, id: error.jobId };
      const end: JobEnd = { status: "failed", error, done: null, runMs: 0 };
      yield* this.#record(lease, end, encodeEnd(subject, end, jsonCodec, PAYLOAD_LIMIT));
      return;
    }
    let end: JobEnd;
    if (run.stop !== null) end = { status: "cancelled", reason: run.stop.reason, runMs: 0 };
    else {
      try {
        end = yield* this.#run(run, job, envelope, codec, data);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        end = { status: "failed", error, done: null, runMs: 0 };
      }
    }
    this.ran.record(end.runMs);
    run.endedAt = this.#host.loop.now();
    if (!run.isLost) yield* this.#conclude(run, envelope, end, codec);
  }

  *#run(run: Run, job: AnyJob, envelope: Envelope, codec: JobCodec, { args, locals }: JobData): Coroutine<JobEnd> {
    const { lease } = run;
    const { loop, engine, executor } = this.#host;
    const { remainingMs } = envelope;
    const submittedAt = loop.now();
    const deadline = remainingMs === null ? Infinity : submittedAt + Math.max(0, remainingMs - lease.waitedMs);
    const pending = new PendingJob(executor, {
      id: envelope.number,
      name: envelope.name,
      job,
      shape: envelope.shape,
      args,
      transfer: null,
      idempotencyKey: lease.order.id,
      locals,
      priority: lease.order.priority,
      deadline,
      submittedAt,
      loop,
    });
    pending.onNews = ({ kind, value }) => {
      if (kind !== "item") engine.tell(lease, { kind, body: newsBody(codec, value, envelope.payloadLimit) });
    };
    if (!executor.tryAdmit(pending)) yield* executor.admit(pending);
    run.pending = pending;
    if (run.stop !== null) pending.cancel((run.stop as { readonly reason: string }).reason); // while it waited for room
    // Most jobs are over by then, and nobody needs to hear that they had begun.
    const telling = loop.callLater(STARTED_AFTER_MS, () =>
      engine.tell(lease, { kind: "started", body: this.#host.name }),
    );
    try {
      return (yield* pending) as JobEnd;
    } finally {
      telling.cancel();
    }
  }

  /** Not ours: others may know it. */
  *#refuse(lease: JobLease, envelope: Envelope, knowsJob: boolean): Coroutine<void> {
    this.counts.refused++;
    const { refusals, refuseMs } = this.#host.settings;
    if (lease.refusals < refusals) {
      yield* this.#insist(() => this.#host.engine.release(lease, refuseMs, "refusal"));
      return;
    }
    const subject = { name: envelope.name, id: envelope.number };
    const noCodec = new TypeError(`no worker has its codec "${envelope.codec}"`);
    const error = knowsJob
      ? new JobUnreadableError(subject, "the arguments", noCodec)
      : new UnknownJobError(subject, lease.order.address, lease.refusals + 1);
    const end: JobEnd = { status: "failed", error, done: null, runMs: 0 };
    yield* this.#record(lease, end, encodeEnd(subject, end, jsonCodec, envelope.payloadLimit));
  }

  *#conclude(run: Run, envelope: Envelope, ended: JobEnd, codec: JobCodec): Coroutine<void> {
    const { lease } = run;
    const isOurs = ended.status === "failed" && isOfExecutor(ended.error);
    if (isOurs || (ended.status === "cancelled" && run.stop?.reason === SHUTDOWN)) {
      this.counts.givenBack++;
      if (isOurs) this.#host.broke(ended.error as Error); // first: it must not claim the same job again
      yield* this.#insist(() => this.#host.engine.release(lease, 0, "nothing"));
      return;
    }
    if (ended.status === "failed" && lease.failures + 1 < envelope.attempts && mayRetry(ended.error)) {
      this.counts.retried++;
      const delayMs = Math.min(LONGEST_BACKOFF_MS, envelope.backoffMs * 2 ** lease.failures);
      yield* this.#insist(() => this.#host.engine.release(lease, delayMs, "failure"));
      return;
    }
    const subject = { name: envelope.name, id: envelope.number };
    let end = ended;
    let body: string;
    try {
      body = encodeEnd(subject, end, codec, envelope.payloadLimit);
    } catch (error) {
      end = { status: "failed", error, done: null, runMs: ended.runMs };
      body = encodeEnd(subject, end, codec, envelope.payloadLimit);
    }
    yield* this.#record(lease, end, body);
  }

  *#record(lease: JobLease, end: JobEnd, body: string): Coroutine<void> {
    const { status, runMs } = end;
    const record: OutcomeRecord = { status, delivery: lease.delivery, worker: this.#host.name, runMs, body };
    if (yield* this.#insist(() => this.#host.engine.finish(lease, record))) this.counts[status]++;
    else this.counts.leasesLost++;
  }

  /** The engine may be out of reach for a while. When the lease is lost meanwhile, that is what it will say. */
  *#insist<T>(act: () => Operation<T>): Coroutine<T> {
    for (;;) {
      try {
        return yield* act();
      } catch (error) {
        if (!(error instanceof Error) || isFinal(error)) throw error;
      }
      yield* sleep(RETRY_MS);
    }
  }
}

/** What failed by itself may go well the next time; what cannot be carried will not. */
function mayRetry(error: unknown): boolean {
  return error instanceof JobError || error instanceof WorkerCrashedError;
}

/** What a job throws arrives as a `JobError`, whatever it is; these are of the executor that was to run it. */
function isOfExecutor(error: unknown): boolean {
  return error instanceof ExecutorShutdownError || error instanceof ExecutorBrokenError;
}

function newsBody(codec: JobCodec, value: unknown, limit: number): string {
  let problem: string;
  try {
    const body = codec.encode(value);
    if (body.length <= limit) return body;
    problem = `${body.length} letters are more than the limit of ${limit}`;
  } catch (error) {
    problem = error instanceof Error ? error.message : reasonText(error);
  }
  return codec.encode(`(cannot be carried: ${problem})`);
}
