/**
 * A snapshot as a tree for people, as `asyncio pstree` prints it: threads, their loops, the tasks in them under the task and the scope they belong to.
 *
 * A scope that stands for its whole task has no line of its own, nor has one without tasks. Deep trees are walked without recursion, and from some
 * depth on indented no further: a hundred thousand levels would fill the disk with spaces.
 */
import { waitCircles } from "./circles.ts";
import {
  describeCancellation,
  describeDeadline,
  describeTask,
  describeThreadState,
  JobIndex,
  nameOf,
} from "./describe.ts";
import { duration, piece, renderLine } from "./line.ts";
import type { FormatOptions, Piece } from "./line.ts";
import type { JobRecord, LoopRecord, ScopeRecord, Snapshot, TaskRecord, ThreadRecord } from "./records.ts";

/** One line, and what is to stand under it. Made when it is about to be printed. */
interface Branch {
  readonly pieces: readonly Piece[];
  /** More lines of the same. */
  readonly notes: readonly (readonly Piece[])[];
  readonly below: () => readonly Branch[];
}

const MOST_INDENT = 24; // levels

/**
 * @example
 * console.log(formatTree(yield* snapshot(), { colours: true, width: process.stdout.columns }));
 */
export function formatTree(snapshot: Snapshot, options: FormatOptions = {}): string {
  const { pid, runtime, uptimeMs } = snapshot;
  const jobs = new JobIndex(snapshot);
  const head = [piece(`process ${pid}`, "strong"), piece(`, ${runtime}, up ${duration(uptimeMs)}`)];
  const lines = [renderLine(head, options), ...drawn([branchOfThread(snapshot.thread, jobs)], options)];
  for (const circle of waitCircles(snapshot)) {
    const names = [...circle, circle[0]!].map((link) => nameOf(link, []).replace(/ of a loop that.*$/, ""));
    lines.push(renderLine([piece("wait for each other: ", "bad"), piece(names.join(" → "))], options));
  }
  return lines.join("\n");
}

function drawn(roots: readonly Branch[], options: FormatOptions): string[] {
  const lines: string[] = [];
  const open: { readonly branch: Branch; readonly depth: number; readonly prefix: string; readonly isLast: boolean }[] =
    [];
  const push = (branches: readonly Branch[], depth: number, prefix: string): void => {
    for (let i = branches.length - 1; i >= 0; i--) {
      open.push({ branch: branches[i]!, depth, prefix, isLast: i === branches.length - 1 });
    }
  };
  push(roots, 0, "");
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { branch, depth, prefix, isLast } = next;
    const isDeep = depth > MOST_INDENT;
    const corner = depth === 0 ? "" : isLast ? "└─ " : "├─ ";
    const inner = depth === 0 || isDeep ? prefix : `${prefix}${isLast ? "   " : "│  "}`;
    const level = isDeep ? `(level ${depth}) ` : "";
    lines.push(renderLine([faint(prefix + corner + level), ...branch.pieces], options));
    const below = branch.below();
    const bar = below.length > 0 ? "│    " : "     ";
    for (const note of branch.notes) lines.push(renderLine([faint(inner + bar), ...note], options));
    push(below, depth + 1, inner);
  }
  return lines;
}

// Not by `piece`: this is ours, and it need not be looked through.
function faint(text: string): Piece {
  return { text, style: "faint" };
}

function branchOfThread(thread: ThreadRecord, jobs: JobIndex): Branch {
  const { name, role, threadId, executor, loops, threads } = thread;
  const title = role === "main" ? "main thread" : `${role} "${name}" (thread ${threadId})`;
  const owner = executor === null || executor === name ? "" : ` of ${executor}`;
  const isIdle = loops.length === 0 && thread.jobs.length === 0 && thread.state === "answered";
  return {
    pieces: [
      piece(title, "strong"),
      piece(owner),
      ...describeThreadState(thread),
      ...(isIdle ? [piece(" is idle", "faint")] : []),
    ],
    notes: [],
    below: () => [
      ...thread.jobs.filter((job) => job.task === null).map(branchOfJob),
      ...loops.map((loop, number) => branchOfLoop(loop, number, thread, jobs)),
      ...threads.map((each) => branchOfThread(each, jobs)),
    ],
  };
}

function branchOfJob({ id, name, state, ageMs, runMs }: JobRecord): Branch {
  const since = runMs === null ? ageMs : runMs;
  const told = since === null ? "" : `, ${runMs === null ? "submitted" : "began"} ${duration(since)} ago`;
  return {
    pieces: [piece("job "), piece(`"${name}" #${id}`, "strong"), piece(` ${state}${told}`)],
    notes: [],
    below: () => [],
  };
}

function branchOfLoop(loop: LoopRecord, number: number, thread: ThreadRecord, jobs: JobIndex): Branch {
  const { name, tasks, ready, timers, outside, leftOut } = loop;
  const counts = [`${tasks.length + leftOut} task(s)`];
  if (ready > 0) counts.push(`${ready} ready`);
  if (timers > 0) counts.push(`${timers} timer(s)`);
  if (outside > 0) counts.push(`${outside} for outside`);
  return {
    pieces: [piece("loop "), piece(`"${name}"`, "strong"), piece(`: ${counts.join(", ")}`)],
    notes: leftOut === 0 ? [] : [[piece(`${leftOut} task(s) are not listed: raise the limit`, "warm")]],
    below: () => new LoopTree(loop, number, thread, jobs).roots(),
  };
}

/** Who stands under whom in one loop. */
class LoopTree {
  readonly #loop: LoopRecord;
  readonly #thread: ThreadRecord;
  readonly #jobs: JobIndex;
  readonly #tasksOf = new Map<number, TaskRecord[]>();
  readonly #scopesIn = new Map<number, ScopeRecord[]>();
  /** The outermost scope that a task has opened. */
  readonly #scopeOf = new Map<number, ScopeRecord>();
  readonly #isShown: boolean[];
  readonly #jobOf = new Map<number, JobRecord>();

  constructor(loop: LoopRecord, number: number, thread: ThreadRecord, jobs: JobIndex) {
    this.#loop = loop;
    this.#thread = thread;
    this.#jobs = jobs;
    const { scopes, tasks } = loop;
    for (const task of tasks) listIn(this.#tasksOf, task.scopeId).push(task);
    this.#isShown = scopes.map(({ id }) => this.#tasksOf.has(id));
    for (let i = scopes.length - 1; i > 0; i--) {
      const scope = scopes[i]!; // those inside come after it
      const around = scopes[scope.parentId!]!;
      if (around.hostId === scope.hostId && this.#isShown[i] === true) this.#isShown[around.id] = true;
    }
    for (const scope of scopes.slice(1)) {
      const around = scopes[scope.parentId!]!;
      if (around.hostId === scope.hostId) listIn(this.#scopesIn, around.id).push(scope);
      else this.#scopeOf.set(scope.hostId!, scope);
    }
    for (const job of thread.jobs) if (job.task?.loop === number) this.#jobOf.set(job.task.id, job);
  }

  roots(): Branch[] {
    return this.#in(this.#loop.scopes[0]!);
  }

  #in(scope: ScopeRecord): Branch[] {
    const inside = (this.#scopesIn.get(scope.id) ?? []).filter(({ id }) => this.#isShown[id]);
    return [
      ...(this.#tasksOf.get(scope.id) ?? []).map((task) => this.#branchOfTask(task)),
      ...inside.map((each) => this.#branchOfScope(each)),
    ];
  }

  /** What holds here and not in `around` already: else a deadline would stand in every line below it. */
  #limits(it: ScopeRecord | TaskRecord, around: ScopeRecord | undefined, prefix: string): Piece[] {
    const { deadlineMs, cancelled } = it;
    if (cancelled !== null) {
      const isSame = around !== undefined && around.cancelled?.ageMs === cancelled.ageMs;
      const how = isSame ? "cancelled" : describeCancellation(cancelled);
      return isSame && prefix === "" ? [] : [piece(`, ${prefix}${how}`, "bad")];
    }
    if (deadlineMs === null || deadlineMs === around?.deadlineMs) return [];
    return [piece(`, ${describeDeadline(deadlineMs)}`, "warm")];
  }

  #branchOfScope(scope: ScopeRecord): Branch {
    const { name, isShield, parentId } = scope;
    return {
      pieces: [
        piece(isShield ? "shield " : "scope ", "faint"),
        piece(`"${name}"`),
        ...this.#limits(scope, this.#loop.scopes[parentId!], ""),
      ],
      notes: [],
      below: () => this.#in(scope),
    };
  }

  #branchOfTask(task: TaskRecord): Branch {
    const { id, name, scopeId, isCancelling, stack } = task;
    const job = this.#jobOf.get(id);
    const own = this.#scopeOf.get(id);
    return {
      pieces: [
        piece(`#${id} `, "faint"),
        piece(name, "strong"),
        ...(job === undefined ? [] : [piece(` (job #${job.id})`, "faint")]),
        piece(": "),
        ...describeTask(task, this.#thread.loops, this.#jobs),
        ...this.#limits(task, this.#loop.scopes[scopeId], isCancelling ? "being " : ""),
      ],
      notes: (stack ?? []).map((frame) => [
        piece(`at ${frame.name} (${frame.file}:${frame.line}:${frame.column})`, "faint"),
      ]),
      below: () => {
        if (own === undefined || this.#isShown[own.id] !== true) return [];
        return own.isTaskScope ? this.#in(own) : [this.#branchOfScope(own)];
      },
    };
  }
}

function listIn<Item>(lists: Map<number, Item[]>, key: number): Item[] {
  let list = lists.get(key);
  if (list === undefined) lists.set(key, (list = []));
  return list;
}
