import type { Operation } from "../core/index.ts";
import { UsageError } from "../core/index.ts";
import { checkNumber } from "./limits.ts";
import { paced } from "./paced-calls.ts";
import type { Pace, PacedFunction, PacedOptions } from "./paced-calls.ts";

export interface ThrottleOptions extends PacedOptions {
  /** Whether a call runs at once when none has run for a while. Default: `true`. */
  readonly leading?: boolean;
  /** Whether the latest of the calls that came too early runs when its time has come. Default: `true`. */
  readonly trailing?: boolean;
}

/**
 * A function that runs `fn` at most once in `ms` milliseconds, from begin to begin. Calls that come earlier are one run at the end
 * of that time, with the arguments of the latest; without `trailing` they are left out.
 *
 * Everything else is as with `debounce`: calls return at once, and pending calls and runs are a task of the scope.
 * @throws {UsageError} when `ms` is not a number from 0 on, or outside a coroutine without `options.scope`.
 * @example
 * const report = throttle(1_000, function* (percent: number) { yield* session.post(url, { percent }) });
 * for (const part of parts) { yield* upload(part); report(part.percent); }
 */
export function throttle<Args extends readonly unknown[]>(
  ms: number,
  fn: (...args: Args) => Operation<unknown>,
  options: ThrottleOptions = {},
): PacedFunction<Args> {
  const { leading = true, trailing = true } = options;
  checkNumber("the time of throttle", ms, { least: 0 });
  if (!leading && !trailing)
    throw new UsageError("throttle() needs `leading` or `trailing`: else nothing would ever run");
  return paced("throttle", new Spacing(ms, leading, trailing), fn, options);
}

/** A call is due when the last run began long enough ago. */
class Spacing implements Pace {
  readonly #ms: number;
  readonly #leading: boolean;
  readonly #trailing: boolean;
  #beganAt = -Infinity;

  constructor(ms: number, leading: boolean, trailing: boolean) {
    this.#ms = ms;
    this.#leading = leading;
    this.#trailing = trailing;
  }

  first(now: number): number | "at once" | null {
    const freeAt = this.#beganAt + this.#ms;
    if (now < freeAt) return this.#trailing ? freeAt : null;
    return this.#leading ? "at once" : now + this.#ms;
  }

  again(_now: number, due: number): number {
    return due;
  }

  began(now: number): void {
    this.#beganAt = now;
  }
}
