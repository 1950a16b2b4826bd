/**
 * Time that only moves when nothing can happen without it.
 *
 * A `VirtualHost` keeps the slices and timers of its loops in queues of its own and `drain` works them off in the caller, so
 * a whole program runs in one synchronous call, as often and as fast as a test likes. When every task waits for time,
 * the clock jumps to the next timer; it does not jump while something outside (a promise, a socket) is pending, since
 * nobody could say what comes first.
 */
import type { Clock, Host } from "../core/index.ts";
import { seededRandom } from "./seeded-order.ts";

export class VirtualClock implements Clock {
  #now: number;

  constructor(startMs = 0) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  /** Moves on to `time`, which is never earlier than now. */
  advanceTo(time: number): void {
    if (time > this.#now) this.#now = time;
  }
}

interface VirtualTimer {
  readonly due: number;
  readonly outside: boolean;
  readonly slice: () => void;
}

/** What `drain` came to: everything has run, or something outside has to happen first. */
export type Drained = "idle" | "outside";

export class VirtualHost implements Host {
  readonly #clock: VirtualClock;
  readonly #slices: (() => void)[] = [];
  readonly #timers = new Set<VirtualTimer>();
  readonly #reports: { readonly message: string; readonly error: unknown }[] = [];

  /** The numbers that jitter gets: the same ones in every run. */
  readonly random: () => number;

  /** @param seed Chooses the numbers that `random` gives. */
  constructor(clock: VirtualClock, seed = 0) {
    this.#clock = clock;
    this.random = seededRandom(seed);
  }

  /** What loops without an `onReport` of their own had to say. */
  get reports(): readonly { readonly message: string; readonly error: unknown }[] {
    return this.#reports;
  }

  soon(slice: () => void): void {
    this.#slices.push(slice);
  }

  afterIo(slice: () => void): void {
    this.#slices.push(slice);
  }

  after(delayMs: number, outside: boolean, slice: () => void): unknown {
    const timer: VirtualTimer = { due: this.#clock.now() + delayMs, outside, slice };
    this.#timers.add(timer);
    return timer;
  }

  clear(timer: unknown): void {
    this.#timers.delete(timer as VirtualTimer);
  }

  report(message: string, error: unknown): void {
    this.#reports.push({ message, error });
  }

  /** Runs what there is to run, jumping from timer to timer, until `done` or nothing moves. */
  drain(done: () => boolean = () => false): Drained {
    while (!done()) {
      const slice = this.#slices.shift() ?? this.#jump();
      if (slice === undefined) return this.#timers.size > 0 ? "outside" : "idle";
      slice();
    }
    return "idle";
  }

  #jump(): (() => void) | undefined {
    let next: VirtualTimer | undefined;
    for (const timer of this.#timers) {
      if (timer.outside) return undefined;
      if (next === undefined || timer.due < next.due) next = timer;
    }
    if (next === undefined) return undefined;
    this.#timers.delete(next);
    this.#clock.advanceTo(next.due);
    return next.slice;
  }
}
