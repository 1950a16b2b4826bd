/**
 * Our jobs as BullMQ keeps them: ids, priorities, data.
 *
 * BullMQ refuses colons in ids and ids that are numbers, so ours are encoded behind a letter. Firings of its schedulers have ids of its own making,
 * `repeat:<scheduler>:<ms>`: they stand for our `schedule:<schedule>:<ms>`.
 */
import type { Job, Queue } from "bullmq";
import type { Redis } from "ioredis";
import { ENDED } from "./bull-scripts.ts";
import type { JobOrder } from "./engine.ts";
import { firingId, readFiringId } from "./firing-id.ts";

/** What lies in a job of BullMQ. */
export interface Kept {
  readonly address: string;
  readonly payload: string;
  readonly priority: number;
  readonly replyTo: string;
  readonly ttl: number;
  /** Of a firing. */
  readonly overlap?: "allow" | "skip";
}

/** A job of ours that BullMQ keeps. */
export type BullJob = Job<Kept, unknown>;

/** What a lease stands for. */
export interface Token {
  readonly job: BullJob;
  /** The value of its lock. */
  readonly lock: string;
}

const BULL_FIRING = /^repeat:([^:]+):(\d+)$/;
/** BullMQ counts from 0, highest, to 2 ** 21; ours are centred, higher first. */
const MIDDLE_PRIORITY = 2 ** 20;

export function keyOf(id: string): string {
  const firing = readFiringId(id);
  return firing === null ? `j${encodeURIComponent(id)}` : `repeat:${schedulerKeyOf(firing.scheduleId)}:${firing.dueMs}`;
}

/** `null`: not one of ours. */
export function idOf(key: string): string | null {
  const [, scheduler, dueMs] = BULL_FIRING.exec(key) ?? [];
  try {
    if (scheduler !== undefined) return firingId(scheduleIdOf(scheduler), Number(dueMs));
    return key.startsWith("j") ? decodeURIComponent(key.slice(1)) : null;
  } catch {
    return null; // percent signs that stand for nothing
  }
}

export function schedulerKeyOf(scheduleId: string): string {
  return `j${encodeURIComponent(scheduleId)}`;
}

export function scheduleIdOf(schedulerKey: string): string {
  return decodeURIComponent(schedulerKey.slice(1));
}

/** @param order Of a schedule it has no `replyTo`: nobody waits for its firings. */
export function keptOf(
  order: Pick<JobOrder, "address" | "payload" | "priority" | "resultTtlMs">,
  replyTo: string,
): Kept {
  const { address, payload, priority, resultTtlMs } = order;
  return { address, payload, priority, replyTo, ttl: resultTtlMs };
}

export function orderOf(id: string, kept: Kept): JobOrder {
  const { address, payload, priority, replyTo, ttl } = kept;
  return { id, address, payload, priority, replyTo, resultTtlMs: ttl, delayMs: 0 };
}

/** What somebody else has put into the queue has no such form, or not wholly. */
export function isKept(data: unknown): data is Kept {
  const { address, payload, priority, replyTo, ttl } = (data ?? {}) as { readonly [Key in keyof Kept]?: unknown };
  const isText = typeof address === "string" && typeof payload === "string" && typeof replyTo === "string";
  return isText && typeof priority === "number" && typeof ttl === "number";
}

export function bullPriority(priority: number): number {
  return Math.max(1, Math.min(2 * MIDDLE_PRIORITY, MIDDLE_PRIORITY - Math.round(priority)));
}

/** Takes a job out of the queue; `false`: the lock is not this one. @param outcome Whether it was recorded under this lock, see `FINISH`. */
export async function complete({ job, lock }: Token, outcome: "recorded" | "not recorded"): Promise<boolean> {
  const held = outcome === "recorded" ? lock + ENDED : lock;
  return await job.moveToCompleted(null, held, false).then(
    () => true,
    (error: unknown) => {
      ignoreLostLock(error);
      return false;
    },
  );
}

/** Puts a job back in its place in line. */
export async function putBack({ redis, queue }: PutBackConnection, { job, lock }: Token): Promise<void> {
  await job.moveToWait(lock).catch(ignoreLostLock);
  // What wakes a worker that blocks; BullMQ sets it for new jobs, and not here.
  await redis.zadd(queue.toKey("marker"), 0, "0");
}

interface PutBackConnection {
  readonly redis: Redis;
  readonly queue: Queue;
}

/** Somebody else has the job by now, or it is gone: then there is nothing to do. What else went wrong is the caller's affair. */
export function ignoreLostLock(error: unknown): void {
  const { code } = error as { readonly code?: unknown };
  const { message } = error as Error;
  if (typeof code === "number" && code < 0) return;
  if (/Missing lock|Missing key|Lock mismatch|is not in the active state|not in the state/i.test(message)) return;
  throw error;
}
