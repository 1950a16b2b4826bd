/**
 * What waits, tasks and scopes need of the event loop. The loop is above them, so they say here what they use.
 */
import type { HeapItem } from "../data/deadline-heap.ts";
import type { Report } from "./report.ts";

/** Something in the ready queue: a task, or a callback. `run` must not throw. */
export interface Runnable {
  run(): void;
  /** What the loop's `AsyncContext` keeps for it; unused on a loop without one. */
  context?: unknown;
  /** A task that has not begun enters the list of its scope, see `Scope.enlist`. */
  enlist?(): void;
}

/**
 * Keeps for each task what the platform hands on by itself from a call to its callbacks: Node's `AsyncLocalStorage`.
 * `nodeAsyncContext()` in `fibril/interop/node` makes one.
 */
export interface AsyncContext {
  /** What the code that runs now sees; a task gets it from who spawns it, a callback from who registers it. */
  capture(): unknown;
  /** Runs one step in `context`, puts back what was there before, and returns what the step has left: the next one gets it. */
  run(step: Runnable, context: unknown): unknown;
}

/** Something in the timer heap. `fire` runs at the end of a turn, as no task, and must not throw. */
export interface Timer extends HeapItem {
  fire(): void;
}

export interface LoopPort {
  readonly name: string;
  /** Milliseconds of the loop's clock. */
  now(): number;
  /** From 0 up to 1: the host's. */
  random(): number;
  /** Puts it at the end of the ready queue and wakes the loop. */
  enqueue(runnable: Runnable): void;
  addTimer(timer: Timer, deadline: number): void;
  /** `false` when the timer was not set any more. */
  removeTimer(timer: Timer): boolean;
  /** When the timer is due, or `undefined` when it is not set. */
  deadlineOf(timer: Timer): number | undefined;
  report(report: Report): void;
  /** Steps left before the loop looks at the clock. Everything that completes at once counts it down too. */
  budget: number;
  /** Looks at the clock when the budget is used up. `false`: this slice has to end, the host comes first. */
  refillBudget(): boolean;
  /** How many pending waits something outside the loop will end. */
  outside: number;
}
