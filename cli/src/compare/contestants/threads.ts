/**
 * A hundred jobs on a hundred pool threads, each blocking until its answer is there.
 *
 * The threads are Node's own workers as they come, without resource limits (the tightest ones that work save a sixth of
 * the memory). They are all started before the clock of the requests is; what that took is the row's set-up time.
 */
import { Worker } from "node:worker_threads";
import type { Measured } from "../protocol.ts";
import type { Course } from "./contest.ts";
import { Network } from "./network.ts";
import type { Job, PoolMessage } from "./pool-thread.ts";
import { threadProgram } from "./thread-program.ts";

export async function contest({ url, requests, meter }: Course): Promise<Measured> {
  const network = new Network();
  await network.started();
  const program = threadProgram("pool-thread");
  meter.startedThreads(1 + requests);
  const pool = await Promise.all(Array.from({ length: requests }, () => startThread(program, network)));

  meter.open();
  await Promise.all(
    pool.map(
      (thread, index) =>
        new Promise<void>((resolve, reject) => {
          thread.once("error", reject);
          thread.on("message", (message: PoolMessage) => {
            if (message.type === "begin") meter.begin(message.index);
            if (message.type !== "end") return;
            meter.end(message.index, message.ok);
            resolve();
          });
          thread.postMessage({ index, url } satisfies Job);
        }),
    ),
  );
  return meter.close();
}

function startThread(program: URL, network: Network): Promise<Worker> {
  const port = network.port();
  const thread = new Worker(program, { workerData: port, transferList: [port] });
  return new Promise((resolve, reject) => {
    thread.once("message", () => resolve(thread)).once("error", reject);
  });
}
