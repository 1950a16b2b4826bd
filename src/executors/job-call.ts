/**
 * What `submit` and its kin are called with: options first if there are any, then the job, then its arguments.
 */
import { describeValue, UsageError } from "../core/index.ts";
import { checkMs, checkOptions } from "./checks.ts";
import type { SubmitOptions } from "./executor.ts";
import { checkJob } from "./job.ts";
import type { AnyJob } from "./job.ts";

export interface JobCall {
  readonly job: AnyJob;
  readonly args: readonly unknown[];
  readonly options: SubmitOptions;
}

const NO_OPTIONS: SubmitOptions = Object.freeze({});

/** @throws {UsageError} */
export function readCall(what: string, call: readonly unknown[], isStream = false): JobCall {
  const hasOptions = isPlainOptions(call[0]);
  const job = call[hasOptions ? 1 : 0];
  const args = call.slice(hasOptions ? 2 : 1);
  checkJob(what, job);
  if (job.isStream !== isStream) {
    const hint = isStream
      ? "gives one value; run it with submit() or call()"
      : "streams its values; run it with stream()";
    throw new UsageError(`job "${job.name}" ${hint}`);
  }
  const options = hasOptions ? checkOptions<SubmitOptions>(what, call[0] as SubmitOptions) : NO_OPTIONS;
  if (options.deadlineMs !== undefined) checkMs("deadlineMs", options.deadlineMs);
  if (options.priority !== undefined && !Number.isFinite(options.priority)) {
    throw new UsageError(`priority must be a number, got ${describeValue(options.priority as unknown)}`);
  }
  if (options.transfer !== undefined && !Array.isArray(options.transfer)) {
    throw new UsageError(`transfer must be a list, got ${describeValue(options.transfer as unknown)}`);
  }
  return { job, args, options };
}

function isPlainOptions(first: unknown): boolean {
  return typeof first === "object" && first !== null && !("fn" in first);
}
