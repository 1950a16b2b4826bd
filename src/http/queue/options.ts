/**
 * What a session may limit about the line for its connections: as options, as what can be changed later, and as what shows in its statistics.
 */
import { describeValue, UsageError } from "../../core/index.ts";
import { checkCount } from "../limits.ts";
import type { Line, LineHost, LineLimits, QueueCause } from "./line.ts";
import { checkRate } from "./rates.ts";
import type { RateOptions } from "./rates.ts";

export interface QueueOptions {
  /** How many requests may hold a connection at once; the others wait in line. Default: 100. */
  readonly limit?: number;
  /** The same for one host (scheme, name and port). Default: none. */
  readonly limitPerHost?: number;
  /** How often requests may begin; redirects and retries count. Default: no such limit. */
  readonly rate?: RateOptions | null;
  /** The same for each host (scheme, name and port) by itself. Default: no such limit. */
  readonly ratePerHost?: RateOptions | null;
}

/** A host to which no request goes for a while. */
export interface PausedHost {
  readonly origin: string;
  /** From now, in milliseconds. */
  readonly remainingMs: number;
  /** `"by Retry-After"`, or what was given to `session.pause`; may be empty. */
  readonly cause: string;
  /** Requests that wait for it. */
  readonly waiting: number;
}

/** What the line shows of itself. */
export interface QueueStatistics {
  readonly limit: number;
  readonly limitPerHost: number;
  /** Hosts that are paused, in the order in which they became known. */
  readonly paused: readonly PausedHost[];
  /** How many requests wait, by what holds them back. They sum up to `queued`. */
  readonly queuedBy: Readonly<Record<QueueCause, number>>;
}

const DEFAULT_LIMIT = 100; // as aiohttp: a laptop and most servers bear it, and few programs gain from more

/** @throws {UsageError} when an option is not as described. */
export function checkQueue(options: QueueOptions, base?: LineLimits): LineLimits {
  const { limit = base?.limit ?? DEFAULT_LIMIT, limitPerHost = base?.limitPerHost ?? Infinity } = options;
  checkCount("limit", limit, 1);
  checkCount("limitPerHost", limitPerHost, 1);
  const { rate, ratePerHost } = options;
  return {
    limit,
    limitPerHost,
    rate: rate === undefined && base !== undefined ? base.rate : checkRate("rate", rate),
    ratePerHost:
      ratePerHost === undefined && base !== undefined ? base.ratePerHost : checkRate("ratePerHost", ratePerHost),
  };
}

/** @throws {UsageError} when `ms` is not a number from 0 on; `Infinity` is allowed. */
export function checkPause(ms: number): void {
  if (typeof ms === "number" && ms >= 0) return;
  throw new UsageError(`a pause must be a number of milliseconds from 0 on, got ${describeValue(ms)}`);
}

/** "queued", and why, where it is not just that all connections are in use. */
export function describeQueueing(line: Line, host: LineHost, name: string, now: number): string {
  switch (line.causeFor(host)) {
    case "limit":
      return "queued";
    case "limitPerHost":
      return `queued (limit of ${name})`;
    case "rate":
      return "queued (rate of the session)";
    case "ratePerHost":
      return `queued (rate of ${name})`;
    case "paused":
      return `queued (paused${describeTime(host.pausedUntil - now)}${host.pauseCause === "" ? "" : ` ${host.pauseCause}`})`;
  }
}

function describeTime(ms: number): string {
  if (ms === Infinity) return "";
  return ms < 1_000 ? ` for ${Math.ceil(ms)} ms` : ` for ${Math.ceil(ms / 1_000)} s`;
}
