/**
 * A point where a number of tasks wait for each other.
 *
 * `filling` until the last one has come; `draining` until all have gone on, who comes meanwhile waits for that; `resetting`
 * while those inside are sent out with an error; `broken` once it was aborted, for good or until `reset`. A task that is cancelled
 * while it waits leaves; the others wait for another one.
 */
import { describeValue, UsageError } from "../core/index.ts";
import { Condition } from "./condition.ts";
import { BrokenBarrierError, ValueError } from "./errors.ts";
import type { Awaitable, Coroutine } from "./future.ts";

type BarrierState = "filling" | "draining" | "resetting" | "broken";

/**
 * @example
 * const start = new Barrier(3);
 * yield* start.wait(); // in three tasks; all go on together
 */
export class Barrier {
  /** How many tasks it takes. */
  readonly parties: number;
  readonly #changed = new Condition();
  #state: BarrierState = "filling";
  /** Tasks inside. */
  #count = 0;

  /** @throws {ValueError} when `parties` is less than 1. */
  constructor(parties: number) {
    if (!Number.isInteger(parties))
      throw new UsageError(`a barrier takes a whole number of parties, got ${describeValue(parties)}`);
    if (parties < 1) throw new ValueError(`a barrier takes at least 1 party, got ${parties}`);
    this.parties = parties;
  }

  /** How many wait for the others. */
  get nWaiting(): number {
    return this.#state === "filling" ? this.#count : 0;
  }

  /** Whether it was aborted. */
  get broken(): boolean {
    return this.#state === "broken";
  }

  /**
   * Waits for the others.
   * @returns 0 for the first who came, up to `parties - 1` for the last.
   * @throws {BrokenBarrierError} when it is broken, or is reset or aborted meanwhile.
   */
  wait(): Coroutine<number> {
    return this.#changed.with(() => this.#pass());
  }

  /** Waits for the others, then runs `body` with the place in the line; Python's `async with`. */
  *with<T>(body: (index: number) => Awaitable<T>): Coroutine<T> {
    return yield* body(yield* this.wait());
  }

  /** Back to the beginning; those who wait get `BrokenBarrierError`. */
  reset(): Coroutine<void> {
    return this.#change(() => {
      this.#state = this.#count > 0 ? "resetting" : "filling";
    });
  }

  /** Breaks it: those who wait, and who come from now on, get `BrokenBarrierError`. */
  abort(): Coroutine<void> {
    return this.#change(() => {
      this.#state = "broken";
    });
  }

  toString(): string {
    return `<Barrier ${this.#state} waiters:${this.nWaiting}/${this.parties}>`;
  }

  *#change(set: () => void): Coroutine<void> {
    yield* this.#changed.acquire();
    try {
      set();
      this.#changed.notifyAll();
    } finally {
      this.#changed.release();
    }
  }

  *#pass(): Coroutine<number> {
    yield* this.#changed.waitFor(() => this.#state !== "draining" && this.#state !== "resetting");
    if (this.#state === "broken") throw new BrokenBarrierError("the barrier was aborted");
    const index = this.#count++;
    try {
      if (index + 1 === this.parties) {
        this.#state = "draining";
        this.#changed.notifyAll();
      } else yield* this.#waitForOthers();
      return index;
    } finally {
      this.#count--;
      this.#leave();
    }
  }

  *#waitForOthers(): Coroutine<void> {
    yield* this.#changed.waitFor(() => this.#state !== "filling");
    if (this.#state === "broken" || this.#state === "resetting") {
      throw new BrokenBarrierError("the barrier was aborted or reset");
    }
  }

  /** The last one out opens it again. */
  #leave(): void {
    if (this.#count > 0) return;
    if (this.#state === "resetting" || this.#state === "draining") this.#state = "filling";
    this.#changed.notifyAll();
  }
}
