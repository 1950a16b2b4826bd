import { UsageError } from "../core/index.ts";
import type { Body, Coroutine } from "../core/index.ts";
import { FirstSuccess } from "./first-success.ts";
import { checkList } from "./operands.ts";
import type { BodyList, Results } from "./operands.ts";

/**
 * Runs the operations at the same time and gives the value of the first one that succeeds. The losers are cancelled in the
 * same step, and their cleanup has ended when `any` returns; what a cleanup throws is thrown.
 *
 * Failures are dropped once one has succeeded. Cancelling cancels all of them and drops what has ended by then. A task among
 * the operands is only joined: when it loses it goes on.
 * @throws {AllFailedError} when all have failed; `errors` has what each failed with, in the order of the operands.
 * @throws {UsageError} when there are no operands.
 * @example
 * const mirror = yield* any([fetchFrom("eu"), fetchFrom("us")]);
 */
export function* any<const Bodies extends readonly Body<unknown>[]>(
  bodies: Bodies,
): Coroutine<Results<Bodies>[number]> {
  checkList("any", bodies);
  if (bodies.length === 0) throw new UsageError("any() of nothing cannot succeed; pass at least one operation");
  const contest = new FirstSuccess("any", bodies.length);
  return (yield* contest.hold(runAny(contest, bodies))) as never;
}

function* runAny(contest: FirstSuccess, bodies: BodyList): Coroutine<unknown> {
  bodies.forEach((body, index) => contest.enter(body, index));
  while (!contest.isDecided) yield* contest; // woken for a failure of the last one too, which decides nothing
  return contest.value;
}
