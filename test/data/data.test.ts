/**
 * What the laws (test/laws) do not say: refusals, and that nothing is kept alive.
 */
import { describe, expect, test } from "vitest";
import { IntrusiveList } from "../../src/data/intrusive-list.ts";
import type { Linked } from "../../src/data/intrusive-list.ts";
import { FifoQueue } from "../../src/data/fifo-queue.ts";
import { TimerQueue } from "../../src/data/timer-queue.ts";

class Item implements Linked<Item> {
  before: Item | null = null;
  after: Item | null = null;
  heapIndex = -1;
}

describe("FIFO queue", () => {
  test("takeAt outside of the queue takes nothing", () => {
    const buffer = new FifoQueue<Item>();
    expect(buffer.takeAt(0)).toBeUndefined();
    buffer.push(new Item());
    expect(buffer.takeAt(1)).toBeUndefined();
    expect(buffer.takeAt(-1)).toBeUndefined();
    expect(buffer.size).toBe(1);
  });

  test("an element that is queued twice is given twice", () => {
    const buffer = new FifoQueue<Item>();
    const item = new Item();
    buffer.push(item);
    buffer.push(item);
    expect([buffer.shift(), buffer.shift(), buffer.shift()]).toEqual([item, item, undefined]);
  });
});

describe("timer queue", () => {
  test("NaN is no deadline: it is refused and the item stays free", () => {
    const heap = new TimerQueue<Item>();
    const item = new Item();
    expect(() => heap.insert(item, NaN)).toThrow(RangeError);
    heap.insert(item, 1);
    expect(heap.popDue(1)).toBe(item);
  });

  test("an item of another heap is not removed, and not inserted a second time", () => {
    const one = new TimerQueue<Item>();
    const two = new TimerQueue<Item>();
    const [a, b] = [new Item(), new Item()];
    one.insert(a, 1);
    two.insert(b, 1);
    expect(two.remove(a)).toBe(false);
    expect(two.deadlineOf(a)).toBeUndefined();
    expect(() => two.insert(a, 2)).toThrow(RangeError);
    expect([one.popDue(1), two.popDue(1)]).toEqual([a, b]);
  });

  test("nothing is due before its deadline, and it is due exactly at it", () => {
    const heap = new TimerQueue<Item>();
    const item = new Item();
    heap.insert(item, 0.1 + 0.2);
    expect(heap.popDue(0.3)).toBeUndefined();
    expect(heap.popDue(0.1 + 0.2)).toBe(item);
  });
});

describe("timer queue, many of them", () => {
  /** As timeouts of requests do: set in order, most of them removed before their time, one of them late. */
  test("keeps its order through growth, gaps and long removals", () => {
    const queue = new TimerQueue<Item>();
    const set: { readonly item: Item; readonly at: number }[] = [];
    for (let i = 0; i < 5_000; i++) {
      const item = new Item();
      queue.insert(item, i);
      set.push({ item, at: i });
    }
    const kept = set.filter(({ item, at }) => at % 7 === 0 || !queue.remove(item));
    expect(queue.size).toBe(kept.length);
    for (let i = 0; i < 5_000; i += 7) {
      const due = queue.popDue(i);
      expect(due).toBe(kept[i / 7]!.item);
      const late = new Item();
      queue.insert(late, 5_000 + i);
      kept.push({ item: late, at: 5_000 + i });
    }
    for (const { item, at } of kept.slice(-715)) expect(queue.deadlineOf(item)).toBe(at);
    for (let i = 0; i < 5_000; i += 7) expect(queue.popDue(Infinity)).toBe(kept[kept.length - 715 + i / 7]!.item);
    expect([queue.size, queue.nextDeadline, queue.popDue(Infinity)]).toEqual([0, Infinity, undefined]);
  });

  test("a far deadline that was set first does not keep the others from theirs", () => {
    const queue = new TimerQueue<Item>();
    const [far, near, nearer] = [new Item(), new Item(), new Item()];
    queue.insert(far, 1e9);
    queue.insert(near, 10);
    queue.insert(nearer, 5);
    expect([queue.popDue(9), queue.popDue(9), queue.popDue(10), queue.popDue(1e9)]).toEqual([
      nearer,
      undefined,
      near,
      far,
    ]);
  });
});

describe("intrusive list", () => {
  test("an element is in one list at a time, also where it is the only one", () => {
    const one = new IntrusiveList<Item>();
    const two = new IntrusiveList<Item>();
    const item = new Item();
    one.push(item);
    expect(() => one.push(item)).toThrow(RangeError);
    expect(() => two.push(item)).toThrow(RangeError);
    expect(one.remove(item)).toBe(true);
    two.push(item);
    expect([one.size, two.size]).toEqual([0, 1]);
  });
});
