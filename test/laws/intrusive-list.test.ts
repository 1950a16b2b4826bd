/**
 * Two intrusive lists that share their elements, against two arrays.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { IntrusiveList } from "../../src/data/intrusive-list.ts";
import type { Linked } from "../../src/data/intrusive-list.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

class Item implements Linked<Item> {
  before: Item | null = null;
  after: Item | null = null;
  readonly id: number;

  constructor(id: number) {
    this.id = id;
  }
}

const which = fc.constantFrom(0, 1);
const pick = fc.nat({ max: 7 });
const command = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("push" as const), which, pick }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("shift" as const), which, pick }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("remove" as const), which, pick }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("sieve" as const), which, pick }) },
);

test(
  "law: an intrusive list keeps the order of an array, and refuses an element that it has",
  () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
        const items = Array.from({ length: 8 }, (_, id) => new Item(id));
        const lists = [new IntrusiveList<Item>(), new IntrusiveList<Item>()];
        const models: Item[][] = [[], []];
        for (const it of commands) {
          const list = lists[it.which]!;
          const model = models[it.which]!;
          const item = items[it.pick]!;
          // For push and remove: the caller has to know that the item is not in the other list.
          if ((it.kind === "push" || it.kind === "remove") && models[1 - it.which]!.includes(item)) continue;
          if (it.kind === "push") {
            if (model.includes(item)) expect(() => list.push(item)).toThrow(RangeError);
            else {
              list.push(item);
              model.push(item);
            }
          } else if (it.kind === "shift") expect(list.shift()).toBe(model.shift() ?? null);
          else if (it.kind === "remove") {
            expect(list.remove(item)).toBe(model.includes(item));
            models[it.which] = model.filter((other) => other !== item);
          } else {
            for (const seen of list) if (seen.id % 3 === it.pick % 3) list.remove(seen);
            models[it.which] = model.filter((other) => other.id % 3 !== it.pick % 3);
          }
          for (const i of [0, 1]) {
            expect([...lists[i]!]).toEqual(models[i]);
            expect(lists[i]!.size).toBe(models[i]!.length);
            expect(lists[i]!.first).toBe(models[i]![0] ?? null);
          }
        }
      }),
      runs(100),
    );
  },
  LAW_TIMEOUT_MS,
);
