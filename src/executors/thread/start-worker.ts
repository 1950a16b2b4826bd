/** Starting the thread itself: its main module, its environment, the link. */
import nodeModule from "node:module";
import { dirname } from "node:path";
import nodeProcess from "node:process";
import { MessageChannel as Link, Worker } from "node:worker_threads";
import type { MessagePort, ResourceLimits, WorkerOptions } from "node:worker_threads";
import type { WorkerSetup } from "./protocol.ts";

export interface ThreadSetup {
  readonly name: string;
  readonly slots: number;
  readonly isConcurrent: boolean;
  readonly initializer: WorkerSetup["initializer"];
  readonly resourceLimits: ResourceLimits | undefined;
  readonly entry: URL | undefined;
  readonly graceMs: number;
}

export interface StartedWorker {
  readonly worker: Worker;
  readonly port: MessagePort;
}

// Both literals, so that a bundler sees what belongs together.
const ENTRY: URL = import.meta.url.endsWith(".ts")
  ? new URL("./worker-entry.ts", import.meta.url)
  : new URL("./worker-entry.js", import.meta.url);

/** Throws what the system says when there can be no further thread. */
export function startWorker(setup: ThreadSetup, name: string, words: Int32Array): StartedWorker {
  const { port1, port2 } = new Link();
  const data: WorkerSetup = {
    fibrilExecutor: true,
    port: port2,
    words,
    name,
    executor: setup.name,
    isConcurrent: setup.isConcurrent,
    initializer: setup.initializer,
  };
  const options: WorkerOptions = { name, workerData: data, transferList: [port2] };
  if (setup.resourceLimits !== undefined) options.resourceLimits = setup.resourceLimits;
  const env = environment();
  if (env !== null) options.env = env;
  try {
    return { worker: new Worker(setup.entry ?? ENTRY, options), port: port1 };
  } catch (error) {
    port1.close();
    throw error;
  }
}

/** The environment of the process with its compile cache, if it has one that threads do not see: they need not strip and compile again. */
function environment(): NodeJS.ProcessEnv | null {
  const directory = nodeModule.getCompileCacheDir?.();
  if (directory === undefined || nodeProcess.env["NODE_COMPILE_CACHE"] !== undefined) return null;
  return { ...nodeProcess.env, NODE_COMPILE_CACHE: dirname(directory) };
}
