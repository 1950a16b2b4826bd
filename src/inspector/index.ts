/**
 * `fibril/inspector`: what every task does, in all threads, at one moment.
 */

// Taking a snapshot.
export { snapshot } from "./snapshot.ts";
export { snapshotHere } from "./record-thread.ts";
export { dumpOnSignal } from "./dump-on-signal.ts";
export type { DumpOptions } from "./dump-on-signal.ts";
export { trackWaits } from "./waiting-times.ts";
export type { GatherOptions, SnapshotOptions } from "./options.ts";

// Reading one.
export { formatTree } from "./format-tree.ts";
export { formatTable } from "./format-table.ts";
export { waitCircles } from "./circles.ts";
export type { FormatOptions } from "./line.ts";
export type {
  CancellationRecord,
  JobLink,
  JobRecord,
  LoopRecord,
  ScopeRecord,
  Snapshot,
  TaskLink,
  TaskRecord,
  ThreadRecord,
  ThreadState,
  WaitRecord,
} from "./records.ts";
