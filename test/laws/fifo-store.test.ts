/**
 * The store of channels behaves like a list, at every size: while it is a ring, when it grows, in chunks, and when it is small again.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { FifoStore } from "../../src/channels/fifo-store.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

/** So many are added (positive) or taken (negative) in a row. */
const bursts = fc.array(fc.oneof(fc.integer({ min: -12, max: 12 }), fc.integer({ min: -900, max: 900 })), {
  maxLength: 20,
});

test(
  "what is added comes out in its order, `undefined` too",
  () => {
    fc.assert(
      fc.property(bursts, (program) => {
        const store = new FifoStore<number | undefined>();
        const model: (number | undefined)[] = [];
        let last = 0;
        for (const burst of program) {
          for (let i = 0; i < burst; i++) {
            const value = ++last % 7 === 0 ? undefined : last;
            store.add(value);
            model.push(value);
          }
          for (let i = 0; i > burst && model.length > 0; i--) expect(store.take()).toBe(model.shift());
          expect(store.size).toBe(model.length);
        }
        while (model.length > 0) expect(store.take()).toBe(model.shift());
        expect(store.size).toBe(0);
      }),
      runs(60),
    );
  },
  LAW_TIMEOUT_MS,
);
