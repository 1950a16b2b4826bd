import type { Body, Coroutine, Outcome } from "../core/index.ts";
import { Contest } from "./contest.ts";
import type { Entrant } from "./contest.ts";
import { checkOperands, isList, toRecord } from "./operands.ts";
import type { BodyList, BodyRecord } from "./operands.ts";

/** What became of each of a list or record of bodies, under the same indexes or keys. */
export type Outcomes<Bodies> = {
  -readonly [Key in keyof Bodies]: Bodies[Key] extends Body<infer T> ? Outcome<T> : never;
};

/**
 * Runs the operations at the same time, each in a task of its own, until all have ended, and gives what became of each, in
 * the order, or under the keys, of the operands. A failure cancels nobody: it is an outcome like the others.
 *
 * An operand that cancels itself has the status `"cancelled"`. Cancelling `settle` cancels all operands and waits for them;
 * outcomes that were there by then are dropped, failures among them are reported to the loop's `onReport`, and what a
 * cleanup throws is thrown. A task among the operands is only joined.
 * @example
 * const [user, orders] = yield* settle([loadUser(id), loadOrders(id)]);
 * if (user.status === "failed") console.error(user.error);
 */
export function settle<const Bodies extends readonly Body<unknown>[]>(bodies: Bodies): Coroutine<Outcomes<Bodies>>;
export function settle<const Bodies extends Readonly<Record<string, Body<unknown>>>>(
  bodies: Bodies,
): Coroutine<Outcomes<Bodies>>;
export function settle(bodies: BodyList | BodyRecord): Coroutine<unknown> {
  checkOperands("settle", bodies);
  return isList(bodies) ? settleList(bodies, null) : settleRecord(bodies);
}

function* settleRecord(bodies: BodyRecord): Coroutine<Record<string, Outcome<unknown>>> {
  const keys = Object.keys(bodies);
  const list = keys.map((key) => bodies[key]!);
  return toRecord(keys, yield* settleList(list, keys));
}

function* settleList(bodies: BodyList, keys: readonly string[] | null): Coroutine<Outcome<unknown>[]> {
  if (bodies.length === 0) return [];
  const contest = new Settling(bodies.length);
  return yield* contest.hold(runSettle(contest, bodies, keys));
}

function* runSettle(
  contest: Settling,
  bodies: BodyList,
  keys: readonly string[] | null,
): Coroutine<Outcome<unknown>[]> {
  bodies.forEach((body, index) => contest.enter(body, keys === null ? index : keys[index]!));
  try {
    while (!contest.isDecided) yield* contest;
  } catch (error) {
    contest.reportFailures();
    throw error;
  }
  return contest.outcomes;
}

class Settling extends Contest {
  readonly outcomes: Outcome<unknown>[] = [];
  readonly #total: number;
  #ended = 0;

  constructor(total: number) {
    super("settle");
    this.#total = total;
  }

  protected arrived(entrant: Entrant, outcome: Outcome<unknown>): void {
    this.outcomes[entrant.index] = outcome;
    this.#ended++;
    if (this.#ended === this.#total) this.decide();
  }

  /** Nobody will be handed the outcomes. */
  reportFailures(): void {
    for (const { index, task } of this.entrants) {
      const outcome = this.outcomes[index];
      if (outcome === undefined || outcome.status !== "failed") continue;
      const message = `"${task.name}" had failed when the settle around it was cancelled:`;
      this.scope.loop.report({ kind: "lost-error", message, error: outcome.error });
    }
  }
}
