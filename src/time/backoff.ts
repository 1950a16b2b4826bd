/**
 * How long to wait before the next attempt: arithmetic only.
 *
 * The ceiling grows by `factor` each time up to `maxDelayMs`; jitter chooses a point below it. Callers that failed together
 * would otherwise come back together. "full" spreads them best for the least work, so it is the default.
 * Source: Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), where the kinds and their names are from.
 */
import { checkChoice, checkNumber } from "./limits.ts";

/**
 * `"full"`: from 0 to the ceiling. `"equal"`: from half of it to the ceiling. `"decorrelated"`: from `baseMs` to three times the
 * delay before, at most `maxDelayMs`; `factor` is not used. `"none"`: the ceiling itself.
 */
export type Jitter = "full" | "equal" | "decorrelated" | "none";

export interface BackoffOptions {
  /** The ceiling of the first delay, in milliseconds. Default: 100. */
  readonly baseMs?: number;
  /** By what the ceiling grows each time, from 1 on. Default: 2. */
  readonly factor?: number;
  /** No ceiling is higher, in milliseconds. Default: 30,000. */
  readonly maxDelayMs?: number;
  /** Default: `"full"`. */
  readonly jitter?: Jitter;
}

const JITTERS: readonly Jitter[] = ["full", "equal", "decorrelated", "none"];

export class Backoff {
  readonly baseMs: number;
  readonly factor: number;
  readonly maxDelayMs: number;
  readonly jitter: Jitter;
  /** The delay before, for `"decorrelated"`. */
  #latest: number;

  constructor(options: BackoffOptions) {
    const { baseMs = 100, factor = 2, maxDelayMs = 30_000, jitter = "full" } = options;
    checkNumber("baseMs", baseMs, { least: 0 });
    checkNumber("factor", factor, { least: 1 });
    checkNumber("maxDelayMs", maxDelayMs, { least: 0 });
    checkChoice("jitter", jitter, JITTERS);
    this.baseMs = baseMs;
    this.factor = factor;
    this.maxDelayMs = maxDelayMs;
    this.jitter = jitter;
    this.#latest = baseMs;
  }

  /** The delay after failure number `failures`, counted from 1. @param random From 0 up to 1. */
  delayMs(failures: number, random: number): number {
    if (this.jitter === "decorrelated") {
      const spread = Math.max(0, this.#latest * 3 - this.baseMs);
      this.#latest = Math.min(this.maxDelayMs, this.baseMs + random * spread);
      return this.#latest;
    }
    // 0 * Infinity is no number, and the power overflows some day.
    const ceiling = this.baseMs === 0 ? 0 : Math.min(this.maxDelayMs, this.baseMs * this.factor ** (failures - 1));
    if (this.jitter === "full") return random * ceiling;
    return this.jitter === "equal" ? (ceiling + random * ceiling) / 2 : ceiling;
  }
}
