/**
 * The jobs that a pool has: added, removed and counted a hundred thousand times a second, listed at a shutdown.
 *
 * A list without holes, in which each job knows its place. A `Set` that grows and shrinks is made anew every few jobs, and each of its tables
 * refers to the next one, so V8's young collections carry them all along: 0.4 KB and half a microsecond for each job (measured).
 */
import type { PendingJob } from "./pending-job.ts";

export class TakenJobs {
  readonly #jobs: PendingJob[] = [];

  get size(): number {
    return this.#jobs.length;
  }

  has(job: PendingJob): boolean {
    return this.#jobs[job.takenAt] === job;
  }

  add(job: PendingJob): void {
    job.takenAt = this.#jobs.length;
    this.#jobs.push(job);
  }

  /** `false`: it was not there. */
  delete(job: PendingJob): boolean {
    if (!this.has(job)) return false;
    const last = this.#jobs.pop()!;
    if (last !== job) {
      this.#jobs[job.takenAt] = last;
      last.takenAt = job.takenAt;
    }
    job.takenAt = -1;
    return true;
  }

  /** A copy, as they were submitted. */
  list(): PendingJob[] {
    return [...this.#jobs].sort((a, b) => a.id - b.id);
  }
}
