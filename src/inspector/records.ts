/**
 * What a snapshot is made of: plain data that can be cloned, sent and written as JSON.
 *
 * Threads are nested, since there are few and they are never deep. Tasks and scopes are flat lists with the numbers of their parents: a program may
 * spawn a hundred thousand deep, and neither `JSON.stringify` nor a reader should have to recurse that far.
 *
 * Times are differences in milliseconds, not points: each thread and each loop has a clock of its own.
 */
import type { CancelSource, StackFrame, TaskState } from "../core/index.ts";

/** The tasks of this process at one moment: of the thread that was asked, and of all threads below it. */
export interface Snapshot {
  readonly version: 1;
  readonly pid: number;
  /** Such as `"node v24.1.0"`. */
  readonly runtime: string;
  /** How long the process runs. */
  readonly uptimeMs: number;
  /** The thread that was asked. */
  readonly thread: ThreadRecord;
}

/**
 * `"here"`: it took the snapshot itself. `"answered"`: it did when it was asked. `"silent"`: it did not answer in time, so its loop is blocked or busy.
 * `"ended"`: it ended meanwhile. `"failed"`: it could not, see `trouble`. `"unasked"`: nobody asked it.
 */
export type ThreadState = "here" | "answered" | "silent" | "ended" | "failed" | "unasked";

export interface ThreadRecord {
  /** Node's number; 0 for the main thread. */
  readonly threadId: number;
  readonly name: string;
  /** For people: `"main"`, `"loop thread"`, `"pool worker"`, `"worker"`. */
  readonly role: string;
  /** The executor that it belongs to. */
  readonly executor: string | null;
  readonly state: ThreadState;
  /** Why it could not answer. */
  readonly trouble: string | null;
  /** How long ago it last said anything; `null` for one that answered. A thread that has nothing to do has nothing to say either. */
  readonly heardMs: number | null;
  /** The jobs that it has. Known even of one that does not answer; of one that has ended, what it had then. */
  readonly jobs: readonly JobRecord[];
  readonly loops: readonly LoopRecord[];
  /** Threads that were started there. */
  readonly threads: readonly ThreadRecord[];
}

/** A job in the thread that has it. */
export interface JobRecord {
  /** Unique in its executor. */
  readonly id: number;
  readonly name: string;
  /** `"sent"`: not begun. `"loading"`: its module is being imported. `"stopping"`: it was told to stop. */
  readonly state: "sent" | "loading" | "running" | "stopping";
  /** Since it was submitted; `null` when only the thread that runs it knows of it. */
  readonly ageMs: number | null;
  /** Since it began; `null` for a plain function, and for one in a thread that did not answer. */
  readonly runMs: number | null;
  /** The task that runs it, in the same thread; `null` for a plain function, and where it is not known. */
  readonly task: TaskLink | null;
}

/** A task of the same thread. */
export interface TaskLink {
  /** Place in `ThreadRecord.loops`; `null` when its loop is not listed. */
  readonly loop: number | null;
  readonly id: number;
  readonly name: string;
}

export interface LoopRecord {
  readonly name: string;
  /** Entries of its ready queue. */
  readonly ready: number;
  readonly timers: number;
  /** Pending waits that something outside the loop will end. */
  readonly outside: number;
  /** Since the loop was made. */
  readonly tasksSpawned: number;
  /** In creation order. */
  readonly tasks: readonly TaskRecord[];
  /** Outer ones before those in them; the first one is the root. */
  readonly scopes: readonly ScopeRecord[];
  /** How many tasks are not listed because of the limit; the outermost are. */
  readonly leftOut: number;
}

export interface ScopeRecord {
  /** Place in `LoopRecord.scopes`: it means nothing beyond this snapshot. */
  readonly id: number;
  readonly name: string;
  /** The scope around it; `null` for the root. */
  readonly parentId: number | null;
  /** The task that has opened it; `null` for the root. */
  readonly hostId: number | null;
  /** Whether it stands for the whole of its task. */
  readonly isTaskScope: boolean;
  /** Whether it holds cancellation from outside back. */
  readonly isShield: boolean;
  /** How many of its tasks have not settled. */
  readonly size: number;
  /** Left until its effective deadline, that of the scopes around it up to a shield included; negative once that has passed. `null`: none. */
  readonly deadlineMs: number | null;
  /** Its cancellation, or the one that reaches it from further out. */
  readonly cancelled: CancellationRecord | null;
}

export interface CancellationRecord {
  readonly source: CancelSource;
  /** What the canceller gave, as text. */
  readonly reason: string | null;
  /** Name of the task that asked, or failed. */
  readonly by: string | null;
  /** How long ago. */
  readonly ageMs: number;
}

export interface TaskRecord {
  /** Unique in its loop. */
  readonly id: number;
  readonly name: string;
  readonly state: TaskState;
  /** The task whose scope it belongs to; `null` for one that was spawned from outside. */
  readonly parentId: number | null;
  /** The scope that it belongs to. */
  readonly scopeId: number;
  readonly steps: number;
  /** `null` while it does not wait. */
  readonly wait: WaitRecord | null;
  /** Left until the deadline of what it does now, as in `ScopeRecord`. */
  readonly deadlineMs: number | null;
  /** The cancellation that reaches what it does now. */
  readonly cancelled: CancellationRecord | null;
  /** Whether that is about to be thrown in it, or unwinds it: `false` once it has been caught, and in a shield. */
  readonly isCancelling: boolean;
  /** A line of a stack, for one that was spawned from outside. */
  readonly spawnedAt: string | null;
  /** Innermost frame first; empty for one that runs or has not begun. `null` unless it was asked for. */
  readonly stack: readonly StackFrame[] | null;
}

export interface WaitRecord {
  /** What it waits for: `sleep 100 ms`, `lock "stock" (held by "writer")`. */
  readonly reason: string;
  /** How long it waits; `null` when nobody has looked before. */
  readonly ms: number | null;
  /** Whether `ms` is at least: it waited already when somebody first looked. */
  readonly isAtLeast: boolean;
  /** When its own timer is due. */
  readonly dueMs: number | null;
  /** The task that has to settle, or to give something back, before it can go on. */
  readonly task: TaskLink | null;
  /** The scope whose tasks have to settle: a place in `LoopRecord.scopes`. */
  readonly scopeId: number | null;
  /** The job that has to end. */
  readonly job: JobLink | null;
}

/** A job as who waits for it sees it. */
export interface JobLink {
  readonly executor: string;
  readonly id: number;
  readonly name: string;
  readonly state: "new" | "queued" | "sent" | "running" | "settled";
  readonly ageMs: number;
  /** The thread that has it: with `id` this finds it in `ThreadRecord.jobs`. */
  readonly threadId: number | null;
  /** The task that runs it, when that is one of the same thread. */
  readonly task: TaskLink | null;
}
