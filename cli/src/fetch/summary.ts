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
      `(${perSecond(tally.done - tally.skipped, elapsedMs)}), ${byteSize(tally.receivedBytes)} received` +
      (tally.receivedBytes > 0 ? ` (${byteSize((tally.receivedBytes * 1_000) / Math.max(elapsedMs, 1))}/s)` : ""),
  ];
  const { durations } = tally;
  if (durations.count > 1) {
    const [p50, p90, p99] = [0.5, 0.9, 0.99].map((share) => timeSpan(durations.quantile(share)));
    lines.push(`time of a request: p50 ${p50}, p90 ${p90}, p99 ${p99}`);
  }
  if (tally.statuses.length > 1)
    lines.push(`status: ${counts(tally.statuses.map(([status, count]) => [String(status), count]))}`);
  if (tally.skipped > 0) lines.push(`not asked: ${whole(tally.skipped)}, done before or known`);
  if (tally.unchanged > 0) lines.push(`not changed: ${whole(tally.unchanged)}`);
  if (tally.retries > 0) lines.push(`tried again: ${whole(tally.retries)} ${tally.retries === 1 ? "time" : "times"}`);
  if (tally.failed > 0) lines.push(`failed: ${counts(tally.failuresByLabel)}`);
  if (tally.failuresByHost.length > 0) lines.push(`failed at: ${counts(tally.failuresByHost)}`);
  if (ending.stoppedBy !== undefined) lines.push(notDone(tally, ending, ending.stoppedBy));
  return lines;
}

/** The same for programs, as one line of JSON. */
export function summaryJson(tally: Tally, { elapsedMs, expected, isExpectedExact, stoppedBy }: Ending): string {
  const { durations } = tally;
  const quantile = (share: number): number | null => (durations.count === 0 ? null : round(durations.quantile(share)));
  return JSON.stringify({
    fetched: tally.succeeded,
    failed: tally.failed,
    fatal: tally.fatal,
    skipped: tally.skipped,
    unchanged: tally.unchanged,
    retries: tally.retries,
    expected: expected ?? null,
    isExpectedExact,
    bytes: tally.receivedBytes,
    elapsedMs: round(elapsedMs),
    perSecond: round(((tally.done - tally.skipped) * 1_000) / Math.max(elapsedMs, 1)),
    requestMs: { p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99) },
    statuses: Object.fromEntries(tally.statuses),
    failures: Object.fromEntries(tally.failuresByLabel),
    failuresByHost: Object.fromEntries(tally.failuresByHost),
    stoppedBy: stoppedBy ?? null,
  });
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
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
