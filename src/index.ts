/**
 * The everyday list. Something becomes public by a line here or in `lowlevel.ts`.
 */

// Coroutines: write them, name them, run them.
export { coroutine, run } from "./core/index.ts";
export type { Body, Coroutine, Operation, RunOptions, Suspend } from "./core/index.ts";

// Tasks and scopes: several at once, none forgotten.
export { currentScope, currentTask, Scope, scope, shield, spawn, Task, yieldNow } from "./core/index.ts";
export type { Cleanup, Outcome, ScopeOptions, SpawnOptions, TaskState } from "./core/index.ts";

// Releases, values set by somebody else, values that belong to a task.
export { defer, Future, TaskLocal, until, use } from "./core/index.ts";
export type { FutureOptions } from "./core/index.ts";

// Time.
export { moveOnAfter, sleep, timeout } from "./time/index.ts";

// Several operations as one.
export { all, race } from "./combine/index.ts";
export type { Results } from "./combine/index.ts";

// The loop itself: open another, look at its tasks.
export { EventLoop, formatFrame } from "./core/index.ts";
export type { EventLoopOptions, Handle, LoopStatistics, StackFrame, TaskSnapshot } from "./core/index.ts";

// What can go wrong.
export {
  Cancelled,
  CancelledError,
  CleanupOverrunError,
  DeadlockError,
  FibrilError,
  ForeignYieldError,
  InternalError,
  InvalidStateError,
  ScopeClosedError,
  suppressedErrors,
  TimeoutError,
  UsageError,
} from "./core/index.ts";
export type { CancelSource, Report, ReportKind } from "./core/index.ts";
