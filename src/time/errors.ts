/**
 * What can go wrong with time, beside `TimeoutError`, which the kernel has.
 */
import { FibrilError } from "../core/index.ts";

/** A circuit breaker let the call not through: what it protects has failed too often. Code: `CIRCUIT_OPEN`. */
export class CircuitOpenError extends FibrilError {
  /** When it may be tried again, in milliseconds of the loop's clock; `Infinity` until `reset()`. */
  readonly retryAt: number;
  /** The same from now on, in milliseconds: `retry` waits at least that long. */
  readonly retryAfterMs: number;

  constructor(breaker: string, retryAt: number, retryAfterMs: number) {
    const advice =
      retryAfterMs === Infinity
        ? "call reset() to close it"
        : retryAfterMs > 0
          ? `try again in ${Math.ceil(retryAfterMs)} ms`
          : "a trial call is going on; try again when it has ended";
    super("CIRCUIT_OPEN", `circuit breaker "${breaker}" is open, the call was not made; ${advice}`);
    this.retryAt = retryAt;
    this.retryAfterMs = retryAfterMs;
  }
}
