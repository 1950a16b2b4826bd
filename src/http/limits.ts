/**
 * What may be limited in a request: times and counts, their defaults, and what may be set.
 */
import { UsageError } from "../core/index.ts";
import type { HttpTimeouts } from "./errors.ts";

export const DEFAULT_TIMEOUTS: HttpTimeouts = Object.freeze({
  queueMs: Infinity, // waiting in line is not a fault of anybody; totalMs or a scope's deadline bounds it
  connectMs: 10_000,
  headersMs: 60_000,
  idleMs: 60_000,
  totalMs: Infinity,
});

/** `changes` over `base`; `base` itself when nothing changes. */
export function checkTimeouts(changes: Partial<HttpTimeouts> | undefined, base: HttpTimeouts): HttpTimeouts {
  if (changes === undefined) return base;
  const merged: { -readonly [Name in keyof HttpTimeouts]: number } = { ...base };
  for (const name of Object.keys(base) as (keyof HttpTimeouts)[]) {
    const limit = changes[name];
    if (limit === undefined) continue;
    if (typeof limit !== "number" || !(limit >= 0)) {
      throw new UsageError(
        `timeout.${name} must be a number of milliseconds (Infinity for none), got ${String(limit)}`,
      );
    }
    merged[name] = limit;
  }
  for (const name of Object.keys(changes)) {
    if (!(name in base)) throw new UsageError(`there is no timeout.${name}; there are ${Object.keys(base).join(", ")}`);
  }
  return merged;
}

/** @throws {UsageError} when `value` is neither a whole number of at least `least` nor `Infinity`. */
export function checkCount(name: string, value: number, least: number): void {
  if (value === Infinity || (Number.isInteger(value) && value >= least)) return;
  throw new UsageError(`${name} must be a whole number of at least ${least}, or Infinity; got ${String(value)}`);
}
