/**
 * What can be said of a `QueueExecutor`, and of one job in it; checked at once.
 */
import { describeValue, UsageError } from "../../core/index.ts";
import { checkMs, checkOptions, checkWhole } from "../checks.ts";
import type { SubmitOptions } from "../executor.ts";
import type { ExecutorOptions } from "../job-executor.ts";
import { jsonCodec } from "./codec.ts";
import type { JobCodec } from "./codec.ts";
import type { ScheduleTimes } from "./engine.ts";
import { looksLikeFiring } from "./firing-id.ts";

/** How jobs are kept and tried. In an executor: for all of its jobs. */
export interface QueueJobOptions {
  /**
   * How often a job that **fails** is tried, the first time included. Default: 1, as with every executor. A job whose worker is lost is run
   * again in any case, see `maxStalled` of the engine.
   */
  readonly attempts?: number;
  /** How long before the second attempt, in milliseconds; twice as long before each further one. Default: 1,000. */
  readonly backoffMs?: number;
  /** How long the outcome is kept for `attach`, in milliseconds. Default: 600,000, ten minutes. */
  readonly resultTtlMs?: number;
}

export interface QueueSubmitOptions extends SubmitOptions, QueueJobOptions {
  /** How long it must not be begun, in milliseconds. Its deadline runs meanwhile. Default: 0. */
  readonly delayMs?: number;
}

export interface QueueExecutorOptions extends ExecutorOptions, QueueJobOptions {
  /** How many of its jobs may be in the queue or with workers; then `submit` waits. Default: 1,000. */
  readonly maxPending?: number;
  /** How many jobs may wait here while the engine cannot be reached; then `submit` fails with `ExecutorUnavailableError`. Default: 1,000. */
  readonly bufferSize?: number;
  /** The largest payload, arguments or result, in bytes of the queue. Default: 262,144 (256 KiB). */
  readonly payloadLimit?: number;
  /** How values become text. Workers know `jsonCodec` and `structuredCloneCodec`; give another one to both sides. Default: `jsonCodec`. */
  readonly codec?: JobCodec;
  /** How often it asks what became of its jobs, in milliseconds, since a push may be lost. Default: 2,000. */
  readonly sweepMs?: number;
  /** How many jobs it is for at a time, which sets the window of `map`. Default: 16. */
  readonly parallelism?: number;
  /**
   * What the end of a cancelled scope does to the jobs submitted in it. `"cancel"` (default): they are cancelled, as with every executor. `"detach"`: their
   * handles are, the jobs go on, see `attach`. `handle.cancel()` cancels the job in any case.
   */
  readonly onScopeCancelled?: "cancel" | "detach";
}

/** When a schedule fires, and what its jobs are. */
export type ScheduleOptions = ScheduleJobOptions &
  (
    | {
        /** How often, in milliseconds, from 100 to ten years; counted from 1970, so every five minutes is at :00, :05 … */
        readonly everyMs: number;
      }
    | {
        /** Minute, hour, day of the month, month and day of the week, as cron has them: `"0 3 * * *"`; or six fields, with seconds first. */
        readonly cron: string;
        /** Of the IANA, such as `"Europe/Paris"`. Default: `"UTC"`. */
        readonly timeZone?: string;
      }
  );

export interface ScheduleJobOptions extends QueueJobOptions {
  /** What happens to a firing that is due while the one before has no outcome. `"allow"` (default): both run. `"skip"`: it is recorded as cancelled. */
  readonly overlap?: "allow" | "skip";
  /** Shown in messages. Default: the name of the job. */
  readonly name?: string;
  /** As of any job. Default: 0. */
  readonly priority?: number;
  /** How long each firing may take, in milliseconds from when it is due. Default: no limit. */
  readonly deadlineMs?: number;
}

/** With every default filled in. @package */
export interface ScheduleSettings extends Required<QueueJobOptions> {
  readonly times: ScheduleTimes;
  readonly overlap: "allow" | "skip";
  readonly name?: string;
  readonly priority: number;
  readonly deadlineMs: number;
}

/** With every default filled in. @package */
export interface QueueSettings extends Required<QueueJobOptions> {
  readonly maxPending: number;
  readonly bufferSize: number;
  readonly payloadLimit: number;
  readonly codec: JobCodec;
  readonly sweepMs: number;
  readonly parallelism: number;
  readonly onScopeCancelled: "cancel" | "detach";
}

const RESULT_TTL_MS = 600_000;
export const PAYLOAD_LIMIT: number = 256 * 1_024;

/** @throws {UsageError} */
export function queueSettings(options: QueueExecutorOptions): QueueSettings {
  const { attempts = 1, backoffMs = 1_000, resultTtlMs = RESULT_TTL_MS } = checkOptions("QueueExecutor", options);
  const { maxPending = 1_000, bufferSize = 1_000, payloadLimit = PAYLOAD_LIMIT, codec = jsonCodec } = options;
  const { sweepMs = 2_000, parallelism = 16, onScopeCancelled = "cancel" } = options;
  checkJobOptions({ attempts, backoffMs, resultTtlMs });
  checkWhole("maxPending", maxPending, 1, true);
  checkWhole("bufferSize", bufferSize, 0, true);
  checkWhole("payloadLimit", payloadLimit, 1, true);
  checkWhole("parallelism", parallelism, 1);
  checkMs("sweepMs", sweepMs);
  if (!(sweepMs >= 1)) throw new UsageError(`sweepMs must be at least 1, got ${sweepMs}`);
  if (onScopeCancelled !== "cancel" && onScopeCancelled !== "detach") {
    throw new UsageError(`onScopeCancelled is "cancel" or "detach", got ${describeValue(onScopeCancelled as unknown)}`);
  }
  if (typeof (codec as Partial<JobCodec> | null)?.encode !== "function") {
    throw new UsageError(`codec must be a JobCodec, got ${describeValue(codec)}`);
  }
  return {
    attempts,
    backoffMs,
    resultTtlMs,
    maxPending,
    bufferSize,
    payloadLimit,
    codec,
    sweepMs,
    parallelism,
    onScopeCancelled,
  };
}

const SHORTEST_EVERY_MS = 100;
/** The next multiple has to be a time of day that dates, and Redis' scripts, can write down. */
const LONGEST_EVERY_MS = 3_650 * 24 * 3_600_000;
/** `cron-parser` would fill up what is missing, and make up what `H` stands for, differently in each process. */
const CRON_FORM = /^(@[a-z]+|\S+(\s+\S+){4,5})$/;

/** @throws {UsageError} */
export function scheduleSettings(options: ScheduleOptions, defaults: QueueSettings): ScheduleSettings {
  const times = timesOf(checkOptions("schedule()", options));
  const { overlap = "allow", name, priority = 0, deadlineMs = Infinity } = options;
  const { attempts = defaults.attempts, backoffMs = defaults.backoffMs } = options;
  const { resultTtlMs = defaults.resultTtlMs } = options;
  checkJobOptions({ attempts, backoffMs, resultTtlMs });
  checkMs("deadlineMs", deadlineMs);
  if (!Number.isFinite(priority)) throw new UsageError(`priority must be a finite number, got ${priority}`);
  if (overlap !== "allow" && overlap !== "skip") {
    throw new UsageError(`overlap is "allow" or "skip", got ${describeValue(overlap as unknown)}`);
  }
  const own = { times, overlap, priority, deadlineMs, attempts, backoffMs, resultTtlMs };
  return name === undefined ? own : { ...own, name };
}

function timesOf(options: ScheduleOptions): ScheduleTimes {
  const { everyMs, cron, timeZone = "UTC" } = options as { everyMs?: unknown; cron?: unknown; timeZone?: unknown };
  if ((everyMs === undefined) === (cron === undefined)) {
    throw new UsageError("a schedule has either everyMs, or cron and timeZone");
  }
  if (everyMs !== undefined) {
    checkWhole("everyMs", everyMs, SHORTEST_EVERY_MS);
    if ((everyMs as number) > LONGEST_EVERY_MS) {
      throw new UsageError(`everyMs must be at most ${LONGEST_EVERY_MS}, ten years, got ${describeValue(everyMs)}`);
    }
    return { everyMs: everyMs as number };
  }
  if (typeof cron !== "string" || !CRON_FORM.test(cron.trim()) || /\bH\b/i.test(cron)) {
    throw new UsageError(`cron has five fields, such as "0 3 * * *", or six with seconds, got ${describeValue(cron)}`);
  }
  if (typeof timeZone !== "string" || timeZone === "") {
    throw new UsageError(`timeZone is a name of the IANA, such as "Europe/Paris", got ${describeValue(timeZone)}`);
  }
  return { cron: cron.trim(), timeZone };
}

/** @throws {UsageError} */
export function checkJobOptions(options: QueueSubmitOptions): void {
  const { attempts, backoffMs, resultTtlMs, delayMs, idempotencyKey } = options;
  if (idempotencyKey !== undefined && looksLikeFiring(idempotencyKey)) {
    throw new UsageError(
      `the idempotencyKey "${idempotencyKey}" begins like those of scheduled jobs; use another one, or attach()`,
    );
  }
  if (attempts !== undefined) checkWhole("attempts", attempts, 1);
  if (backoffMs !== undefined) checkMs("backoffMs", backoffMs);
  if (resultTtlMs !== undefined) checkMs("resultTtlMs", resultTtlMs);
  if (delayMs !== undefined) checkMs("delayMs", delayMs);
  if (delayMs === Infinity || backoffMs === Infinity || resultTtlMs === Infinity) {
    throw new UsageError("delayMs, backoffMs and resultTtlMs must be finite");
  }
}
