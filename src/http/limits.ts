/**
 * What may be limited in a request: times, counts and statuses, their defaults, and what may be set.
 */
import { describeValue, UsageError } from "../core/index.ts";
import type { HttpTimeouts } from "./errors.ts";

/**
 * A class, for the engine. A literal shares its hidden class with all literals whose names begin alike, as those of the timings of a response
 * do, and with all others that hold whole numbers so far. When one of those gets a fraction, the hidden class of a session's limits, which
 * are never written again, is out of date for good; and the optimizer refuses code for it each time anew: seven functions of each
 * request then ran uncompiled, 18 times optimized in vain for 20,000 requests. Here every field holds a float from the first.
 */
class Timeouts implements HttpTimeouts {
  queueMs = Infinity; // waiting in line is not a fault of anybody; totalMs or a scope's deadline bounds it
  connectMs = Infinity;
  headersMs = Infinity;
  idleMs = Infinity;
  totalMs = Infinity;
}

export const DEFAULT_TIMEOUTS: HttpTimeouts = Object.freeze(
  Object.assign(new Timeouts(), { connectMs: 10_000, headersMs: 60_000, idleMs: 60_000 }),
);

export const DEFAULT_MAX_BODY_BYTES: number = 64 * 1024 * 1024; // no API answer is larger, and ten of them still fit into memory

/** Which statuses are errors: `true` for 400 and more, `false` for none, those of a list, those for which a function says so. */
export type StatusCheck = boolean | readonly number[] | ((status: number) => boolean);

/** @throws {UsageError} when it is none. */
export function checkStatusCheck(check: unknown): void {
  if (check === undefined || typeof check === "boolean" || typeof check === "function") return;
  if (Array.isArray(check) && check.every((status) => Number.isInteger(status))) return;
  throw new UsageError(
    `raiseForStatus must be a boolean, a list of statuses or a function of the status, got ${describeValue(check)}`,
  );
}

export function isRaised(check: StatusCheck, status: number): boolean {
  if (typeof check === "boolean") return check && status >= 400;
  return typeof check === "function" ? check(status) : check.includes(status);
}

/** `changes` over `base`; `base` itself when nothing changes. */
export function checkTimeouts(changes: Partial<HttpTimeouts> | undefined, base: HttpTimeouts): HttpTimeouts {
  if (changes === undefined) return base;
  const merged = Object.assign(new Timeouts(), base);
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
