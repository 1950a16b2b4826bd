/**
 * What can be said of a `QueueExecutor`, and of one job in it; checked at once.
 */
import { describeValue, UsageError } from "../../core/index.ts";
import { checkMs, checkOptions, checkWhole } from "../checks.ts";
import type { SubmitOptions } from "../executor.ts";
import type { ExecutorOptions } from "../job-executor.ts";
import { jsonCodec } from "./codec.ts";
import type { JobCodec } from "./codec.ts";

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

/** With every default filled in. @internal */
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

/** @throws {UsageError} */
export function checkJobOptions(options: QueueSubmitOptions): void {
  const { attempts, backoffMs, resultTtlMs, delayMs } = options;
  if (attempts !== undefined) checkWhole("attempts", attempts, 1);
  if (backoffMs !== undefined) checkMs("backoffMs", backoffMs);
  if (resultTtlMs !== undefined) checkMs("resultTtlMs", resultTtlMs);
  if (delayMs !== undefined) checkMs("delayMs", delayMs);
  if (delayMs === Infinity || backoffMs === Infinity || resultTtlMs === Infinity) {
    throw new UsageError("delayMs, backoffMs and resultTtlMs must be finite");
  }
}
