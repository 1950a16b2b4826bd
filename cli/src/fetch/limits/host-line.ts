/**
 * One host as the queue sees it: who waits for it, how many are under way, and when it may be asked again.
 */
import type { Handle } from "fibril";
import type { AdaptiveLimit } from "./adaptive-limit.ts";
import { Pace } from "./pace.ts";

/** A list that is taken from the front; `shift` of a long array moves all of it. */
const MOST_EMPTY = 256;

export class HostLine<Item> {
  readonly origin: string;
  pace: Pace | null;
  readonly adaptive: AdaptiveLimit | null;
  taken = 0;
  held = 0;
  /** Times in a row that the host asked for less. */
  strikes = 0;
  /** When it last asked for less; requests that began before that say nothing new. */
  struckAt: number = -Infinity;
  /** After it asked for less it is tried carefully: so many at once, one more with every answer. */
  careful: number = Infinity;
  /** Wakes the line when the pace allows the next one. */
  nap: Handle | null = null;
  #items: Item[] = [];
  #first = 0;

  constructor(origin: string, ratePerSecond: number, adaptive: AdaptiveLimit | null) {
    this.origin = origin;
    this.pace = ratePerSecond === Infinity ? null : new Pace(ratePerSecond);
    this.adaptive = adaptive;
  }

  get waiting(): number {
    return this.#items.length - this.#first;
  }

  get isIdle(): boolean {
    return this.waiting === 0 && this.taken === 0 && this.held === 0;
  }

  /** Whether nothing would be lost by forgetting it. */
  isForgettable(now: number): boolean {
    return this.adaptive === null && this.strikes === 0 && (this.pace === null || this.pace.nextAt <= now);
  }

  get limit(): number {
    return Math.min(this.adaptive?.limit ?? Infinity, Math.floor(this.careful));
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  shift(): Item {
    const item = this.#items[this.#first]!;
    this.#items[this.#first++] = undefined as Item;
    if (this.#first === this.#items.length || this.#first >= MOST_EMPTY) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }
}
