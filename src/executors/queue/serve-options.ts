/**
 * What can be said of a server of jobs, and what it says of itself.
 */
import { UsageError } from "../../core/index.ts";
import type { Operation } from "../../core/index.ts";
import { checkMs, checkOptions, checkWhole } from "../checks.ts";
import type { DurationStatistics } from "../durations.ts";
import type { JobExecutor } from "../job-executor.ts";
import { checkJob } from "../job.ts";
import type { AnyJob } from "../job.ts";
import type { JobCodec } from "./codec.ts";

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
  /** Gets the server, to look at it and to stop it. */
  readonly onStart?: (server: ServerView) => void;
}

export interface StopOptions {
  /** How long jobs that run may go on, in milliseconds. Default: `drainMs`. */
  readonly graceMs?: number;
}

/** A server that runs. */
export interface ServerView {
  readonly name: string;
  statistics(): ServerStatistics;
  /**
   * Ends it in good order: it claims nothing more, jobs that run may go on for `graceMs`, the rest is cancelled with the reason `"shutdown"` and
   * given back. It begins with the call; the operation completes when the server has ended. A further call waits for the same end, and may
   * shorten the time. Cancelling the wait does not stop it.
   */
  stop(options?: StopOptions): Operation<void>;
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
  /** Jobs that could not be read; they are among the failed ones. */
  readonly unreadable: number;
  readonly run: DurationStatistics;
}

/** With every default filled in. @package */
export type ServeSettings = ServeOptions &
  Required<Pick<ServeOptions, "concurrency" | "drainMs" | "refusals" | "refuseMs">>;

const CONCURRENCY = 4;
const DRAIN_MS = 10_000;
const REFUSALS = 20;
const REFUSE_MS = 500;

/** @throws {UsageError} */
export function serveSettings(options: ServeOptions): ServeSettings {
  const { concurrency = CONCURRENCY, drainMs = DRAIN_MS } = checkOptions("serveJobs", options);
  const { refusals = REFUSALS, refuseMs = REFUSE_MS } = options;
  checkWhole("concurrency", concurrency, 1);
  checkWhole("refusals", refusals, 0);
  checkMs("drainMs", drainMs);
  checkMs("refuseMs", refuseMs);
  return { ...options, concurrency, drainMs, refusals, refuseMs };
}

/** The jobs by `name@version`. @throws {UsageError} when one is none, or two have one name and version. */
export function addressesOf(jobs: Iterable<AnyJob>): Map<string, AnyJob> {
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
