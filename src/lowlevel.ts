/**
 * The door for those who extend the kernel: new waits, other hosts and clocks, observers. Fibril's own upper folders use
 * nothing else.
 */
export {
  describeValue,
  running,
  systemClock,
  systemHost,
  TASK_STATES,
  TRANSITIONS,
  Wait,
  WaitQueue,
} from "./core/index.ts";
export type {
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
