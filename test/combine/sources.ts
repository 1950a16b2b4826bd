/** Sources that count: what was taken from them, and whether they were closed. */
import { sleep } from "fibril";
import type { Coroutine } from "fibril";
import type { Sequence } from "../../src/core/index.ts";

export interface CountedSource<T> extends Sequence<T> {
  readonly taken: number;
  readonly closed: number;
  /** Calls of `next` under way at the same time, at most. */
  readonly together: number;
}

/** Gives the values one by one, each after `everyMs`. */
export function source<T>(values: Iterable<T>, everyMs: number, closeError?: unknown): CountedSource<T> {
  const iterator = values[Symbol.iterator]();
  let asking = 0;
  const state = {
    taken: 0,
    closed: 0,
    together: 0,
    *next(): Coroutine<IteratorResult<T, undefined>> {
      state.together = Math.max(state.together, ++asking);
      try {
        if (everyMs > 0) yield* sleep(everyMs);
        const step = iterator.next();
        if (step.done === true) return { done: true, value: undefined };
        state.taken++;
        return step;
      } finally {
        asking--;
      }
    },
    *close(): Coroutine<void> {
      state.closed++;
      if (closeError !== undefined) throw closeError;
    },
  };
  return state;
}

/** The numbers from 0, for ever; `closed` counts calls of `return`. */
export function naturals(): { readonly taken: number; readonly closed: number } & Iterable<number> {
  const state = {
    taken: 0,
    closed: 0,
    [Symbol.iterator]: () => ({
      next: () => ({ done: false as const, value: state.taken++ }),
      return: () => {
        state.closed++;
        return { done: true as const, value: undefined };
      },
    }),
  };
  return state;
}
