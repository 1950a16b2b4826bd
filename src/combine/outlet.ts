/**
 * Results on their way to who takes them: a sequence that is filled from the inside and ends once.
 *
 * Not a channel: it never blocks who puts in, because its owners bound what they produce by what has been taken.
 */
import { QueuedWait, WaitQueue } from "../core/index.ts";
import type { Operation, Sequence, Started, Waiter } from "../core/index.ts";
import { FifoQueue } from "../data/fifo-queue.ts";

export type Step<T> = IteratorResult<T, undefined>;

const END: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

export abstract class Outlet<T> implements Sequence<T> {
  /** What the one who takes waits for, for people. */
  abstract readonly reason: string;
  readonly #ready = new FifoQueue<IteratorYieldResult<T>>();
  readonly #takers = new WaitQueue<Step<T>, Take<T>>();
  #isEnded = false;

  /** Takes the next result, in order of coming if several wait. Cancelling takes none. */
  next(): Operation<Step<T>> {
    return new Take<T>(this, this.#takers as never);
  }

  /** How many lie here. */
  protected get size(): number {
    return this.#ready.size;
  }

  protected put(value: T): void {
    const step: IteratorYieldResult<T> = { done: false, value };
    const taker = this.#takers.shift();
    if (taker === null) this.#ready.push(step);
    else {
      taker.end(step);
      this.taken?.();
    }
  }

  /** No more will come. */
  protected end(): void {
    this.#isEnded = true;
    for (let taker = this.#takers.shift(); taker !== null; taker = this.#takers.shift()) taker.end(END);
  }

  /** A result has been handed over. */
  protected taken?(): void;

  /** Whether what fills it is outside the loop. @internal */
  isFilledFromOutside(_taker: Waiter): boolean {
    return false;
  }

  /** @internal */
  tryTake(): Step<T> | null {
    const step = this.#ready.shift();
    if (step === undefined) return this.#isEnded ? END : null;
    this.taken?.();
    return step;
  }
}

class Take<T> extends QueuedWait<Step<T>> {
  readonly #outlet: Outlet<T>;
  #isExternal = false;

  constructor(outlet: Outlet<T>, takers: WaitQueue<Step<T>, never>) {
    super(takers);
    this.#outlet = outlet;
  }

  get reason(): string {
    return this.#outlet.reason;
  }

  override get external(): boolean {
    return this.#isExternal;
  }

  protected attempt(task: Waiter): Started<Step<T>> | null {
    const step = this.#outlet.tryTake();
    this.#isExternal = step === null && this.#outlet.isFilledFromOutside(task);
    return step === null ? null : task.complete(this, step);
  }
}
