/**
 * Firings that a worker has claimed and given back without a look: it was about to stop, or nobody waited for a job any more.
 *
 * BullMQ knows of a schedule only its next firing, and that is the following one as soon as a worker has claimed this one. So what comes back is
 * noted here, for a schedule that is removed, or put anew, while it waits: a firing that has not begun goes with its schedule.
 *
 * Who gives back notes first and looks for the schedule last; who removes does it the other way round. So one of the two finds it.
 */
import type { BullConnection, Connected } from "./bull-connection.ts";
import { idOf, keyOf, putBack, schedulerKeyOf } from "./bull-orders.ts";
import type { Token } from "./bull-orders.ts";
import { firingId, readFiringId } from "./firing-id.ts";

/** So many workers of one schedule may stop at the same time. */
const MOST_NOTED = 32;

/** Puts back a job that has not begun. */
export async function putBackUnbegun(connection: BullConnection, connected: Connected, token: Token): Promise<void> {
  const firing = readFiringId(idOf(token.job.id!) ?? "");
  if (firing === null) return await putBack(connected, token);
  const { redis, queue } = connected;
  const noted = connection.key("returned", firing.scheduleId);
  await redis.lpush(noted, firing.dueMs);
  await redis.ltrim(noted, 0, MOST_NOTED - 1);
  await putBack(connected, token);
  const schedule = (await queue.getJobScheduler(schedulerKeyOf(firing.scheduleId))) as unknown;
  if (schedule === undefined || schedule === null) await dropReturned(connection, connected, firing.scheduleId);
}

/** Takes those that wait out of the queue; what is claimed again stays. */
export async function dropReturned(
  connection: BullConnection,
  { redis, queue }: Connected,
  scheduleId: string,
): Promise<void> {
  const noted = connection.key("returned", scheduleId);
  for (const dueMs of await redis.lrange(noted, 0, -1)) {
    await queue.remove(keyOf(firingId(scheduleId, Number(dueMs)))).catch(() => 0);
  }
  await redis.del(noted);
}
