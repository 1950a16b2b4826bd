/**
 * How much may stand between those who put in and those who take out, and what such a thing is called.
 */
import { describeValue, UsageError } from "../core/index.ts";

/**
 * Of queues and broadcasts. Bounded, so that a slow consumer shows as waiting producers and not as memory; large enough
 * that a burst does not wait.
 */
export const DEFAULT_CAPACITY = 1_024;

/** @throws {UsageError} unless it is a whole number from `least` up, or `Infinity` where that is allowed. */
export function checkCapacity(of: string, capacity: unknown, least: number, mayBeUnbounded: boolean): void {
  if (Number.isSafeInteger(capacity) && (capacity as number) >= least) return;
  if (mayBeUnbounded && capacity === Infinity) return;
  const unbounded = mayBeUnbounded ? ", or Infinity for no bound" : "";
  throw new UsageError(
    `the capacity of ${of} must be a whole number from ${least} up${unbounded}; got ${describeValue(capacity)}`,
  );
}

/** `channel "jobs"`; only `channel` when it has no name of its own. */
export function titleOf(kind: string, name: string): string {
  return name === kind ? kind : `${kind} "${name}"`;
}
