/**
 * The jobs of a `MemoryEngine`, and the line of those that are ready: higher priority first, then the older one.
 *
 * The line is a sorted list. What comes in belongs at its end nearly always, and what leaves is at its beginning, so places are found by
 * halving, and the beginning is cut off now and then only: 100,000 jobs in line cost no more each than ten do.
 */
import type { Handle } from "../../core/index.ts";
import type { JobOrder, OutcomeRecord } from "./engine.ts";

export type EntryState = "ready" | "delayed" | "running" | "settled";

/** A job as the engine has it. */
export interface Entry {
  readonly order: JobOrder;
  state: EntryState;
  /** Older jobs have smaller ones. */
  readonly number: number;
  /** Since when it may be begun, as far as that was asked for: its time in the queue is counted from there. */
  readonly waitsSince: number;
  /** Whether it stands in line, to be delivered once more, although it runs. */
  isDoubled: boolean;
  delivery: number;
  failures: number;
  refusals: number;
  stalls: number;
  worker: string;
  leasedUntil: number;
  /** Of a delay, or of a lease. */
  timer: Handle | null;
  cancel: { readonly reason: string } | null;
  record: OutcomeRecord | null;
  forgetAt: number;
}

export function newEntry(order: JobOrder, number: number, waitsSince: number): Entry {
  return {
    order,
    state: "ready",
    number,
    waitsSince,
    isDoubled: false,
    delivery: 0,
    failures: 0,
    refusals: 0,
    stalls: 0,
    worker: "",
    leasedUntil: 0,
    timer: null,
    cancel: null,
    record: null,
    forgetAt: Infinity,
  };
}

const MOST_GONE = 1_024;

export class ReadyLine {
  #entries: Entry[] = [];
  /** How many at the beginning have left. */
  #gone = 0;

  get size(): number {
    return this.#entries.length - this.#gone;
  }

  insert(entry: Entry): void {
    this.#entries.splice(this.#placeOf(entry), 0, entry);
  }

  /** Takes the one at a place, from 0. */
  take(place: number): Entry {
    if (place > 0) return this.#entries.splice(this.#gone + place, 1)[0]!;
    const entry = this.#entries[this.#gone]!;
    if (++this.#gone >= MOST_GONE) {
      this.#entries.splice(0, this.#gone);
      this.#gone = 0;
    }
    return entry;
  }

  remove(entry: Entry): void {
    const at = this.#placeOf(entry);
    if (this.#entries[at] === entry) this.#entries.splice(at, 1);
  }

  /** Where it stands, or would. */
  #placeOf(entry: Entry): number {
    let low = this.#gone;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(this.#entries[middle]!, entry)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function isBefore(one: Entry, other: Entry): boolean {
  const byPriority = other.order.priority - one.order.priority;
  return byPriority === 0 ? one.number < other.number : byPriority < 0;
}
