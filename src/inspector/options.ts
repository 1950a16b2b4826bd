/** What a snapshot takes along, and how long it may take. */
import { describeValue, EventLoop, UsageError } from "../core/index.ts";
import type { RecordPlan } from "./record-loop.ts";

export interface SnapshotOptions {
  /** Whether to find out where each task waits, file and line of every frame: 6–30 µs a task. Default: `false`. */
  readonly stacks?: boolean;
  /** How many tasks of each loop are listed at most, the outermost first, and how many scopes. Default: 10,000; `Infinity` is allowed. */
  readonly limit?: number;
  /**
   * The loops of this thread to look at. Default: those on the platform's own host that have something to do or unfinished tasks, and those on the
   * host of the running step. One on a host of your own is found from inside it, or when it is named here.
   */
  readonly loops?: readonly EventLoop[];
}

export interface GatherOptions extends SnapshotOptions {
  /** How long to wait for other threads, in milliseconds of real time. What has not answered then is listed as silent. Default: 500. */
  readonly timeoutMs?: number;
}

const LIMIT = 10_000;
const TIMEOUT_MS = 500;

/** @throws {UsageError} when an option is wrong. @package */
export function planOf(options: SnapshotOptions): RecordPlan & { readonly loops: readonly EventLoop[] | null } {
  if (typeof options !== "object" || options === null) {
    throw new UsageError(`the options of a snapshot are an object, got ${describeValue(options)}`);
  }
  const { stacks = false, limit = LIMIT, loops } = options;
  if (typeof stacks !== "boolean") throw new UsageError(`stacks must be true or false, got ${describeValue(stacks)}`);
  if (limit !== Infinity && !(Number.isSafeInteger(limit) && limit >= 1)) {
    throw new UsageError(`limit must be a whole number of at least 1, or Infinity, got ${describeValue(limit)}`);
  }
  if (loops !== undefined && !(Array.isArray(loops) && loops.every((loop) => loop instanceof EventLoop))) {
    throw new UsageError(`loops must be a list of event loops, got ${describeValue(loops)}`);
  }
  return { stacks, limit, loops: loops ?? null };
}

/** @throws {UsageError} when it is wrong. @package */
export function timeoutOf({ timeoutMs = TIMEOUT_MS }: GatherOptions): number {
  if (typeof timeoutMs === "number" && timeoutMs >= 0 && Number.isFinite(timeoutMs)) return timeoutMs;
  throw new UsageError(
    `timeoutMs must be a number of milliseconds, not negative and not Infinity, got ${describeValue(timeoutMs)}`,
  );
}
