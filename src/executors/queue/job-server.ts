/**
 * The worker's side of a queue: claims jobs, runs them, says what became of them.
 *
 * The heartbeat is a task of the server, never of a job: a job that waits long is no lost worker. A job that holds the loop up is one, though,
 * since nothing beats meanwhile; CPU work goes to threads (`runOn: new ThreadPool()`), where it holds up nobody.
 *
 * How it ends, when it is told to stop, or its task is cancelled:
 *   1. It claims no more.
 *   2. Jobs that run have `drainMs` to end by themselves; their heartbeat goes on.
 *   3. Those that are left are cancelled with the reason "shutdown" and given back: others run them again.
 *   4. What has ended, and the engine could not be told of for as long as a lease holds, is left: its lease has run out.
 *
 * A worker that has lost a lease stops the job and says nothing about it: somebody else has it.
 */
import { EventLoop, Scope, shield } from "../../core/index.ts";
import type { Coroutine, Operation, Task } from "../../core/index.ts";
import { Event, Semaphore } from "../../sync/index.ts";
import { sleep } from "../../time/index.ts";
import { checkMs, checkOptions } from "../checks.ts";
import { InlineExecutor } from "../inline-executor.ts";
import type { JobExecutor } from "../job-executor.ts";
import type { AnyJob, Job } from "../job.ts";
import { jsonCodec, structuredCloneCodec } from "./codec.ts";
import type { JobCodec } from "./codec.ts";
import type { JobLease, QueueEngine, Renewal } from "./engine.ts";
import { isFinal } from "./errors.ts";
import { JobRunner, SHUTDOWN } from "./job-runner.ts";
import type { Run, RunHost } from "./job-runner.ts";
import { QueueExecutor } from "./queue-executor.ts";
import { addressesOf, serveSettings } from "./serve-options.ts";
import type { ServeOptions, ServerStatistics, ServerView, ServeSettings, StopOptions } from "./serve-options.ts";

/** What is served: a queue, or the executor that submits to it. */
export type Served = QueueEngine | QueueExecutor;

const BEATS_PER_LEASE = 3;
const RETRY_MS = 200;
const REMEMBERED = 1_024;
/** How many jobs it asks for at a time: while some are on their way the engine can fetch others. */
const CLAIMS_AT_ONCE = 16;

/**
 * Serves jobs until its task is cancelled, or until it is stopped (`onStart` gives the server): then it returns. Both end it in good order, see
 * above, and wait for that.
 *
 * Jobs are found by `name@version`. A job that is not among them is left for other workers.
 *
 * @throws {UsageError} when a job or an option is wrong, or two jobs have one name and version.
 * @throws {ExecutorShutdownError} when `runOn` was shut down under it; what it had is given back.
 * @example
 * await run(() => serveJobs(engine, [thumbnail, report], { concurrency: 8 }), { handleSignals: true });
 */
export function serveJobs(
  served: Served,
  jobs: Iterable<Job<never, unknown>>,
  options: ServeOptions = {},
): Operation<void> {
  const engine = engineOf(served);
  const known = addressesOf(jobs);
  const settings = serveSettings(options);
  return { [Symbol.iterator]: () => new JobServer(engine, known, settings).serve() };
}

/** A server in the background, see `startJobServer`. */
export interface JobServerHandle extends ServerView {
  /** `stop()`, for `use` and `await using`. Throws what the server failed with. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * `serveJobs` beside the program that starts it. It belongs to the loop, not to a scope: `use` ends it with one, in good order.
 *
 * What it fails with (a package is missing, the engine was closed under it) is thrown by `stop`.
 *
 * @throws {UsageError} as `serveJobs`.
 * @example
 * const server = yield* use(startJobServer(engine, [thumbnail], { concurrency: 8 }));
 * yield* server.stop({ graceMs: 5_000 });
 */
export function startJobServer(
  served: Served,
  jobs: Iterable<Job<never, unknown>>,
  options: ServeOptions = {},
): JobServerHandle {
  const server = new JobServer(engineOf(served), addressesOf(jobs), serveSettings(options));
  const task = EventLoop.current().spawn({ name: `server ${server.name}` }, () => server.serve());
  return {
    name: server.name,
    statistics: () => server.statistics(),
    stop(stopOptions) {
      const end = server.stop(stopOptions);
      return {
        *[Symbol.iterator]() {
          yield* end;
          yield* task;
        },
      };
    },
    async [Symbol.asyncDispose]() {
      server.stop();
      await task;
    },
  };
}

interface Begun extends Run {
  task: Task<void> | null;
}

class JobServer implements ServerView, RunHost {
  readonly name: string;
  readonly engine: QueueEngine;
  readonly jobs: ReadonlyMap<string, AnyJob>;
  readonly settings: ServeSettings;
  readonly executor: JobExecutor;
  readonly loop: EventLoop = EventLoop.current();
  readonly codecs: ReadonlyMap<string, JobCodec>;
  readonly #runner: JobRunner = new JobRunner(this);
  readonly #runs = new Map<string, Set<Begun>>();
  /** Requests to cancel jobs that are not here. */
  readonly #early = new Map<string, string>();
  readonly #slots: Semaphore;
  #claimed = 0;
  #claiming: Scope | null = null;
  #draining: Scope | null = null;
  /** When jobs that run are cancelled; `null`: it was not told to stop. */
  #stopAt: number | null = null;
  #failure: { readonly error: unknown } | null = null;
  readonly #ended: Event;

  constructor(engine: QueueEngine, jobs: ReadonlyMap<string, AnyJob>, settings: ServeSettings) {
    const { concurrency, codecs = [] } = settings;
    this.engine = engine;
    this.jobs = jobs;
    this.settings = settings;
    this.name = settings.name ?? `worker-${Math.floor(this.loop.random() * 2 ** 40).toString(36)}`;
    // Its own limit is never met: whatever this executor is given has a slot.
    this.executor = settings.runOn ?? new InlineExecutor({ concurrency: Infinity, name: this.name });
    this.#slots = new Semaphore(concurrency, { name: `slots of ${this.name}` });
    this.#ended = new Event({ name: `the end of ${this.name}` });
    this.codecs = new Map([jsonCodec, structuredCloneCodec, ...codecs].map((codec) => [codec.name, codec]));
  }

  statistics(): ServerStatistics {
    const { counts, ran } = this.#runner;
    const running = this.#allRuns().length;
    return Object.freeze({ name: this.name, running, claimed: this.#claimed, ...counts, run: ran.snapshot() });
  }

  stop(options: StopOptions = {}): Operation<void> {
    const { graceMs = this.settings.drainMs } = checkOptions("stop", options);
    checkMs("graceMs", graceMs);
    this.#stopAt = Math.min(this.#stopAt ?? Infinity, this.loop.now() + graceMs);
    if (this.#draining !== null) this.#draining.deadline = Math.min(this.#draining.deadline, this.#stopAt);
    this.#claiming?.cancel(SHUTDOWN);
    return this.#ended.wait();
  }

  broke(error: Error): void {
    this.#failure ??= { error };
    this.#claiming?.cancel(error);
  }

  *serve(): Coroutine<void> {
    this.settings.onStart?.(this);
    try {
      const unwatch = yield* this.#watch();
      if (unwatch === null) return; // told to stop before the engine could be reached
      // Beside the scope of whoever serves: it has to beat while that one drains.
      const heartbeat = this.loop.spawn({ name: `heartbeat of ${this.name}` }, () => this.#beat());
      try {
        if (!this.#isStopping()) yield* this.#claimAll();
      } finally {
        yield* shield(() => this.#drain());
        unwatch();
        yield* shield(heartbeat.cancel());
      }
    } finally {
      this.#ended.set();
    }
    if (this.#failure !== null) throw this.#failure.error;
  }

  #isStopping(): boolean {
    return this.#stopAt !== null;
  }

  *#watch(): Coroutine<(() => void) | null> {
    if (this.#isStopping()) return null;
    const starting = Scope.enter({ name: `start of ${this.name}` });
    this.#claiming = starting;
    let unwatch: (() => void) | null = null;
    const { engine } = this;
    const cancelled = (id: string, reason: string): void => this.#cancel(id, reason);
    yield* starting.run(
      (function* watch(): Coroutine<void> {
        unwatch = yield* engine.watchCancels(cancelled);
      })(),
    );
    return unwatch;
  }

  *#claimAll(): Coroutine<void> {
    const claiming = Scope.enter({ name: `claims of ${this.name}` });
    this.#claiming = claiming;
    for (let i = 1; i < Math.min(this.settings.concurrency, CLAIMS_AT_ONCE); i++) {
      claiming.launch(this.#claimForEver(), `claim ${i + 1}`);
    }
    yield* claiming.run(this.#claimForEver());
  }

  *#claimForEver(): Coroutine<void> {
    for (;;) {
      const slot = yield* this.#slots.acquire();
      let isRunning = false;
      try {
        const lease = yield* this.engine.claim(this.name);
        this.#begin(lease, () => slot.release());
        isRunning = true;
      } catch (error) {
        if (!(error instanceof Error) || isFinal(error)) throw error;
        yield* sleep(RETRY_MS);
      } finally {
        if (!isRunning) slot.release();
      }
    }
  }

  *#drain(): Coroutine<void> {
    const { loop, settings } = this;
    const draining = Scope.enter({ name: `the jobs of ${this.name}` });
    draining.deadline = this.#stopAt ?? loop.now() + settings.drainMs;
    this.#draining = draining;
    yield* draining.run(this.#join());
    for (const run of this.#allRuns()) this.#stop(run, SHUTDOWN);
    const { leaseMs } = this.engine;
    while (this.#allRuns().length > 0) {
      const telling = Scope.enter({ name: `the leases of ${this.name}` });
      telling.deadline = loop.now() + leaseMs;
      yield* telling.run(this.#join());
      for (const { endedAt, task } of this.#allRuns()) {
        if (endedAt !== null && task !== null && loop.now() - endedAt >= leaseMs) yield* task.cancel();
      }
    }
  }

  *#join(): Coroutine<void> {
    for (const { task } of this.#allRuns()) if (task !== null) yield* task;
  }

  #allRuns(): Begun[] {
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
    const everyMs = this.engine.leaseMs / BEATS_PER_LEASE;
    for (;;) {
      yield* sleep(everyMs);
      const runs = this.#allRuns().filter((run) => !run.isLost);
      if (runs.length === 0) continue;
      try {
        const renewals = yield* this.engine.renew(runs.map((run) => run.lease));
        for (const [index, run] of runs.entries()) this.#heed(run, renewals[index]!);
      } catch (error) {
        if (!(error instanceof Error)) throw error; // out of reach: the next beat tries again, or finds the leases lost
      }
    }
  }

  #heed(run: Begun, renewal: Renewal): void {
    if (renewal.isHeld) {
      if (renewal.cancel !== null) this.#stop(run, renewal.cancel.reason);
      return;
    }
    if (run.isLost || !this.#runs.get(run.lease.order.id)?.has(run)) return; // it has just ended
    run.isLost = true;
    this.#runner.counts.leasesLost++;
    this.#stop(run, "the lease was lost");
  }

  #begin(lease: JobLease, release: () => void): void {
    const { id, address } = lease.order;
    const early = this.#early.get(id);
    const stop = early === undefined ? lease.cancel : { reason: early };
    this.#early.delete(id);
    const run: Begun = { lease, pending: null, task: null, stop, isLost: false, endedAt: null };
    let runs = this.#runs.get(id);
    if (runs === undefined) this.#runs.set(id, (runs = new Set()));
    runs.add(run);
    this.#claimed++;
    run.task = this.loop.spawn({ name: `${address} of ${this.name}` }, () => this.#runner.serve(run));
    const taskSettled = (): void => {
      runs.delete(run);
      if (runs.size === 0 && this.#runs.get(id) === runs) this.#runs.delete(id);
      release();
    };
    run.task.watch({ before: null, after: null, taskSettled });
  }
}

function engineOf(served: Served): QueueEngine {
  return served instanceof QueueExecutor ? served.engine : served;
}
