/**
 * The deadline of a job, when the process stands still for a moment at any place between its submission and its end. The copy of the deadline
 * that goes with the job may have passed first then; whoever has set it must hear of a time-out all the same.
 */
import { run, TimeoutError, use } from "fibril";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { InlineExecutor, MemoryEngine } from "../../src/executors/index.ts";
import type { Executor } from "../../src/executors/index.ts";
import { add, nap } from "./jobs.ts";
import { servedBy } from "./queue/served.ts";
import { thrownIn } from "./threads.ts";

const MOST_LOOKS = 60; // at the clock, in the life of such a job
const STANDSTILL_MS = 90; // longer than what the copy is given in addition

// oxlint-disable-next-line no-restricted-properties -- the clock itself is what jumps here
const realNow = performance.now.bind(performance);
let looksLeft = -1;
let aheadMs = 0;
// The clock of the process itself: with one of its own, a loop looks for timers in every turn, and theirs is another order.
beforeAll(() => {
  vi.spyOn(performance, "now").mockImplementation(() => {
    if (looksLeft >= 0 && looksLeft-- === 0) aheadMs += STANDSTILL_MS;
    return realNow() + aheadMs;
  });
});
afterAll(() => {
  vi.restoreAllMocks();
});

for (const [kind, open] of Object.entries({
  "in process": () => new InlineExecutor({ concurrency: 1 }),
  "by a queue": () => servedBy(() => new MemoryEngine())(1),
} satisfies Record<string, () => Executor & AsyncDisposable>)) {
  test(`a deadline that passes while the process stands still is a time-out, ${kind}`, async () => {
    for (let look = 0; look < 2 * MOST_LOOKS; look++) {
      await run(
        function* () {
          const executor = yield* use(open());
          yield* executor.call(add, 1, 2);
          looksLeft = look >> 1;
          const failure = yield* thrownIn(function* () {
            if (look % 2 === 0) yield* executor.call({ deadlineMs: 5 }, nap, 60_000);
            else yield* yield* executor.submit({ deadlineMs: 5 }, nap, 60_000);
          });
          looksLeft = -1;
          expect([look, failure]).toEqual([look, expect.any(TimeoutError)]);
        },
        { onReport: () => {} },
      );
    }
  });
}
