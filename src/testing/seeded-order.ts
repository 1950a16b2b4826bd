/**
 * Random numbers and ready orders that a seed fixes: same seed, same program, same trace.
 */
import type { ReadyOrder } from "../lowlevel.ts";

/**
 * A generator of numbers in [0, 1), the same ones for the same seed.
 * Source: mulberry32 (T. Ettinger), 32 bits of state: enough to vary schedules, of no use for secrets.
 */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Any entry of the turn may run next. A task's own steps stay in order, and so does what a turn is. */
export function seededOrder(seed: number): ReadyOrder {
  const random = seededRandom(seed);
  return { pick: (ready) => Math.floor(random() * ready) };
}

/** The youngest first: the other extreme from the loop's default, and a schedule that finds many bugs by itself. */
export const lastInFirstOut: ReadyOrder = { pick: (ready) => ready - 1 };
