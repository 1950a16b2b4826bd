/**
 * `fibril/asyncio`: Python's asyncio by name and by behaviour, as of CPython 3.14.
 *
 * For code that is ported line by line, and as a kernel's judge that none of us wrote. New code is better off with Fibril itself: what is a
 * trap here (cancellation as an edge, unstructured tasks, silent failures) is none there. Names are Python's in camelCase, times are
 * in **seconds**, `async with` is a method that takes a coroutine: `yield* lock.with(function* () { … })`.
 */

// Running: a loop, a main coroutine.
export { run, Runner } from "./runner.ts";
export type { RunnerOptions } from "./runner.ts";
export { EventLoop, getRunningLoop, newEventLoop } from "./event-loop.ts";
export type { EventLoopOptions, ExceptionHandler, Executor, TaskFactory } from "./event-loop.ts";
export { Handle, TimerHandle } from "./handle.ts";

// Coroutines, futures, tasks.
export { Future, isFuture } from "./future.ts";
export type { Awaitable, Coroutine, ExceptionContext, FutureLoop, FutureOptions, Suspension } from "./future.ts";
export { allTasks, createTask, currentTask, ensureFuture, isCoroutine, Task } from "./task.ts";
export type { TaskLoop, TaskOptions } from "./task.ts";
export { sleep } from "./sleep.ts";

// Several at once.
export { TaskGroup } from "./task-group.ts";
export { gather } from "./gather.ts";
export type { GatherOptions } from "./gather.ts";
export { ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, wait } from "./wait.ts";
export type { ReturnWhen, WaitOptions } from "./wait.ts";
export { asCompleted, CompletedIterator } from "./as-completed.ts";
export type { AsCompletedOptions } from "./as-completed.ts";
export { shield } from "./shield.ts";

// Time limits.
export { Timeout, timeout, timeoutAt } from "./timeout.ts";
export { waitFor } from "./wait-for.ts";

// Between tasks.
export { Lock } from "./lock.ts";
export { Event } from "./event.ts";
export { Condition } from "./condition.ts";
export { BoundedSemaphore, Semaphore } from "./semaphore.ts";
export { Barrier } from "./barrier.ts";
export { LifoQueue, Queue } from "./queue.ts";
export { PriorityQueue } from "./priority-queue.ts";
export type { PriorityQueueOptions } from "./priority-queue.ts";

// Threads.
export { runCoroutineThreadsafe, toThread } from "./threads.ts";
export { ThreadPoolExecutor } from "./thread-pool-executor.ts";
export type { ThreadPoolExecutorOptions } from "./thread-pool-executor.ts";
export { ConcurrentFuture } from "./concurrent-future.ts";

// Context variables.
export { Context, ContextVar, copyContext, Token } from "./context.ts";

// Looking in from outside.
export { captureCallGraph, formatCallGraph, printCallGraph } from "./call-graph.ts";
export type { CallGraphOptions, FutureCallGraph, PrintOptions } from "./call-graph.ts";

// Promises, and the rest of Fibril.
export { asOperation, wrapFuture, wrapOperation } from "./bridge.ts";

// Errors.
export {
  BaseException,
  BrokenBarrierError,
  CancelledError,
  InvalidStateError,
  KeyboardInterrupt,
  LookupError,
  QueueEmpty,
  QueueFull,
  QueueShutDown,
  RuntimeError,
  SystemExit,
  TimeoutError,
  ValueError,
} from "./errors.ts";
export { ExceptionGroup } from "./exception-group.ts";
export type { ErrorCondition } from "./exception-group.ts";
