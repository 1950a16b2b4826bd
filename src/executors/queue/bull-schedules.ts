/**
 * Schedules on the job schedulers of BullMQ.
 *
 * A scheduler of BullMQ is what `ScheduleOrder` asks for: it keeps one job to come, whose id is its own and the time, and makes the next one when
 * a worker begins that. It is named by our id, encoded; its template is our job.
 */
import { isDeepStrictEqual } from "node:util";
import { UsageError } from "../../core/index.ts";
import type { Operation } from "../../core/index.ts";
import type { JobSchedulerJson } from "bullmq";
import type { BullConnection, Connected } from "./bull-connection.ts";
import { bullPriority, isKept, keptOf, keyOf, scheduleIdOf, schedulerKeyOf } from "./bull-orders.ts";
import type { Kept } from "./bull-orders.ts";
import { dropReturned } from "./bull-returned.ts";
import { cronUnreadable } from "./cron.ts";
import type { ScheduleOrder, ScheduleStanding, ScheduleTimes } from "./engine.ts";
import { firingId } from "./firing-id.ts";

export class BullSchedules {
  readonly #connection: BullConnection;

  constructor(connection: BullConnection) {
    this.#connection = connection;
  }

  put(schedule: ScheduleOrder): Operation<ScheduleStanding> {
    return this.#connection.ask("put a schedule", async (connected, loop) => {
      const nowMs = await this.#connection.redisNow(connected, loop);
      return (await this.#lateOne(connected, schedule, nowMs)) ?? (await this.#put(connected, schedule));
    });
  }

  remove(id: string): Operation<boolean> {
    return this.#connection.ask("remove a schedule", async (connected) => {
      const { queue, redis } = connected;
      const scheduler = schedulerKeyOf(id);
      const next = (await queue.getJobScheduler(scheduler))?.next;
      const wasThere = await queue.removeJobScheduler(scheduler);
      // BullMQ leaves one that is due and waits for a worker.
      if (typeof next === "number") await queue.remove(keyOf(firingId(id, next))).catch(() => 0);
      await dropReturned(this.#connection, connected, id);
      await redis.del(this.#connection.key("firing", id));
      return wasThere;
    });
  }

  list(): Operation<readonly ScheduleStanding[]> {
    return this.#connection.ask("list schedules", async ({ queue }) => {
      const schedulers = (await queue.getJobSchedulers(0, -1, true)) as JobSchedulerJson<Kept>[];
      return schedulers.map(standingOf).filter((each) => each !== null);
    });
  }

  /** The same again, by a program that starts: its late firing is not to be lost for that, as BullMQ does with cron. */
  async #lateOne({ queue }: Connected, schedule: ScheduleOrder, nowMs: number): Promise<ScheduleStanding | null> {
    const { id, times, overlap, order } = schedule;
    const found = (await queue.getJobScheduler(schedulerKeyOf(id))) as JobSchedulerJson<Kept> | undefined;
    const standing = found === undefined ? null : standingOf(found);
    if (standing === null || standing.nextAt > nowMs) return null;
    const isSame =
      isDeepStrictEqual(standing.times, times) &&
      isDeepStrictEqual(found!.template!.data, { ...keptOf(order, ""), overlap });
    return isSame && (await queue.getJob(keyOf(standing.nextJobId!))) !== undefined ? standing : null;
  }

  async #put(connected: Connected, schedule: ScheduleOrder): Promise<ScheduleStanding> {
    const { queue } = connected;
    const { id, times, overlap, order } = schedule;
    const scheduler = schedulerKeyOf(id);
    const data: Kept = { ...keptOf(order, ""), overlap };
    const opts = { priority: bullPriority(order.priority), removeOnComplete: true, removeOnFail: true };
    let job;
    try {
      job = await queue.upsertJobScheduler(scheduler, repeatOf(times), { name: order.address, data, opts });
    } catch (error) {
      // BullMQ has read the expression before it asked Redis for anything.
      const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
      if ("cron" in times && typeof code !== "number" && name !== "ReplyError") throw cronUnreadable(times, error);
      throw error;
    }
    await dropReturned(this.#connection, connected, id); // of the one that stood in its place
    if (job === undefined || job === null) throw new UsageError(`schedule "${id}" has no time to come`);
    const found = await queue.getJobScheduler(scheduler);
    const nextAt = typeof found?.next === "number" ? found.next : job.timestamp + job.delay;
    return Object.freeze({ id, times, overlap, address: order.address, nextAt, nextJobId: firingId(id, nextAt) });
  }
}

function repeatOf(times: ScheduleTimes): { pattern: string; tz: string } | { every: number; offset: number } {
  if ("cron" in times) return { pattern: times.cron, tz: times.timeZone };
  // BullMQ counts from 1970 when there is an offset, and one of 0 is none to it. With a `startDate`, which may have passed by its own clock, the first
  // firing would be at once, and the rest out of phase with it.
  return { every: times.everyMs, offset: times.everyMs };
}

/** `null`: not one of ours. */
function standingOf(scheduler: JobSchedulerJson<Kept>): ScheduleStanding | null {
  const { key, every, pattern, tz = "UTC", next, template } = scheduler;
  if (!key.startsWith("j") || !isKept(template?.data) || typeof next !== "number") return null;
  const { address, overlap = "allow" } = template.data;
  const times: ScheduleTimes = every === undefined ? { cron: pattern ?? "", timeZone: tz } : { everyMs: Number(every) };
  const id = scheduleIdOf(key);
  return Object.freeze({ id, times, overlap, address, nextAt: next, nextJobId: firingId(id, next) });
}
