import { UsageError } from "../core/index.ts";
import type { Body, Coroutine, Outcome } from "../core/index.ts";
import { Contest } from "./contest.ts";
import type { Entrant } from "./contest.ts";
import { checkList } from "./operands.ts";
import type { BodyList, Results } from "./operands.ts";

/**
 * Runs the operations at the same time and gives the result of the first one that ends, with all that it has spawned; a
 * failure wins too and is thrown. The losers are cancelled in the same step, and their cleanup has ended when `race` returns.
 *
 * What the cleanup of a loser throws is thrown. A loser that ends by itself in the turn in which another one has won has
 * merely come second: its value is dropped (so take what has to be released with `use` inside the operand); its failure does
 * not replace the winner's value and is reported to the loop's `onReport`, or kept in `suppressedErrors` when the winner
 * failed too. Cancelling cancels all of them; nothing is left running. A task among the operands is only joined: when it
 * loses it goes on.
 * @throws {UsageError} when there is nothing to race: that would wait for ever.
 * @throws {CancelledError} when the first one to end was cancelled, by its own doing or through its task.
 * @example
 * const answer = yield* race([ask("a"), ask("b")]);
 */
export function* race<const Bodies extends readonly Body<unknown>[]>(
  bodies: Bodies,
): Coroutine<Results<Bodies>[number]> {
  checkList("race", bodies);
  if (bodies.length === 0) throw new UsageError("race() of nothing would wait for ever; pass at least one operation");
  const contest = new Race();
  return (yield* contest.hold(runRace(contest, bodies))) as never;
}

function* runRace(contest: Race, bodies: BodyList): Coroutine<unknown> {
  bodies.forEach((body, index) => contest.enter(body, index));
  if (!contest.isDecided) yield* contest;
  return contest.value;
}

class Race extends Contest {
  value: unknown = undefined;

  constructor() {
    super("race");
  }

  protected arrived(entrant: Entrant, outcome: Outcome<unknown>): void {
    if (outcome.status !== "succeeded") {
      this.scope.fail(entrant.task.failure());
      return;
    }
    this.value = outcome.value;
    this.decide();
  }

  protected override lateFailure(entrant: Entrant, error: unknown): void {
    const message = `"${entrant.task.name}" failed in the turn in which another operand of a race had won:`;
    this.scope.loop.report({ kind: "lost-error", message, error });
  }
}
