/** Starts the network thread and hands out ports to it, one for each thread that wants to block. */
import { MessageChannel, Worker } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";
import { threadProgram } from "./thread-program.ts";

export class Network {
  readonly #thread = new Worker(threadProgram("network-thread"));

  /** Resolves when the thread runs. */
  async started(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#thread.once("online", resolve).once("error", reject);
    });
  }

  port(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#thread.postMessage(port1, [port1]);
    return port2;
  }
}
