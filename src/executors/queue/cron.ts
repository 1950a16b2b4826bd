/**
 * When the next firing of a schedule is.
 *
 * Intervals are counted from 1970, not from when somebody asked for one: whoever asks, and however often, means the same times. The five fields
 * of cron, and what a clock change does to them, are the affair of the package `cron-parser`: an optional peer, loaded for the first schedule that
 * needs it. BullMQ has it by itself.
 */
import { describeValue, UsageError } from "../../core/index.ts";
import type { ScheduleTimes } from "./engine.ts";
import { CronPackageMissingError } from "./errors.ts";

/** The part of the package that is used. */
export interface CronPackage {
  readonly CronExpressionParser: {
    parse(
      text: string,
      options: { readonly currentDate: Date; readonly tz: string },
    ): { next(): { getTime(): number } };
  };
}

/** @param load Where it comes from, so that a test can take it away. @throws {CronPackageMissingError} */
export async function importCron(load: () => Promise<unknown> = () => import("cron-parser")): Promise<CronPackage> {
  let module: Partial<CronPackage>;
  try {
    module = (await load()) as Partial<CronPackage>;
  } catch (error) {
    throw new CronPackageMissingError(error);
  }
  if (typeof module.CronExpressionParser?.parse === "function") return module as CronPackage;
  throw new CronPackageMissingError(new TypeError("it has no CronExpressionParser"));
}

/** The first time after `afterMs`, in milliseconds since 1970. @throws {UsageError} when there is none, or the text is not one of cron. */
export function nextTime(times: ScheduleTimes, afterMs: number, cron: CronPackage | null): number {
  if ("everyMs" in times) return (Math.floor(afterMs / times.everyMs) + 1) * times.everyMs;
  try {
    return cron!.CronExpressionParser.parse(times.cron, { currentDate: new Date(afterMs), tz: times.timeZone })
      .next()
      .getTime();
  } catch (error) {
    throw cronUnreadable(times, error);
  }
}

/** @package */
export function cronUnreadable(
  { cron, timeZone }: Exclude<ScheduleTimes, { everyMs: number }>,
  cause: unknown,
): UsageError {
  const problem = cause instanceof Error ? cause.message : describeValue(cause);
  return new UsageError(`the schedule "${cron}" in time zone ${timeZone} gives no time: ${problem}`);
}
