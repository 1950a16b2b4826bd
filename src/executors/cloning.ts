/**
 * What crosses a thread is cloned; what cannot be is named: which argument, and where in it.
 */
import { JobCloneError } from "./errors.ts";
import type { JobSubject } from "./errors.ts";
import type { PoolJob } from "./pool.ts";

/** The arguments as a worker would see them. @throws {JobCloneError} */
export function cloneArguments(job: PoolJob): unknown[] {
  try {
    return structuredClone(job.args, transferOf(job)) as unknown[];
  } catch (error) {
    throw argumentError(job, error);
  }
}

/** A value as its receiver would see it. @throws {JobCloneError} */
export function cloneResult(job: JobSubject, value: unknown, what: string): unknown {
  if (typeof value !== "object" && typeof value !== "function" && typeof value !== "symbol") return value;
  try {
    return structuredClone(value);
  } catch (error) {
    throw new JobCloneError(job, what, error);
  }
}

/** Why the arguments could not be sent. @package */
export function argumentError(job: PoolJob, cause: unknown): JobCloneError {
  const items = job.shape === "batch" ? (job.args[0] as readonly unknown[]) : job.args;
  const what = job.shape === "batch" ? "item" : "argument";
  const first = job.shape === "stream" ? 1 : 0;
  for (let index = first; index < items.length; index++) {
    const path = uncloneablePath(items[index], job.transfer ?? [], 0);
    if (path === null) continue;
    return new JobCloneError(job, `${what} ${index - first + 1}${path === "" ? "" : ` (at ${path})`}`, cause);
  }
  return new JobCloneError(job, "the transfer list", cause);
}

function transferOf(job: PoolJob): { transfer: ArrayBuffer[] } {
  return { transfer: (job.transfer ?? []) as ArrayBuffer[] };
}

const DEEPEST = 6;

/** Where in a value the trouble is: `".options.onDone"`; `""` for the value itself; `null` when it can be cloned. */
function uncloneablePath(value: unknown, transfer: readonly unknown[], depth: number): string | null {
  if (transfer.includes(value) || isCloneable(value)) return null;
  if (typeof value !== "object" || value === null || depth === DEEPEST) return "";
  for (const [key, each] of Object.entries(value)) {
    const path = uncloneablePath(each, transfer, depth + 1);
    if (path !== null) return `${Array.isArray(value) ? `[${key}]` : `.${key}`}${path}`;
  }
  return "";
}

function isCloneable(value: unknown): boolean {
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}
