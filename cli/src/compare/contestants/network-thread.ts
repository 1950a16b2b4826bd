/**
 * The thread that makes the connections for threads that block. It never blocks itself, so one is enough for all.
 *
 * Its parent sends it a port for each of them; see `request-sync.ts` for what goes over it.
 */
import { Agent, get } from "node:http";
import { parentPort } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";
import type { SyncAnswer, SyncRequest } from "./request-sync.ts";

const agent = new Agent({ keepAlive: true });

parentPort?.on("message", (port: MessagePort) => {
  port.on("message", ({ url, answered }: SyncRequest) => {
    const answer = (content: SyncAnswer): void => {
      port.postMessage(content);
      Atomics.store(answered, 0, 1);
      Atomics.notify(answered, 0);
    };
    get(url, { agent }, (response) => {
      let body = "";
      response
        .setEncoding("utf8")
        .on("data", (text: string) => (body += text))
        .on("end", () => answer({ status: response.statusCode ?? 0, body }))
        .on("error", (error) => answer({ error: error.message }));
    }).on("error", (error) => answer({ error: error.message }));
  });
});
