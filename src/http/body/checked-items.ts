/**
 * Items that a schema looks at before anybody gets them.
 *
 * A class of its own, because a schema may answer with a promise: without one an item that is there costs no coroutine.
 */
import type { Coroutine, Sequence } from "../../core/index.ts";
import type { RequestSubject } from "../errors.ts";
import { SchemaError, validate } from "../schema.ts";
import type { Schema } from "../schema.ts";
import type { BodyItems } from "./items.ts";

export class CheckedItems<T> implements Sequence<T>, AsyncIterable<T> {
  readonly #items: BodyItems<unknown>;
  readonly #schema: Schema;
  readonly #subject: RequestSubject;

  /** Made by `ndjson({ schema })` of a response. @internal */
  constructor(items: BodyItems<unknown>, schema: Schema, subject: RequestSubject) {
    this.#items = items;
    this.#schema = schema;
    this.#subject = subject;
  }

  /**
   * Waits for the next item, or for the end. Cancelling takes nothing, except while the schema itself waits: then the item that it looks
   * at is gone.
   */
  *next(): Coroutine<IteratorResult<T, undefined>> {
    const step = yield* this.#items.next();
    if (step.done === true) return step;
    let isRight = false;
    try {
      const value = (yield* validate(this.#schema, step.value, this.#subject)) as T;
      isRight = true;
      return { done: false, value };
    } finally {
      if (!isRight) this.close();
    }
  }

  /** Gives up the rest: closes the response, by the call. */
  close(): void {
    this.#items.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** What takes a sequence or an async iterable prefers the sequence. @internal */
  get receiver(): this {
    return this;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, undefined, undefined> {
    for await (const item of this.#items) {
      const result = await this.#schema["~standard"].validate(item);
      if (result.issues !== undefined) throw new SchemaError(this.#subject, result.issues, item);
      yield result.value as T;
    }
    return undefined;
  }
}
