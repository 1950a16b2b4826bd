/**
 * The schedules of a `MemoryEngine`: each keeps one firing in the queue, and makes the next when that one has begun, or is gone.
 */
import { isDeepStrictEqual } from "node:util";
import type { JobOrder, ScheduleOrder, ScheduleStanding } from "./engine.ts";
import { nextTime } from "./cron.ts";
import type { CronPackage } from "./cron.ts";
import { firingId, readFiringId } from "./firing-id.ts";

/** The engine as its schedules need it. */
export interface ScheduleHost {
  /** In milliseconds since 1970. */
  timeOfDay(): number;
  add(order: JobOrder): void;
  /** Takes a job out that has not begun. */
  withdraw(id: string): void;
  /** Whether there is a job, and it has no outcome. */
  isOpen(id: string): boolean;
  /** Whether there is a job that has not begun. */
  isWaiting(id: string): boolean;
  /** Whether there is a job, or its record. */
  isKnown(id: string): boolean;
}

interface Schedule {
  readonly order: ScheduleOrder;
  readonly cron: CronPackage | null;
  nextAt: number;
  nextJobId: string;
  /** The firing that was begun last. */
  begunId: string;
}

export class MemorySchedules {
  readonly #host: ScheduleHost;
  readonly #schedules = new Map<string, Schedule>();

  constructor(host: ScheduleHost) {
    this.#host = host;
  }

  /** @throws {UsageError} when its times cannot be read, or never come. */
  put(order: ScheduleOrder, cron: CronPackage | null): ScheduleStanding {
    const nowMs = this.#host.timeOfDay();
    const nextAt = nextTime(order.times, nowMs, cron); // first: when it throws nothing has changed
    const known = this.#schedules.get(order.id);
    if (known !== undefined) {
      // The same again, by a program that starts: its late firing is not to be lost for that.
      const isLate = known.nextAt <= nowMs && this.#host.isWaiting(known.nextJobId);
      if (isLate && isDeepStrictEqual(known.order, order)) return standingOf(known);
      this.#host.withdraw(known.nextJobId);
    }
    const schedule: Schedule = { order, cron, nextAt, nextJobId: "", begunId: known?.begunId ?? "" };
    this.#schedules.set(order.id, schedule);
    this.#fire(schedule);
    return standingOf(schedule);
  }

  remove(id: string): boolean {
    const schedule = this.#schedules.get(id);
    if (schedule === undefined) return false;
    this.#schedules.delete(id);
    this.#host.withdraw(schedule.nextJobId);
    return true;
  }

  list(): readonly ScheduleStanding[] {
    return [...this.#schedules.values()].map(standingOf);
  }

  /** A job is about to begin: `"skip"` when it must not, since the firing before it has not ended. */
  begins(id: string): "run" | "skip" {
    const schedule = this.#of(id);
    if (schedule === undefined) return "run";
    const before = schedule.begunId;
    this.leaves(id);
    if (schedule.order.overlap === "skip" && before !== id && this.#host.isOpen(before)) return "skip";
    schedule.begunId = id;
    return "run";
  }

  /** A job waits no more: it has begun, was cancelled or was lost. */
  leaves(id: string): void {
    const schedule = this.#of(id);
    if (schedule?.nextJobId !== id) return;
    // From now on, not from when it was due: what was missed is not made up for.
    const { order, cron } = schedule;
    schedule.nextAt = nextTime(order.times, Math.max(schedule.nextAt, this.#host.timeOfDay()), cron);
    this.#fire(schedule);
  }

  #of(id: string): Schedule | undefined {
    const firing = readFiringId(id);
    return firing === null ? undefined : this.#schedules.get(firing.scheduleId);
  }

  #fire(schedule: Schedule): void {
    const { order, cron } = schedule;
    // One that has begun, or was cancelled, is not made again; and without a firing to come the schedule would stand still.
    while (this.#host.isKnown(firingId(order.id, schedule.nextAt))) {
      schedule.nextAt = nextTime(order.times, schedule.nextAt, cron);
    }
    const { nextAt } = schedule;
    schedule.nextJobId = firingId(order.id, nextAt);
    const delayMs = Math.max(0, nextAt - this.#host.timeOfDay());
    this.#host.add({ ...order.order, id: schedule.nextJobId, delayMs, replyTo: "" });
  }
}

function standingOf({ order, nextAt, nextJobId }: Schedule): ScheduleStanding {
  const { id, times, overlap } = order;
  return Object.freeze({ id, times, overlap, address: order.order.address, nextAt, nextJobId });
}
