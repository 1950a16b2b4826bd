/**
 * When and how long after a failure a URL is tried again. Pure: chance and the time of day are arguments.
 */
import type { Failure } from "./failure.ts";

/** Nobody should wait longer for one URL; a server may ask for hours. */
const LONGEST_BACKOFF_MS = 60_000;
const LONGEST_RETRY_AFTER_MS = 120_000;

const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"]);

export interface RetryRules {
  readonly retries: number;
  readonly retryDelayMs: number;
  readonly retryAll: boolean;
}

/** @param tries How often it was tried so far. */
export function shallRetry(rules: RetryRules, method: string, failure: Failure, tries: number): boolean {
  if (tries > rules.retries || !failure.isTransient) return false;
  return rules.retryAll || IDEMPOTENT.has(method.toUpperCase());
}

/**
 * Exponential backoff with full jitter: any time up to `retryDelayMs`, twice that, four times that, … On top of what the
 * server asked for, so that those who were sent away together do not come back together.
 * @param random From 0 to 1.
 */
export function retryDelayMs(
  rules: RetryRules,
  tries: number,
  retryAfterMs: number | undefined,
  random: number,
): number {
  const backoffMs = Math.min(LONGEST_BACKOFF_MS, rules.retryDelayMs * 2 ** (tries - 1)) * random;
  return backoffMs + (retryAfterMs ?? 0);
}

/**
 * How long a `Retry-After` header asks to wait: seconds, or a date. At most `LONGEST_RETRY_AFTER_MS`.
 * @param now The time of day in milliseconds, as `Date.now()`.
 * @returns `undefined` when there is none that can be understood.
 */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  const text = header?.trim() ?? "";
  const wantedMs = /^\d+(?:\.\d+)?$/.test(text)
    ? Number(text) * 1_000
    : /[a-z]/i.test(text)
      ? Date.parse(text) - now
      : NaN;
  return Number.isNaN(wantedMs) ? undefined : Math.min(Math.max(wantedMs, 0), LONGEST_RETRY_AFTER_MS);
}

/**
 * How long a host is left alone that said 429 or 503 and not for how long: twice as long each time in a row, and never next to
 * nothing, since everybody else is told the same.
 * @param strikes How many times in a row it has.
 * @param random From 0 to 1.
 */
export function hostPauseMs(rules: RetryRules, strikes: number, random: number): number {
  return Math.min(LONGEST_BACKOFF_MS, rules.retryDelayMs * 2 ** (strikes - 1)) * (0.5 + random / 2);
}
