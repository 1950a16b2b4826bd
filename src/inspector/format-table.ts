/**
 * A snapshot as a table, as `ps` prints it: one line for each task, in the order in which they were made.
 */
import { ageOf, describeDeadline, describeTask, describeThreadState, JobIndex, threadsOf } from "./describe.ts";
import { piece, renderLine } from "./line.ts";
import type { FormatOptions, Piece } from "./line.ts";
import type { LoopRecord, Snapshot, TaskRecord, ThreadRecord } from "./records.ts";

const TITLES = ["THREAD", "LOOP", "ID", "PARENT", "STATE", "SINCE", "NAME", "WHAT"];
const WIDEST = 32; // of a column but the last
const RIGHT = new Set([0, 2, 3]); // numbers

/**
 * @example
 * console.log(formatTable(snapshotHere(), { width: process.stdout.columns }));
 */
export function formatTable(snapshot: Snapshot, options: FormatOptions = {}): string {
  const jobs = new JobIndex(snapshot);
  const rows: (readonly Piece[])[] = [TITLES.map((title) => piece(title, "faint"))];
  const notes: (readonly Piece[])[] = [];
  for (const thread of threadsOf(snapshot)) {
    const state = describeThreadState(thread);
    if (state.length > 0) notes.push([piece(`thread ${thread.threadId} "${thread.name}"`, "strong"), ...state]);
    for (const job of thread.jobs) if (job.task === null) rows.push(rowOfJob(thread, job));
    for (const loop of thread.loops) {
      for (const task of loop.tasks) rows.push(rowOfTask(task, loop, thread, jobs));
      if (loop.leftOut > 0)
        notes.push([piece(`${loop.leftOut} task(s) of loop "${loop.name}" are not listed`, "warm")]);
    }
  }
  const widths = TITLES.map((_, column) =>
    rows.reduce((widest, row) => Math.max(widest, Math.min(WIDEST, row[column]!.text.length)), 0),
  );
  const lines = rows.map((row) => renderLine(aligned(row, widths), options).trimEnd());
  return [...lines, ...notes.map((note) => renderLine(note, options))].join("\n");
}

function rowOfTask(task: TaskRecord, loop: LoopRecord, thread: ThreadRecord, jobs: JobIndex): Piece[] {
  const { id, parentId, name, state, wait, cancelled, isCancelling, deadlineMs } = task;
  const age = wait === null ? null : ageOf(wait);
  const what = wait === null ? [] : describeTask({ ...task, wait: { ...wait, ms: null } }, thread.loops, jobs);
  const comma = wait === null ? "" : ", ";
  const deadline = deadlineMs === null || cancelled !== null ? "" : `${comma}${describeDeadline(deadlineMs)}`;
  return [
    piece(String(thread.threadId)),
    piece(loop.name),
    piece(String(id)),
    piece(parentId === null ? "-" : String(parentId)),
    isCancelling ? piece("cancelling", "bad") : piece(state, state === "waiting" ? "plain" : "good"),
    piece(age === null ? "-" : age.replace("at least", "≥").replace("for ", "")),
    piece(name, "strong"),
    ...what,
    piece(deadline, "warm"),
  ];
}

function rowOfJob(thread: ThreadRecord, job: ThreadRecord["jobs"][number]): Piece[] {
  const { threadId, executor } = thread;
  const what = piece(`job #${job.id} of ${executor ?? thread.name}`);
  return [
    piece(String(threadId)),
    piece("-"),
    piece("-"),
    piece("-"),
    piece(job.state),
    piece("-"),
    piece(job.name, "strong"),
    what,
  ];
}

function aligned(row: readonly Piece[], widths: readonly number[]): Piece[] {
  const last = TITLES.length - 1;
  return row.flatMap(({ text, style }, column) => {
    if (column >= last) return [{ text, style }];
    const width = widths[column]!;
    const shown = text.length > width ? `${text.slice(0, width - 1)}…` : text;
    const space = { text: " ".repeat(width - shown.length), style: "plain" as const };
    const cell = { text: shown, style };
    const gap = { text: "  ", style: "plain" as const };
    return RIGHT.has(column) ? [space, cell, gap] : [cell, space, gap];
  });
}
