/**
 * The future of `concurrent.futures`: a value that code outside of any event loop gets, from a thread or from a loop.
 *
 * It belongs to no loop, so it can be waited for from promise code, from other loops and from callbacks; in a coroutine of
 * asyncio `yield* wrapFuture(it)`. As in Python it is cancelled at once, whatever becomes of the work behind it. One difference:
 * cancelling reaches work that has begun, too (Python's threads cannot be told), and `cancel()` says `true` then.
 */
import { InvalidStateError } from "../core/index.ts";
import { CancelledError } from "./errors.ts";

type State<T> =
  | { readonly is: "pending" }
  | { readonly is: "finished"; readonly value: T }
  | { readonly is: "failed"; readonly error: unknown }
  | { readonly is: "cancelled"; readonly error: CancelledError };

const PENDING = { is: "pending" } as const;

/** What is behind a future, as far as the future has to tell it anything. */
export interface Work {
  /** Nobody wants the result any more. */
  cancel(message: unknown): void;
}

export class ConcurrentFuture<T> implements PromiseLike<T> {
  #state: State<T> = PENDING;
  #work: Work | null = null;
  #callbacks: ((future: this) => void)[] = [];
  readonly #reportCallback: (error: unknown) => void;

  /** @param reportCallback Gets what a done callback throws. @internal */
  constructor(reportCallback: (error: unknown) => void) {
    this.#reportCallback = reportCallback;
  }

  /** @internal */
  follow(work: Work): void {
    if (this.#state.is === "cancelled") work.cancel(this.#state.error.message);
    else this.#work = work;
  }

  done(): boolean {
    return this.#state !== PENDING;
  }

  cancelled(): boolean {
    return this.#state.is === "cancelled";
  }

  /** Cancels it at once, and what is behind it as soon as that can be told. `false` when it is done already. */
  cancel(message?: unknown): boolean {
    if (this.#state.is !== "pending") return this.#state.is === "cancelled";
    const work = this.#work;
    this.#end({ is: "cancelled", error: new CancelledError(message) });
    work?.cancel(message);
    return true;
  }

  /** The result. @throws {InvalidStateError} while there is none; what the work threw; {CancelledError}. */
  result(): T {
    const state = this.#state;
    if (state.is === "finished") return state.value;
    if (state.is === "pending") throw notDone();
    throw state.error;
  }

  /** What the work threw, or `null`. @throws {InvalidStateError} while it is not done; {CancelledError}. */
  exception(): unknown {
    const state = this.#state;
    if (state.is === "pending") throw notDone();
    if (state.is === "cancelled") throw state.error;
    return state.is === "failed" ? state.error : null;
  }

  /** Calls `callback` when it is done, in the order of adding; at once when it is done already. What it throws is reported. */
  addDoneCallback(callback: (future: this) => void): void {
    if (this.#state === PENDING) this.#callbacks.push(callback);
    else this.#call(callback);
  }

  /** Sets the result; ignored once it is cancelled. @internal */
  setResult(value: T): void {
    if (this.#state === PENDING) this.#end({ is: "finished", value });
  }

  /** Sets the error; ignored once it is cancelled. @internal */
  setException(error: unknown): void {
    if (this.#state === PENDING) this.#end({ is: "failed", error });
  }

  // oxlint-disable-next-line unicorn/no-thenable -- promise code waits for it: that is what it is for
  then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return new Promise<T>((resolve, reject) => {
      this.addDoneCallback(() => {
        const state = this.#state;
        if (state.is === "finished") resolve(state.value);
        else reject((state as { readonly error: unknown }).error);
      });
    }).then(fulfilled, rejected);
  }

  #end(state: State<T>): void {
    this.#state = state;
    this.#work = null;
    const callbacks = this.#callbacks;
    this.#callbacks = [];
    for (const callback of callbacks) this.#call(callback);
  }

  #call(callback: (future: this) => void): void {
    try {
      callback(this);
    } catch (error) {
      this.#reportCallback(error);
    }
  }
}

function notDone(): InvalidStateError {
  return new InvalidStateError("the future is not done; wait for it with await, or with yield* wrapFuture(future)");
}
