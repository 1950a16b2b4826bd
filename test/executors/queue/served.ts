/**
 * An executor with a worker of its own, in this process, for the conformance suite.
 */
import { run } from "fibril";
import { QueueExecutor, serveJobs } from "../../../src/executors/index.ts";
import type { Executor, ExecutorOptions, Job, QueueEngine } from "../../../src/executors/index.ts";
import * as module from "../jobs.ts";
import { sharedCodec } from "./shared-codec.ts";

/** The jobs among the exports of the suite's module. */
const jobs = Object.values(module).filter(
  (each): each is Job<never, unknown> => typeof each === "object" && each !== null && "fn" in each,
);

/** What `describeExecutor` takes; `openEngine` makes an engine for each executor. */
export function servedBy(
  openEngine: () => QueueEngine,
): (width: number, options?: ExecutorOptions) => Executor & { [Symbol.asyncDispose](): Promise<void> } {
  return (width, options) => new ServedExecutor(openEngine(), width, options);
}

/** Its worker ends with it. */
class ServedExecutor extends QueueExecutor {
  readonly #engine: QueueEngine;
  readonly #stop = new AbortController();
  readonly #served: Promise<unknown>;

  constructor(engine: QueueEngine, width: number, options: ExecutorOptions = {}) {
    super(engine, {
      queueSize: 1_024,
      ...options,
      maxPending: width,
      parallelism: width,
      codec: sharedCodec,
      sweepMs: 10,
    });
    this.#engine = engine;
    const { signal } = this.#stop;
    this.#served = run(() => serveJobs(engine, jobs, { concurrency: width, codecs: [sharedCodec], drainMs: 0 }), {
      signal,
    }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    this.#stop.abort();
    await this.#served;
    await this.#engine.close();
  }
}
