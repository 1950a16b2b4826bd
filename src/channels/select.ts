/**
 * Waiting for several things at once, of which exactly one happens.
 *
 * An operation that is a single wait (receive, send, lock, sleep, event, future, joining a task, a promise) becomes an
 * arm: a waiter that stands in line on behalf of the task. A wait ends in one step, by the wake that hands the value over,
 * so the first wake decides, and in that same step the other arms are withdrawn, as if they had been cancelled: they took
 * nothing. No task is spawned, nothing is polled, and nothing can happen between the decision and its effect.
 *
 * A coroutine is several steps, which nobody can take back. Such an operand runs in a task of its own, as in `race`: when it loses
 * it is cancelled and awaited, and a value that it gives all the same goes to `onUnused`.
 *
 * Source: Go's `select` and Concurrent ML's `choose`; both lock every channel, which one thread does not need.
 */
import { currentTask, describeValue, isOperation, Scope, Task, toOperation, UsageError, Wait } from "../core/index.ts";
import type { Body, Coroutine, Operation } from "../core/index.ts";
import { Select } from "./selection.ts";
import type { Choice } from "./selection.ts";

/** Which operand happened, and what it gave: a union over the keys, or indexes, of the operands. */
export type Selected<Operands> = Operands extends readonly Body<unknown>[]
  ? number extends Operands["length"]
    ? { readonly key: number; readonly value: ResultOf<Operands[number]> }
    : { [Key in keyof Operands & `${number}`]: SelectedAt<IndexOf<Key>, Operands[Key]> }[keyof Operands & `${number}`]
  : { [Key in keyof Operands]: SelectedAt<Key, Operands[Key]> }[keyof Operands];

/** One possibility of a `Selected`. */
export interface SelectedAt<Key, Operand> {
  readonly key: Key;
  readonly value: ResultOf<Operand>;
}

type ResultOf<Operand> = Operand extends Body<infer T> ? T : never;

type IndexOf<Key> = Key extends `${infer Index extends number}` ? Index : never;

export interface SelectOptions {
  /**
   * Of several operands that can happen at once, the one listed first is taken: that is a priority, and an operand that
   * always can starves those behind it. With `fair` the search begins at a random one. Default: `false`.
   */
  readonly fair?: boolean;
  /**
   * Receives the value of a coroutine that has lost, or was cancelled, but ended with a value; and what had happened, when the
   * cleanup of a coroutine that has lost fails and its error is thrown instead. Default: they are dropped.
   */
  readonly onUnused?: (value: unknown, key: string | number) => void;
}

/** Operands under their keys; of a list, the indexes. */
type Operands = Readonly<Record<string, Body<unknown>>> | readonly Body<unknown>[];

/**
 * Waits until one of the operations happens; the others do not happen. Gives the key, or index, of the one, and its value.
 *
 * When one fails, that is thrown. Cancelling withdraws all of them: nothing was taken, nothing sent.
 * @throws {UsageError} when there is nothing to select from.
 * @example
 * const next = yield* select({ job: jobs.receive(), stop: stopped.wait(), tick: sleep(1_000) });
 * switch (next.key) {
 *   case "job": yield* work(next.value); break;
 *   case "stop": return;
 * }
 */
export function select<const Arms extends readonly Body<unknown>[]>(
  operands: Arms,
  options?: SelectOptions,
): Operation<Selected<Arms>>;
export function select<const Arms extends Readonly<Record<string, Body<unknown>>>>(
  operands: Arms,
  options?: SelectOptions,
): Operation<Selected<Arms>>;
export function select(operands: Operands, options: SelectOptions = {}): Operation<unknown> {
  const keys = keysOf(operands, "select");
  const waits = keys.map((key) => waitOf(at(operands, key), "select", key));
  if (waits.every((wait) => wait !== null)) {
    return new Select(keys, waits, options.fair ?? false);
  }
  return selectWithTasks(operands, keys, waits, options);
}

/**
 * Like `select`, but answers at once, without a star: when no operand can happen now, none does, and it gives `undefined`.
 * What an operand throws at once is thrown.
 * @throws {UsageError} outside a coroutine (`OUTSIDE_TASK`), and when an operand is a coroutine, which cannot end without taking
 * steps, or has begun and cannot be withdrawn.
 * @example
 * const job = trySelect([urgent.receive(), ordinary.receive()])?.value;
 */
export function trySelect<const Arms extends readonly Operation<unknown>[]>(
  operands: Arms,
  options?: Omit<SelectOptions, "onUnused">,
): Selected<Arms> | undefined;
export function trySelect<const Arms extends Readonly<Record<string, Operation<unknown>>>>(
  operands: Arms,
  options?: Omit<SelectOptions, "onUnused">,
): Selected<Arms> | undefined;
export function trySelect(operands: Operands, options: SelectOptions = {}): Choice | undefined {
  const keys = keysOf(operands, "trySelect");
  const waits = keys.map((key) => {
    const wait = waitOf(at(operands, key), "trySelect", key);
    if (wait !== null) return wait;
    throw new UsageError(`trySelect: operand "${key}" is a coroutine, which cannot end at once; use select`);
  });
  return new Select(keys, waits, options.fair ?? false).attempt(currentTask());
}

function keysOf(operands: Operands, caller: string): readonly (string | number)[] {
  const isRecord =
    typeof operands === "object" && operands !== null && !(Symbol.iterator in operands) && !("then" in operands);
  if (!isRecord && !Array.isArray(operands)) {
    throw new UsageError(
      `${caller} takes one list or record of operations, got ${describeValue(operands)}; write ${caller}([a, b]), ` +
        `or spread what can be iterated: ${caller}([...them])`,
    );
  }
  const keys = Array.isArray(operands) ? [...operands.keys()] : Object.keys(operands);
  if (keys.length === 0) throw new UsageError(`${caller} of nothing would never end; pass at least one operation`);
  return keys;
}

function at(operands: Operands, key: string | number): Body<unknown> {
  return (operands as Readonly<Record<string | number, Body<unknown>>>)[key]!;
}

/** The wait that the operation consists of, or `null` for a coroutine. */
function waitOf(operand: Body<unknown>, caller: string, key: string | number): Wait<unknown> | null {
  if (operand instanceof Wait) return operand;
  if (operand instanceof Task) return operand.join();
  if (typeof operand === "function") return null;
  if (!isOperation(operand)) throw noOperation(caller, key, operand);
  const iterator = operand[Symbol.iterator](); // a task or a future; of a coroutine, it does nothing yet
  return iterator instanceof Wait ? iterator : null;
}

function noOperation(caller: string, key: string | number, operand: unknown): UsageError {
  const isPromise = typeof (operand as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function";
  const advice = isPromise ? "wrap it in until()" : "pass an operation or a function that makes one";
  return new UsageError(
    `operand "${key}" of ${caller} is no operation but ${describeValue(operand)}; ${advice}`,
    "NOT_AN_OPERATION",
  );
}

function* selectWithTasks(
  operands: Operands,
  keys: readonly (string | number)[],
  waits: readonly (Wait<unknown> | null)[],
  options: SelectOptions,
): Coroutine<unknown> {
  const scope = Scope.enter({ name: "select" });
  const tasks: { readonly key: string | number; readonly task: Task<unknown> }[] = [];
  let chosen: Choice | undefined;
  let isGiven = false;
  function* body(): Coroutine<Choice> {
    const all = waits.map((wait, index) => {
      if (wait !== null) return wait;
      const key = keys[index]!;
      const operand = at(operands, key);
      const label = typeof operand === "function" && operand.name !== "" ? operand.name : `select.${key}`;
      const task = scope.launch(toOperation(operand), label);
      tasks.push({ key, task });
      return task.join();
    });
    chosen = yield* new Select(keys, all, options.fair ?? false);
    scope.request("obsolete", "another operand of the select has happened");
    return chosen;
  }
  try {
    const choice = yield* scope.run(body());
    isGiven = true;
    return choice;
  } finally {
    const { onUnused } = options;
    if (onUnused !== undefined) {
      if (chosen !== undefined && !isGiven) onUnused(chosen.value, chosen.key); // the cleanup of a loser failed
      for (const { key, task } of tasks) {
        const outcome = task.outcome;
        if (key !== chosen?.key && outcome?.status === "succeeded") onUnused(outcome.value, key);
      }
    }
  }
}
