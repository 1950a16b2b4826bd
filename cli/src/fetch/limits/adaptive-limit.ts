/**
 * How many requests one host can work on at once, found by watching it (`-c auto`).
 *
 * The rule is that of TCP Vegas: with the shortest time of an answer as the time of an idle host, `limit × (1 - shortest / now)` is the
 * number of requests that stand in a line over there. As long as that is next to none, the limit grows (at first it doubles);
 * when it is more than a few it shrinks. So it comes to rest just above the knee, where more at once gets nothing done sooner,
 * and not at the point where the host begins to fail. When it does fail (429, 503, time-outs, broken connections) the
 * limit falls by a third at once, as in AIMD.
 *
 * Judged by the mean of a window of answers: single times say little, and the median of a server that works in step says nothing
 * until half of the requests have to wait. Now and then the limit is halved for one window and
 * the shortest time taken anew (as BBR does): a host that became slower for its own reasons must not be taken for a full one.
 *
 * Sources: Brakmo and Peterson, "TCP Vegas", 1994; Netflix, concurrency-limits (VegasLimit), whose gradient2 was tried and comes to
 * rest 1.5 × above the knee. Rejected: AIMD on errors alone: it finds the limit by hurting.
 */
const FIRST_LIMIT = 4;
const SMALLEST_WINDOW = 8;
const WINDOWS_UNTIL_PROBE = 64;
const FALL = 2 / 3;
/** Times shorter than this are the noise of our own loop. */
const LEAST_MS = 0.5;

export class AdaptiveLimit {
  readonly #most: number;
  #limit: number;
  #isDoubling = true;
  #shortestMs = Infinity;
  #window: number[] = [];
  #windows = 0;
  /** The limit to go back to after a probe. */
  #before: number | null = null;
  /** Answers to requests that began before the last fall say nothing about the new limit. */
  #judgedFrom = -Infinity;

  /** @param most It never goes above that. */
  constructor(most: number) {
    this.#most = most;
    this.#limit = Math.min(FIRST_LIMIT, most);
  }

  get limit(): number {
    return Math.max(1, Math.floor(this.#limit));
  }

  /**
   * @param ms From the request on its way to the head of the answer.
   * @param inFlight How many there were to this host, this one included: a limit that is not used does not grow.
   */
  answered(ms: number, startedAt: number, inFlight: number, now: number): void {
    if (startedAt < this.#judgedFrom) return;
    this.#window.push(Math.max(ms, LEAST_MS));
    if (this.#window.length < Math.max(SMALLEST_WINDOW, this.limit)) return;
    const middle = mean(this.#window);
    this.#window = [];
    this.#judgedFrom = now;
    if (this.#before !== null) return this.#endProbe(middle);
    this.#shortestMs = Math.min(this.#shortestMs, middle);
    const line = this.#limit * (1 - this.#shortestMs / middle);
    const step = Math.max(1, Math.log10(this.#limit) * 2);
    const [few, many] = [1.5 * step, 3 * step];
    // After doubling it is known to be far too much; later half of it may be chance.
    if (line > many) this.#limit -= this.#isDoubling ? line - few : Math.max(step, (line - few) / 2);
    else if (line < few && inFlight >= this.limit / 2) this.#limit += this.#isDoubling ? this.#limit : step;
    if (line >= few) this.#isDoubling = false;
    this.#bound();
    if (++this.#windows % WINDOWS_UNTIL_PROBE === 0) this.#beginProbe();
  }

  #beginProbe(): void {
    this.#before = this.#limit;
    this.#limit = Math.max(1, this.#limit / 2);
  }

  #endProbe(middleMs: number): void {
    this.#shortestMs = middleMs;
    this.#limit = this.#before!;
    this.#before = null;
  }

  /** The host said, or showed, that it is too much. */
  overloaded(startedAt: number, now: number): void {
    if (startedAt < this.#judgedFrom) return; // the same wave: it has been answered already
    this.#limit = (this.#before ?? this.#limit) * FALL;
    this.#before = null;
    this.#isDoubling = false;
    this.#judgedFrom = now;
    this.#window = [];
    this.#bound();
  }

  #bound(): void {
    this.#limit = Math.min(Math.max(1, this.#limit), this.#most);
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
