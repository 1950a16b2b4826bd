// Tests without sleeping: virtual time, and a sweep that cancels the program at every step it has.
import { currentScope, sleep } from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep, simulate, simulateSync } from "fibril/testing";

function* borrow(pool: { free: number }): Coroutine<void> {
  pool.free--;
  currentScope().defer(() => void pool.free++); // in the same step: nothing can come between
  yield* sleep(60_000);
}

console.log(await simulate(() => sleep(3_600_000)), "after an hour that took no time");
console.log(simulateSync(() => borrow({ free: 3 })).elapsedMs, "virtual milliseconds");

const sweep = cancelSweep(() => {
  const pool = { free: 3 };
  return {
    main: () => borrow(pool),
    check: () => {
      if (pool.free !== 3) throw new Error(`${3 - pool.free} were not given back`);
    },
  };
});
console.log(`cancelled at ${sweep.runs} moments, nothing was lost`);

// prints:
// undefined after an hour that took no time
// 60000 virtual milliseconds
// cancelled at 3 moments, nothing was lost
