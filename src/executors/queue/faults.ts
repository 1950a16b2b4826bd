/**
 * What can be made to go wrong in a `MemoryEngine`, and the dice for it.
 */
import { UsageError } from "../../core/index.ts";
import { checkMs } from "../checks.ts";

/** Probabilities are numbers from 0 to 1; each defaults to 0. */
export interface EngineFaults {
  /** That a job which is claimed is delivered a second time while it runs. */
  readonly duplicate?: number;
  /** That a job which is claimed is another one than the next in line. */
  readonly reorder?: number;
  /** That a push (an outcome, progress, a request to cancel) is lost. */
  readonly dropPush?: number;
  /** That the push of an outcome is lost. */
  readonly dropOutcome?: number;
  /** That a push comes twice. */
  readonly repeatPush?: number;
  /** How late a push may come, in milliseconds, at random up to this. Later ones may overtake it. */
  readonly delayPushMs?: number;
  /** How late a job may be ready after it was put in line, in milliseconds, at random up to this. */
  readonly delayJobMs?: number;
}

export class Dice {
  readonly faults: Required<EngineFaults>;
  readonly #random: () => number;

  constructor(faults: EngineFaults, random: () => number) {
    const { duplicate = 0, reorder = 0, dropPush = 0, dropOutcome = 0, repeatPush = 0 } = faults;
    const { delayPushMs = 0, delayJobMs = 0 } = faults;
    for (const [name, value] of Object.entries({ duplicate, reorder, dropPush, dropOutcome, repeatPush })) {
      if (value >= 0 && value <= 1) continue;
      throw new UsageError(`the fault "${name}" must be a probability from 0 to 1, got ${value}`);
    }
    checkMs("delayPushMs", delayPushMs);
    checkMs("delayJobMs", delayJobMs);
    this.faults = { duplicate, reorder, dropPush, dropOutcome, repeatPush, delayPushMs, delayJobMs };
    this.#random = random;
  }

  /** Whether it happens now. Without the fault no number is drawn, so other ones stay as they are. */
  throws(name: "duplicate" | "reorder" | "dropPush" | "dropOutcome" | "repeatPush"): boolean {
    const probability = this.faults[name];
    return probability > 0 && this.#random() < probability;
  }

  upTo(limit: number): number {
    return limit === 0 ? 0 : this.#random() * limit;
  }
}
