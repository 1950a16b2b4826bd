/**
 * The worker's side of a queue: claims jobs, runs them, says what became of them.
 *
 * The heartbeat is a task of the server, never of a job: a job that waits long is no lost worker. A job that holds the loop up is one, though,
 * since nothing beats meanwhile; CPU work goes to threads (`runOn: new ThreadPool()`), where it holds up nobody.
 *
 * How it ends, when its task is cancelled:
 *   1. It claims no more.
 *   2. Jobs that run have `drainMs` to end by themselves; their heartbeat goes on.
 *   3. Those that are left are cancelled with the reason "shutdown" and given back: others run them again.
 *
 * A worker that has lost a lease stops the job and says nothing about it: somebody else has it.
 */
import { EventLoop, shield, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation, Task } from "../../core/index.ts";
import { Semaphore } from "../../sync/index.ts";
import { moveOnAfter, sleep } from "../../time/index.ts";
import { checkMs, checkOptions, checkWhole } from "../checks.ts";
import { Durations } from "../durations.ts";
import type { DurationStatistics } from "../durations.ts";
import { JobError, WorkerCrashedError } from "../errors.ts";
import { InlineExecutor } from "../inline-executor.ts";
import type { JobExecutor } from "../job-executor.ts";
import { checkJob } from "../job.ts";
import type { AnyJob, Job } from "../job.ts";
import { PendingJob } from "../pending-job.ts";
import type { JobEnd } from "../pool.ts";
import { jsonCodec, structuredCloneCodec } from "./codec.ts";
import type { JobCodec } from "./codec.ts";
import type { JobLease, OutcomeRecord, QueueEngine } from "./engine.ts";
import { decodeData, encodeEnd, openEnvelope, reasonText } from "./envelope.ts";
import type { Envelope } from "./envelope.ts";
import { UnknownJobError } from "./errors.ts";
import { PAYLOAD_LIMIT } from "./options.ts";
import { QueueExecutor } from "./queue-executor.ts";

export interface ServeOptions {
  /** How many jobs it runs at a time. Default: 4. */
  readonly concurrency?: number;
  /** How long jobs may go on after it was told to stop, in milliseconds. Default: 10,000. */
  readonly drainMs?: number;
  /** Where jobs run: a `ThreadPool` for CPU work. It is not shut down here. Default: on the loop of the server. */
  readonly runOn?: JobExecutor;
  /** Unique; shown in errors. Default: made up. */
  readonly name?: string;
  /** How often a job that no worker knows is put back before it fails, see `refuseMs`. Default: 20. */
  readonly refusals?: number;
  /** How long a job that this worker does not know is put back for, in milliseconds. Default: 500. */
  readonly refuseMs?: number;
  /** Codecs besides `jsonCodec` and `structuredCloneCodec`. */
  readonly codecs?: readonly JobCodec[];
  /** Gets the server's statistics whenever it asks; for dashboards and tests. */
  readonly onStart?: (server: ServerView) => void;
}

/** A look at a server. */
export interface ServerView {
  readonly name: string;
  statistics(): ServerStatistics;
}

/** Plain, frozen data. */
export interface ServerStatistics {
  readonly name: string;
  readonly running: number;
  readonly claimed: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Failures that were put back for another attempt. */
  readonly retried: number;
  /** Jobs that it did not know. */
  readonly refused: number;
  /** Given back at the end. */
  readonly givenBack: number;
  /** Leases that were lost while it ran the job. */
  readonly leasesLost: number;
  readonly run: DurationStatistics;
}

const CONCURRENCY = 4;
const DRAIN_MS = 10_000;
const REFUSALS = 20;
const REFUSE_MS = 500;
const BEATS_PER_LEASE = 3;
const RETRY_MS = 200;
const LONGEST_BACKOFF_MS = 3_600_000;
const REMEMBERED = 1_024;
const SHUTDOWN = "shutdown";

/** What is served: a queue, or the executor that submits to it. */
export type Served = QueueEngine | QueueExecutor;

/**
 * Serves jobs until its task is cancelled; it never returns by itself. Cancelling stops it in good order, see above, and
 * waits for that.
 *
 * Jobs are found by `name@version`. A job that is not among them is left for other workers.
 *
 * @throws {UsageError} when a job or an option is wrong, or two jobs have one name and version.
 * @example
 * await run(() => serveJobs(engine, [thumbnail, report], { concurrency: 8 }), { handleSignals: true });
 */
export function serveJobs(
  served: Served,
  jobs: Iterable<Job<never, unknown>>,
  options: ServeOptions = {},
): Operation<never> {
  const engine = served instanceof QueueExecutor ? served.engine : served;
  const known = addressesOf(jobs);
  const { concurrency = CONCURRENCY, drainMs = DRAIN_MS } = checkOptions("serveJobs", options);
  const { refusals = REFUSALS, refuseMs = REFUSE_MS } = options;
  checkWhole("concurrency", concurrency, 1);
  checkWhole("refusals", refusals, 0);
  checkMs("drainMs", drainMs);
  checkMs("refuseMs", refuseMs);
  return {
    [Symbol.iterator]: () =>
      new JobServer(engine, known, { ...options, concurrency, drainMs, refusals, refuseMs }).serve(),
  };
}

type Settings = ServeOptions & Required<Pick<ServeOptions, "concurrency" | "drainMs" | "refusals" | "refuseMs">>;

interface Run {
  readonly lease: JobLease;
  pending: PendingJob | null;
  task: Task<void> | null;
  /** Why it was told to stop. */
  stop: { readonly reason: string } | null;
  isLost: boolean;
}

class JobServer implements ServerView {
  readonly name: string;
  readonly #engine: QueueEngine;
  readonly #jobs: ReadonlyMap<string, AnyJob>;
  readonly #settings: Settings;
  readonly #executor: JobExecutor;
  readonly #loop: EventLoop = EventLoop.current();
  readonly #codecs: ReadonlyMap<string, JobCodec>;
  readonly #runs = new Map<string, Set<Run>>();
  /** Requests to cancel jobs that are not here. */
  readonly #early = new Map<string, string>();
  readonly #slots: Semaphore;
  readonly #ran = new Durations();
  readonly #counts = {
    claimed: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
    retried: 0,
    refused: 0,
    givenBack: 0,
    leasesLost: 0,
  };

  constructor(engine: QueueEngine, jobs: ReadonlyMap<string, AnyJob>, settings: Settings) {
    const { concurrency, codecs = [] } = settings;
    this.#engine = engine;
    this.#jobs = jobs;
    this.#settings = settings;
    this.name = settings.name ?? `worker-${Math.floor(this.#loop.random() * 2 ** 40).toString(36)}`;
    // Its own limit is never met: whatever this executor is given has a slot.
    this.#executor = settings.runOn ?? new InlineExecutor({ concurrency: Infinity, name: this.name });
    this.#slots = new Semaphore(concurrency, { name: `slots of ${this.name}` });
    this.#codecs = new Map([jsonCodec, structuredCloneCodec, ...codecs].map((codec) => [codec.name, codec]));
  }

  statistics(): ServerStatistics {
    const running = this.#allRuns().length;
    return Object.freeze({ name: this.name, running, ...this.#counts, run: this.#ran.snapshot() });
  }

  *serve(): Coroutine<never> {
    this.#settings.onStart?.(this);
    const unwatch = yield* this.#engine.watchCancels((id, reason) => this.#cancel(id, reason));
    // Beside the scope of whoever serves: it has to beat while that one drains.
    const heartbeat = this.#loop.spawn({ name: `heartbeat of ${this.name}` }, () => this.#beat());
    try {
      for (;;) {
        const slot = yield* this.#slots.acquire();
        let isRunning = false;
        try {
          const lease = yield* this.#engine.claim(this.name);
          this.#begin(lease, () => slot.release());
          isRunning = true;
        } catch (error) {
          if (!(error instanceof Error) || isFinal(error)) throw error;
          yield* sleep(RETRY_MS);
        } finally {
          if (!isRunning) slot.release();
        }
      }
    } finally {
      yield* shield(() => this.#drain());
      unwatch();
      yield* shield(heartbeat.cancel());
    }
  }

  *#drain(): Coroutine<void> {
    yield* moveOnAfter(this.#settings.drainMs, () => this.#join());
    for (const run of this.#allRuns()) this.#stop(run, SHUTDOWN);
    yield* this.#join();
  }

  *#join(): Coroutine<void> {
    for (const { task } of this.#allRuns()) if (task !== null) yield* task;
  }

  #allRuns(): Run[] {
    return [...this.#runs.values()].flatMap((runs) => [...runs]);
  }

  #cancel(id: string, reason: string): void {
    const runs = this.#runs.get(id);
    for (const run of runs ?? []) this.#stop(run, reason);
    if (runs !== undefined) return;
    // Of another worker's job; or of one whose lease is just on its way here, which does not say so yet.
    this.#early.set(id, reason);
    if (this.#early.size > REMEMBERED) this.#early.delete(this.#early.keys().next().value!);
  }

  #stop(run: Run, reason: string): void {
    if (run.stop !== null) return;
    run.stop = { reason };
    run.pending?.cancel(reason);
  }

  *#beat(): Coroutine<void> {
    const everyMs = this.#engine.leaseMs / BEATS_PER_LEASE;
    for (;;) {
      yield* sleep(everyMs);
      const runs = this.#allRuns().filter((run) => !run.isLost);
      if (runs.length === 0) continue;
      try {
        const renewals = yield* this.#engine.renew(runs.map((run) => run.lease));
        for (const [index, run] of runs.entries()) this.#heed(run, renewals[index]!);
      } catch (error) {
        if (!(error instanceof Error)) throw error; // out of reach: the next beat tries again, or finds the leases lost
      }
    }
  }

  #heed(run: Run, renewal: { readonly isHeld: boolean; readonly cancel: { readonly reason: string } | null }): void {
    if (renewal.isHeld) {
      if (renewal.cancel !== null) this.#stop(run, renewal.cancel.reason);
      return;
    }
    if (run.isLost || !this.#runs.get(run.lease.order.id)?.has(run)) return; // it has just ended
    run.isLost = true;
    this.#counts.leasesLost++;
    this.#stop(run, "the lease was lost");
  }

  #begin(lease: JobLease, release: () => void): void {
    const { id, address } = lease.order;
    const early = this.#early.get(id);
    const stop = early === undefined ? lease.cancel : { reason: early };
    this.#early.delete(id);
    const run: Run = { lease, pending: null, task: null, stop, isLost: false };
    let runs = this.#runs.get(id);
    if (runs === undefined) this.#runs.set(id, (runs = new Set()));
    runs.add(run);
    this.#counts.claimed++;
    run.task = this.#loop.spawn({ name: `${address} of ${this.name}` }, () => this.#serve(run));
    const taskSettled = (): void => {
      runs.delete(run);
      if (runs.size === 0 && this.#runs.get(id) === runs) this.#runs.delete(id);
      release();
    };
    run.task.watch({ before: null, after: null, taskSettled });
  }

  *#serve(run: Run): Coroutine<void> {
    const { lease } = run;
    const { order } = lease;
    let envelope: Envelope;
    let codec: JobCodec;
    let job: AnyJob;
    let end: JobEnd;
    try {
      envelope = openEnvelope(order.payload);
      codec = this.#codecs.get(envelope.codec)!;
      job = this.#jobs.get(order.address)!;
      if (codec === undefined || job === undefined) {
        yield* this.#refuse(lease, envelope);
        return;
      }
      if (run.stop !== null) end = { status: "cancelled", reason: run.stop.reason, runMs: 0 };
      else end = yield* this.#run(run, job, envelope, codec);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      // What lies there cannot be read, here or anywhere.
      const subject = { name: order.address, id: 0 };
      const failure: JobEnd = {
        status: "failed",
        error: new JobError(subject, error, this.name),
        done: null,
        runMs: 0,
      };
      yield* this.#record(lease, failure, encodeEnd(subject, failure, jsonCodec, PAYLOAD_LIMIT));
      return;
    }
    this.#ran.record(end.runMs);
    if (run.isLost) return;
    yield* this.#conclude(run, envelope, end, codec);
  }

  *#run(run: Run, job: AnyJob, envelope: Envelope, codec: JobCodec): Coroutine<JobEnd> {
    const { lease } = run;
    const { args, locals } = decodeData(envelope, codec);
    const now = this.#loop.now();
    const { remainingMs } = envelope;
    const deadline = remainingMs === null ? Infinity : now + Math.max(0, remainingMs - lease.waitedMs);
    const pending = new PendingJob(this.#executor, {
      id: envelope.number,
      name: envelope.name,
      job,
      shape: envelope.shape,
      args,
      transfer: null,
      idempotencyKey: envelope.key,
      locals,
      priority: lease.order.priority,
      deadline,
      loop: this.#loop,
    });
    pending.onNews = ({ kind, value }) => {
      if (kind === "item") return;
      this.#engine.tell(lease, { kind, body: bodyOf(codec, value) });
    };
    if (!this.#executor.tryAdmit(pending)) yield* this.#executor.admit(pending);
    run.pending = pending;
    if (run.stop !== null) pending.cancel((run.stop as { readonly reason: string }).reason); // while it waited for room
    this.#engine.tell(lease, { kind: "started", body: this.name });
    return (yield* pending) as JobEnd;
  }

  /** Not ours: others may know it. */
  *#refuse(lease: JobLease, envelope: Envelope): Coroutine<void> {
    this.#counts.refused++;
    if (lease.refusals < this.#settings.refusals) {
      yield* this.#insist(() => this.#engine.release(lease, this.#settings.refuseMs, "refusal"));
      return;
    }
    const subject = { name: envelope.name, id: envelope.number };
    const error = new UnknownJobError(subject, lease.order.address, lease.refusals + 1);
    const end: JobEnd = { status: "failed", error, done: null, runMs: 0 };
    yield* this.#record(lease, end, encodeEnd(subject, end, jsonCodec, envelope.payloadLimit));
  }

  *#conclude(run: Run, envelope: Envelope, ended: JobEnd, codec: JobCodec): Coroutine<void> {
    const { lease } = run;
    if (ended.status === "cancelled" && run.stop?.reason === SHUTDOWN) {
      this.#counts.givenBack++;
      yield* this.#insist(() => this.#engine.release(lease, 0, "nothing"));
      return;
    }
    if (ended.status === "failed" && lease.failures + 1 < envelope.attempts && mayRetry(ended.error)) {
      this.#counts.retried++;
      const delayMs = Math.min(LONGEST_BACKOFF_MS, envelope.backoffMs * 2 ** lease.failures);
      yield* this.#insist(() => this.#engine.release(lease, delayMs, "failure"));
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
    const record: OutcomeRecord = {
      status: end.status,
      delivery: lease.delivery,
      worker: this.name,
      runMs: end.runMs,
      body,
    };
    if (yield* this.#insist(() => this.#engine.finish(lease, record))) this.#counts[end.status]++;
    else this.#counts.leasesLost++;
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

function addressesOf(jobs: Iterable<AnyJob>): Map<string, AnyJob> {
  const known = new Map<string, AnyJob>();
  for (const job of jobs) {
    checkJob("serveJobs", job);
    const address = `${job.name}@${job.version}`;
    const other = known.get(address);
    if (other !== undefined && other !== job) {
      throw new UsageError(
        `serveJobs() was given two jobs "${address}", of ${other.url} and of ${job.url}; name them apart, or raise a version`,
      );
    }
    known.set(address, job);
  }
  return known;
}

/** What failed by itself may go well the next time; what cannot be carried will not. */
function mayRetry(error: unknown): boolean {
  return error instanceof JobError || error instanceof WorkerCrashedError;
}

function bodyOf(codec: JobCodec, value: unknown): string {
  try {
    return codec.encode(value);
  } catch (error) {
    return codec.encode(`(cannot be carried: ${error instanceof Error ? error.message : reasonText(error)})`);
  }
}

/** The engine was closed, or was never there. */
function isFinal(error: Error): boolean {
  const { code } = error as { readonly code?: unknown };
  return code === "EXECUTOR_ENGINE_MISSING" || code === "EXECUTOR_ENGINE_CLOSED";
}
