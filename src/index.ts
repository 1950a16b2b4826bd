/**
 * The everyday list. Something becomes public by a line here or in `lowlevel.ts`.
 */

// Coroutines: write them, name them, run them.
export { coroutine, run } from "./core/index.ts";
export type { Body, Coroutine, Operation, RunOptions, Sequence, SequenceSource, Suspend } from "./core/index.ts";

// Tasks and scopes: several at once, none forgotten.
export { currentScope, currentTask, Scope, scope, shield, spawn, Task, yieldNow } from "./core/index.ts";
export type { Cleanup, Outcome, ScopeOptions, SpawnOptions, TaskState } from "./core/index.ts";

// Releases, values set by somebody else, values that belong to a task.
export { defer, Future, TaskLocal, until, use } from "./core/index.ts";
export type { FutureOptions } from "./core/index.ts";

// Primitives between tasks: fair, named, cancellable.
export { Barrier, Condition, Event, Latch, Limiter, Lock, RwLock, Semaphore } from "./sync/index.ts";
export type {
  BarrierStatistics,
  ConditionOptions,
  ConditionStatistics,
  EventStatistics,
  LatchStatistics,
  LimiterStatistics,
  LockStatistics,
  NameOptions,
  Permit,
  RwLockStatistics,
  SemaphoreOptions,
  SemaphoreStatistics,
  SignalOptions,
  WritePermit,
} from "./sync/index.ts";

// Values between tasks.
export { Broadcast, Channel, LifoQueue, PriorityQueue, Queue, select, trySelect, Watch } from "./channels/index.ts";
export type {
  BroadcastOptions,
  BroadcastStatistics,
  ChannelOptions,
  ChannelStatistics,
  FeedOptions,
  LagPolicy,
  ObserveOptions,
  Observer,
  PriorityOrder,
  PriorityQueueOptions,
  QueueOptions,
  QueueStatistics,
  Receiver,
  Selected,
  SelectedAt,
  SelectOptions,
  Sender,
  ShutdownOptions,
  Subscription,
  SubscriptionStatistics,
  Taken,
  WatchOptions,
  WatchStatistics,
} from "./channels/index.ts";

// Time.
export {
  CircuitBreaker,
  currentDeadline,
  debounce,
  earlierFailures,
  every,
  interval,
  moveOnAfter,
  moveOnAt,
  RateLimiter,
  remainingMs,
  retry,
  RetryBudget,
  sleep,
  sleepUntil,
  throttle,
  timeout,
  timeoutAt,
} from "./time/index.ts";
export type {
  BackoffOptions,
  CircuitBreakerOptions,
  CircuitBreakerStatistics,
  CircuitState,
  CircuitStateChange,
  DebounceOptions,
  EveryOptions,
  FailedAttempt,
  Interval,
  IntervalOptions,
  IntervalStatistics,
  Jitter,
  MissedTicks,
  PacedFunction,
  PacedOptions,
  PacedStatistics,
  RateLimiterOptions,
  RateLimiterStatistics,
  RetryBudgetOptions,
  RetryBudgetStatistics,
  RetryOptions,
  ThrottleOptions,
  Tick,
  TimedBody,
} from "./time/index.ts";

// Several operations as one.
export {
  all,
  any,
  asCompleted,
  forEach,
  forEachConcurrent,
  hedge,
  mapConcurrent,
  mapStream,
  race,
  settle,
  STOP,
  supervise,
  Supervisor,
  wait,
} from "./combine/index.ts";
export type {
  ChildBody,
  ChildStatistics,
  Completed,
  ForEachConcurrentOptions,
  HedgeOptions,
  MapConcurrentOptions,
  MapStreamOptions,
  Outcomes,
  Restart,
  RestartPolicy,
  Results,
  SuperviseOptions,
  SupervisorStatistics,
  WaitOptions,
  WaitResult,
} from "./combine/index.ts";

// The loop itself: open another, look at its tasks.
export { EventLoop, formatFrame, Runner } from "./core/index.ts";
export type { AsyncContext, EventLoopOptions, Handle, LoopStatistics, StackFrame, TaskSnapshot } from "./core/index.ts";

// What can go wrong.
export { BrokenBarrierError, BrokenLockError } from "./sync/index.ts";
export { ChannelClosedError, LaggedError, QueueShutDownError } from "./channels/index.ts";
export { CircuitOpenError } from "./time/index.ts";
export { AllFailedError, RestartLimitError } from "./combine/index.ts";
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
