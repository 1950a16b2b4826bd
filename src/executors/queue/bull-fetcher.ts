/**
 * A worker of BullMQ that asks, together with each claim, what else is known of the job: an outcome, a request to cancel it, how often it has failed.
 *
 * Asked after the claim it would cost a round trip of its own, between the job and who is to run it. BullMQ's answer names the job, so the question
 * that goes out behind the claim names its lock instead: Redis carries both out in order, and the job that was claimed last is the first of the
 * active ones. Where it is not found like that (other workers were quicker, or the question went out first while a connection was made), or another
 * one is (the claim was sent twice), the answer is `null`, and has to be asked for by id.
 */
import { nextTick } from "node:process";
import type { Job, Worker, WorkerOptions } from "bullmq";
import type { BullPackages } from "./bull-packages.ts";

/** What our keys say of a job. */
export interface JobKnown {
  readonly record: string | null;
  /** Why it is to be cancelled. */
  readonly reason: string | null;
  readonly failures: number;
  readonly refusals: number;
  /** Redis' time, as `TIME` answers. */
  readonly time: readonly [seconds: string, microseconds: string];
  /** The job's id in BullMQ; `null`: it was asked for by its id. */
  readonly key: string | null;
}

export interface Fetcher {
  readonly worker: Worker;
  /** What was found with the claim of this job; once. */
  known(job: Job, lock: string): Promise<JobKnown | null>;
}

/** @param look Asks for the job that has a lock. */
export function openFetcher(
  { bullmq }: BullPackages,
  queue: string,
  options: WorkerOptions,
  look: (lock: string) => Promise<JobKnown | null>,
): Fetcher {
  const found = new Map<string, Promise<JobKnown | null>>();

  class FetchingWorker extends bullmq.Worker {
    protected override async moveToActive(lock: string, name?: string): Promise<Job> {
      const known = behind(() => look(lock)).catch(() => null);
      const job = await super.moveToActive(lock, name);
      if ((job as Job | undefined) !== undefined) found.set(lock, known);
      return job;
    }
  }

  return {
    worker: new FetchingWorker(queue, null, options),
    async known(job, lock) {
      const asked = found.get(lock);
      found.delete(lock);
      const known = (await asked) ?? null;
      return known?.key === job.id ? known : null;
    },
  };
}

/** When what is sent by now, and by the promises that follow from it, has been sent. */
function behind<T>(ask: () => Promise<T>): Promise<T> {
  return new Promise((resolve) => nextTick(() => resolve(ask())));
}

/** @param answer Of the scripts `LOOK` and `SEE`. */
export function knownOf(answer: readonly (string | null)[] | null): JobKnown | null {
  if (answer === null) return null;
  const [record = null, reason = null, failures, refusals, seconds, microseconds, key = null] = answer;
  return {
    record,
    reason,
    failures: Number(failures ?? 0),
    refusals: Number(refusals ?? 0),
    time: [seconds ?? "0", microseconds ?? "0"],
    key,
  };
}
