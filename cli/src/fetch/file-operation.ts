/**
 * A call of `node:fs` as a wait, so that an inspector shows who writes what.
 *
 * It cannot be withdrawn: a file that is being opened has to be closed later, so its descriptor must reach somebody. A
 * cancellation therefore comes at the next wait, after the call has ended.
 */
import { Wait } from "fibril/lowlevel";
import type { Operation } from "fibril";
import type { Started, Waiter } from "fibril/lowlevel";

type Callback<T> = (error: NodeJS.ErrnoException | null, value: T) => void;

/**
 * @param reason What is done, for people: `write a.html`.
 * @throws what the call reports.
 */
export function fileOperation<T>(reason: string, begin: (done: Callback<T>) => void): Operation<T> {
  return new FileOperation(reason, begin);
}

class FileOperation<T> extends Wait<T> {
  readonly reason: string;
  readonly #begin: (done: Callback<T>) => void;

  constructor(reason: string, begin: (done: Callback<T>) => void) {
    super();
    this.reason = reason;
    this.#begin = begin;
  }

  override get external(): boolean {
    return true;
  }

  protected start(task: Waiter): Started<T> {
    const parked = task.park(this);
    this.#begin((error, value) => void (error ? task.wakeError(this, error) : task.wake(this, value)));
    return parked;
  }

  withdraw(): boolean {
    return false;
  }
}
