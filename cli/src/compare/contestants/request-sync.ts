/**
 * A request that really blocks: the thread that calls it does nothing else until the answer is there.
 *
 * Node has no synchronous sockets, so another thread (`network-thread.ts`) makes the connection, and this one sleeps in
 * `Atomics.wait` as a thread of another language would sleep in `recv`. Rejected: `spawnSync` of another program, which
 * blocks as well, but pays for a process with each request.
 */
import { receiveMessageOnPort } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";

/** What is sent to the network thread. */
export interface SyncRequest {
  readonly url: string;
  /** Becomes 1, and is notified, when the answer is on the port. */
  readonly answered: Int32Array<SharedArrayBuffer>;
}

export type SyncAnswer = { readonly status: number; readonly body: string } | { readonly error: string };

/** @throws {Error} when there is no answer. */
export function requestSync(network: MessagePort, url: string): { readonly status: number; readonly body: string } {
  const answered = new Int32Array(new SharedArrayBuffer(4));
  network.postMessage({ url, answered } satisfies SyncRequest);
  Atomics.wait(answered, 0, 0);
  const answer = receiveMessageOnPort(network)?.message as SyncAnswer;
  if ("error" in answer) throw new Error(`the request failed: ${answer.error}`);
  return answer;
}
