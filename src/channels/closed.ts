import { Wait } from "../core/index.ts";
import type { Operation, Started, Waiter } from "../core/index.ts";

/** What `close` of a sequence gives: it has happened, there is nothing to wait for. */
class Closed extends Wait<void> {
  get reason(): string {
    return "something that is closed";
  }

  protected start(task: Waiter): Started<void> {
    return task.complete(this, undefined);
  }

  withdraw(): boolean {
    return true;
  }
}

export const CLOSED: Operation<void> = new Closed();
