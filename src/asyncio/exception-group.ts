/**
 * Several errors as one, with ways to take it apart: what `TaskGroup` throws.
 *
 * JavaScript has no `except*`, so `split` by class or by a predicate does that work:
 *
 *     const [timeouts, rest] = group.split(TimeoutError);
 *
 * Python has two classes, one of which may hold `BaseException`s; here one holds anything that was thrown.
 */
import { UsageError } from "../core/index.ts";

/** A class of errors, several classes, or a predicate. It is asked about groups, too, before their members. */
export type ErrorCondition =
  | (abstract new (...args: never[]) => unknown)
  | readonly (abstract new (...args: never[]) => unknown)[]
  | ((error: unknown) => boolean);

/**
 * @example
 * try { yield* new TaskGroup().with(body) } catch (error) {
 *   const [late, rest] = (error as ExceptionGroup).split(TimeoutError);
 *   if (rest !== null) throw rest;
 * }
 */
export class ExceptionGroup extends AggregateError {
  /** The members, in the order in which they happened. */
  readonly exceptions: readonly unknown[];

  /** @throws {UsageError} when there are no members: a group of nothing is no error. */
  constructor(message: string, exceptions: readonly unknown[], options?: ErrorOptions) {
    if (!Array.isArray(exceptions) || exceptions.length === 0) {
      throw new UsageError("an ExceptionGroup takes a message and a list with at least one error");
    }
    super(exceptions, message, options);
    this.name = "ExceptionGroup";
    this.exceptions = Object.freeze([...(exceptions as unknown[])]);
  }

  /** A group of the same kind with other members; `split` and `subgroup` use it. Override it to keep fields of your own. */
  derive(exceptions: readonly unknown[]): ExceptionGroup {
    return new ExceptionGroup(this.message, exceptions);
  }

  /** The group with only what fulfils the condition, nested as it was; `null` when nothing does, the group itself when all does. */
  subgroup(condition: ErrorCondition): ExceptionGroup | null {
    return this.split(condition)[0];
  }

  /** The group in two: what fulfils the condition and the rest, each nested as it was; `null` for an empty part. */
  split(condition: ErrorCondition): [matching: ExceptionGroup | null, rest: ExceptionGroup | null] {
    const matches = predicateOf(condition);
    if (matches(this)) return [this, null];
    const matching: unknown[] = [];
    const rest: unknown[] = [];
    for (const error of this.exceptions) {
      if (error instanceof ExceptionGroup) {
        const [inside, left] = error.split(condition);
        if (inside !== null) matching.push(inside);
        if (left !== null) rest.push(left);
      } else if (matches(error)) matching.push(error);
      else rest.push(error);
    }
    return [this.#part(matching), this.#part(rest)];
  }

  #part(exceptions: unknown[]): ExceptionGroup | null {
    if (exceptions.length === 0) return null;
    const part = this.derive(exceptions);
    if (this.stack !== undefined) part.stack = this.stack;
    if (this.cause !== undefined && part.cause === undefined) part.cause = this.cause;
    return part;
  }
}

type ErrorClass = abstract new (...args: never[]) => unknown;

function predicateOf(condition: ErrorCondition): (error: unknown) => boolean {
  if (Array.isArray(condition)) {
    const classes = condition as readonly ErrorClass[];
    if (!classes.every(isClass)) throw wrongCondition();
    return (error) => classes.some((it) => error instanceof it);
  }
  if (typeof condition !== "function") throw wrongCondition();
  if (isClass(condition)) return (error) => error instanceof condition;
  return condition as (error: unknown) => boolean;
}

// An arrow function or method has no prototype; a class has one that cannot be replaced, `function` has one that can.
function isClass(condition: unknown): condition is ErrorClass {
  if (typeof condition !== "function") return false;
  const prototype = Object.getOwnPropertyDescriptor(condition, "prototype");
  return prototype !== undefined && prototype.writable === false;
}

function wrongCondition(): UsageError {
  return new UsageError("split() and subgroup() take a class of errors, a list of classes, or a predicate");
}
