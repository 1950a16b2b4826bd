import { checkFunction, closeSequence, sequenceOf } from "../core/index.ts";
import type { Coroutine, Operation, SequenceSource } from "../core/index.ts";
import { closeAndThrow } from "./closing.ts";
import { checkedOperation } from "./operands.ts";

/** What the body of `forEach` returns to end it before the source does: the `break` of the loop. */
export const STOP: unique symbol = Symbol("fibril.STOP");

/**
 * Runs `body` for each value of the source, one after the other, in the running task: the loop over a channel, an interval,
 * an array or an async iterable. What `body` spawns or defers belongs to the caller's scope, as in a loop written by hand.
 *
 * A failure of `body`, or a cancellation, stops it and closes the source: a value that was taken by then is gone, none
 * is taken after. Every value counts as a step, so a long iteration gives way to the host.
 * @param body Called with the value and its number, from 0. When it returns `STOP`, the source is closed and `forEach` returns.
 * @example
 * yield* forEach(receiver, function* (job) {
 *   if (job.isLast) return STOP;
 *   yield* handle(job);
 * });
 */
export function* forEach<T>(
  source: SequenceSource<T>,
  body: (item: T, index: number) => Operation<unknown>,
): Coroutine<void> {
  checkFunction("forEach", body);
  const sequence = sequenceOf(source);
  try {
    for (let index = 0; ; index++) {
      const step = yield* sequence.next();
      if (step.done === true) return;
      const answer = yield* checkedOperation("forEach", body(step.value, index));
      if (answer === STOP) break;
    }
  } catch (error) {
    yield* closeAndThrow(sequence, error);
  }
  yield* closeSequence(sequence);
}
