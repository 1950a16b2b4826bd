/** What ties a worker thread to its executor: read once, when the thread begins. */
import { workerData } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";
import { OUTCOMES } from "./protocol.ts";
import type { Outcome, Reply, WorkerSetup } from "./protocol.ts";

const data = workerData as (Partial<WorkerSetup> & { hasBegun?: boolean }) | null | undefined;

/** Whether this is a thread of an executor. Elsewhere the values below are not there, and nothing uses them. */
const isWorker: boolean = typeof data === "object" && data?.fibrilExecutor === true;
export const setup: WorkerSetup = data as WorkerSetup;
export const port: MessagePort = (isWorker ? data!.port : null) as MessagePort;
/** Shared with the executor, see `protocol.ts`. */
export const words: Int32Array = (isWorker ? data!.words : null) as Int32Array;

/** Whether the thread is still without an owner: a bundle may hold our modules twice, and one of them serves. */
export function claimThread(): boolean {
  if (!isWorker || data!.hasBegun === true) return false;
  data!.hasBegun = true;
  return true;
}

/** Throws when it holds what cannot be cloned. */
export function post(reply: Reply): void {
  port.postMessage(reply);
}

/** The same for the end of a job. */
export function postOutcome(outcome: Outcome): void {
  port.postMessage(outcome);
  Atomics.add(words, OUTCOMES, 1);
}
