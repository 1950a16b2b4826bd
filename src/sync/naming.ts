/**
 * What primitives are called in messages, and which numbers they take.
 */
import { describeValue, UsageError } from "../core/index.ts";

/** Every primitive takes these. */
export interface NameOptions {
  /** Shown to those who wait, in messages and in the inspector. Default: the kind of the primitive, such as `"lock"`. */
  readonly name?: string;
}

/** `lock "stock"`; only `lock` when it has no name of its own. */
export function titleOf(kind: string, name: string): string {
  return name === kind ? kind : `${kind} "${name}"`;
}

/** @throws {UsageError} when it is not a whole number of at least `least`. */
export function checkCount(what: string, count: unknown, least: number): void {
  if (Number.isSafeInteger(count) && (count as number) >= least) return;
  throw new UsageError(`${what} must be a whole number of at least ${least}, got ${describeValue(count)}`);
}

/** Like `checkCount`, but `Infinity` is fine too. */
export function checkLimit(what: string, limit: unknown, least: number): void {
  if (limit !== Infinity) checkCount(what, limit, least);
}
