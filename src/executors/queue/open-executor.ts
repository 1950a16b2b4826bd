/**
 * One name for where jobs run, so that a program that is developed in one process goes to many machines by a setting.
 */
import { env } from "node:process";
import { describeValue, UsageError } from "../../core/index.ts";
import { InlineExecutor } from "../inline-executor.ts";
import type { JobExecutor } from "../job-executor.ts";
import { ThreadPool } from "../thread-pool.ts";
import { BullEngine } from "./bull-engine.ts";
import type { BullEngineOptions } from "./bull-engine.ts";
import type { QueueExecutorOptions } from "./options.ts";
import { QueueExecutor } from "./queue-executor.ts";

export interface OpenExecutorOptions extends QueueExecutorOptions, Omit<BullEngineOptions, "url"> {
  /** How many threads, or jobs at a time in process, there are at most. Of a queue it is its workers' affair. */
  readonly maxWorkers?: number;
}

/**
 * Opens the executor that a text names: `"threads"`, `"inline"`, or the URL of a Redis (`redis://…`, `rediss://…`; `?queue=name` chooses the queue).
 * Options that are not of its kind are not looked at. A queue needs workers somewhere, see `serveJobs` and `fibril worker`.
 *
 * @throws {UsageError} when the text names none.
 * @example
 * const executor = yield* use(openExecutor("redis://queue.internal"));
 */
export function openExecutor(where: string, options: OpenExecutorOptions = {}): JobExecutor {
  const { maxWorkers, name, queueSize } = options;
  const common = { ...(name === undefined ? {} : { name }), ...(queueSize === undefined ? {} : { queueSize }) };
  if (where === "threads") return new ThreadPool({ ...common, ...(maxWorkers === undefined ? {} : { maxWorkers }) });
  if (where === "inline") {
    return new InlineExecutor({ ...common, ...(maxWorkers === undefined ? {} : { concurrency: maxWorkers }) });
  }
  return new QueueExecutor(engineAt(where, options), { ...options, ownsEngine: true } as QueueExecutorOptions);
}

/**
 * `openExecutor` with what the environment variable `FIBRIL_EXECUTOR` says; without it, threads.
 *
 * @example
 * const executor = yield* use(executorFromEnvironment());
 */
export function executorFromEnvironment(options: OpenExecutorOptions = {}): JobExecutor {
  return openExecutor(env["FIBRIL_EXECUTOR"] || "threads", options);
}

/** The engine of a Redis URL. @throws {UsageError} @package */
export function engineAt(where: string, options: Omit<BullEngineOptions, "url"> = {}): BullEngine {
  const url = typeof where === "string" && URL.canParse(where) ? new URL(where) : null;
  if (url === null || (url.protocol !== "redis:" && url.protocol !== "rediss:")) {
    throw new UsageError(
      `an executor is "threads", "inline" or a URL like redis://host:6379, got ${describeValue(where)}`,
    );
  }
  const queue = options.queue ?? url.searchParams.get("queue") ?? undefined;
  url.searchParams.delete("queue");
  return new BullEngine({ ...options, url: url.href, ...(queue === undefined ? {} : { queue }) });
}
