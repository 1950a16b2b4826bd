/**
 * Waiting for what Redis answers. A coroutine's wait says what was asked, and makes no `AbortController`, since there is nothing to abort;
 * promise code, at the border to the packages, waits for a limited time (`atMost`).
 */
import { taskOf, Wait } from "../../core/index.ts";
import type { EventLoop, Started, Waiter } from "../../core/index.ts";

export class Answer<T> extends Wait<T> {
  readonly reason: string;
  readonly #ask: (loop: EventLoop) => Promise<T>;
  #waiter: Waiter | null = null;

  /** @param ask Asks when somebody waits; whoever was cancelled before asks for nothing. It does not throw. */
  constructor(reason: string, ask: (loop: EventLoop) => Promise<T>) {
    super();
    this.reason = reason;
    this.#ask = ask;
  }

  override get external(): boolean {
    return true;
  }

  protected start(waiter: Waiter): Started<T> {
    const started = waiter.park(this);
    this.#waiter = waiter;
    this.#ask(taskOf(waiter).loop as EventLoop).then(
      (value) => void this.#end()?.wake(this, value),
      (error: unknown) => void this.#end()?.wakeError(this, error),
    );
    return started;
  }

  /** What was asked may be done all the same. */
  withdraw(): boolean {
    this.#waiter = null;
    return true;
  }

  #end(): Waiter | null {
    const waiter = this.#waiter;
    this.#waiter = null; // the promise may live longer than the task
    return waiter;
  }
}

/** Waits for something that may never come; no longer than that. @param work It does not fail. */
export async function atMost(loop: EventLoop, limitMs: number, work: Promise<unknown>): Promise<void> {
  let isLate = (): void => {};
  const late = new Promise<void>((resolve) => (isLate = resolve));
  const timer = loop.callLater(limitMs, isLate);
  await Promise.race([work, late]);
  timer.cancel();
}
