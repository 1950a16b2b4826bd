/**
 * How often requests may begin: what the options mean, and the arithmetic behind them.
 *
 * A token bucket without a bucket: tokens are counted from the moment at which it was last full, and when the next one is due is
 * computed from that count, so no rounding adds up, and the timer that is set for that very number cannot miss by a bit.
 * It is the arithmetic of `RateLimiter` (src/time) without its line: the requests stand in the session's own.
 * Source: GCRA, the "virtual scheduling" form of the leaky bucket (ITU-T I.371).
 */
import { describeValue, UsageError } from "../../core/index.ts";

/** At most `burst + t * requests / perMs` requests begin within any `t` milliseconds. */
export interface RateOptions {
  /** How many requests may begin in `perMs` milliseconds. Above 0, may be a fraction. */
  readonly requests: number;
  /** Default: 1,000, so that `requests` is per second. */
  readonly perMs?: number;
  /** How many may begin at once after a silence. Default: `requests`, rounded down, at least 1. 1 spaces them evenly. */
  readonly burst?: number;
}

/** The same, checked, with nothing left out. */
export interface Rate {
  readonly requests: number;
  readonly perMs: number;
  readonly burst: number;
}

/** @throws {UsageError} when it is not a rate as described. */
export function checkRate(name: string, options: RateOptions | null | undefined): Rate | null {
  if (options === undefined || options === null) return null;
  if (typeof options !== "object") {
    throw new UsageError(`${name} must be such as { requests: 10, perMs: 1_000 }, got ${describeValue(options)}`);
  }
  const { requests, perMs = 1_000 } = options;
  const { burst = Math.max(1, Math.floor(requests)) } = options;
  for (const [key, value] of Object.entries({ requests, perMs, burst })) {
    const isFine = typeof value === "number" && value > 0 && value < Infinity;
    if (!isFine) throw new UsageError(`${name}.${key} must be a number above 0, got ${describeValue(value)}`);
  }
  if (!Number.isInteger(burst)) throw new UsageError(`${name}.burst must be a whole number, got ${burst}`);
  return Object.freeze({ requests, perMs, burst });
}

export class TokenCount {
  #rate: Rate;
  /** When all tokens were there the last time. */
  #fullAt = -Infinity;
  /** Tokens that were taken since. */
  #taken = 0;

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  get rate(): Rate {
    return this.#rate;
  }

  /** When the next token is there; in the past when one is there now. */
  dueAt(): number {
    return this.#filledAt(this.#taken + 1 - this.#rate.burst);
  }

  take(now: number): void {
    // Just full: the old count is still exact, and so are the times that were computed from it.
    if (now > this.fullAt()) {
      this.#fullAt = now;
      this.#taken = 0;
    }
    this.#taken++;
  }

  /** When nothing of what was taken matters any more. */
  fullAt(): number {
    return this.#taken === 0 ? -Infinity : this.#filledAt(this.#taken);
  }

  /** What has been taken stays taken; it comes back at the new rate. */
  change(rate: Rate, now: number): void {
    this.#taken = Math.max(0, this.#taken - ((now - this.#fullAt) * this.#rate.requests) / this.#rate.perMs);
    this.#fullAt = now;
    this.#rate = rate;
  }

  #filledAt(missing: number): number {
    const { requests, perMs } = this.#rate;
    return missing <= 0 ? -Infinity : this.#fullAt + (missing * perMs) / requests;
  }
}
