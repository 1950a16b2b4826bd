/**
 * One after the other, as they end: tasks, or operations that are started for it.
 *
 * Tasks live in a scope of their own, so for them it is a plain sequence. Operations need a scope that ends them, so their
 * sequence is given to a body (as in `mapStream`, where the reasons are).
 * The key tells which one it was; that is `current_index` of tornado's `WaitIterator`, without its state.
 */
import { checkFunction, describeValue, Scope, scope, UsageError } from "../core/index.ts";
import type { Body, Coroutine, Operation, Outcome, Sequence, Task, Waiter, Watcher } from "../core/index.ts";
import { checkOperands, heldTask, isList, taskFor } from "./operands.ts";
import type { Results, TaskOrHolder } from "./operands.ts";
import { Outlet } from "./outlet.ts";

/** An operand that has ended. */
export interface Completed<T, Key extends number | string = number> {
  /** Its index in the list, or its key in the record. */
  readonly key: Key;
  readonly outcome: Outcome<T>;
  readonly task: Task<T>;
}

type AnyCompleted = Completed<unknown, number | string>;
type BodiesOf<T> = readonly Body<T>[] | Readonly<Record<string, Body<T>>>;

/**
 * Without a body: the tasks of a list or record in the order in which they settle, those that have settled already first.
 * It only looks: no failure is thrown, nobody is cancelled, and cancelling a `next` leaves its task to the next one. Each
 * is given once; `close` lets go of the rest, and reports failures of tasks from outside that were not taken.
 *
 * With a body: starts the operations, each in a task of its own, and gives `consume` the sequence. Returns what `consume`
 * returns; operands that have not ended then are cancelled and awaited. An operand's failure is an outcome like the others;
 * one that was not taken is reported to the loop's `onReport`, and what a cleanup throws is thrown. Tasks among the operands are
 * only watched. Cancelling cancels `consume` and the operands.
 * @example
 * yield* asCompleted([ask("a"), ask("b")], function* (answers) {
 *   yield* forEach(answers, function* ({ key, outcome }) { console.log(key, outcome.status) });
 * });
 */
export function asCompleted<const Tasks extends readonly TaskOrHolder<unknown>[]>(
  tasks: Tasks,
): Sequence<Completed<Results<Tasks>[number]>>;
export function asCompleted<const Tasks extends Readonly<Record<string, TaskOrHolder<unknown>>>>(
  tasks: Tasks,
): Sequence<Completed<Results<Tasks>[keyof Tasks], keyof Tasks & string>>;
export function asCompleted<const Bodies extends readonly Body<unknown>[], Result>(
  bodies: Bodies,
  consume: (completed: Sequence<Completed<Results<Bodies>[number]>>) => Operation<Result>,
): Coroutine<Result>;
export function asCompleted<const Bodies extends Readonly<Record<string, Body<unknown>>>, Result>(
  bodies: Bodies,
  consume: (completed: Sequence<Completed<Results<Bodies>[keyof Bodies], keyof Bodies & string>>) => Operation<Result>,
): Coroutine<Result>;
export function asCompleted(
  operands: BodiesOf<unknown>,
  consume?: (completed: Sequence<never>) => Operation<unknown>,
): Sequence<AnyCompleted> | Coroutine<unknown> {
  checkOperands("asCompleted", operands);
  if (consume !== undefined) {
    checkFunction("asCompleted", consume);
    return runAsCompleted(operands, consume);
  }
  const entries = entriesOf(operands);
  for (const [key, task] of entries) {
    if (heldTask(task) === null) {
      throw new UsageError(
        `asCompleted() without a body takes tasks, got ${describeValue(task)} at ${key}; pass a body for operations`,
      );
    }
  }
  const completions = new Completions(null);
  for (const [key, task] of entries) completions.add(key, heldTask(task)!, false);
  completions.seal();
  return completions;
}

function* runAsCompleted(
  operands: BodiesOf<unknown>,
  consume: (completed: Sequence<never>) => Operation<unknown>,
): Coroutine<unknown> {
  const own = Scope.enter({ name: "asCompleted", onChildFailure: () => {} }); // `Completions` hears of it
  const completions = new Completions(own);
  try {
    const value = yield* own.run(runConsumer(own, completions, operands, consume));
    if (own.isCaught) throw own.asError(); // somebody has cancelled the scope itself
    return value;
  } finally {
    completions.close();
  }
}

function* runConsumer(
  own: Scope,
  completions: Completions,
  operands: BodiesOf<unknown>,
  consume: (completed: Sequence<never>) => Operation<unknown>,
): Coroutine<unknown> {
  for (const [key, body] of entriesOf(operands)) {
    const task = taskFor(own, "asCompleted", body, key);
    completions.add(key, task, task !== (body as unknown));
  }
  completions.seal();
  const value = yield* scope(() => consume(completions as Sequence<never>), { name: "consumer of asCompleted" });
  own.request("obsolete", "nobody takes what completes any more");
  return value;
}

function entriesOf<T>(operands: readonly T[] | Readonly<Record<string, T>>): [number | string, T][] {
  return isList(operands) ? operands.map((it, index) => [index, it as T]) : Object.entries(operands);
}

class Completions extends Outlet<AnyCompleted> {
  readonly #scope: Scope | null;
  readonly #watches = new Set<Completion>();
  #isSealed = false;

  /** @param scope Of the tasks that were started for it. */
  constructor(own: Scope | null) {
    super();
    this.#scope = own;
  }

  get reason(): string {
    const names = [...this.#watches].slice(0, 3).map((it) => `"${it.task.name}"`);
    const more = this.#watches.size > names.length ? ` and ${this.#watches.size - names.length} more` : "";
    return `the next to complete of ${names.join(", ")}${more}`;
  }

  add(key: number | string, task: Task<unknown>, isOwn: boolean): void {
    const watch = new Completion(this, key, task, isOwn);
    this.#watches.add(watch);
    task.watch(watch);
  }

  /** All have been added. */
  seal(): void {
    this.#isSealed = true;
    if (this.#watches.size === 0) this.end();
  }

  close(): void {
    for (const watch of this.#watches) watch.task.unwatch(watch);
    this.#watches.clear();
    this.end();
    this.#reportUnseen();
  }

  settled(completion: Completion): void {
    const { key, task, isOwn } = completion;
    this.#watches.delete(completion);
    const outcome = task.outcome!;
    const own = this.#scope;
    const isToldToStop = isOwn && own !== null && own.isReached;
    if (isToldToStop && outcome.status === "cancelled") return;
    if (isToldToStop && outcome.status === "failed" && task.unwinding !== null) own.fail(outcome.error);
    else this.put({ key, outcome, task });
    if (this.#isSealed && this.#watches.size === 0) this.end();
  }

  override isFilledFromOutside(taker: Waiter): boolean {
    for (const { task } of this.#watches) if (task.loop !== taker.loop) return true;
    return false;
  }

  /** Failures that were not taken. Those of tasks in a scope of somebody else's are that scope's. */
  #reportUnseen(): void {
    for (let step = this.tryTake(); step !== null && step.done !== true; step = this.tryTake()) {
      const { outcome, task } = step.value;
      if (outcome.status !== "failed" || (task.owner !== this.#scope && task.owner.host !== null)) continue;
      const message = `"${task.name}" had failed when nobody took what completes any more:`;
      task.loop.report({ kind: "lost-error", message, error: outcome.error });
    }
  }
}

class Completion implements Watcher {
  before: Completion | null = null;
  after: Completion | null = null;
  readonly key: number | string;
  readonly task: Task<unknown>;
  readonly isOwn: boolean;
  readonly #completions: Completions;

  constructor(completions: Completions, key: number | string, task: Task<unknown>, isOwn: boolean) {
    this.#completions = completions;
    this.key = key;
    this.task = task;
    this.isOwn = isOwn;
  }

  taskSettled(): void {
    this.#completions.settled(this);
  }
}
