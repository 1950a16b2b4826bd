/**
 * The contest that the first success decides: `any`, and `hedge`, which starts its operands one after the other.
 */
import type { Outcome } from "../core/index.ts";
import { Contest } from "./contest.ts";
import type { Entrant } from "./contest.ts";
import { AllFailedError } from "./errors.ts";

export class FirstSuccess extends Contest {
  value: unknown = undefined;
  readonly #total: number;
  readonly #errors: unknown[] = [];
  #failed = 0;

  /** @param total How many operands there will be: when so many have failed, it has failed. */
  constructor(what: string, total: number) {
    super(what);
    this.#total = total;
  }

  protected arrived(entrant: Entrant, outcome: Outcome<unknown>): void {
    if (outcome.status === "succeeded") {
      this.value = outcome.value;
      this.decide();
      return;
    }
    this.#errors[entrant.index] = entrant.task.failure();
    this.#failed++;
    if (this.#failed === this.#total) this.scope.fail(new AllFailedError(this.what, this.#errors));
    else if (entrant.index === this.entrants.length - 1) this.call(); // the newest: the next one may start
  }
}
