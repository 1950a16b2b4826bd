/**
 * What tasks, waits and threads are in words; the tree and the table share them.
 */
import { duration, piece } from "./line.ts";
import type { Piece } from "./line.ts";
import type {
  CancellationRecord,
  JobRecord,
  LoopRecord,
  Snapshot,
  TaskLink,
  TaskRecord,
  ThreadRecord,
  WaitRecord,
} from "./records.ts";

/** Where a job is found by its link. @package */
export class JobIndex {
  readonly #jobs = new Map<string, { readonly job: JobRecord; readonly thread: ThreadRecord }>();

  constructor(snapshot: Snapshot) {
    for (const thread of threadsOf(snapshot)) {
      for (const job of thread.jobs) this.#jobs.set(`${thread.threadId}/${job.id}`, { job, thread });
    }
  }

  find(threadId: number | null, id: number): { readonly job: JobRecord; readonly thread: ThreadRecord } | undefined {
    return threadId === null ? undefined : this.#jobs.get(`${threadId}/${id}`);
  }
}

/** All threads, each before those that it has started. */
export function threadsOf(snapshot: Snapshot): ThreadRecord[] {
  const found: ThreadRecord[] = [];
  const open: ThreadRecord[] = [snapshot.thread];
  for (let thread = open.pop(); thread !== undefined; thread = open.pop()) {
    found.push(thread);
    for (let i = thread.threads.length - 1; i >= 0; i--) open.push(thread.threads[i]!);
  }
  return found;
}

/** What the task does: `sleep 100 ms for 40 ms, due in 60 ms`. */
export function describeTask(task: TaskRecord, loops: readonly LoopRecord[], jobs: JobIndex): Piece[] {
  const { state, wait } = task;
  if (wait !== null) return describeWait(wait, loops, jobs);
  if (state === "running") return [piece("running", "good")];
  return [piece(state === "created" ? "not begun" : state, "warm")];
}

function describeWait(wait: WaitRecord, loops: readonly LoopRecord[], jobs: JobIndex): Piece[] {
  const pieces = [piece(wait.reason)];
  const age = ageOf(wait);
  if (age !== null) pieces.push(piece(`, ${age}`, "faint"));
  if (wait.dueMs !== null) pieces.push(piece(`, due in ${duration(Math.max(0, wait.dueMs))}`, "faint"));
  if (wait.task !== null) pieces.push(piece(` → ${nameOf(wait.task, loops)}`, "faint"));
  if (wait.job !== null) pieces.push(piece(describeJobLink(wait, loops, jobs), "faint"));
  return pieces;
}

/** `for 3 s`; `null` when it is not known. */
export function ageOf({ ms, isAtLeast }: WaitRecord): string | null {
  return ms === null ? null : `${isAtLeast ? "at least" : "for"} ${duration(ms)}`;
}

function describeJobLink({ job }: WaitRecord, loops: readonly LoopRecord[], jobs: JobIndex): string {
  const { id, ageMs, threadId, task } = job!;
  const found = jobs.find(threadId, id);
  const runMs = found?.job.runMs ?? null;
  const since = runMs === null ? `submitted ${duration(ageMs)} ago` : `runs for ${duration(runMs)}`;
  if (task !== null) return `, ${since} → ${nameOf(task, loops)}`;
  if (found === undefined) return `, ${since}`;
  const there = found.job.task === null ? "" : ` ${nameOf(found.job.task, found.thread.loops)}`;
  return `, ${since} → thread ${threadId}${there}`;
}

/** `#3 fetch`, and its loop when there are several. */
export function nameOf(link: TaskLink, loops: readonly LoopRecord[]): string {
  const loop = link.loop === null ? " of a loop that is not listed" : ` of loop "${loops[link.loop]?.name ?? "?"}"`;
  return `#${link.id} ${link.name}${loops.length > 1 || link.loop === null ? loop : ""}`;
}

/** `cancelled by "main": too slow`. */
export function describeCancellation({ source, reason, by }: CancellationRecord): string {
  const who = by === null ? "" : ` by "${by}"`;
  return `cancelled (${source}${who}${reason === null ? "" : `: ${reason}`})`;
}

export function describeDeadline(ms: number): string {
  return ms < 0 ? `deadline passed ${duration(-ms)} ago` : `deadline in ${duration(ms)}`;
}

/** What became of the question to the thread; empty when it answered. */
export function describeThreadState(thread: ThreadRecord): Piece[] {
  switch (thread.state) {
    case "here":
    case "answered":
      return [];
    case "silent":
      return [piece(" does not answer", "bad"), piece(`, last heard of ${duration(thread.heardMs ?? 0)} ago`)];
    case "ended":
      return [piece(" has ended", "faint")];
    case "failed":
      return [piece(" cannot be looked into: ", "bad"), piece(thread.trouble ?? "")];
    case "unasked":
      return [piece(" was not asked", "faint")];
  }
}
