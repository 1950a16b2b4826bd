import { Scope } from "../core/index.ts";
import type { Body, Coroutine, Operation } from "../core/index.ts";
import { areJoinable, isJoinable, JoinAll } from "./join-all.ts";
import type { Joinable } from "./join-all.ts";
import { checkOperands, isList, launch, toRecord } from "./operands.ts";
import type { BodyList, BodyRecord, Results } from "./operands.ts";

/**
 * Runs the operations at the same time, each in a task of its own, and gives their results in the order, or under the
 * keys, of the operands.
 *
 * The first failure cancels the others, waits for them, and is thrown as it is; later ones are in `suppressedErrors`.
 * Cancelling cancels all of them; values that some have given by then are dropped, so take what has to be released with
 * `use` inside the operand.
 *
 * Tasks and futures among the operands are joined where they are: nothing is started for them, and neither a failure nor
 * a cancellation reaches them. A list of nothing else is one single wait, whatever its length, and what has settled costs
 * almost nothing; a failure that comes after the first one stays with the scope of its task.
 * @throws {UsageError} at once when it is neither a list nor a record: `all([a, b])`, not `all(a, b)`.
 * @throws {CancelledError} when an operand has cancelled the scope that it belongs to.
 * @example
 * const [user, orders] = yield* all([loadUser(id), loadOrders(id)]);
 * const { a, b } = yield* all({ a: sleep(1), b: () => load() });
 */
export function all<const Bodies extends readonly Body<unknown>[]>(bodies: Bodies): Operation<Results<Bodies>>;
export function all<const Bodies extends Readonly<Record<string, Body<unknown>>>>(
  bodies: Bodies,
): Operation<Results<Bodies>>;
export function all(bodies: BodyList | BodyRecord): Operation<unknown> {
  checkOperands("all", bodies);
  if (!isList(bodies)) return runRecord(bodies);
  return areJoinable(bodies) ? new JoinAll(bodies) : runList(bodies, null);
}

function* runRecord(bodies: BodyRecord): Coroutine<Record<string, unknown>> {
  const keys = Object.keys(bodies);
  const list = keys.map((key) => bodies[key]!);
  return toRecord(keys, areJoinable(list) ? yield* new JoinAll(list) : yield* runList(list, keys));
}

function* runList(bodies: BodyList, keys: readonly string[] | null): Coroutine<unknown[]> {
  const scope = Scope.enter({ name: "all" });
  const values = yield* scope.run(joinAll(scope, bodies, keys));
  if (scope.isCaught) throw scope.asError(); // somebody has cancelled the scope itself
  return values!;
}

function* joinAll(scope: Scope, bodies: BodyList, keys: readonly string[] | null): Coroutine<unknown[]> {
  const sources = bodies.map((body, index): Joinable =>
    isJoinable(body) ? body : launch(scope, "all", body, keys === null ? index : keys[index]!),
  );
  return yield* new JoinAll(sources);
}
