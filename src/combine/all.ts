import { Scope, toOperation } from "../core/index.ts";
import type { Body, Coroutine, Operation, Task } from "../core/index.ts";

/** The results of a list or record of bodies, under the same indexes or keys. */
export type Results<Bodies> = { -readonly [Key in keyof Bodies]: Bodies[Key] extends Body<infer T> ? T : never };

/**
 * Runs the operations at the same time, each in a task of its own, and gives their results in the order, or under the
 * keys, of the operands.
 *
 * The first failure cancels the others, waits for them, and is thrown as it is; later ones are in `suppressedErrors`.
 * Cancelling cancels all of them; values that some have given by then are dropped, so take what has to be released with
 * `use` inside the operand. A task among the operands is joined; cancelling does not reach it.
 * @example
 * const [user, orders] = yield* all([loadUser(id), loadOrders(id)]);
 * const { a, b } = yield* all({ a: sleep(1), b: () => load() });
 */
export function all<const Bodies extends readonly Body<unknown>[]>(bodies: Bodies): Coroutine<Results<Bodies>>;
export function all<const Bodies extends Readonly<Record<string, Body<unknown>>>>(
  bodies: Bodies,
): Coroutine<Results<Bodies>>;
export function all(bodies: readonly Body<unknown>[] | Readonly<Record<string, Body<unknown>>>): Coroutine<unknown> {
  return isList(bodies) ? runAll(runList, bodies) : runAll(runRecord, bodies);
}

function isList(bodies: object): bodies is readonly Body<unknown>[] {
  return Array.isArray(bodies);
}

function* runAll<Bodies>(
  body: (scope: Scope, bodies: Bodies) => Operation<unknown>,
  bodies: Bodies,
): Coroutine<unknown> {
  const scope = Scope.enter({ name: "all" });
  return yield* scope.run(body(scope, bodies));
}

function* runList(scope: Scope, bodies: readonly Body<unknown>[]): Coroutine<unknown[]> {
  const tasks = bodies.map((body, index) => launch(scope, body, `all[${index}]`));
  const results: unknown[] = [];
  for (const task of tasks) results.push(yield* task);
  return results;
}

function* runRecord(scope: Scope, bodies: Readonly<Record<string, Body<unknown>>>): Coroutine<Record<string, unknown>> {
  const tasks = Object.entries(bodies).map(([key, body]) => [key, launch(scope, body, `all.${key}`)] as const);
  const entries: [string, unknown][] = [];
  for (const [key, task] of tasks) entries.push([key, yield* task]);
  return Object.fromEntries(entries); // keeps every key, "__proto__" too
}

function launch(scope: Scope, body: Body<unknown>, label: string): Task<unknown> {
  return scope.launch(toOperation(body), typeof body === "function" && body.name !== "" ? body.name : label);
}
