/** The few lines at the end of a run, for people. Pure. */
import { byteSize, perSecond, timeSpan, whole } from "./format.ts";
import type { Tally } from "./tally.ts";

export interface Ending {
  readonly elapsedMs: number;
  /** How many lines the input has, as far as that is known. */
  readonly expected: number | undefined;
  readonly isExpectedExact: boolean;
  /** What stopped it early: `Ctrl-C`, `SIGTERM`. */
  readonly stoppedBy: string | undefined;
}

const MOST_KINDS = 5;

export function summaryLines(tally: Tally, ending: Ending): string[] {
  const { elapsedMs } = ending;
  const lines = [
    `${whole(tally.succeeded)} fetched${tally.failed > 0 ? `, ${whole(tally.failed)} failed` : ""} in ${timeSpan(elapsedMs)} ` +
      `(${perSecond(tally.done, elapsedMs)}), ${byteSize(tally.receivedBytes)} received` +
      (tally.receivedBytes > 0 ? ` (${byteSize((tally.receivedBytes * 1_000) / Math.max(elapsedMs, 1))}/s)` : ""),
  ];
  const { durations } = tally;
  if (durations.count > 1) {
    lines.push(
      `time of a request: p50 ${timeSpan(durations.quantile(0.5))}, p95 ${timeSpan(durations.quantile(0.95))}`,
    );
  }
  if (tally.retries > 0) lines.push(`tried again: ${whole(tally.retries)} ${tally.retries === 1 ? "time" : "times"}`);
  if (tally.failed > 0) lines.push(`failed: ${counts(tally.failuresByLabel)}`);
  if (tally.failuresByHost.length > 0) lines.push(`failed at: ${counts(tally.failuresByHost)}`);
  if (ending.stoppedBy !== undefined) lines.push(notDone(tally, ending, ending.stoppedBy));
  return lines;
}

function counts(list: readonly (readonly [string, number])[]): string {
  const shown = list.slice(0, MOST_KINDS).map(([name, count]) => `${whole(count)} × ${name}`);
  const rest = list.slice(MOST_KINDS).reduce((sum, [, count]) => sum + count, 0);
  return [...shown, ...(rest > 0 ? [`${whole(rest)} others`] : [])].join(", ");
}

function notDone(tally: Tally, { expected, isExpectedExact }: Ending, stoppedBy: string): string {
  const left = Math.max(expected ?? 0, tally.read) - tally.done;
  const about = isExpectedExact ? "" : expected === undefined ? "at least " : "about ";
  const underWay = tally.underWay > 0 ? `, ${whole(tally.underWay)} of them were under way` : "";
  return `stopped by ${stoppedBy}; not done: ${about}${whole(left)}${underWay}`;
}
