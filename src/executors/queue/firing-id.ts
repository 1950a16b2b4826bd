/**
 * The ids of scheduled jobs: the schedule and the time in one text, the same for whoever makes it.
 *
 * They have a beginning of their own, which keys that users give may not have: a job in the place of a firing would end its schedule.
 */
export interface Firing {
  readonly scheduleId: string;
  /** When it is due, in milliseconds since 1970. */
  readonly dueMs: number;
}

const BEGINNING = "schedule:";
const FORM = /^schedule:([^:]+):(\d+)$/;

/** `schedule:nightly:1767236400000`. */
export function firingId(scheduleId: string, dueMs: number): string {
  return `${BEGINNING}${encodeURIComponent(scheduleId)}:${dueMs}`;
}

/** `null`: no firing of a schedule. */
export function readFiringId(id: string): Firing | null {
  const [, scheduleId, dueMs] = FORM.exec(id) ?? [];
  if (scheduleId === undefined) return null;
  return { scheduleId: decodeURIComponent(scheduleId), dueMs: Number(dueMs) };
}

export function looksLikeFiring(id: string): boolean {
  return id.startsWith(BEGINNING);
}
