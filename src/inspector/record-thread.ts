/**
 * This thread as data, and the threads that it has started as far as they are known without asking them.
 */
import nodeProcess from "node:process";
import { isMainThread, threadId } from "node:worker_threads";
import { EventLoop, taskSources } from "../core/index.ts";
import type { RunningJob, TaskSource } from "../core/index.ts";
import { linkTo, recordLoops, shortened } from "./record-loop.ts";
import type { RecordPlan } from "./record-loop.ts";
import { planOf } from "./options.ts";
import type { SnapshotOptions } from "./options.ts";
import type { Snapshot, ThreadRecord, ThreadState } from "./records.ts";

/**
 * This thread alone, at this moment: the call returns at once and can be made from anywhere, outside of a loop too: from a debugger, a signal
 * handler, the middle of a step. Threads that were started here are listed with their jobs and not asked.
 *
 * @throws {UsageError} when an option is wrong.
 * @example
 * console.error(formatTree(snapshotHere({ stacks: true })));
 */
export function snapshotHere(options: SnapshotOptions = {}): Snapshot {
  return snapshotOf(recordHere(planOf(options), []));
}

/** @package */
export function snapshotOf(thread: ThreadRecord): Snapshot {
  const { pid, version } = nodeProcess;
  return { version: 1, pid, runtime: `node ${version}`, uptimeMs: nodeProcess.uptime() * 1_000, thread };
}

/** @param jobs What an executor runs on this thread. @package */
export function recordHere(
  plan: RecordPlan & { readonly loops: readonly EventLoop[] | null },
  jobs: readonly RunningJob[],
): ThreadRecord {
  const loops = plan.loops ?? EventLoop.live();
  const numbers = new Map<object, number>(loops.map((loop, number) => [loop, number]));
  return {
    threadId,
    name: isMainThread ? "main" : `thread ${threadId}`,
    role: isMainThread ? "main" : "worker",
    executor: null,
    state: "here",
    trouble: null,
    heardMs: null,
    jobs: jobs.map(({ id, name, runMs, task }) => ({
      id,
      name: shortened(name),
      state: "running",
      ageMs: null,
      runMs,
      task: task === null ? null : linkTo(task, numbers),
    })),
    loops: recordLoops(loops, plan),
    threads: [...taskSources].map((source) => recordUnheard(source, "unasked")),
  };
}

/** What is known of a thread without an answer. @package */
export function recordUnheard(source: TaskSource, state: ThreadState, trouble: string | null = null): ThreadRecord {
  return {
    threadId: source.threadId,
    name: shortened(source.name),
    role: source.role,
    executor: shortened(source.executor),
    state,
    trouble,
    heardMs: source.heardMs(),
    jobs: source.jobs().map((job) => ({ ...job, name: shortened(job.name), runMs: null, task: null })),
    loops: [],
    threads: [],
  };
}
