import type { Operation } from "../core/index.ts";
import { UsageError } from "../core/index.ts";
import { checkNumber } from "./limits.ts";
import { paced } from "./paced-calls.ts";
import type { Pace, PacedFunction, PacedOptions } from "./paced-calls.ts";

export interface DebounceOptions extends PacedOptions {
  /** Whether the first call of a burst runs at once. Default: `false`. */
  readonly leading?: boolean;
  /** Whether the latest call of a burst runs when it is over. Default: `true`. */
  readonly trailing?: boolean;
  /** A pending call waits no longer than this, in milliseconds, however many follow. Default: `Infinity`. */
  readonly maxWaitMs?: number;
}

/**
 * A function that runs `fn` once its calls have stopped for `ms` milliseconds, with the arguments of the latest call.
 *
 * Calls return at once and may come from plain code. A pending call and a run are a task of the scope: the current one, or
 * `options.scope`. So the scope does not end before them, cancelling it drops the pending call, and a failure of `fn` fails it. Runs
 * never overlap. A call with `leading` that comes while a run goes on begins when that has ended.
 * @throws {UsageError} when a number does not fit, or outside a coroutine without `options.scope`.
 * @example
 * const save = debounce(300, function* (text: string) { yield* write(path, text) });
 * editor.onChange((text) => save(text));
 * …
 * yield* save.flush();   // now, and wait for it
 */
export function debounce<Args extends readonly unknown[]>(
  ms: number,
  fn: (...args: Args) => Operation<unknown>,
  options: DebounceOptions = {},
): PacedFunction<Args> {
  const { leading = false, trailing = true, maxWaitMs = Infinity } = options;
  checkNumber("the time of debounce", ms, { least: 0 });
  checkNumber("maxWaitMs", maxWaitMs, { least: 0, infinite: true });
  if (!leading && !trailing)
    throw new UsageError("debounce() needs `leading` or `trailing`: else nothing would ever run");
  return paced("debounce", new Quiet(ms, leading, trailing, maxWaitMs), fn, options);
}

/** A call is due when none has followed for a while. */
class Quiet implements Pace {
  readonly #ms: number;
  readonly #leading: boolean;
  readonly #trailing: boolean;
  readonly #maxWaitMs: number;
  #latestCallAt = -Infinity;
  /** When the pending call began to wait. */
  #pendingSince = 0;

  constructor(ms: number, leading: boolean, trailing: boolean, maxWaitMs: number) {
    this.#ms = ms;
    this.#leading = leading;
    this.#trailing = trailing;
    this.#maxWaitMs = maxWaitMs;
  }

  first(now: number): number | "at once" | null {
    const isNewBurst = now >= this.#latestCallAt + this.#ms;
    this.#latestCallAt = this.#pendingSince = now;
    if (this.#leading && isNewBurst) return "at once";
    return this.#trailing ? this.#dueAt(now) : null;
  }

  again(now: number, due: number): number {
    this.#latestCallAt = now;
    // One that was due and waits for the run before it stays due.
    return due <= now ? due : this.#dueAt(now);
  }

  began(): void {}

  #dueAt(now: number): number {
    return Math.min(now + this.#ms, this.#pendingSince + this.#maxWaitMs);
  }
}
