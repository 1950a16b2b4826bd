/**
 * The ready queue against an array. Long bursts, because the inside of the queue is cut into pieces.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { FifoQueue } from "../../src/data/fifo-queue.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

interface Item {
  readonly id: number;
}

const command = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("visit" as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("push" as const), count: fc.integer({ min: 1, max: 700 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("shift" as const), count: fc.integer({ min: 1, max: 900 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("takeAt" as const),
      at: fc.integer({ min: 0, max: 100 }).map((n) => n / 100),
    }),
  },
);

test(
  "law: a FIFO queue gives what an array would give, in the same order",
  () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 30, size: "max" }), (commands) => {
        const buffer = new FifoQueue<Item>();
        const model: Item[] = [];
        let id = 0;
        let visited = 0; // everything below this number
        let takenAt = 0;
        for (const it of commands) {
          if (it.kind === "push") {
            for (let i = 0; i < it.count; i++) {
              const item = { id: id++ };
              buffer.push(item);
              model.push(item);
            }
          } else if (it.kind === "shift") {
            for (let i = 0; i < it.count; i++) {
              const taken = buffer.shift();
              if (taken !== model.shift()) throw new Error(`shift gave ${taken?.id}`);
            }
          } else if (it.kind === "visit") {
            const seen: Item[] = [];
            buffer.visitNew((item) => seen.push(item));
            const old = seen.findIndex((item) => item.id >= visited);
            expect(seen.slice(old < 0 ? seen.length : old)).toEqual(model.filter((item) => item.id >= visited));
            expect(old < 0 ? seen.length : old).toBeLessThanOrEqual(takenAt); // one for each `takeAt`
            takenAt = 0;
            visited = id;
          } else {
            const index = Math.floor(it.at * model.length);
            takenAt++;
            if (buffer.takeAt(index) !== model.splice(index, 1)[0]) throw new Error(`takeAt(${index}) gave another`);
          }
          expect(buffer.size).toBe(model.length);
        }
        expect(Array.from(model, () => buffer.shift())).toEqual(model);
        expect(buffer.shift()).toBeUndefined();
        expect(buffer.size).toBe(0);
      }),
      runs(60),
    );
  },
  LAW_TIMEOUT_MS,
);
