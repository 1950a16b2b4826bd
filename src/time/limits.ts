/**
 * What the numbers of this folder's options may be. A wrong one is refused where it is written, before anything has begun.
 */
import { describeValue, UsageError } from "../core/index.ts";

interface Range {
  readonly least: number;
  readonly most?: number;
  /** Whether `least` itself is too little. */
  readonly above?: boolean;
  /** Whether `Infinity` is allowed. */
  readonly infinite?: boolean;
  readonly whole?: boolean;
}

/** @throws {UsageError} when `value` is not a number in `range`. `what` is the whole subject of the sentence. */
export function checkNumber(what: string, value: unknown, range: Range): void {
  const fits =
    typeof value === "number" &&
    (range.above === true ? value > range.least : value >= range.least) &&
    value <= (range.most ?? Infinity) &&
    (value === Infinity ? range.infinite === true : range.whole !== true || Number.isInteger(value));
  if (fits) return;
  const kind = range.whole === true ? "a whole number" : "a number";
  const bounds =
    range.most === undefined
      ? `${range.above === true ? "above" : "from"} ${range.least}${range.above === true ? "" : " on"}`
      : `from ${range.least} to ${range.most}`;
  throw new UsageError(`${what} must be ${kind} ${bounds}, got ${describeValue(value)}`);
}

/** @throws {UsageError} when `value` is none of `choices`. */
export function checkChoice(what: string, value: unknown, choices: readonly string[]): void {
  if (choices.includes(value as string)) return;
  throw new UsageError(`${what} must be ${choices.map((it) => `"${it}"`).join(" or ")}, got ${describeValue(value)}`);
}

/** @throws {UsageError} when `value` is not a function. */
export function checkFunction(what: string, value: unknown, hint: string): void {
  if (typeof value !== "function") throw new UsageError(`${what} takes ${hint}, got ${describeValue(value)}`);
}
