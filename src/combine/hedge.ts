/**
 * Start the next attempt when the one before is slow or has failed, and take the first success.
 *
 * It is what browsers do with the addresses of a host (RFC 8305, "Happy Eyeballs"), and what cuts the tail of latencies when
 * one of many replicas is slow (Dean and Barroso, "The tail at scale", 2013). As in asyncio's staggered race it is the
 * newest attempt that counts: an older one that fails starts nothing, because the newest is under way in its place.
 */
import { UsageError } from "../core/index.ts";
import type { Body, Coroutine, Operation } from "../core/index.ts";
import { checkCount, checkMs } from "./errors.ts";
import { FirstSuccess } from "./first-success.ts";
import { checkedOperation, checkList } from "./operands.ts";
import type { Results } from "./operands.ts";

export interface HedgeOptions {
  /** How long an attempt has, in milliseconds, before the next one is started beside it. `Infinity`: only after a failure. */
  readonly delayMs: number;
  /** How many attempts at most. Default: all of a list; 2 of a function. */
  readonly max?: number;
}

/**
 * Gives the value of the first attempt that succeeds: the first one starts at once, each further one after `delayMs`, or as
 * soon as the one before has failed. The others are cancelled, and their cleanup has ended when `hedge` returns.
 *
 * @param attempts Operations in the order of preference, or a function that makes one, given the number of the attempt,
 * from 0. It is called in the task of the attempt. A failure is dropped once another attempt has succeeded; what a cleanup
 * throws is thrown. Cancelling cancels all of them.
 * @throws {AllFailedError} when all have failed; `errors` has what each failed with, in the order of the attempts.
 * @throws {UsageError} when there is nothing to attempt, or an option is no number.
 * @example
 * const page = yield* hedge((attempt) => fetchFrom(replicas[attempt]!), { delayMs: 250, max: 3 });
 * const socket = yield* hedge(addresses.map((address) => connect(address)), { delayMs: 250 });
 */
export function hedge<const Bodies extends readonly Body<unknown>[]>(
  attempts: Bodies,
  options: HedgeOptions,
): Coroutine<Results<Bodies>[number]>;
export function hedge<T>(attempts: (attempt: number) => Operation<T>, options: HedgeOptions): Coroutine<T>;
export function* hedge(
  attempts: readonly Body<unknown>[] | ((attempt: number) => Operation<unknown>),
  options: HedgeOptions,
): Coroutine<never> {
  if (typeof options !== "object" || options === null)
    throw new UsageError("hedge() needs { delayMs } after the attempts");
  checkMs("delayMs", options.delayMs);
  if (options.max !== undefined) checkCount("max", options.max, 1);
  const isFunction = typeof attempts === "function";
  if (!isFunction) checkList("hedge", attempts);
  const max = isFunction ? (options.max ?? 2) : Math.min(attempts.length, options.max ?? Infinity);
  if (max === 0) throw new UsageError("hedge() of nothing cannot succeed; pass at least one operation");
  const contest = new FirstSuccess("hedge", max);
  const bodyOf = (index: number): Body<unknown> => (isFunction ? attempt(attempts, index) : attempts[index]!);
  return (yield* contest.hold(runHedge(contest, bodyOf, max, options.delayMs))) as never;
}

function* runHedge(
  contest: FirstSuccess,
  bodyOf: (index: number) => Body<unknown>,
  max: number,
  delayMs: number,
): Coroutine<unknown> {
  for (let index = 0; index < max && !contest.isDecided; index++) {
    contest.enter(bodyOf(index), index);
    if (!contest.isDecided) yield* contest.within(index + 1 < max ? delayMs : Infinity);
  }
  while (!contest.isDecided) yield* contest.within(Infinity);
  return contest.value;
}

function* attempt(fn: (attempt: number) => Operation<unknown>, index: number): Coroutine<unknown> {
  return yield* checkedOperation("hedge", fn(index));
}
