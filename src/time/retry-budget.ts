/**
 * What all callers of one service together may spend on retries.
 *
 * Retries of a service that is down multiply its load just when it can bear the least. Each request pays a fraction of a
 * retry into the budget and each retry takes a whole one out, so that over any time there are at most
 * `reserve + ratio * requests` of them, whatever each caller was allowed.
 *
 * Counted in thousandths, in whole numbers: ten requests at a ratio of 0.1 make exactly one retry.
 * Source: Finagle's `RetryBudget` (deposit, withdraw), without its window: a budget that needs no clock; the thousandths are from gRPC's
 * retry throttling (proposal A6).
 */
import { checkNumber } from "./limits.ts";

export interface RetryBudgetOptions {
  /** Retries for each request, from 0 to 1, in thousandths. Default: 0.1, which is 10 % more load at the worst. */
  readonly ratio?: number;
  /** Retries that are there at first, and the most that are ever saved. Default: 10. */
  readonly reserve?: number;
  /** Default: `"retry budget"`. */
  readonly name?: string;
}

/** Counts of one budget, at one moment. */
export interface RetryBudgetStatistics {
  /** Whole retries that are left. */
  readonly available: number;
  readonly requests: number;
  readonly retries: number;
  /** Retries that it has refused. */
  readonly refused: number;
}

const RETRY = 1_000; // what one costs

/**
 * Shared by many callers of `retry`.
 *
 * @throws {UsageError} when `ratio` is not a number from 0 to 1, or `reserve` not a whole number from 0 on.
 * @example
 * const budget = new RetryBudget({ ratio: 0.2 });
 * yield* retry(load, { attempts: 5, budget });
 */
export class RetryBudget {
  readonly name: string;
  readonly ratio: number;
  readonly reserve: number;
  readonly #deposit: number;
  #balance: number;
  #requests = 0;
  #retries = 0;
  #refused = 0;

  constructor(options: RetryBudgetOptions = {}) {
    const { ratio = 0.1, reserve = 10, name = "retry budget" } = options;
    checkNumber(`the ratio of "${name}"`, ratio, { least: 0, most: 1 });
    checkNumber(`the reserve of "${name}"`, reserve, { least: 0, whole: true });
    this.name = name;
    this.ratio = ratio;
    this.reserve = reserve;
    this.#deposit = Math.floor(ratio * RETRY); // never more than asked
    this.#balance = reserve * RETRY;
  }

  /** Notes a request: the first attempt of one caller. `retry` does it. */
  deposit(): void {
    this.#requests++;
    // What a single request pays is kept even where the reserve is 0.
    const most = Math.max(this.reserve, 1) * RETRY;
    this.#balance = Math.min(Math.max(most, this.#balance), this.#balance + this.#deposit);
  }

  /** Takes one retry, if there is one. `retry` does it. */
  tryWithdraw(): boolean {
    if (this.#balance < RETRY) {
      this.#refused++;
      return false;
    }
    this.#balance -= RETRY;
    this.#retries++;
    return true;
  }

  statistics(): RetryBudgetStatistics {
    return Object.freeze({
      available: Math.floor(this.#balance / RETRY),
      requests: this.#requests,
      retries: this.#retries,
      refused: this.#refused,
    });
  }
}
