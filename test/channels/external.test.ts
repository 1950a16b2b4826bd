/**
 * What another loop or a callback of the host will end is no deadlock, when that is said; arguments that are none.
 */
import { DeadlockError, EventLoop, run, select, UsageError } from "fibril";
import type { Operation } from "fibril";
import { describe, expect, test } from "vitest";
import { Broadcast, Channel, LifoQueue, PriorityQueue, Queue, Watch } from "../../src/channels/index.ts";
import type { FeedOptions } from "../../src/channels/index.ts";
import { Event, Latch } from "../../src/sync/index.ts";
import { thrownBy } from "../core/simulated.ts";

/** Something to wait for, and what ends the wait. */
type Case = (options: FeedOptions) => readonly [waiting: Operation<unknown>, end: () => unknown];

const queues = { Queue, LifoQueue };
const cases: Record<string, Case> = {
  "an event": (options) => {
    const event = new Event(options);
    return [event.wait(), () => event.set()];
  },
  "a latch": (options) => {
    const latch = new Latch(1, options);
    return [latch.wait(), () => latch.countDown()];
  },
  "receive from a channel": (options) => {
    const channel = new Channel<number>(0, options);
    return [channel.receive(), () => channel.trySend(1)];
  },
  "next of a channel": (options) => {
    const channel = new Channel<number>(0, options);
    return [channel.receiver.next(), () => channel.close()];
  },
  "send to a channel": (options) => {
    const channel = new Channel<number>(0, options);
    return [channel.send(1), () => channel.tryReceive()];
  },
  ...Object.fromEntries(
    Object.entries(queues).flatMap(([name, Made]): [string, Case][] => [
      [
        `get from a ${name}`,
        (options) => {
          const queue = new Made<number>(1, options);
          return [queue.get(), () => queue.tryPut(1)];
        },
      ],
      [
        `join of a ${name}`,
        (options) => {
          const queue = new Made<number>(1, options);
          queue.tryPut(1);
          return [queue.join(), () => queue.taskDone()];
        },
      ],
    ]),
  ),
  "put into a priority queue": (options) => {
    const queue = new PriorityQueue<number>({ ...options, capacity: 1, priority: (item) => item });
    queue.tryPut(1);
    return [queue.put(2), () => queue.tryGet()];
  },
  "a change of a watch": (options) => {
    const watch = new Watch(0, options);
    return [watch.observe().changed(), () => (watch.value = 1)];
  },
  "a value of a watch": (options) => {
    const watch = new Watch(0, options);
    return [watch.waitFor((value) => value === 1), () => (watch.value = 1)];
  },
  "receive from a subscription": (options) => {
    const broadcast = new Broadcast<number>(1, options);
    return [broadcast.subscribe().receive(), () => broadcast.tryPublish(1)];
  },
  "publish to a broadcast": (options) => {
    const broadcast = new Broadcast<number>(1, { ...options, onLag: "wait" });
    const subscription = broadcast.subscribe();
    broadcast.tryPublish(1);
    return [broadcast.publish(2), () => subscription.tryReceive()];
  },
};

describe("external: true", () => {
  for (const [name, make] of Object.entries(cases)) {
    test(`${name} that another loop ends is no deadlock, also as an arm of a select`, async () => {
      for (const asArm of [false, true]) {
        const [waiting, end] = make({ external: true });
        const other = new EventLoop();
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const outside = await run(function* () {
          other.callLater(2, () => void end()); // in its own slice, which comes after this one: the wait has begun, however slow the machine
          yield* asArm ? select([waiting]) : waiting;
          return EventLoop.current().statistics().outside;
        });
        expect(outside).toBe(0);
      }
    });

    test(`without it, ${name} is one`, async () => {
      const [waiting] = make({});
      await expect(run(() => waiting)).rejects.toBeInstanceOf(DeadlockError);
    });
  }
});

describe("arguments that are no options", () => {
  const makers: Record<string, (options: never) => unknown> = {
    channel: (options) => new Channel(1, options),
    queue: (options) => new Queue(1, options),
    "LIFO queue": (options) => new LifoQueue(1, options),
    watch: (options) => new Watch(1, options),
    broadcast: (options) => new Broadcast(1, options),
  };
  for (const [kind, make] of Object.entries(makers)) {
    test(`are refused by a ${kind}, with what to write`, () => {
      expect(thrownBy(() => make("jobs" as never))).toMatchObject({
        name: "UsageError",
        message: `the options of a ${kind} are an object, got "jobs"; write { name: "jobs" }`,
      });
      for (const wrong of [null, 5, { name: 5 }, { external: "yes" }]) {
        expect(thrownBy(() => make(wrong as never))).toBeInstanceOf(UsageError);
      }
    });
  }

  test("a name where the capacity belongs", () => {
    expect(String(thrownBy(() => new Channel("jobs" as never)))).toContain('got "jobs"; options come after it');
    expect(String(thrownBy(() => new Queue({ name: "jobs" } as never)))).toContain("options come after it");
    expect(thrownBy(() => new PriorityQueue("jobs" as never))).toBeInstanceOf(UsageError);
    expect(thrownBy(() => new PriorityQueue(5 as never))).toBeInstanceOf(UsageError);
    expect(thrownBy(() => new Channel(1, { onUndelivered: 5 as never }))).toBeInstanceOf(UsageError);
  });
});
