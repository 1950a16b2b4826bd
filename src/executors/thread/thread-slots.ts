/**
 * The slots of a thread: which job is in which, and the words of shared memory that both sides move (`protocol.ts`).
 *
 * A slot is taken until the worker has done with it. So one whose job was withdrawn stays taken, though it holds no job, until the
 * worker says that it has seen it.
 */
import type { TaskSourceJob } from "../../core/index.ts";
import type { PoolJob } from "../pool.ts";
import { CANCEL, ENDED, FIRST_SLOT, FREE, LEAVING, LOADING, QUEUED, RUNNING, WITHDRAWN } from "./protocol.ts";

/** What the word of a slot says of its job, to observers. One that has ended is on its way back. */
const JOB_STATES: Readonly<Record<number, TaskSourceJob["state"]>> = {
  [QUEUED]: "sent",
  [LOADING]: "loading",
  [RUNNING]: "running",
  [CANCEL]: "stopping",
};

export class ThreadSlots {
  /** Shared with the worker. */
  readonly words: Int32Array;
  readonly #jobs: (PoolJob | null)[] = [];
  readonly #free: number[] = [];

  constructor(count: number) {
    const slots = FIRST_SLOT + count;
    this.words = new Int32Array(new SharedArrayBuffer(4 * (slots + 1))); // the last word is for the initializer
    for (let slot = slots - 1; slot >= FIRST_SLOT; slot--) this.#free.push(slot);
  }

  /** `false` also when the worker is about to end. */
  get hasFree(): boolean {
    return this.#free.length > 0 && Atomics.load(this.words, LEAVING) === 0;
  }

  /** Puts the job into a free slot. */
  take(job: PoolJob): number {
    const slot = this.#free.pop()!;
    this.#jobs[slot] = job;
    Atomics.store(this.words, slot, QUEUED);
    return slot;
  }

  jobIn(slot: number): PoolJob | null {
    return this.#jobs[slot] ?? null;
  }

  word(slot: number): number {
    return Atomics.load(this.words, slot);
  }

  /** The job is no longer there; the slot stays taken. */
  empty(slot: number): void {
    this.#jobs[slot] = null;
  }

  free(slot: number): void {
    Atomics.store(this.words, slot, FREE);
    this.#free.push(slot);
  }

  /** Takes the job out of its slot when it has not begun. */
  withdraw(slot: number): boolean {
    if (Atomics.compareExchange(this.words, slot, QUEUED, WITHDRAWN) !== QUEUED) return false;
    this.#jobs[slot] = null;
    return true;
  }

  /** `false`: the job has not begun, or it has ended and its outcome is on the way. */
  askToStop(slot: number): boolean {
    let seen = LOADING;
    for (let at = RUNNING; at !== seen; at = Atomics.compareExchange(this.words, slot, seen, CANCEL)) {
      if (at !== RUNNING && at !== LOADING) return false;
      seen = at;
    }
    return true;
  }

  hasBegun(slot: number): boolean {
    const word = this.word(slot);
    return word !== QUEUED && word !== LOADING;
  }

  hasEnded(slot: number): boolean {
    return this.word(slot) === ENDED;
  }

  /** All that are there, by slot. */
  *jobs(): Generator<readonly [slot: number, job: PoolJob]> {
    for (const [slot, job] of this.#jobs.entries()) if (job !== null && job !== undefined) yield [slot, job];
  }

  /** Those that have not begun, the last one first. */
  *queued(): Generator<PoolJob> {
    for (let slot = this.#jobs.length - 1; slot >= 0; slot--) {
      const job = this.jobIn(slot);
      if (job !== null && this.word(slot) === QUEUED) yield job;
    }
  }

  /** For observers. */
  states(): TaskSourceJob[] {
    const seen: TaskSourceJob[] = [];
    for (const [slot, job] of this.jobs()) {
      const state = JOB_STATES[this.word(slot)];
      if (state !== undefined) seen.push({ id: job.id, name: job.name, state, ageMs: job.ageMs() });
    }
    return seen;
  }
}
