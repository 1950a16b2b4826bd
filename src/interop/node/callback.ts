/**
 * Functions that take a Node callback, `(error, value)`, as operations.
 */
import { describeValue, UsageError } from "../../core/index.ts";
import type { Operation } from "../../core/index.ts";
import { Listening } from "../listening.ts";

/** A callback as Node's APIs take it: called once, with an error or a value. */
export type Callback<T> = (error: unknown, value?: T) => void;

export interface CallbackOptions {
  /** What the task waits for, for people. Default: the name of the function. */
  readonly name?: string;
}

/**
 * Calls `start` and waits until it calls back. When `start` returns a function, that is called if the wait is cancelled: to
 * abort what was begun. Without one what was begun goes on, unseen; its late value or error is dropped.
 *
 * `start` is called at each `yield*`, not before. Only the first call of the callback counts.
 * @throws what the callback was given as `error`, or what `start` throws.
 * @example
 * const stats = yield* fromCallback<Stats>((done) => stat(path, done));
 * const answer = yield* fromCallback<string>((done) => {
 *   const question = readline.question("name? ", (text) => done(null, text));
 *   return () => question.abort();
 * });
 */
export function fromCallback<T = void>(
  start: (done: Callback<T>) => unknown,
  options: CallbackOptions = {},
): Operation<T> {
  if (typeof start !== "function") {
    throw new UsageError(`fromCallback() takes a function that takes the callback, got ${describeValue(start)}`);
  }
  return new CallbackWait(start, options.name ?? (start.name === "" ? "callback" : `callback of ${start.name}`));
}

class CallbackWait<T> extends Listening<T> {
  readonly reason: string;
  readonly #start: (done: Callback<T>) => unknown;
  #cancel: (() => void) | null = null;
  /** Which use of the operation may end it: a callback of an earlier one comes too late. */
  #use = 0;

  constructor(start: (done: Callback<T>) => unknown, reason: string) {
    super();
    this.#start = start;
    this.reason = reason;
  }

  protected attach(): void {
    const use = ++this.#use;
    const cancel = this.#start((error, value) => {
      if (use !== this.#use) return;
      this.#use++;
      this.#cancel = null; // it has come to its end, there is nothing to abort
      if (error === null || error === undefined) this.succeed(value as T);
      else this.failWith(error);
    });
    if (use === this.#use && typeof cancel === "function") this.#cancel = cancel as () => void;
  }

  protected detach(): void {
    this.#use++;
    const cancel = this.#cancel;
    this.#cancel = null;
    cancel?.();
  }
}
