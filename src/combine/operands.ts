/**
 * What the combinators take: a list or a record of bodies, and how one of them is started.
 *
 * A task among the operands belongs to another scope: it is joined where it is, without a task of its own, and is never
 * cancelled. Everything else runs in a task of the combinator's scope, named after its function, its index or its key.
 */
import { describeValue, isOperation, Task, toOperation, UsageError } from "../core/index.ts";
import type { Body, Operation, Scope } from "../core/index.ts";

/** The results of a list or record of bodies, under the same indexes or keys. */
export type Results<Bodies> = { -readonly [Key in keyof Bodies]: Bodies[Key] extends Body<infer T> ? T : never };

export type BodyList = readonly Body<unknown>[];
export type BodyRecord = Readonly<Record<string, Body<unknown>>>;

/** The task that stands for an operand: itself, or a new one in `scope`. */
export function taskFor(scope: Scope, what: string, body: Body<unknown>, key: number | string): Task<unknown> {
  return body instanceof Task ? body : launch(scope, what, body, key);
}

export function launch(scope: Scope, what: string, body: Body<unknown>, key: number | string): Task<unknown> {
  if (typeof body !== "function" && !isOperation(body)) {
    const isPromise = typeof (body as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function";
    const hint = isPromise ? "; wrap promises in until()" : "";
    throw new UsageError(`${nameOf(what, key)} is no operation but ${describeValue(body)}${hint}`, "NOT_AN_OPERATION");
  }
  const isNamed = typeof body === "function" && body.name !== "";
  return scope.launch(toOperation(body), isNamed ? body : nameOf(what, key));
}

function nameOf(what: string, key: number | string): string {
  return typeof key === "number" ? `${what}[${key}]` : `${what}.${key}`;
}

/** @throws {UsageError} when it is neither: a set, a task or a promise would be an empty record. */
export function checkOperands(what: string, operands: unknown): void {
  if (Array.isArray(operands)) return;
  if (typeof operands === "object" && operands !== null && !(Symbol.iterator in operands) && !("then" in operands))
    return;
  throw new UsageError(
    `${what}() takes one list or record, got ${describeValue(operands)}; write ${what}([a, b]), or spread what can be iterated: ${what}([...them])`,
  );
}

/** For what has no use for keys. */
export function checkList(what: string, operands: unknown): void {
  if (Array.isArray(operands)) return;
  throw new UsageError(
    `${what}() takes one list, got ${describeValue(operands)}; write ${what}([a, b]), or Object.values() of a record`,
  );
}

/** What stands for a task: a `JobHandle`. */
interface TaskHolder<T> extends Operation<T> {
  readonly task: Task<T>;
}

/** A task, or what stands for one. A task's `task` is itself, but no part of the published types: so it is named here. */
export type TaskOrHolder<T> = Task<T> | TaskHolder<T>;

/** The task that it stands for; `null` when it is nothing of the kind. */
export function heldTask(operand: unknown): Task<unknown> | null {
  const task: unknown = (operand as Partial<TaskHolder<unknown>> | null | undefined)?.task;
  return task instanceof Task ? task : null;
}

export function isList(operands: object): operands is readonly unknown[] {
  return Array.isArray(operands);
}

/** A record of the results; keeps every key, "__proto__" too. */
export function toRecord<T>(keys: readonly string[], values: readonly T[]): Record<string, T> {
  return Object.fromEntries(keys.map((key, index) => [key, values[index]!]));
}

/** What `fn` made for an item. @throws {UsageError} when that is no operation. */
export function checkedOperation<T>(what: string, operation: Operation<T>): Operation<T> {
  if (isOperation(operation)) return operation;
  const isPromise = typeof (operation as Partial<PromiseLike<T>> | null | undefined)?.then === "function";
  const hint = isPromise ? "; write function* instead of async, or wrap the promise in until()" : "";
  throw new UsageError(
    `the function given to ${what}() returned no operation but ${describeValue(operation)}${hint}`,
    "NOT_AN_OPERATION",
  );
}
