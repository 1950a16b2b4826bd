/**
 * The door for those who extend the kernel: new waits and combinators, other hosts and clocks, observers.
 */
export {
  captureStackOf,
  closeSequence,
  describeValue,
  isOperation,
  QueuedWait,
  running,
  sequenceOf,
  sharedWait,
  systemClock,
  systemHost,
  TASK_STATES,
  toOperation,
  TRANSITIONS,
  Wait,
  WaitQueue,
} from "./core/index.ts";
export type {
  AsyncContext,
  Clock,
  Host,
  LoopPort,
  Probe,
  ReadyOrder,
  Runnable,
  Started,
  TaskView,
  Timer,
  Waiter,
} from "./core/index.ts";
