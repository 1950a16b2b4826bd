const SLICES = 10;

/**
 * How many calls ended well and badly in the last while. The window moves in tenths: what happened in the tenth that is
 * going on and in the nine before it counts, so memory does not depend on traffic.
 */
export class RollingCount {
  readonly #sliceMs: number;
  readonly #calls = new Float64Array(SLICES);
  readonly #failures = new Float64Array(SLICES);
  /** The number of the slice that is going on, counted from time 0. */
  #latest = -Infinity;

  constructor(windowMs: number) {
    this.#sliceMs = windowMs / SLICES;
  }

  /** Notes the end of a call. */
  add(now: number, failed: boolean): void {
    const at = slot(this.#moveTo(now));
    this.#calls[at]!++;
    if (failed) this.#failures[at]!++;
  }

  calls(now: number): number {
    this.#moveTo(now);
    return sum(this.#calls);
  }

  failures(now: number): number {
    this.#moveTo(now);
    return sum(this.#failures);
  }

  clear(): void {
    this.#calls.fill(0);
    this.#failures.fill(0);
  }

  #moveTo(now: number): number {
    const slice = Math.floor(now / this.#sliceMs);
    if (slice - this.#latest >= SLICES) this.clear();
    else {
      for (let passed = this.#latest + 1; passed <= slice; passed++) {
        this.#calls[slot(passed)] = 0;
        this.#failures[slot(passed)] = 0;
      }
    }
    if (slice > this.#latest) this.#latest = slice;
    return this.#latest;
  }
}

function slot(slice: number): number {
  return ((slice % SLICES) + SLICES) % SLICES; // clocks may be below 0
}

function sum(counts: Float64Array): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}
