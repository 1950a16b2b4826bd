/**
 * A gate that opens, once and for all, when a number of things have happened.
 */
import { QueuedWait, UsageError, WaitQueue } from "../core/index.ts";
import type { Operation, Started, Waiter } from "../core/index.ts";
import { checkCount, isExternal, nameIn, titleOf } from "./naming.ts";
import type { SignalOptions } from "./naming.ts";

export interface LatchStatistics {
  readonly name: string;
  /** How many things are still to happen; 0 when it is open. */
  readonly count: number;
  /** How many tasks wait for it. */
  readonly waiting: number;
}

/**
 * @example
 * const loaded = new Latch(files.length, { name: "files loaded" });
 * for (const file of files) spawn(function* () { yield* load(file); loaded.countDown() });
 * yield* loaded.wait();
 */
export class Latch {
  readonly name: string;
  /** Whether something outside the loop will count it down. */
  readonly external: boolean;
  readonly #line: WaitQueue<void, LatchWait> = new WaitQueue();
  #count: number;

  /**
   * @param count How many things have to happen; with 0 it is open from the start.
   * @throws {UsageError} when `count` is not a whole number of at least 0.
   */
  constructor(count: number, options: SignalOptions = {}) {
    this.name = nameIn("latch", options);
    this.external = isExternal("latch", options);
    checkCount(`the count of ${titleOf("latch", this.name)}`, count, 0);
    this.#count = count;
  }

  /** How many things are still to happen. */
  get count(): number {
    return this.#count;
  }

  /** Whether nothing is left to wait for. */
  get isOpen(): boolean {
    return this.#count === 0;
  }

  /**
   * Says that `count` of the things have happened. The last one wakes all who wait.
   * @throws {UsageError} when that is more than are left (`LATCH_OVERRUN`): something was counted twice. Nothing changes then.
   */
  countDown(count = 1): void {
    checkCount("countDown takes a number of things that happened: it", count, 1);
    if (count > this.#count) {
      throw new UsageError(
        `${titleOf("latch", this.name)} was counted down by ${count} with ${this.#count} left; ` +
          "count each thing once, or make the latch with a larger count",
        "LATCH_OVERRUN",
      );
    }
    this.#count -= count;
    if (this.#count === 0) this.#line.unpark(Infinity);
  }

  /**
   * Waits until the count is 0; goes on at once when it is. Cancelling leaves the latch as it is.
   * @example
   * yield* latch.wait();
   */
  wait(): Operation<void> {
    return new LatchWait(this, this.#line);
  }

  statistics(): LatchStatistics {
    return Object.freeze({ name: this.name, count: this.#count, waiting: this.#line.size });
  }
}

class LatchWait extends QueuedWait<void> {
  private readonly latch: Latch;

  constructor(latch: Latch, line: WaitQueue<void, LatchWait>) {
    super(line);
    this.latch = latch;
  }

  get reason(): string {
    return `${titleOf("latch", this.latch.name)} (${this.latch.count} to go)`;
  }

  override get external(): boolean {
    return this.latch.external;
  }

  protected attempt(task: Waiter): Started<void> | null {
    return this.latch.isOpen ? task.complete(this, undefined) : null;
  }
}
