/**
 * How long things took: a histogram of fixed size, four classes to an octave, so a percentile is right within 19 %.
 *
 * Recording costs a logarithm; Node's own histogram costs a call into C++ and whole numbers.
 */
export interface DurationStatistics {
  readonly count: number;
  readonly meanMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
}

const CLASSES_PER_OCTAVE = 4;
const SHORTEST_MS = 0.001;
const CLASSES = 38 * CLASSES_PER_OCTAVE; // up to three days

export class Durations {
  readonly #classes = new Float64Array(CLASSES);
  #count = 0;
  #sumMs = 0;
  #minMs = Infinity;
  #maxMs = 0;

  record(ms: number): void {
    const known = ms > 0 ? ms : 0;
    this.#count++;
    this.#sumMs += known;
    if (known < this.#minMs) this.#minMs = known;
    if (known > this.#maxMs) this.#maxMs = known;
    const octave = known <= SHORTEST_MS ? 0 : Math.log2(known / SHORTEST_MS) * CLASSES_PER_OCTAVE;
    this.#classes[Math.min(CLASSES - 1, Math.floor(octave))]!++;
  }

  snapshot(): DurationStatistics {
    const count = this.#count;
    return Object.freeze({
      count,
      meanMs: count === 0 ? 0 : this.#sumMs / count,
      minMs: count === 0 ? 0 : this.#minMs,
      maxMs: this.#maxMs,
      p50Ms: this.#percentile(0.5),
      p90Ms: this.#percentile(0.9),
      p99Ms: this.#percentile(0.99),
    });
  }

  #percentile(share: number): number {
    if (this.#count === 0) return 0;
    let left = Math.ceil(this.#count * share);
    for (let i = 0; i < CLASSES; i++) {
      left -= this.#classes[i]!;
      // The upper border of the class, but nothing that was never seen.
      if (left <= 0) return Math.min(this.#maxMs, SHORTEST_MS * 2 ** ((i + 1) / CLASSES_PER_OCTAVE));
    }
    return this.#maxMs;
  }
}
