/**
 * A callback in the loop, and how to take it back.
 *
 * A handle runs its callback in the context that was current, or given, when it was scheduled. What the callback throws goes to
 * the loop's exception handler, and the loop goes on.
 */
import { copyContext, enterContext, leaveContext } from "./context.ts";
import type { Context } from "./context.ts";
import { endsProgram } from "./errors.ts";
import type { FutureLoop } from "./future.ts";

type Callback = (...args: readonly unknown[]) => void;

const NO_ARGUMENTS: readonly unknown[] = [];

/** Returned by `callSoon`. */
export class Handle {
  /** @internal */
  readonly loop: FutureLoop;
  private readonly context: Context;
  private callback: Callback | null;
  private args: readonly unknown[];
  /** Where it was scheduled; in debug mode. */
  private readonly sourceTraceback: string | undefined;

  /** @internal */
  constructor(loop: FutureLoop, callback: Callback, args: readonly unknown[], context: Context | null) {
    this.loop = loop;
    this.callback = callback;
    this.args = args;
    this.context = context ?? copyContext();
    this.sourceTraceback = loop.getDebug() ? new Error().stack?.split("\n").slice(3).join("\n") : undefined;
  }

  /** Takes the callback back: it is not called any more. Idempotent. */
  cancel(): void {
    this.callback = null;
    this.args = NO_ARGUMENTS;
  }

  cancelled(): boolean {
    return this.callback === null;
  }

  /** The context that the callback runs in. */
  getContext(): Context {
    return this.context;
  }

  /** @internal */
  get isSkipped(): boolean {
    return this.callback === null;
  }

  /** @internal */
  run(): void {
    const callback = this.callback!;
    try {
      const outer = enterContext(this.context);
      try {
        callback(...this.args);
      } finally {
        leaveContext(outer);
      }
    } catch (exception) {
      if (endsProgram(exception)) throw exception;
      this.loop.callExceptionHandler({
        message: `exception in callback ${nameOf(callback)}`,
        exception,
        handle: this,
        ...(this.sourceTraceback === undefined ? {} : { sourceTraceback: this.sourceTraceback }),
      });
    }
  }

  /** @internal */
  describe(): string {
    const made = this.sourceTraceback?.split("\n")[0]?.trim();
    return `<${this.constructor.name} ${this.callback === null ? "cancelled" : nameOf(this.callback)}${made === undefined ? "" : ` created ${made}`}>`;
  }

  toString(): string {
    return this.describe();
  }
}

/** A loop that can take its timers back. @package */
export interface TimerLoop extends FutureLoop {
  removeTimer(timer: TimerHandle): void;
}

/** Returned by `callLater` and `callAt`. */
export class TimerHandle extends Handle {
  /** Place among the timers. @internal */
  heapIndex = -1;
  readonly #when: number;
  readonly #timers: TimerLoop;

  /** @internal */
  constructor(when: number, loop: TimerLoop, callback: Callback, args: readonly unknown[], context: Context | null) {
    super(loop, callback, args, context);
    this.#when = when;
    this.#timers = loop;
  }

  /** When it is due, in seconds of the loop's clock. */
  when(): number {
    return this.#when;
  }

  override cancel(): void {
    super.cancel();
    this.#timers.removeTimer(this);
  }
}

function nameOf(callback: Callback): string {
  return callback.name === "" ? "(anonymous)" : callback.name;
}
