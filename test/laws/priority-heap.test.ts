/**
 * The priority heap against an array that is sorted at every step.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { PriorityHeap } from "../../src/data/priority-heap.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

interface Item {
  readonly id: number;
  readonly rank: number;
}

const command = fc.oneof(
  { weight: 3, arbitrary: fc.record({ rank: fc.nat({ max: 5 }), failsAt: fc.option(fc.nat({ max: 4 })) }) },
  { weight: 2, arbitrary: fc.record({ rank: fc.constant(null), failsAt: fc.option(fc.nat({ max: 4 })) }) },
);

test(
  "law: a priority heap gives the least, the oldest of equals, and is what it was when the comparison threw",
  () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 200, size: "max" }), (commands) => {
        let left = Infinity;
        const heap = new PriorityHeap<Item>((a, b) => {
          if (left-- === 0) throw new Error("no comparison");
          return a.rank - b.rank;
        });
        const model: Item[] = [];
        for (const [id, { rank, failsAt }] of commands.entries()) {
          left = failsAt ?? Infinity;
          const expected = model[0];
          try {
            if (rank === null) {
              expect(heap.shift()).toBe(expected);
              model.shift();
            } else {
              const item = { id, rank };
              heap.push(item);
              model.push(item);
              model.sort((a, b) => a.rank - b.rank || a.id - b.id);
            }
          } catch (error) {
            if ((error as Error).message !== "no comparison") throw error;
          }
          expect(heap.size).toBe(model.length);
          left = Infinity;
        }
        expect(Array.from(model, () => heap.shift())).toEqual(model);
        expect([heap.shift(), heap.size]).toEqual([undefined, 0]);
      }),
      runs(200),
    );
  },
  LAW_TIMEOUT_MS,
);
