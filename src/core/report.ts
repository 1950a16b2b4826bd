/**
 * Problems that no task can be told about. They go to the loop's `onReport`, by default to the console.
 */
export type ReportKind =
  /** a task failed and nobody joined it */
  | "unobserved-failure"
  /** a cancelled task was still cleaning up when `cleanupMs` had passed */
  | "cleanup-overrun"
  /** an error that no outcome has room for */
  | "lost-error"
  /** a hand-written iterator stands between a coroutine and its operation */
  | "wrapped-yield"
  /** a callback given to the loop threw */
  | "callback-failed"
  /** a callback or step of an asyncio loop in debug mode took long */
  | "slow-callback"
  /** a probe threw and was detached */
  | "probe-failed"
  /** a fault of Fibril itself */
  | "internal";

export interface Report {
  readonly kind: ReportKind;
  /** One sentence that names the task and, where it helps, the line. */
  readonly message: string;
  readonly error?: unknown;
}
