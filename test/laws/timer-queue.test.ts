/**
 * The timers of a loop, a heap beside a sorted run, against a list that is sorted anew for every question.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { TimerQueue } from "../../src/data/timer-queue.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

class Timer {
  heapIndex = -1;
  readonly id: number;

  constructor(id: number) {
    this.id = id;
  }
}

interface Entry {
  readonly item: Timer;
  readonly deadline: number;
}

/** Few different deadlines, so that ties are common; the ends of the number line as well. */
const deadline = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: -3, max: 12 }) },
  { weight: 1, arbitrary: fc.double({ noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(Infinity, -Infinity, 0.1 + 0.2) },
);
const pick = fc.nat();
const command = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("insert" as const), deadline }) },
  // Mostly in order, as real timers come, so that there is a run of them.
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("later" as const), by: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("again" as const), deadline, pick }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("remove" as const), pick }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("popDue" as const), deadline }) },
);

test(
  "law: a timer queue gives the earliest first, and among equal deadlines the one inserted first",
  () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 400, size: "max" }), (commands) => {
        const heap = new TimerQueue<Timer>();
        const all: Timer[] = [];
        let model: Entry[] = []; // in order of insertion
        let latest = 0;
        const first = (): Entry | undefined =>
          model.reduce<Entry | undefined>(
            (best, it) => (best === undefined || it.deadline < best.deadline ? it : best),
            undefined,
          );
        const insert = (item: Timer, at: number): void => {
          heap.insert(item, at);
          model.push({ item, deadline: at });
        };
        for (const it of commands) {
          if (it.kind === "insert" || it.kind === "later") {
            const item = new Timer(all.length);
            all.push(item);
            if (it.kind === "insert") insert(item, it.deadline);
            else insert(item, (latest += it.by));
          } else if (it.kind === "popDue") {
            const due = first();
            const expected = due !== undefined && due.deadline <= it.deadline ? due.item : undefined;
            expect(heap.popDue(it.deadline)).toBe(expected);
            if (expected !== undefined) model = model.filter((entry) => entry.item !== expected);
          } else if (all.length > 0) {
            const item = all[it.pick % all.length]!;
            const known = model.find((entry) => entry.item === item);
            if (it.kind === "remove") {
              expect(heap.remove(item)).toBe(known !== undefined);
              model = model.filter((entry) => entry.item !== item);
            } else if (known === undefined) insert(item, it.deadline);
            else expect(() => heap.insert(item, it.deadline)).toThrow(RangeError);
          }
          expect(heap.size).toBe(model.length);
          expect(heap.nextDeadline + 0).toBe((first()?.deadline ?? Infinity) + 0); // minus zero is zero
        }
        for (const item of all)
          expect(heap.deadlineOf(item)).toBe(model.find((entry) => entry.item === item)?.deadline);
        const drained: Timer[] = [];
        for (let next = heap.popDue(Infinity); next !== undefined; next = heap.popDue(Infinity)) drained.push(next);
        expect(drained).toEqual(
          model.toSorted((a, b) => (a.deadline < b.deadline ? -1 : a.deadline > b.deadline ? 1 : 0)).map((e) => e.item),
        );
        for (const item of all) expect(item.heapIndex).toBe(-1);
      }),
      runs(60),
    );
  },
  LAW_TIMEOUT_MS,
);
