/**
 * What combinators throw of their own. What an operand throws they pass on as it is.
 */
import { describeValue, FibrilError, UsageError } from "../core/index.ts";
import type { Outcome } from "../core/index.ts";

/** Every operand of `any` or `hedge` failed. Code: `ALL_FAILED`. */
export class AllFailedError extends FibrilError {
  /** What each operand failed with, in the order of the operands; `CancelledError` for one that was cancelled. */
  readonly errors: readonly unknown[];

  constructor(what: string, errors: readonly unknown[]) {
    const shown = errors.slice(0, SHOWN).map((error) => `\n  ${describeValue(error)}`);
    const more = errors.length > SHOWN ? `\n  and ${errors.length - SHOWN} more, see \`errors\`` : "";
    super("ALL_FAILED", `all ${errors.length} operand(s) of ${what} failed:${shown.join("")}${more}`, {
      cause: errors[0],
    });
    this.errors = errors;
  }
}

const SHOWN = 10; // a message is for people

/** A supervised child ended again and again. Code: `RESTART_LIMIT`. `cause` is its last failure. */
export class RestartLimitError extends FibrilError {
  /** The name of the child whose restart was one too many. */
  readonly child: string;

  constructor(supervisor: string, child: string, maxRestarts: number, withinMs: number, last: Outcome<unknown>) {
    const failure = last.status === "failed" ? { cause: last.error } : undefined;
    super(
      "RESTART_LIMIT",
      `supervisor "${supervisor}" gave up: child "${child}" ${failure === undefined ? last.status : "failed"} and would need ` +
        `restart ${maxRestarts + 1} within ${withinMs} ms, at most ${maxRestarts} are allowed` +
        `${failure === undefined ? "" : `: ${describeValue(failure.cause)}`}. Mend the child, or raise \`maxRestarts\``,
      failure,
    );
    this.child = child;
  }
}

/** @throws {UsageError} unless it is a whole number of at least `least`; `Infinity` is allowed. */
export function checkCount(what: string, value: unknown, least: number): void {
  if (typeof value === "number" && value >= least && (Number.isInteger(value) || value === Infinity)) return;
  throw new UsageError(`${what} must be a whole number of at least ${least}, got ${describeValue(value)}`);
}

/** @throws {UsageError} unless it is a number of milliseconds, not negative; `Infinity` is allowed. */
export function checkMs(what: string, value: unknown): void {
  if (typeof value === "number" && value >= 0) return;
  throw new UsageError(`${what} must be a number of milliseconds from 0 up, got ${describeValue(value)}`);
}
