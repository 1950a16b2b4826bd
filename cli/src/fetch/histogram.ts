/**
 * Quantiles of any number of durations in a fixed space: buckets whose bounds grow by 2 %, so an answer is right to 1 %.
 * Source: HDR histograms, without their adjustable precision.
 */
const GROWTH = Math.log(1.02);
const BUCKETS = 1_024; // the last one begins at 1.02 ** 1023 × 0.01 ms: two months

const SMALLEST_MS = 0.01;

export class Histogram {
  readonly #buckets = new Uint32Array(BUCKETS);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(ms: number): void {
    const bucket = Math.floor(Math.log(Math.max(ms, SMALLEST_MS) / SMALLEST_MS) / GROWTH);
    this.#buckets[Math.min(bucket, BUCKETS - 1)]!++;
    this.#count++;
  }

  /** The duration that a share of them does not exceed, such as 0.95; 0 when there are none. */
  quantile(share: number): number {
    let left = Math.ceil(this.#count * share);
    if (left === 0) return 0;
    const bucket = this.#buckets.findIndex((count) => (left -= count) <= 0);
    return SMALLEST_MS * Math.exp((bucket + 0.5) * GROWTH);
  }
}
