/**
 * A place where a fixed number of tasks wait for each other, round after round.
 *
 * The last one to come opens it for all of that round in one step, and the next round begins: nobody of the next round can
 * mix with this one, since all who leave are out of the line before anyone runs.
 *
 * A waiter that is cancelled leaves as if it had not come; the others go on waiting for one more. Rejected: breaking the
 * barrier then (threads of Java and Python do): a timeout of one task would fail all the others. Who knows that a party will
 * never come says so with `abort()`.
 */
import { QueuedWait, UsageError, WaitQueue } from "../core/index.ts";
import type { Operation, Started, Waiter } from "../core/index.ts";
import { BrokenBarrierError } from "./errors.ts";
import { checkCount, nameIn, titleOf } from "./naming.ts";
import type { NameOptions } from "./naming.ts";

export interface BarrierStatistics {
  readonly name: string;
  /** How many tasks make a round. */
  readonly parties: number;
  /** How many of this round have come. */
  readonly waiting: number;
  /** How many rounds were completed. */
  readonly rounds: number;
  readonly isBroken: boolean;
}

/**
 * @example
 * const barrier = new Barrier(workers.length, { name: "frame" });
 * for (const worker of workers) spawn(function* () {
 *   for (;;) { yield* worker.compute(); if ((yield* barrier.wait()) === 0) swapBuffers() }
 * });
 */
export class Barrier {
  readonly name: string;
  /** How many tasks make a round. */
  readonly parties: number;
  readonly #line: WaitQueue<number, BarrierWait> = new WaitQueue();
  #rounds = 0;
  #isBroken = false;

  /** @throws {UsageError} when `parties` is not a whole number of at least 1. */
  constructor(parties: number, options: NameOptions = {}) {
    this.name = nameIn("barrier", options);
    checkCount(`the parties of ${titleOf("barrier", this.name)}`, parties, 1);
    this.parties = parties;
  }

  /** How many of this round have come. */
  get waiting(): number {
    return this.#line.size;
  }

  /** Whether it was aborted, and not reset since. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /**
   * Waits until all parties of the round have come. Gives the place of this task in the order of coming, 0 to `parties` - 1.
   *
   * Cancelling is as if the task had not come: those behind it move up, and the round needs one more.
   * @throws {BrokenBarrierError} when it is aborted, or is reset or aborted while the task waits.
   * @throws {UsageError} when the task waits at it already, in another arm of a `select`: it cannot be two parties.
   * @example
   * const place = yield* barrier.wait();
   */
  wait(): Operation<number> {
    return new BarrierWait(this, this.#line);
  }

  /** Breaks the barrier: those who wait and those who come get `BrokenBarrierError`, until `reset()`. */
  abort(): void {
    this.#isBroken = true;
    this.#failAll(false);
  }

  /** Begins a new round on a barrier that is whole. Those who wait get `BrokenBarrierError`. */
  reset(): void {
    this.#isBroken = false;
    this.#failAll(true);
  }

  statistics(): BarrierStatistics {
    const { name, parties, waiting } = this;
    return Object.freeze({ name, parties, waiting, rounds: this.#rounds, isBroken: this.#isBroken });
  }

  /** @internal */
  arrive(wait: BarrierWait, task: Waiter): Started<number> | null {
    if (this.#isBroken) return task.fail(wait, new BrokenBarrierError(titleOf("barrier", this.name), false));
    // Only an arm of a `select` can belong to a task that waits here already.
    if (task !== task.task && this.#hasCome(task.task)) return task.fail(wait, twoParties(this.name, task.task.name));
    if (this.#line.size + 1 < this.parties) return null;
    this.#rounds++;
    let place = 0;
    for (let next = this.#line.shift(); next !== null; next = this.#line.shift()) next.end(place++);
    return task.complete(wait, place);
  }

  #hasCome(task: Waiter): boolean {
    for (const wait of this.#line) if (wait.waitingTask === task) return true;
    return false;
  }

  #failAll(wasReset: boolean): void {
    for (let next = this.#line.shift(); next !== null; next = this.#line.shift()) {
      next.fail(new BrokenBarrierError(titleOf("barrier", this.name), wasReset));
    }
  }
}

class BarrierWait extends QueuedWait<number> {
  private readonly barrier: Barrier;

  constructor(barrier: Barrier, line: WaitQueue<number, BarrierWait>) {
    super(line);
    this.barrier = barrier;
  }

  get reason(): string {
    const { name, waiting, parties } = this.barrier;
    return `${titleOf("barrier", name)} (${waiting} of ${parties} have come)`;
  }

  protected attempt(task: Waiter): Started<number> | null {
    return this.barrier.arrive(this, task);
  }
}

function twoParties(barrier: string, task: string): UsageError {
  return new UsageError(
    `task "${task}" waits at ${titleOf("barrier", barrier)} already and cannot be two parties; wait at it once`,
    "BARRIER_TWICE",
  );
}
