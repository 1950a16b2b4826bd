/** A queue of its own on a Redis of the test, with leases so short that a test can outlive them. */
import { use } from "fibril";
import type { Coroutine } from "fibril";
import { BullEngine, QueueExecutor } from "../../../src/executors/index.ts";
import type { BullEngineOptions, QueueExecutorOptions } from "../../../src/executors/index.ts";

export interface Opened {
  readonly engine: BullEngine;
  readonly executor: QueueExecutor;
  readonly queue: string;
}

/** Gives the function that opens one after the other on the Redis at `url`, named after `prefix`. */
export function opener(
  url: string,
  prefix: string,
): (options?: QueueExecutorOptions, engineOptions?: BullEngineOptions) => Coroutine<Opened> {
  let queues = 0;
  return function* open(options = {}, engineOptions = {}) {
    const queue = engineOptions.queue ?? `${prefix}-${++queues}`;
    const engine = yield* use(new BullEngine({ url, leaseMs: 600, stalledCheckMs: 100, ...engineOptions, queue }));
    return { engine, queue, executor: yield* use(new QueueExecutor(engine, { sweepMs: 50, ...options })) };
  };
}
