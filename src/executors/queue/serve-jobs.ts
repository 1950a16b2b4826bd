/**
 * The doors to a server of jobs: `serveJobs`, which is the server for as long as it is waited for, and `startJobServer`, which runs beside.
 */
import { EventLoop } from "../../core/index.ts";
import type { Operation } from "../../core/index.ts";
import type { Job } from "../job.ts";
import type { QueueEngine } from "./engine.ts";
import { JobServer } from "./job-server.ts";
import { QueueExecutor } from "./queue-executor.ts";
import { addressesOf, serveSettings } from "./serve-options.ts";
import type { ServeOptions, ServerView } from "./serve-options.ts";

/** What is served: a queue, or the executor that submits to it. */
export type Served = QueueEngine | QueueExecutor;

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

function engineOf(served: Served): QueueEngine {
  return served instanceof QueueExecutor ? served.engine : served;
}
