/**
 * Wrong options are refused at once, before anything has begun.
 */
import { describeValue, UsageError } from "../core/index.ts";

/** @throws {UsageError} when it is no whole number from `least` up. */
export function checkWhole(what: string, value: unknown, least: number, mayBeInfinite = false): void {
  if (mayBeInfinite && value === Infinity) return;
  if (typeof value === "number" && Number.isInteger(value) && value >= least) return;
  throw new UsageError(`${what} must be a whole number from ${least} up, got ${describeValue(value)}`);
}

/** @throws {UsageError} when it is no time in milliseconds. */
export function checkMs(what: string, value: unknown): void {
  if (typeof value === "number" && value >= 0) return;
  throw new UsageError(`${what} must be a number of milliseconds from 0 up, got ${describeValue(value)}`);
}

/** @throws {UsageError} when they are no options. */
export function checkOptions<Options extends object>(what: string, options: Options): Options {
  if (typeof options === "object" && (options as Options | null) !== null) return options;
  throw new UsageError(`the options of ${what} must be an object, got ${describeValue(options)}`);
}
