/**
 * The three queues against one naive model that only differs in which item it takes next.
 */
import fc from "fast-check";
import { test } from "vitest";
import { LifoQueue, PriorityQueue, Queue } from "../../src/channels/index.ts";
import type { WorkQueue } from "../../src/channels/index.ts";
import { HandoverModel } from "../channels/handover-model.ts";
import { commandsFor, runInLockstep } from "../channels/lockstep.ts";
import type { Item, Real } from "../channels/lockstep.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

const order = fc.option(fc.nat(), { nil: undefined });
const capacity = fc.constantFrom(1, 2, 3, 8, Infinity);

const least = (store: readonly Item[]): number =>
  store.findIndex(({ rank }) => rank === Math.min(...store.map((item) => item.rank)));

const kinds: Record<
  string,
  { readonly make: (size: number) => WorkQueue<Item>; readonly choose: (store: readonly Item[]) => number }
> = {
  "a queue": { make: (size) => new Queue(size), choose: () => 0 },
  "a LIFO queue": { make: (size) => new LifoQueue(size), choose: (store) => store.length - 1 },
  "a priority queue with numbers": {
    make: (size) => new PriorityQueue(size, { priority: (item) => item.rank }),
    choose: least,
  },
  "a priority queue with a comparison": {
    make: (size) => new PriorityQueue(size, { compare: (a, b) => a.rank - b.rank }),
    choose: least,
  },
};

for (const [what, { make, choose }] of Object.entries(kinds)) {
  test(
    `law: in any program ${what} does what a naive one does: items, waiters, join and shutdown`,
    () => {
      fc.assert(
        fc.property(commandsFor("queue"), capacity, order, (commands, size, seed) => {
          runInLockstep(commands, new HandoverModel(size, choose), () => realQueue(make(size)), seed);
        }),
        runs(150),
      );
    },
    LAW_TIMEOUT_MS,
  );
}

function realQueue(queue: WorkQueue<Item>): Real {
  return {
    put: (_end, item) => queue.put(item),
    take: () => queue.get(),
    next: () => queue.next(),
    join: () => queue.join(),
    tryPut: (_end, item) => queue.tryPut(item),
    tryTake: () => queue.tryGet(),
    end(command) {
      if (command === "done") return queue.taskDone();
      const out = queue.shutdown({ immediate: command === "throwOut" });
      return command === "throwOut" ? out.map(({ id }) => id) : undefined;
    },
    counts() {
      const { size, unfinished, waitingPutters, waitingGetters, waitingJoiners } = queue.statistics();
      return { stored: size, putters: waitingPutters, takers: waitingGetters, unfinished, joiners: waitingJoiners };
    },
  };
}
