import { Wait } from "./operation.ts";
import type { Operation, Started, Waiter } from "./operation.ts";

/** One object serves every task: the state of a wait lives in its task. */
class YieldNow extends Wait<void> {
  get reason(): string {
    return "its next turn";
  }

  protected start(task: Waiter): Started<void> {
    return task.pass(this, undefined);
  }

  withdraw(): boolean {
    return true;
  }
}

const YIELD_NOW = new YieldNow();

/**
 * Lets every other ready task run first; a point where a cancellation arrives.
 *
 * @example
 * for (const row of rows) { work(row); yield* yieldNow(); }
 */
export function yieldNow(): Operation<void> {
  return YIELD_NOW;
}
