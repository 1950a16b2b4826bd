/**
 * The main module of every worker thread, and the light way to define jobs (`fibril/executors/worker`).
 *
 * It stays on Node's event loop: orders come as messages, so timers, sockets and a coroutine's sleeps go on between and during jobs.
 * (Waiting on shared memory for the next job without a bound, as some pools do, freezes all of these.) A plain function is called right in the
 * message handler; anything that waits becomes a task of this thread's loop, which is loaded when the first such job comes (`worker-loop.ts`).
 *
 * In a pool it runs one job at a time, in the order of the orders; in a loop thread all at once.
 *
 * Where it is no executor's thread, importing it does nothing but give the names at the end.
 */
import nodeProcess from "node:process";
import type { RunningJob } from "../../core/index.ts";
import { describeValue, systemClock } from "../../core/loopless.ts";
import { setThreadJob } from "../job-context.ts";
import { beStrictAboutNames } from "../job.ts";
import type { AnyJob } from "../job.ts";
import { encodeError } from "../remote-error.ts";
import { isPlainResult } from "../returned.ts";
import { LEAVING } from "./protocol.ts";
import type { Order } from "./protocol.ts";
import { flushNews } from "./thread-news.ts";
import { ThreadRun } from "./thread-run.ts";
import { begin } from "./worker-begin.ts";
import { runs } from "./worker-calls.ts";
import type { AnyFunction } from "./worker-calls.ts";
import { listen } from "./worker-inbox.ts";
import { define, load } from "./worker-jobs.ts";
import { kernel, kernelFor, loadKernel } from "./worker-kernel.ts";
import { enter, isBusy, openLine } from "./worker-line.ts";
import { claimThread, post, setup, words } from "./worker-link.ts";

// For modules that define jobs: all that a plain job needs, and a thread has loaded it already.
export { currentJob, isCancelled, job, log, progress, throwIfCancelled } from "../job-module.ts";
export type { Job, JobContext, JobOptions, StreamJob } from "../job-module.ts";

if (claimThread()) {
  nodeProcess.on("exit", () => Atomics.store(words, LEAVING, 1));
  listen(receive, () => !isBusy && runs.size === 0);
  void initialize();
}

async function initialize(): Promise<void> {
  beStrictAboutNames();
  const { initializer } = setup;
  try {
    if (setup.isConcurrent) await loadKernel();
    if (initializer !== null) {
      const job = await load(initializer);
      if (typeof job === "string") throw new Error(`job "${initializer.name}" of ${initializer.url}: ${job}`);
      await runInitializer(job, initializer.args);
    }
    post(["ready"]);
  } catch (error) {
    post(["unready", encodeError(error)]);
    return;
  }
  openLine(begin);
}

async function runInitializer(job: AnyJob, args: readonly unknown[]): Promise<void> {
  const run = new ThreadRun(["run", words.length - 1, 0, "call", [], 0, null], job.name);
  setThreadJob(run);
  const value = (job.fn as unknown as AnyFunction)(...args);
  if (!isPlainResult(value)) {
    const task = (await kernelFor(value)).launchJob(run, { ...job, fn: () => value }, "call", [], null);
    task.keepFailure(); // the executor tells it
    await task;
  }
  setThreadJob(null);
}

function receive(order: Order): void {
  switch (order[0]) {
    case "many":
      for (const each of order[1]) receive(each);
      break;
    case "define":
      define(order[1], order[2], order[3]);
      break;
    case "run":
      enter(order);
      break;
    case "cancel":
      runs.get(order[1])?.cancel(order[2]);
      break;
    case "grant": {
      const run = runs.get(order[1]);
      if (run === undefined) break;
      run.credits += order[2];
      run.granted?.put();
      break;
    }
    case "room":
      flushNews();
      break;
    case "tasks":
      post(["tasks", order[1], kernel?.tasksOfLoop() ?? []]);
      break;
    case "inspect":
      void inspect(order[1], order[2], order[3]);
      break;
    case "stop":
      void stop();
  }
}

/** Somebody wants to know what goes on here; the code for that is loaded now. */
async function inspect(key: string, module: string, request: unknown): Promise<void> {
  try {
    const { answer } = (await import(module)) as { answer: (request: unknown, jobs: RunningJob[]) => Promise<unknown> };
    const now = systemClock.now();
    const jobs = [...runs.values()].map(({ id, name, startedAt, task }) => ({
      id,
      name,
      runMs: now - startedAt,
      task,
    }));
    post(["inspected", key, null, await answer(request, jobs)]);
  } catch (error) {
    post(["inspected", key, describeValue(error), null]);
  }
}

async function stop(): Promise<void> {
  await kernel?.endLoop();
  // Whatever timers and sockets the jobs have left open must not keep the thread.
  nodeProcess.exit(0);
}
