/**
 * Evenly spaced permissions: the generic cell rate algorithm with a small allowance for a timer that came late.
 *
 * It only computes; who is not allowed yet asks when. Source: ITU-T I.371 (GCRA), as most rate limiters use it.
 */

/** What may be made up for after a pause. So short, because a peer that asked for 5/s did not ask for bursts. */
const ALLOWANCE_MS = 50;

export class Pace {
  readonly #intervalMs: number;
  #nextAt = -Infinity;

  /** @param perSecond `Infinity` allows everything. */
  constructor(perSecond: number) {
    this.#intervalMs = 1_000 / perSecond;
  }

  /** The earliest time for the next one. */
  get nextAt(): number {
    return this.#nextAt;
  }

  take(now: number): void {
    if (this.#intervalMs > 0) this.#nextAt = Math.max(this.#nextAt, now - ALLOWANCE_MS) + this.#intervalMs;
  }
}
