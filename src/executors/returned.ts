/**
 * What the function of a job has returned or thrown, told apart without a loop: most jobs need none.
 */
import { Cancelled, CancelledError } from "../core/loopless.ts";

/** A batch that has failed: what was done before, and where it failed. */
export class BatchFailure {
  readonly done: readonly unknown[];
  readonly index: number;
  readonly error: unknown;

  constructor(done: readonly unknown[], index: number, error: unknown) {
    this.done = done;
    this.index = index;
    this.error = error;
  }
}

/** Whether there is nothing to wait for. */
export function isPlainResult(value: unknown): boolean {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return true;
  return !isCoroutine(value) && typeof (value as Partial<PromiseLike<unknown>>).then !== "function";
}

const generatorPrototype = Object.getPrototypeOf(function* () {}.prototype) as object;

export function isCoroutine(value: unknown): value is Generator {
  return typeof value === "object" && value !== null && generatorPrototype.isPrototypeOf(value);
}

/** What code throws that has been told to stop. */
export function isCancellation(error: unknown): boolean {
  return (
    error instanceof Cancelled ||
    error instanceof CancelledError ||
    (error instanceof Error && (error.name === "AbortError" || error.name === "CancelledError"))
  );
}
