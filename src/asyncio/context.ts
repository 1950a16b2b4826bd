/**
 * Context variables: values that belong to a task or a callback. Python's `contextvars`.
 *
 * A task runs in a copy of the context of its maker, made when the task is made; a callback in a copy made when it is
 * scheduled. So what a child sets is invisible to its parent, and what the parent sets later is invisible to the child.
 *
 * A context is one immutable map, replaced on writing: a copy costs one small object however many variables there are. Outside of
 * all loops there is one context for the thread.
 */
import { describeValue, UsageError } from "../core/index.ts";
import { LookupError, RuntimeError, ValueError } from "./errors.ts";

type Values = ReadonlyMap<ContextVar<unknown>, unknown>;

const NO_VALUES: Values = new Map();
const MISSING: unique symbol = Symbol("missing");

/** A set of values for context variables. Made by `copyContext()`. */
export class Context {
  /** @internal */
  values: Values;
  /** Whether it is being run in. @internal */
  entered = false;

  /** Makes an empty one. `copyContext()` makes one with the current values. */
  constructor(values: Values = NO_VALUES) {
    this.values = values;
  }

  /** How many variables have a value. */
  get size(): number {
    return this.values.size;
  }

  /** A copy; what is set in either does not show in the other. */
  copy(): Context {
    return new Context(this.values);
  }

  /** Whether the variable has a value here. */
  has<T>(variable: ContextVar<T>): boolean {
    return this.values.has(variable as ContextVar<unknown>);
  }

  /** The value here, or `undefined`. The default of the variable does not count. */
  get<T>(variable: ContextVar<T>): T | undefined {
    return this.values.get(variable as ContextVar<unknown>) as T | undefined;
  }

  /**
   * Calls `callback` in this context; what it sets stays here. It is a plain call: a coroutine that is awaited later does not run in it,
   * give `createTask` the context for that.
   * @throws {RuntimeError} when this context is being run in already.
   */
  run<Args extends readonly unknown[], R>(callback: (...args: Args) => R, ...args: Args): R {
    const outer = enterContext(this);
    try {
      return callback(...args);
    } finally {
      leaveContext(outer);
    }
  }
}

let currentContext = new Context();

/** Makes it the current one; returns what `leaveContext` takes. @package */
export function enterContext(context: Context): Context {
  if (context.entered) throw new RuntimeError("cannot enter the context: it is entered already; run in a copy() of it");
  const outer = currentContext;
  context.entered = true;
  currentContext = context;
  return outer;
}

/** @package */
export function leaveContext(outer: Context): void {
  currentContext.entered = false;
  currentContext = outer;
}

/**
 * A copy of the current context.
 * @example
 * copyContext().run(() => user.set("ada")); // seen in there only
 */
export function copyContext(): Context {
  return new Context(currentContext.values);
}

/** What `ContextVar.set` returns: puts back what was there before. Usable once, in the context in which it was made. */
export class Token<T> {
  readonly variable: ContextVar<T>;
  readonly #context: Context;
  readonly #oldValue: T | typeof MISSING;
  #used = false;

  /** @internal */
  constructor(variable: ContextVar<T>, context: Context, oldValue: T | typeof MISSING) {
    this.variable = variable;
    this.#context = context;
    this.#oldValue = oldValue;
  }

  /** What the variable was before; `undefined` when it had no value. */
  get oldValue(): T | undefined {
    return this.#oldValue === MISSING ? undefined : this.#oldValue;
  }

  /** @internal */
  restore(variable: ContextVar<T>): void {
    const { name } = variable;
    if (this.#used) throw new RuntimeError(`the token of context variable "${name}" has been used already`);
    if (this.variable !== variable) {
      throw new ValueError(`the token is of "${this.variable.name}", not of context variable "${name}"`);
    }
    if (this.#context !== currentContext) {
      throw new ValueError(`the token of context variable "${name}" was made in another context`);
    }
    this.#used = true;
    const values = new Map(currentContext.values);
    if (this.#oldValue === MISSING) values.delete(variable as ContextVar<unknown>);
    else values.set(variable as ContextVar<unknown>, this.#oldValue);
    currentContext.values = values;
  }
}

/**
 * @example
 * const user = new ContextVar("user", { default: "nobody" });
 * user.set("ada"); createTask(job()); // job sees "ada", whatever is set here later
 */
export class ContextVar<T> {
  readonly name: string;
  readonly #default: T | typeof MISSING;

  /** @param options.default What `get` returns where no value was set. */
  constructor(name: string, options: { readonly default?: T } = {}) {
    if (typeof name !== "string") throw new UsageError(`a context variable takes a name, got ${describeValue(name)}`);
    this.name = name;
    this.#default = "default" in options ? options.default! : MISSING;
  }

  /**
   * The value in the current context, else `fallback` if one is given, else the default.
   * @throws {LookupError} when there is none of these.
   */
  get(...fallback: [fallback?: T]): T {
    const { values } = currentContext;
    const value = values.get(this as ContextVar<unknown>);
    if (value !== undefined || values.has(this as ContextVar<unknown>)) return value as T;
    if (fallback.length > 0) return fallback[0]!;
    if (this.#default === MISSING) throw new LookupError(this.name);
    return this.#default;
  }

  /** Sets it in the current context, for the running task or callback and what it starts from now on. */
  set(value: T): Token<T> {
    const old = currentContext.values;
    const had = old.has(this as ContextVar<unknown>);
    const token = new Token<T>(this, currentContext, had ? (old.get(this as ContextVar<unknown>) as T) : MISSING);
    currentContext.values = new Map(old).set(this as ContextVar<unknown>, value);
    return token;
  }

  /** Puts back what was there before the `set` that returned `token`. */
  reset(token: Token<T>): void {
    token.restore(this);
  }
}
