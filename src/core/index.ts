/**
 * The kernel's list: what the folders above it may use. `src/index.ts` chooses from it what is public.
 */
export { captureStackOf, formatFrame } from "./await-stack.ts";
export type { StackFrame } from "./await-stack.ts";
export { Cancelled } from "./cancelled.ts";
export type { CancelSource } from "./cancelled.ts";
export { coroutine } from "./coroutine.ts";
export { currentScope, currentTask, defer, spawn, use } from "./current.ts";
export {
  CancelledError,
  CleanupOverrunError,
  DeadlockError,
  checkFunction,
  describeValue,
  FibrilError,
  ForeignYieldError,
  InternalError,
  InvalidStateError,
  ScopeClosedError,
  suppressedErrors,
  TimeoutError,
  UsageError,
} from "./errors.ts";
export { EventLoop } from "./event-loop.ts";
export type { EventLoopOptions, Handle, LoopStatistics, ReadyOrder, TaskSnapshot } from "./event-loop.ts";
export { Future } from "./future.ts";
export type { FutureOptions } from "./future.ts";
export { systemClock, systemHost } from "./host.ts";
export type { Clock, Host } from "./host.ts";
export type { AsyncContext, LoopPort, Runnable, Timer } from "./loop-port.ts";
export { isOperation, running, sharedWait, SUSPENDED, Wait } from "./operation.ts";
export type { Blocker, Body, Coroutine, JobBlocker, Operation, Started, Suspend, Waiter } from "./operation.ts";
export type { Probe, TaskView } from "./probe.ts";
export { until } from "./promise.ts";
export type { Report, ReportKind } from "./report.ts";
export { run } from "./run.ts";
export type { RunOptions } from "./run.ts";
export { Runner } from "./runner.ts";
export { closeSequence, sequenceOf } from "./sequence.ts";
export type { Sequence, SequenceSource } from "./sequence.ts";
export { Scope, scope, shield, toOperation } from "./scope.ts";
export type { Cleanup, ScopeOptions, SpawnOptions } from "./scope.ts";
export { TaskLocal } from "./task-local.ts";
export { taskSources } from "./task-source.ts";
export type { RunningJob, TaskAnswer, TaskQuestion, TaskSource, TaskSourceJob } from "./task-source.ts";
export { TASK_STATES, TRANSITIONS } from "./task-state.ts";
export type { TaskState } from "./task-state.ts";
export { Task, taskOf } from "./task.ts";
export type { Watcher } from "./task.ts";
export type { Outcome } from "./task.ts";
export { QueuedWait, WaitQueue } from "./wait-queue.ts";
export { yieldNow } from "./yield-now.ts";
