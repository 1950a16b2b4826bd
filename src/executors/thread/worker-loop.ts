/**
 * The part of a worker that needs the kernel: jobs that wait, streams, deadlines, task-locals, ends of channels.
 *
 * Imported when the first such job arrives (in a loop thread at once). A thread that only calls plain functions never does: a loop with all that
 * belongs to it costs a thread as much again as Node takes to start it.
 */
import { threadId } from "node:worker_threads";
import { EventLoop } from "../../core/index.ts";
import type { Coroutine, Operation, Scope, Task } from "../../core/index.ts";
import { Feed } from "../feed.ts";
import type { AnyJob } from "../job.ts";
import type { JobShape } from "../pool.ts";
import { runBatch, runJob } from "../run-job.ts";
import type { Extras } from "./protocol.ts";
import type { ThreadRun } from "./thread-run.ts";
import { setup } from "./worker-link.ts";

export { receiveEnds } from "./thread-channel.ts";

/** The worker's copy of a deadline is later than the submitter's: that one decides, this one is for when its loop hangs. */
const DEADLINE_SLACK_MS = 50;

const loop = new EventLoop({ name: setup.name === "" ? `thread ${threadId}` : setup.name });

export function launchJob(
  run: ThreadRun,
  job: AnyJob,
  shape: JobShape,
  args: readonly unknown[],
  extras: Extras | null,
): Task<unknown> {
  if (shape === "stream") run.credits = args[0] as number;
  const call = {
    job,
    shape,
    args,
    locals: extras?.locals ?? null,
    context: run,
    emit: (value: unknown) => (run.emit(value) ? null : waitForCredit(run)),
  };
  return launch(run, runJob(call), extras);
}

/** The rest of a batch, whose next item has returned `value`, which is to be waited for. */
export function launchBatch(
  run: ThreadRun,
  job: AnyJob,
  items: readonly unknown[],
  done: unknown[],
  value: unknown,
  extras: Extras | null,
): Task<unknown> {
  const call = { job, shape: "batch" as const, args: [items], locals: null, context: run };
  const fn = job.fn as unknown as (...args: readonly unknown[]) => unknown;
  return launch(run, runBatch(call, fn, items, done, { value }), extras);
}

function launch(run: ThreadRun, work: Coroutine<unknown>, extras: Extras | null): Task<unknown> {
  const task = loop.root.launch(work, run.name);
  const remainingMs = extras?.remainingMs ?? null;
  if (remainingMs !== null) (task.ownScope() as Scope).deadline = loop.now() + remainingMs + DEADLINE_SLACK_MS;
  return task;
}

export function tasksOfLoop(): readonly unknown[] {
  return loop.tasks();
}

/** Ends when all tasks have. */
export async function endLoop(): Promise<void> {
  loop.root.cancel(`thread "${setup.name}" was stopped`);
  while (loop.root.size > 0) await Promise.allSettled(loop.root.tasks);
}

function waitForCredit(run: ThreadRun): Operation<void> {
  const reason = `somebody to take values of job "${run.name}"`;
  run.granted ??= new Feed({ reason, isOutside: true, capacity: 1 });
  return creditOf(run, run.granted);
}

function* creditOf(run: ThreadRun, granted: Feed<void>): Coroutine<void> {
  while (run.credits <= 0) yield* granted.next();
}
