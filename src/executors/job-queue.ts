/**
 * The line of an executor: higher priority first, first come first served within one; leaving the line costs nothing.
 *
 * A list for each priority, since there are few of them: no heap is needed, and a cancelled job is unlinked where it stands.
 */
import type { PendingJob } from "./pending-job.ts";

class Rank {
  first: PendingJob | null = null;
  last: PendingJob | null = null;
}

export class JobQueue {
  readonly #ranks = new Map<number, Rank>();
  /** The priorities that were ever used, highest first. */
  readonly #priorities: number[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(job: PendingJob): void {
    const rank = this.#rankOf(job.request.priority);
    job.ahead = rank.last;
    if (rank.last === null) rank.first = job;
    else rank.last.behind = job;
    rank.last = job;
    this.#size++;
  }

  /** The one whose turn it is; it stays in line. */
  get first(): PendingJob | null {
    for (const priority of this.#priorities) {
      const { first } = this.#ranks.get(priority)!;
      if (first !== null) return first;
    }
    return null;
  }

  /** Takes it out of the line. It must stand in it. */
  remove(job: PendingJob): void {
    const rank = this.#ranks.get(job.request.priority)!;
    if (job.ahead === null) rank.first = job.behind;
    else job.ahead.behind = job.behind;
    if (job.behind === null) rank.last = job.ahead;
    else job.behind.ahead = job.ahead;
    job.ahead = job.behind = null;
    this.#size--;
  }

  #rankOf(priority: number): Rank {
    let rank = this.#ranks.get(priority);
    if (rank !== undefined) return rank;
    this.#ranks.set(priority, (rank = new Rank()));
    const place = this.#priorities.findIndex((each) => each < priority);
    this.#priorities.splice(place === -1 ? this.#priorities.length : place, 0, priority);
    return rank;
  }
}
