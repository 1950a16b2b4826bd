import { Future, Scope, toOperation, UsageError } from "../core/index.ts";
import type { Body, Coroutine } from "../core/index.ts";
import type { Results } from "./all.ts";

/**
 * Runs the operations at the same time and gives the result of the first one that ends; a failure wins too and is thrown.
 * The losers are cancelled, and their cleanup has ended when `race` returns. What a loser's cleanup throws is thrown.
 *
 * Cancelling cancels all of them; nothing is left running. A loser that ends in the same turn as the winner has its value
 * dropped, so take what has to be released with `use` inside the operand.
 * @throws {UsageError} when there is nothing to race: that would wait for ever.
 * @throws {CancelledError} when the first one to end was cancelled, by its own doing or through its task.
 * @example
 * const answer = yield* race([ask("a"), ask("b")]);
 */
export function* race<const Bodies extends readonly Body<unknown>[]>(
  bodies: Bodies,
): Coroutine<Results<Bodies>[number]> {
  if (bodies.length === 0) throw new UsageError("race() of nothing would wait for ever; pass at least one operation");
  const scope = Scope.enter({ name: "race" });
  return (yield* scope.run(runRace(scope, bodies))) as never;
}

function* runRace(scope: Scope, bodies: readonly Body<unknown>[]): Coroutine<unknown> {
  const winner = new Future<unknown>({ name: "the first to end" });
  bodies.forEach((body, index) => {
    const label = typeof body === "function" && body.name !== "" ? body.name : `race[${index}]`;
    const task = scope.launch(contend(winner, body), label);
    // A failure fails the scope; one that was cancelled by itself has ended too, and nobody else would say so.
    const taskSettled = (): void => {
      if (task.outcome?.status === "cancelled" && scope.cancelled === null) winner.tryReject(task.failure());
    };
    task.watch({ before: null, after: null, taskSettled });
  });
  const value = yield* winner;
  scope.request("obsolete", "another operand of the race has won");
  return value;
}

// Only the first one settles the future; a second that ends in the same turn has lost, and its value is dropped.
function* contend(winner: Future<unknown>, body: Body<unknown>): Coroutine<void> {
  winner.tryResolve(yield* toOperation(body));
}
