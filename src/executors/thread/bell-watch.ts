/**
 * Whether a pool thread looks at its bell for a moment before it sleeps.
 *
 * To wake a core that sleeps takes some 40 µs, and of a tiny job's round trip that is most; who looks has the next job at once. But where the executor
 * has the same core, or others want it, looking keeps from work the very one that is waited for. A thread cannot know which of the two holds, so it measures:
 * the time from an outcome to the next order, by either way, and takes the better one. A few turns in a hundred try the other, since the system moves
 * threads. (A two-armed bandit with a fixed share of trials and means that forget, because the better arm changes.)
 *
 * It looks only while jobs come one soon after the other: who gives it a job now and then pays nothing.
 *
 * Measured between two cores (Node 24, two cores of a virtual machine, one tiny job after the other): 100 µs asleep, 27 µs looking. Looking always
 * made it 1.7 times as long on one core.
 */

/** For how long to look. With 40 µs the executor's thread was often not awake by then. */
export const LOOK_MS = 0.1;
/** When jobs come at a longer distance, looking gains little and costs much. */
const SOON_MS = 0.25;
/** When they come at a shorter one, the threads share a core or wake as fast as if they did. Even a trial would do harm: the system then moves them apart. */
const NEAR_MS = 0.04;
/** Turns. Each round begins with trials of the way that seems to be the worse one. */
const ROUND = 128;
const TRIALS = 4;
/** Of the last time in the mean. */
const WEIGHT = 0.25;
/** Looking burns a core, so it has to gain a fifth. */
const WORTH = 0.8;
/** A sleep that takes so many times as long as it did means that the system has moved a thread. */
const MOVED = 2;

export class BellWatch {
  #turn = 0;
  /** Whether the last job came soon. */
  #isInRow = false;
  // Means; 0 while unknown.
  #sleepMs = 0;
  #lookMs = 0;
  /** What a sleep took when looking was last tried. */
  #sleepThenMs = 0;

  /** Whether to look, this time. */
  choose(): boolean {
    if (!this.#isInRow || this.#sleepMs < NEAR_MS) return false;
    const isBetter = this.#lookMs < this.#sleepMs * WORTH;
    return this.#turn++ % ROUND < TRIALS ? !isBetter : isBetter;
  }

  /** How long it then took until the next order came; `Infinity` when none did. */
  record(looked: boolean, tookMs: number): void {
    this.#isInRow = tookMs < SOON_MS;
    if (looked) {
      this.#lookMs = meanWith(this.#lookMs, Math.min(tookMs, SOON_MS));
      this.#sleepThenMs = this.#sleepMs;
    } else if (this.#isInRow) {
      this.#sleepMs = meanWith(this.#sleepMs, tookMs);
      if (this.#sleepMs > this.#sleepThenMs * MOVED) this.#lookMs = 0;
    }
  }
}

function meanWith(mean: number, last: number): number {
  return mean === 0 ? last : mean + (last - mean) * WEIGHT;
}
