import { Cancelled } from "fibril";
import type { Coroutine, Operation } from "fibril";

/** What the operation throws. */
export function* caught(operation: Operation<unknown>): Coroutine<unknown> {
  try {
    yield* operation;
  } catch (error) {
    if (error instanceof Cancelled) throw error;
    return error;
  }
  throw new Error("nothing was thrown");
}
