/**
 * What is thrown at a wait when its task is cancelled.
 *
 * It is not an `Error`: code that handles `instanceof Error` does not take it for a failure, and no stack is captured,
 * so cancelling a hundred thousand tasks shares one object. Let it pass: `catch (e) { if (e instanceof Cancelled) throw e; … }`.
 * At the border to promises and to other tasks it becomes `CancelledError`.
 */
export type CancelSource =
  /** `task.cancel()` or `scope.cancel()` */
  | "request"
  /** the deadline of a scope passed */
  | "deadline"
  /** a task of the scope, or its body, failed */
  | "failure"
  /** the `AbortSignal` given to `run`, `withSignal`, `exec` and their like */
  | "abort-signal"
  /** SIGINT or SIGTERM */
  | "process-signal"
  /** another operand of a `race` won, or the scope had no more use for the task */
  | "obsolete";

export class Cancelled {
  /** What the canceller gave; `undefined` when nothing. */
  readonly reason: unknown;
  readonly source: CancelSource;
  /** Name of the task that asked, or failed; `null` when it was not a task. */
  readonly by: string | null;
  /** When it was asked, in milliseconds of the loop's clock. */
  readonly at: number;
  /** The scope that was cancelled: the one that catches this. Opaque; not enumerable, so that printing this stays short. */
  declare readonly scope: object;

  constructor(scope: object, source: CancelSource, reason: unknown, by: string | null, at: number) {
    Object.defineProperty(this, "scope", { value: scope });
    this.source = source;
    this.reason = reason;
    this.by = by;
    this.at = at;
  }

  toString(): string {
    return `Cancelled (${this.source}${this.by === null ? "" : ` by "${this.by}"`})`;
  }
}
