/** Looking or sleeping, against worlds in which the one, the other, or neither is worth it. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { BellWatch } from "../../src/executors/thread/bell-watch.ts";

/** Milliseconds until the next order came. */
interface World {
  readonly asleep: number;
  readonly looking: number;
}

const APART: World = { asleep: 0.1, looking: 0.03 };
const TOGETHER: World = { asleep: 0.016, looking: 0.04 };
const BUSY: World = { asleep: 0.1, looking: 0.2 };
const NOW_AND_THEN: World = { asleep: Infinity, looking: Infinity };

/** How many of the turns it looked in. */
function looksIn(watch: BellWatch, { asleep, looking }: World, turns: number): number {
  let looks = 0;
  for (let turn = 0; turn < turns; turn++) {
    const looked = watch.choose();
    if (looked) looks++;
    watch.record(looked, looked ? looking : asleep);
  }
  return looks;
}

test("threads on two cores: it looks", () => {
  expect(looksIn(new BellWatch(), APART, 1_000)).toBeGreaterThan(950);
});

test("threads on one core: it never looks, so the system leaves them there", () => {
  const watch = new BellWatch();
  looksIn(watch, TOGETHER, 16); // it does not know yet
  expect(looksIn(watch, TOGETHER, 1_000)).toBe(0);
});

test("where looking takes longer: it looks in a few turns of a hundred", () => {
  const watch = new BellWatch();
  looksIn(watch, BUSY, 16);
  const looks = looksIn(watch, BUSY, 1_280);
  expect(looks).toBeGreaterThan(0);
  expect(looks).toBeLessThan(1_280 * 0.05);
});

test("where looking gains next to nothing, it sleeps", () => {
  const watch = new BellWatch();
  looksIn(watch, { asleep: 0.1, looking: 0.09 }, 16);
  expect(looksIn(watch, { asleep: 0.1, looking: 0.09 }, 1_280)).toBeLessThan(1_280 * 0.05);
});

test("jobs now and then: it never looks, and at most once when a row of them ends", () => {
  const watch = new BellWatch();
  expect(looksIn(watch, NOW_AND_THEN, 100)).toBe(0);
  looksIn(watch, APART, 200);
  expect(looksIn(watch, NOW_AND_THEN, 100)).toBeLessThanOrEqual(1);
});

test("the system moves a thread to another core: within a few turns it looks, and sleeps again once it is back", () => {
  const watch = new BellWatch();
  looksIn(watch, TOGETHER, 1_000);
  looksIn(watch, APART, 8);
  expect(looksIn(watch, APART, 100)).toBeGreaterThan(90);
  looksIn(watch, { asleep: TOGETHER.asleep, looking: 0.1 }, 256); // until a trial has found out
  expect(looksIn(watch, TOGETHER, 1_000)).toBe(0);
});

test("whatever the two take, it takes hardly longer than the better one, and a trial is the price of it", () => {
  const time = fc.double({ min: 0.001, max: 0.24, noNaN: true });
  fc.assert(
    fc.property(time, time, (asleep, looking) => {
      const watch = new BellWatch();
      looksIn(watch, { asleep, looking }, 64);
      const turns = 1_280;
      const looks = looksIn(watch, { asleep, looking }, turns);
      const took = looks * looking + (turns - looks) * asleep;
      const best = Math.min(asleep, looking);
      const trials = 0.05 * Math.abs(asleep - looking);
      // Looking has to gain a fifth, and below 40 µs nothing is tried.
      expect(took / turns).toBeLessThanOrEqual(Math.max(best * 1.26, 0.041) + trials);
    }),
  );
});
