/**
 * Stops calling what has failed too often, and finds out carefully whether it has recovered.
 *
 *     closed ──too many failures──▶ open ──openMs have passed, next call──▶ half-open
 *        ▲                           ▲                                        │  │
 *        │                           └──────────────a trial fails─────────────┘  │
 *        └───────────────────────────────a trial succeeds────────────────────────┘
 *
 * Invariants: a call's end counts only in the state in which the call began, so stragglers from before cannot close or open
 * anything; a trial's place is given back however the trial ends; a cancelled call has no verdict, since it says nothing about the
 * other side.
 *
 * There is no timer: an open breaker becomes half-open when somebody comes after its time. So it keeps no process
 * alive, and needs no scope.
 * Source: Nygard, "Release It!"; the counting (a least number *and* a ratio within a rolling window) as in Hystrix and Polly: a number
 * alone opens for 0.1 % of failures where traffic is high, a ratio alone for one failure where it is low.
 */
import { Cancelled, currentTask, EventLoop, InternalError, running, toOperation } from "../core/index.ts";
import type { Body, Coroutine, LoopPort } from "../core/index.ts";
import { CircuitOpenError } from "./errors.ts";
import { checkNumber } from "./limits.ts";
import { RollingCount } from "./rolling-count.ts";

export type CircuitState = "closed" | "open" | "half-open";

/** From each state, the states that may follow. */
export const CIRCUIT_TRANSITIONS: Readonly<Record<CircuitState, readonly CircuitState[]>> = {
  closed: ["open"],
  open: ["half-open", "closed"], // closed: by reset()
  "half-open": ["closed", "open"],
};

export interface CircuitStateChange {
  readonly from: CircuitState;
  readonly to: CircuitState;
  /** In milliseconds of the loop's clock. */
  readonly at: number;
}

export interface CircuitBreakerOptions {
  /** How many failures in the window open it, if `ratio` is reached too. Default: 5. */
  readonly failures?: number;
  /** Which part of the calls in the window has to have failed, from 0 to 1. 0: the number alone decides. Default: 0.5. */
  readonly ratio?: number;
  /** The window, in milliseconds; it moves in tenths. Default: 10,000. */
  readonly windowMs?: number;
  /** How long it stays open before a call is tried. Default: 30,000. */
  readonly openMs?: number;
  /** How many trial calls may go on at the same time while it is half-open. Default: 1. */
  readonly halfOpenMax?: number;
  /**
   * Whether an error is a failure of the other side. An error that is none counts as success: it has answered. `undefined`: it says
   * nothing about the other side, as a cancellation. Default: all are.
   */
  readonly isFailure?: (error: unknown) => boolean | undefined;
  /** Called after each change of state. What it throws is reported by the loop. */
  readonly onStateChange?: (change: CircuitStateChange) => void;
  /** Default: `"circuit breaker"`. */
  readonly name?: string;
}

/** Counts of one breaker, at one moment. All but those of the window are since it was made. */
export interface CircuitBreakerStatistics {
  readonly state: CircuitState;
  readonly succeeded: number;
  readonly failed: number;
  /** Calls that were cancelled, or have ended in a way that says nothing about the other side. */
  readonly cancelled: number;
  /** Calls that were not made, because it was open. */
  readonly refused: number;
  /** How many times it has opened. */
  readonly opened: number;
  /** Trial calls that go on now. */
  readonly trials: number;
  readonly callsInWindow: number;
  readonly failuresInWindow: number;
}

type Verdict = "success" | "failure" | "none";

/** What a state has to remember. */
type Circuit =
  | { readonly state: "closed" }
  | { readonly state: "open"; readonly until: number }
  | { readonly state: "half-open"; trials: number };

/**
 * Put timeouts inside: `breaker.use(() => timeout(1_000, call()))` counts a call that takes too long as a failure, while
 * `timeout(1_000, breaker.use(call))` cancels it, which counts as nothing.
 *
 * @throws {UsageError} when an option is not a number as described.
 * @example
 * const breaker = new CircuitBreaker({ failures: 5, openMs: 10_000, name: "payments" });
 * const receipt = yield* breaker.use(() => timeout(2_000, pay(order)));
 */
export class CircuitBreaker {
  readonly name: string;
  readonly #least: number;
  readonly #ratio: number;
  readonly #openMs: number;
  readonly #halfOpenMax: number;
  readonly #isFailure: (error: unknown) => boolean | undefined;
  readonly #onStateChange: ((change: CircuitStateChange) => void) | undefined;
  readonly #window: RollingCount;
  /** A new object for each state that it enters: a call remembers the one in which it began. */
  #circuit: Circuit = { state: "closed" };
  #succeeded = 0;
  #failed = 0;
  #cancelled = 0;
  #refused = 0;
  #opened = 0;
  /** The loop that was last seen, for calls from plain code. */
  #loop: LoopPort | null = null;

  constructor(options: CircuitBreakerOptions = {}) {
    const { failures = 5, ratio = 0.5, windowMs = 10_000, openMs = 30_000, halfOpenMax = 1 } = options;
    const { name = "circuit breaker", isFailure = (): boolean => true } = options;
    checkNumber(`\`failures\` of "${name}"`, failures, { least: 1, whole: true });
    checkNumber(`\`ratio\` of "${name}"`, ratio, { least: 0, most: 1 });
    checkNumber(`\`windowMs\` of "${name}"`, windowMs, { least: 0, above: true });
    checkNumber(`\`openMs\` of "${name}"`, openMs, { least: 0 });
    checkNumber(`\`halfOpenMax\` of "${name}"`, halfOpenMax, { least: 1, whole: true });
    this.name = name;
    this.#least = failures;
    this.#ratio = ratio;
    this.#openMs = openMs;
    this.#halfOpenMax = halfOpenMax;
    this.#isFailure = isFailure;
    this.#onStateChange = options.onStateChange;
    this.#window = new RollingCount(windowMs);
  }

  /** An open breaker whose time has passed is still "open": the next call makes it half-open. */
  get state(): CircuitState {
    return this.#circuit.state;
  }

  /**
   * Runs `body`, unless the circuit is open, and watches how it ends.
   *
   * A cancelled call counts neither as success nor as failure, and a trial gives its place back.
   * @throws {CircuitOpenError} when the call was not made; at once, nothing waits here.
   * @throws what `body` throws, as it is.
   */
  *use<T>(body: Body<T>): Coroutine<T> {
    const began = this.#admit(EventLoop.current());
    const self = currentTask();
    const held = self.unwinding;
    let verdict: Verdict = "none";
    try {
      const value = yield* toOperation(body);
      verdict = "success";
      return value;
    } catch (error) {
      // What the cleanup of a cancelled call throws says nothing about the other side either.
      if (!(error instanceof Cancelled) && self.unwinding === held) {
        verdict = "failure"; // also when `isFailure` throws
        const isFailure = this.#isFailure(error);
        if (isFailure !== true) verdict = isFailure === undefined ? "none" : "success";
      }
      throw error;
    } finally {
      this.#end(began, verdict);
    }
  }

  /**
   * Opens it by hand, for `openMs` milliseconds: by default as long as the breaker does; `Infinity` until `reset()`.
   * An open one stays open for that long from now.
   * @throws {UsageError} when `openMs` is not a number from 0 on, or when no loop has used the breaker yet and none runs.
   */
  trip(openMs: number = this.#openMs): void {
    checkNumber(`the time for which "${this.name}" is tripped`, openMs, { least: 0, infinite: true });
    const now = this.#clock().now();
    const open = { state: "open", until: now + openMs } as const;
    if (this.#circuit.state === "open") this.#circuit = open;
    else this.#become(open, now);
  }

  /** Closes it by hand and forgets the failures. Calls that go on do not count any more. */
  reset(): void {
    this.#window.clear();
    if (this.#circuit.state === "closed") this.#circuit = { state: "closed" };
    else this.#become({ state: "closed" }, this.#clock().now());
  }

  statistics(): CircuitBreakerStatistics {
    const now = (running.loop ?? this.#loop)?.now();
    const circuit = this.#circuit;
    return Object.freeze({
      state: circuit.state,
      succeeded: this.#succeeded,
      failed: this.#failed,
      cancelled: this.#cancelled,
      refused: this.#refused,
      opened: this.#opened,
      trials: circuit.state === "half-open" ? circuit.trials : 0,
      callsInWindow: now === undefined ? 0 : this.#window.calls(now),
      failuresInWindow: now === undefined ? 0 : this.#window.failures(now),
    });
  }

  #admit(loop: LoopPort): Circuit {
    this.#loop = loop;
    const now = loop.now();
    if (this.#circuit.state === "open") {
      const { until } = this.#circuit;
      if (now < until) throw this.#refusal(until, now);
      this.#become({ state: "half-open", trials: 0 }, now);
    }
    const circuit = this.#circuit;
    if (circuit.state === "open") throw this.#refusal(circuit.until, now); // `onStateChange` has tripped it again
    if (circuit.state === "half-open") {
      if (circuit.trials >= this.#halfOpenMax) throw this.#refusal(now, now);
      circuit.trials++;
    }
    return circuit;
  }

  #refusal(retryAt: number, now: number): CircuitOpenError {
    this.#refused++;
    return new CircuitOpenError(this.name, retryAt, retryAt - now);
  }

  #end(began: Circuit, verdict: Verdict): void {
    if (verdict === "success") this.#succeeded++;
    else if (verdict === "failure") this.#failed++;
    else this.#cancelled++;
    if (began.state === "half-open") began.trials--;
    if (began !== this.#circuit || verdict === "none") return;
    const now = this.#clock().now();
    if (began.state === "half-open") {
      if (verdict === "failure") this.#open(now);
      else this.#become({ state: "closed" }, now);
      return;
    }
    this.#window.add(now, verdict === "failure");
    if (verdict === "failure" && this.#isTooMuch(now)) this.#open(now);
  }

  #isTooMuch(now: number): boolean {
    const failures = this.#window.failures(now);
    return failures >= this.#least && failures / this.#window.calls(now) >= this.#ratio;
  }

  #open(now: number): void {
    this.#become({ state: "open", until: now + this.#openMs }, now);
  }

  #become(next: Circuit, now: number): void {
    const from = this.#circuit.state;
    if (!CIRCUIT_TRANSITIONS[from].includes(next.state)) {
      throw new InternalError(`circuit breaker "${this.name}" cannot go from ${from} to ${next.state}`);
    }
    this.#circuit = next;
    this.#window.clear();
    if (next.state === "open") this.#opened++;
    if (this.#onStateChange === undefined) return;
    try {
      this.#onStateChange({ from, to: next.state, at: now });
    } catch (error) {
      const message = `onStateChange of circuit breaker "${this.name}" threw:`;
      this.#clock().report({ kind: "callback-failed", message, error });
    }
  }

  #clock(): LoopPort {
    return running.loop ?? this.#loop ?? EventLoop.current();
  }
}
