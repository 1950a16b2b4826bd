/**
 * A queue on virtual time: an engine with faults, an executor, workers that can be ended or killed.
 */
import { EventLoop, spawn } from "fibril";
import type { Coroutine, Operation, Report, Task } from "fibril";
import { simulate } from "fibril/testing";
import type { SimulateOptions } from "fibril/testing";
import { expect } from "vitest";
import { MemoryEngine, QueueExecutor, serveJobs } from "../../../src/executors/index.ts";
import type {
  Job,
  MemoryEngineOptions,
  QueueExecutorOptions,
  ServeOptions,
  ServerView,
} from "../../../src/executors/index.ts";

export interface Queue {
  readonly engine: MemoryEngine;
  readonly executor: QueueExecutor;
  /** Starts a worker. */
  serve(jobs: readonly Job<never, unknown>[], options?: ServeOptions): Worker;
}

export interface Worker {
  readonly view: ServerView;
  readonly task: Task<void>;
}

export interface QueueSetup extends SimulateOptions {
  readonly engine?: MemoryEngineOptions;
  readonly executor?: QueueExecutorOptions;
}

/** Runs a program on virtual time; then ends executor and workers. Fails when anything is left, or reported. */
export async function queued<T>(main: (queue: Queue) => Operation<T>, setup: QueueSetup = {}): Promise<T> {
  const reports: Report[] = [];
  let loop: EventLoop | null = null;
  const body = function* body(): Coroutine<T> {
    loop = EventLoop.current();
    return yield* withQueue(main, setup);
  };
  const value = await simulate(body, { onReport: (report) => void reports.push(report), ...setup });
  expect(reports).toEqual([]);
  expect(loop!.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
  return value;
}

function* withQueue<T>(main: (queue: Queue) => Operation<T>, setup: QueueSetup): Coroutine<T> {
  const engine = new MemoryEngine(setup.engine);
  const executor = new QueueExecutor(engine, { name: "queue", ...setup.executor });
  const workers: Task<void>[] = [];
  const value = yield* main({
    engine,
    executor,
    serve(jobs, options = {}) {
      let view: ServerView | null = null;
      const task = spawn(() => serveJobs(engine, jobs, { ...options, onStart: (server) => (view = server) }));
      workers.push(task);
      return {
        task,
        get view() {
          return view!;
        },
      };
    },
  });
  yield* executor.shutdown();
  for (const worker of workers) yield* worker.cancel();
  return value;
}
