/** What ties a worker thread to its executor: read once, when the thread begins. */
import { workerData } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";
import type { Reply, WorkerSetup } from "./protocol.ts";

export const setup: WorkerSetup = workerData as WorkerSetup;
export const port: MessagePort = setup.port as MessagePort;
/** Shared with the executor, see `protocol.ts`. */
export const words: Int32Array = setup.words;

/** Throws when it holds what cannot be cloned. */
export function post(reply: Reply): void {
  port.postMessage(reply);
}
