/**
 * Calling the function of a job, and following it to its end.
 *
 * A plain function is called where its order arrives, and has ended when it returns. Anything that waits becomes a task of this thread's loop, which is
 * loaded for the first of them; the job keeps its turn meanwhile.
 */
import type { Task } from "../../core/index.ts";
import { CancelledError, kernelPresence } from "../../core/loopless.ts";
import { setThreadJob } from "../job-context.ts";
import type { AnyJob } from "../job.ts";
import { BatchFailure, isPlainResult } from "../returned.ts";
import { dropEnds, isLuggage } from "./luggage.ts";
import { ThreadRun } from "./thread-run.ts";
import type { RunOrder } from "./thread-run.ts";
import { kernel, kernelFor, loadKernel } from "./worker-kernel.ts";
import type { Kernel } from "./worker-kernel.ts";
import { giveTurn, pump, takeTurn } from "./worker-line.ts";
import { setup } from "./worker-link.ts";

export type AnyFunction = (...args: readonly unknown[]) => unknown;

/** Jobs that go on after their call, by slot. */
export const runs: Map<number, ThreadRun> = new Map();

export function start(order: RunOrder, job: AnyJob): void {
  const run = new ThreadRun(order, job.name);
  if (!setup.isConcurrent) setThreadJob(run);
  if (kernel !== null || !needsKernel(order)) {
    goOn(run, order, job);
    return;
  }
  const loading = loadKernel();
  loading.catch(() => dropEnds(order[4]));
  hold(run, loading, () => goOn(run, order, job));
}

function needsKernel([, , , shape, args, , extras]: RunOrder): boolean {
  return shape === "stream" || needsTask(extras) || (shape === "call" && args.some(isLuggage));
}

/** What it may ask for is only known in a task: task-locals, and a deadline, if its module has loaded what asks for that. */
function needsTask(extras: RunOrder[6]): boolean {
  return extras !== null && (extras.locals !== null || (extras.remainingMs !== null && kernelPresence.isLoaded));
}

function goOn(run: ThreadRun, order: RunOrder, job: AnyJob): void {
  const [, , , shape, sent, , extras] = order;
  let args = sent;
  if (kernel !== null && shape !== "batch") ({ args, ends: run.ends } = kernel.receiveEnds(sent));
  if (shape === "stream" || setup.isConcurrent || needsTask(extras)) {
    follow(run, kernel!.launchJob(run, job, shape, args, extras));
    return;
  }
  if (shape === "batch") {
    goOnBatch(run, job, args[0] as readonly unknown[], extras);
    return;
  }
  const fn = job.fn as unknown as AnyFunction;
  let value: unknown;
  try {
    value = fn(...args);
  } catch (error) {
    run.endByError(error);
    return;
  }
  if (isPlainResult(value)) run.endByValue(value);
  else waitFor(run, value, (it) => it.launchJob(run, { ...job, fn: () => value }, shape, [], extras));
}

/** As far as it goes without waiting: the common case is a plain function over many items. */
function goOnBatch(run: ThreadRun, job: AnyJob, items: readonly unknown[], extras: RunOrder[6]): void {
  const fn = job.fn as unknown as AnyFunction;
  const done: unknown[] = [];
  for (let index = 0; index < items.length; index++) {
    if (run.isCancelled) {
      run.endByError(new CancelledError(`job "${run.name}"`, run.reason));
      return;
    }
    let value: unknown;
    try {
      value = fn(items[index]);
    } catch (error) {
      run.endByError(new BatchFailure(done, index, error));
      return;
    }
    if (!isPlainResult(value)) {
      waitFor(run, value, (it) => it.launchBatch(run, job, items, done, value, extras));
      return;
    }
    done.push(value);
  }
  run.endByValue(done);
}

function waitFor(run: ThreadRun, value: unknown, launch: (kernel: Kernel) => Task<unknown>): void {
  if (kernel !== null) {
    follow(run, launch(kernel));
    return;
  }
  hold(run, kernelFor(value), (loaded) => follow(run, launch(loaded)));
}

/** The job has the thread while the kernel is loaded for it. */
function hold(run: ThreadRun, loading: Promise<Kernel>, then: (loaded: Kernel) => void): void {
  takeTurn();
  runs.set(run.slot, run);
  const release = (goOn: () => void): void => {
    runs.delete(run.slot);
    giveTurn();
    goOn();
    pump();
  };
  void loading.then(
    (loaded) => release(() => then(loaded)),
    (error: unknown) => release(() => run.endByError(error)),
  );
}

function follow(run: ThreadRun, task: Task<unknown>): void {
  if (!setup.isConcurrent) takeTurn();
  run.task = task;
  runs.set(run.slot, run);
  task.keepFailure();
  task.watch({
    before: null,
    after: null,
    taskSettled: () => {
      const outcome = task.outcome!;
      runs.delete(run.slot);
      if (outcome.status === "succeeded") run.endByValue(outcome.value);
      else if (outcome.status === "failed") run.endByError(outcome.error);
      else run.endByCancellation(outcome.cancelled.reason);
      if (!setup.isConcurrent) {
        giveTurn();
        pump();
      }
    },
  });
  if (run.isTold) task.cancel(run.reason); // while the kernel was loaded
}
