/**
 * What an executor counts: how its jobs ended, how long they waited and ran.
 */
import { Durations } from "./durations.ts";
import type { ExecutorStatistics } from "./executor.ts";
import type { JobEnd } from "./pool.ts";

export class JobBooks {
  readonly #waited = new Durations();
  readonly #ran = new Durations();
  #succeeded = 0;
  #failed = 0;
  #cancelled = 0;

  /** It has ended in a pool, `ageMs` after it was submitted. */
  noteEnd(end: JobEnd, ageMs: number): void {
    if (end.status === "succeeded") this.#succeeded++;
    else if (end.status === "failed") this.#failed++;
    else this.#cancelled++;
    this.#ran.record(end.runMs);
    this.#waited.record(ageMs - end.runMs);
  }

  /** It was cancelled before it had begun. */
  noteWithdrawn(): void {
    this.#cancelled++;
  }

  /** It has failed before a pool had it. */
  noteRefused(): void {
    this.#failed++;
  }

  snapshot(): Pick<ExecutorStatistics, "succeeded" | "failed" | "cancelled" | "wait" | "run"> {
    return {
      succeeded: this.#succeeded,
      failed: this.#failed,
      cancelled: this.#cancelled,
      wait: this.#waited.snapshot(),
      run: this.#ran.snapshot(),
    };
  }
}
