/**
 * What was tried before a request had its result: retries are never hidden.
 *
 * A response tells it by itself (`response.attempts`). Errors belong to whoever made them, so theirs is kept beside them.
 */

/** An attempt that was followed by another one. */
export interface FailedAttempt {
  /** Counted from 1. */
  readonly attempt: number;
  readonly method: string;
  /** Without user name and password. */
  readonly url: string;
  /** What the server answered, if it did. */
  readonly status: number | undefined;
  /** What it failed with, if not with a status. */
  readonly error: unknown;
  /** How long it waited afterwards. */
  readonly delayMs: number;
}

const NONE: readonly FailedAttempt[] = Object.freeze([]);
const earlier = new WeakMap<object, readonly FailedAttempt[]>();

/**
 * The attempts that failed before the one whose error was thrown, oldest first; empty when there were none.
 *
 * @example
 * catch (error) { log(error, `after ${failedAttempts(error).length} failed attempts`) }
 */
export function failedAttempts(error: unknown): readonly FailedAttempt[] {
  return typeof error === "object" && error !== null ? (earlier.get(error) ?? NONE) : NONE;
}

/** @package */
export function noteFailedAttempts(error: unknown, attempts: readonly FailedAttempt[]): void {
  if (attempts.length > 0 && typeof error === "object" && error !== null)
    earlier.set(error, Object.freeze([...attempts]));
}
