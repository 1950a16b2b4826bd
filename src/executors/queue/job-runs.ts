/**
 * The jobs that a server has: by their ids, since the engine asks for their end by id, and with the heartbeat that keeps their leases.
 *
 * Of one id there may be two: the lease of the first was lost, and the server has not heard of it when it is given the job again.
 */
import type { Coroutine, Task } from "../../core/index.ts";
import { sleep } from "../../time/index.ts";
import type { JobLease, QueueEngine, Renewal } from "./engine.ts";
import type { Run, RunCounts } from "./job-runner.ts";

export interface Begun extends Run {
  task: Task<void> | null;
}

const BEATS_PER_LEASE = 3;
const REMEMBERED = 1_024;

export class JobRuns {
  readonly #engine: QueueEngine;
  readonly #counts: RunCounts;
  readonly #byId = new Map<string, Set<Begun>>();
  /** Requests to cancel jobs that are not here. */
  readonly #early = new Map<string, string>();

  constructor(engine: QueueEngine, counts: RunCounts) {
    this.#engine = engine;
    this.#counts = counts;
  }

  all(): Begun[] {
    return [...this.#byId.values()].flatMap((runs) => [...runs]);
  }

  add(lease: JobLease): Begun {
    const { id } = lease.order;
    const early = this.#early.get(id);
    const stop = early === undefined ? lease.cancel : { reason: early };
    this.#early.delete(id);
    const run: Begun = { lease, pending: null, task: null, stop, isLost: false, endedAt: null };
    let runs = this.#byId.get(id);
    if (runs === undefined) this.#byId.set(id, (runs = new Set()));
    runs.add(run);
    return run;
  }

  remove(run: Begun): void {
    const { id } = run.lease.order;
    const runs = this.#byId.get(id)!;
    runs.delete(run);
    if (runs.size === 0) this.#byId.delete(id);
  }

  /** Somebody has asked for the end of a job, which may be another worker's. */
  cancel(id: string, reason: string): void {
    const runs = this.#byId.get(id);
    for (const run of runs ?? []) stopRun(run, reason);
    if (runs !== undefined) return;
    // Of another worker's job; or of one whose lease is just on its way here, which does not say so yet.
    this.#early.set(id, reason);
    if (this.#early.size > REMEMBERED) this.#early.delete(this.#early.keys().next().value!);
  }

  *beat(): Coroutine<void> {
    const everyMs = this.#engine.leaseMs / BEATS_PER_LEASE;
    for (;;) {
      yield* sleep(everyMs);
      const runs = this.all().filter((run) => !run.isLost);
      if (runs.length === 0) continue;
      try {
        const renewals = yield* this.#engine.renew(runs.map((run) => run.lease));
        for (const [index, run] of runs.entries()) this.#heed(run, renewals[index]!);
      } catch (error) {
        if (!(error instanceof Error)) throw error; // out of reach: the next beat tries again, or finds the leases lost
      }
    }
  }

  #heed(run: Begun, renewal: Renewal): void {
    if (renewal.isHeld) {
      if (renewal.cancel !== null) stopRun(run, renewal.cancel.reason);
      return;
    }
    if (run.isLost || !this.#byId.get(run.lease.order.id)?.has(run)) return; // it has just ended
    run.isLost = true;
    this.#counts.leasesLost++;
    stopRun(run, "the lease was lost");
  }
}

/** Tells a job to end; the first reason counts. */
export function stopRun(run: Run, reason: string): void {
  if (run.stop !== null) return;
  run.stop = { reason };
  run.pending?.cancel(reason);
}
