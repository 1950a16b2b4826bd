/**
 * A wait that a callback from outside ends: an event, an aborted signal, a Node callback.
 *
 * All of them have the same three traps, solved here once: the callback may come in the very call that registers it; it may
 * come again, or after the wait was cancelled; and whatever ends the wait, nothing may stay registered.
 */
import { sharedWait, Wait } from "../core/index.ts";
import type { Started, Waiter } from "../core/index.ts";

export abstract class Listening<T> extends Wait<T> {
  #waiter: Waiter | null = null;
  #isParked = false;
  #early: { readonly failed: boolean; readonly value: unknown } | null = null;

  override get external(): boolean {
    return true;
  }

  /** Registers; may call `succeed` or `failWith` at once. What it throws is thrown at the wait. */
  protected abstract attach(): void;

  /** Undoes `attach`, also half of it: it may have thrown, or be about to go on. May be called twice. */
  protected abstract detach(): void;

  protected start(task: Waiter): Started<T> {
    if (this.#waiter !== null) throw sharedWait(this.reason);
    this.#waiter = task;
    try {
      this.attach();
    } catch (error) {
      if (this.#waiter !== null) this.#leave();
      this.#early = null;
      throw error;
    }
    const early = this.#early;
    if (early !== null) {
      this.#early = null;
      this.detach(); // `attach` went on after it had ended the wait
      return early.failed ? task.fail(this, early.value) : task.complete(this, early.value as T);
    }
    this.#isParked = true;
    return task.park(this);
  }

  withdraw(): boolean {
    this.#leave();
    return true;
  }

  /** Ends the wait with a value; without effect when it has ended. */
  protected succeed(value: T): void {
    this.#end(false, value);
  }

  /** Ends the wait by throwing; without effect when it has ended. */
  protected failWith(error: unknown): void {
    this.#end(true, error);
  }

  #end(failed: boolean, value: unknown): void {
    const waiter = this.#waiter;
    if (waiter === null) return;
    const wasParked = this.#isParked;
    try {
      this.#leave();
    } finally {
      // Also when a source cannot be left: its error goes to who called back, and nobody waits for ever.
      if (!wasParked) this.#early = { failed, value };
      else if (failed) waiter.wakeError(this, value);
      else waiter.wake(this, value as T);
    }
  }

  #leave(): void {
    this.#waiter = null;
    this.#isParked = false;
    this.detach();
  }
}
