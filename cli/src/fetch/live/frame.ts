/**
 * What the live view shows at one moment, as lines of text. Pure: the same view gives the same lines.
 */
import { timeSpan, whole } from "../format.ts";
import { printable } from "../printable.ts";
import { progressLine } from "../progress.ts";
import type { Rate, View } from "../progress.ts";

/** What can be seen, and changed, of a run while it lasts. */
export interface LiveRun extends View {
  readonly concurrency: number;
  readonly isPaused: boolean;
  /** Requests that wait for a connection of their own. */
  readonly connecting: number;
  foundLimits(): Iterable<readonly [string, number]>;
  pause(): void;
  resume(): void;
  setConcurrency(concurrency: number): void;
}

const MOST_HOSTS = 3;
const MOST_KINDS = 4;
const FULL = "█";
const EMPTY = "░";

/** @param hasKeys Whether somebody listens to keys. */
export function frameOf(run: LiveRun, rate: Rate, columns: number, hasKeys: boolean): string[] {
  const lines = [
    progressLine(run, rate, columns, (share, size) => FULL.repeat(Math.round(share * size)).padEnd(size, EMPTY)),
    inFlight(run),
    ...slowest(run),
    ...errors(run),
    ...(hasKeys
      ? [run.isPaused ? "keys: p resume   + - at once   q quit" : "keys: p pause   + - at once   q quit"]
      : []),
  ];
  return lines.map((line) => cut(line, columns - 1));
}

function inFlight({ tally, connecting, concurrency, isPaused }: LiveRun): string {
  const { underWay, inHeaders, inBody } = tally;
  const isConnecting = Math.min(connecting, inHeaders);
  const phases = [
    [isConnecting, "connecting"],
    [inHeaders - isConnecting, "waiting for headers"],
    [inBody, "receiving"],
  ] as const;
  const parts = phases.filter(([count]) => count > 0).map(([count, phase]) => `${whole(count)} ${phase}`);
  const detail = parts.length === 0 ? "" : `: ${parts.join(", ")}`;
  return `${isPaused ? "paused; " : ""}${whole(underWay)} of ${whole(concurrency)} in flight${detail}`;
}

function slowest(run: LiveRun): string[] {
  const limits = new Map<string, number>();
  for (const [origin, limit] of run.foundLimits()) limits.set(origin.replace(/^https?:\/\//, ""), limit);
  const hosts = run.tally.slowestHosts(MOST_HOSTS).map(([host, ms]) => {
    const limit = limits.get(host);
    return `${printable(host)} ${timeSpan(ms)}${limit === undefined ? "" : ` (${limit} at once)`}`;
  });
  return hosts.length === 0 ? [] : [`slowest: ${hosts.join(", ")}`];
}

function errors({ tally }: LiveRun): string[] {
  const kinds = tally.failuresByLabel.slice(0, MOST_KINDS).map(([label, count]) => `${whole(count)} × ${label}`);
  return kinds.length === 0 ? [] : [`failed: ${kinds.join(", ")}`];
}

function cut(line: string, columns: number): string {
  return line.length <= columns ? line : `${line.slice(0, Math.max(0, columns - 1))}…`;
}
