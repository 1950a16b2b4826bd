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
import type { Coroutine, Operation } from "../../core/index.ts";
import { Event, Semaphore } from "../../sync/index.ts";
import { sleep } from "../../time/index.ts";
import { checkMs, checkOptions } from "../checks.ts";
import { InlineExecutor } from "../inline-executor.ts";
import type { JobExecutor } from "../job-executor.ts";
import type { AnyJob } from "../job.ts";
import { jsonCodec, structuredCloneCodec } from "./codec.ts";
import type { JobCodec } from "./codec.ts";
import type { JobLease, QueueEngine } from "./engine.ts";
import { isFinal } from "./errors.ts";
import { JobRunner, SHUTDOWN } from "./job-runner.ts";
import type { RunHost } from "./job-runner.ts";
import { JobRuns, stopRun } from "./job-runs.ts";
import type { ServerStatistics, ServerView, ServeSettings, StopOptions } from "./serve-options.ts";

const RETRY_MS = 200;
/** How many jobs it asks for at a time: while some are on their way the engine can fetch others. */
const CLAIMS_AT_ONCE = 16;

export class JobServer implements ServerView, RunHost {
  readonly name: string;
  readonly engine: QueueEngine;
  readonly jobs: ReadonlyMap<string, AnyJob>;
  readonly settings: ServeSettings;
  readonly executor: JobExecutor;
  readonly loop: EventLoop = EventLoop.current();
  readonly codecs: ReadonlyMap<string, JobCodec>;
  readonly #runner: JobRunner = new JobRunner(this);
  readonly #runs: JobRuns;
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
    this.#runs = new JobRuns(engine, this.#runner.counts);
    this.name = settings.name ?? `worker-${Math.floor(this.loop.random() * 2 ** 40).toString(36)}`;
    // Its own limit is never met: whatever this executor is given has a slot.
    this.executor = settings.runOn ?? new InlineExecutor({ concurrency: Infinity, name: this.name });
    this.#slots = new Semaphore(concurrency, { name: `slots of ${this.name}` });
    this.#ended = new Event({ name: `the end of ${this.name}` });
    this.codecs = new Map([jsonCodec, structuredCloneCodec, ...codecs].map((codec) => [codec.name, codec]));
  }

  statistics(): ServerStatistics {
    const { counts, ran } = this.#runner;
    const running = this.#runs.all().length;
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
      const heartbeat = this.loop.spawn({ name: `heartbeat of ${this.name}` }, () => this.#runs.beat());
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
    const cancelled = (id: string, reason: string): void => this.#runs.cancel(id, reason);
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
    for (const run of this.#runs.all()) stopRun(run, SHUTDOWN);
    const { leaseMs } = this.engine;
    while (this.#runs.all().length > 0) {
      const telling = Scope.enter({ name: `the leases of ${this.name}` });
      telling.deadline = loop.now() + leaseMs;
      yield* telling.run(this.#join());
      for (const { endedAt, task } of this.#runs.all()) {
        if (endedAt !== null && task !== null && loop.now() - endedAt >= leaseMs) yield* task.cancel();
      }
    }
  }

  *#join(): Coroutine<void> {
    for (const { task } of this.#runs.all()) if (task !== null) yield* task;
  }

  #begin(lease: JobLease, release: () => void): void {
    const run = this.#runs.add(lease);
    this.#claimed++;
    run.task = this.loop.spawn({ name: `${lease.order.address} of ${this.name}` }, () => this.#runner.serve(run));
    const taskSettled = (): void => {
      this.#runs.remove(run);
      release();
    };
    run.task.watch({ before: null, after: null, taskSettled });
  }
}
