import { moveOnAfter, sleep, spawn, UsageError, use } from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { Broadcast, ChannelClosedError, LaggedError } from "../../src/channels/index.ts";
import type { Subscription } from "../../src/channels/index.ts";
import { select } from "../../src/channels/select.ts";
import { failureOf, simulated, thrownBy } from "../core/simulated.ts";

function* rest<T>(subscription: Subscription<T>): Coroutine<T[]> {
  const values: T[] = [];
  for (;;) {
    const { done, value } = yield* subscription.next();
    if (done) return values;
    values.push(value);
  }
}

describe("a broadcast", () => {
  test("gives every value to every subscription, from its beginning on, in order", () => {
    simulated(function* () {
      const broadcast = new Broadcast<number>(10);
      yield* broadcast.publish(0); // to nobody
      const first = broadcast.subscribe();
      yield* broadcast.publish(1);
      const second = broadcast.subscribe();
      const waiting = spawn(() => rest(second));
      yield* sleep(1);
      for (const value of [2, 3]) expect(broadcast.tryPublish(value)).toBe(true);
      broadcast.close();
      broadcast.close();
      expect(yield* rest(first)).toEqual([1, 2, 3]);
      expect(yield* waiting).toEqual([2, 3]);
    });
  });

  test("each value of one subscription goes to one of those who receive from it, in their order", () => {
    const seen = simulated(function* () {
      const broadcast = new Broadcast<number>(10);
      const subscription = broadcast.subscribe();
      const log: string[] = [];
      for (const name of ["a", "b"]) {
        spawn(function* () {
          log.push(`${name} ${yield* subscription.receive()}`);
        });
      }
      yield* sleep(1);
      for (const value of [1, 2, 3]) broadcast.tryPublish(value);
      log.push(`main ${yield* subscription.receive()}`);
      yield* sleep(1);
      return log;
    });
    expect(seen).toEqual(["main 3", "a 1", "b 2"]);
  });

  test("a subscription that lags is told how much it missed, once, and goes on with the oldest that is left", () => {
    simulated(function* () {
      const broadcast = new Broadcast<number>(2, { name: "prices" });
      const slow = broadcast.subscribe();
      for (let i = 1; i <= 5; i++) yield* broadcast.publish(i);
      expect(slow.statistics()).toEqual({ name: "prices", unread: 2, missed: 3, waiting: 0 });
      let error: unknown;
      try {
        yield* slow.next();
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(LaggedError);
      expect(error).toMatchObject({ code: "LAGGED", missed: 3 });
      expect((error as Error).message).toContain(
        'a subscription of broadcast "prices" has missed 3 value(s): it was more than 2 behind',
      );
      expect([yield* slow.receive(), slow.tryReceive(), slow.tryReceive()]).toEqual([4, { value: 5 }, undefined]);
      expect(slow.statistics()).toEqual({ name: "prices", unread: 0, missed: 3, waiting: 0 });
      for (let i = 6; i <= 8; i++) yield* broadcast.publish(i);
      expect(thrownBy(() => slow.tryReceive())).toMatchObject({ missed: 1 });
    });
  });

  test("being exactly the capacity behind is not lagging", () => {
    simulated(function* () {
      const broadcast = new Broadcast<number>(2);
      const subscription = broadcast.subscribe();
      for (const value of [1, 2]) yield* broadcast.publish(value);
      broadcast.close();
      expect(yield* rest(subscription)).toEqual([1, 2]);
    });
  });

  test("with dropOldest it goes on without a word, and counts", () => {
    simulated(function* () {
      const broadcast = new Broadcast<number>(2, { onLag: "dropOldest" });
      const slow = broadcast.subscribe();
      for (let i = 1; i <= 5; i++) yield* broadcast.publish(i);
      broadcast.close();
      expect(yield* rest(slow)).toEqual([4, 5]);
      expect(slow.statistics().missed).toBe(3);
    });
  });

  test("with wait who publishes waits for the slowest, in order; nothing is missed", () => {
    simulated(function* () {
      const broadcast = new Broadcast<number>(2, { name: "prices", onLag: "wait" });
      const slow = broadcast.subscribe();
      const fast = broadcast.subscribe();
      for (const value of [1, 2]) expect(broadcast.tryPublish(value)).toBe(true);
      expect(broadcast.tryPublish(0)).toBe(false);
      const publishing = [3, 4].map((value) => spawn(() => broadcast.publish(value)));
      yield* sleep(1);
      expect(publishing[0]!.waitingFor).toBe('publish to broadcast "prices"');
      expect([fast.tryReceive(), fast.tryReceive(), fast.tryReceive()]).toEqual([
        { value: 1 },
        { value: 2 },
        undefined,
      ]);
      expect(broadcast.statistics()).toMatchObject({ waitingPublishers: 2, unread: 2, published: 2 });
      expect(yield* slow.receive()).toBe(1);
      expect(broadcast.statistics()).toMatchObject({ waitingPublishers: 1, unread: 2, published: 3 });
      expect(broadcast.tryPublish(0)).toBe(false); // nobody barges in
      slow.close();
      expect(broadcast.statistics()).toMatchObject({ waitingPublishers: 0, unread: 2, published: 4 });
      for (const task of publishing) yield* task;
      broadcast.close();
      expect(yield* rest(fast)).toEqual([3, 4]);
    });
  });

  test("when the slowest is closed everybody who has room now is let in", () => {
    simulated(function* () {
      const broadcast = new Broadcast<number>(2, { onLag: "wait" });
      const slow = broadcast.subscribe();
      const fast = broadcast.subscribe();
      for (const value of [1, 2]) yield* broadcast.publish(value);
      for (const value of [1, 2]) expect(fast.tryReceive()).toEqual({ value });
      for (const value of [3, 4, 5]) spawn(() => broadcast.publish(value));
      yield* sleep(1);
      slow.close();
      expect(broadcast.statistics()).toMatchObject({ published: 4, waitingPublishers: 1 });
      expect([fast.tryReceive(), fast.tryReceive(), fast.tryReceive()].map((it) => it?.value)).toEqual([3, 4, 5]);
    });
  });

  test("closing one that lags takes nothing from the others", () => {
    const broadcast = new Broadcast<number>(1);
    const [lagging, other] = [broadcast.subscribe(), broadcast.subscribe()];
    for (const value of [1, 2, 3]) broadcast.tryPublish(value);
    lagging.close();
    expect(thrownBy(() => other.tryReceive())).toMatchObject({ missed: 2 });
    expect(other.tryReceive()).toEqual({ value: 3 });
  });

  test("a value that everybody has read is let go of, and so is what a closed subscription left", () => {
    simulated(function* () {
      const broadcast = new Broadcast<object>(4, { onLag: "wait" });
      const held = (): unknown[] => (broadcast.ring as unknown as { values: unknown[] }).values.filter(Boolean);
      yield* broadcast.publish({});
      expect(held()).toEqual([]);
      const [one, two] = [broadcast.subscribe(), broadcast.subscribe()];
      yield* broadcast.publish({});
      yield* broadcast.publish({});
      yield* one.receive();
      yield* two.receive();
      expect(held().length).toBe(1);
      yield* one.receive();
      two.close();
      expect(held()).toEqual([]);
    });
  });
});

describe("closing", () => {
  test("a closed broadcast refuses values; publishers that wait fail", () => {
    simulated(function* () {
      const broadcast = new Broadcast<number>(1, { name: "prices", onLag: "wait" });
      const subscription = broadcast.subscribe();
      yield* broadcast.publish(1);
      const publishing = spawn(function* () {
        try {
          yield* broadcast.publish(2);
        } catch (error) {
          return error;
        }
        return "published";
      });
      yield* sleep(1);
      broadcast.close();
      expect(yield* publishing).toBeInstanceOf(ChannelClosedError);
      expect(broadcast.isClosed).toBe(true);
      expect(() => broadcast.tryPublish(3)).toThrow('cannot publish to broadcast "prices": it was closed');
      expect(yield* rest(subscription)).toEqual([1]);
      expect(yield* broadcast.subscribe().next()).toEqual({ done: true, value: undefined });
    });
  });

  test("a closed subscription ends for those who receive from it, and receives no more", () => {
    simulated(function* () {
      const broadcast = new Broadcast<number>(3, { name: "prices" });
      const subscription = broadcast.subscribe();
      const next = spawn(() => subscription.next());
      yield* sleep(1);
      subscription.close();
      subscription.close();
      expect(yield* next).toEqual({ done: true, value: undefined });
      yield* broadcast.publish(1);
      expect(subscription.statistics()).toEqual({ name: "prices", unread: 0, missed: 0, waiting: 0 });
      expect(() => subscription.tryReceive()).toThrow("this subscription was closed");
      expect([subscription.isClosed, broadcast.statistics().subscriptions]).toEqual([true, 0]);
    });
  });

  test("receive throws at the end", () => {
    const error = failureOf(function* () {
      const broadcast = new Broadcast<number>(3);
      const subscription = broadcast.subscribe();
      yield* use(broadcast);
      broadcast.close();
      yield* subscription.receive();
    });
    expect(error).toMatchObject({ code: "CHANNEL_CLOSED" });
  });

  test("a subscription is a resource", () => {
    simulated(function* () {
      const broadcast = new Broadcast<number>(3);
      yield* spawn(function* () {
        yield* use(broadcast.subscribe());
      });
      expect(broadcast.statistics().subscriptions).toBe(0);
    });
  });
});

describe("cancelling and select", () => {
  test("a cancelled publish has published nothing, a cancelled receive has taken nothing", () => {
    simulated(function* () {
      const broadcast = new Broadcast<number>(1, { onLag: "wait" });
      const subscription = broadcast.subscribe();
      yield* broadcast.publish(1);
      const publishing = spawn(() => broadcast.publish(2));
      yield* sleep(1);
      yield* publishing.cancel();
      expect(yield* subscription.receive()).toBe(1);
      const receiving = spawn(() => subscription.receive());
      yield* sleep(1);
      yield* receiving.cancel();
      yield* broadcast.publish(3);
      expect(yield* subscription.receive()).toBe(3);
      expect(broadcast.statistics()).toMatchObject({ published: 2, waitingPublishers: 0, waitingReceivers: 0 });
    });
  });

  test("the arms of one select do not serve each other", () => {
    simulated(function* () {
      const broadcast = new Broadcast<string>(1, { onLag: "wait" });
      const subscription = broadcast.subscribe();
      expect(yield* select([subscription.receive(), broadcast.publish("a")])).toEqual({ key: 1, value: undefined });
      expect(yield* select([broadcast.publish("b"), subscription.receive()])).toEqual({ key: 1, value: "a" });
      expect(broadcast.statistics()).toMatchObject({ published: 1, waitingPublishers: 0, waitingReceivers: 0 });
    });
  });

  test("a publish that is let in later does not serve a receive of its own select either", () => {
    simulated(function* () {
      const broadcast = new Broadcast<string>(1, { onLag: "wait" });
      const slow = broadcast.subscribe();
      yield* broadcast.publish("old");
      const mine = broadcast.subscribe();
      const both = spawn(() => select({ publish: broadcast.publish("new"), receive: mine.receive() }));
      yield* sleep(1);
      expect(yield* slow.receive()).toBe("old");
      expect(yield* both).toEqual({ key: "publish", value: undefined });
      expect([mine.tryReceive(), slow.tryReceive()]).toEqual([{ value: "new" }, { value: "new" }]);
    });
  });

  for (const target of ["main", "stepped"] as const) {
    test(`the sweep: ${target} cancelled at any step, and nobody who is left misses anything`, () => {
      cancelSweep(
        () => {
          const broadcast = new Broadcast<number>(1, { onLag: "wait" });
          const published: number[] = [];
          const witness = broadcast.subscribe();
          const seen: number[] = [];
          function* main(): Coroutine<void> {
            for (let i = 0; i < 2; i++) {
              const mine = broadcast.subscribe();
              spawn(function* () {
                yield* use(mine);
                yield* moveOnAfter(50, rest(mine));
              });
            }
            spawn(function* () {
              for (let i = 0; i < 4; i++) {
                yield* broadcast.publish(i);
                published.push(i);
              }
              broadcast.close();
            });
            yield* moveOnAfter(100, function* () {
              for (;;) {
                const { done, value } = yield* witness.next();
                if (done) return;
                seen.push(value);
              }
            });
          }
          return {
            main,
            check({ outcome }) {
              // The witness may have been cancelled before it could take the last ones.
              expect(seen).toEqual(outcome.status === "succeeded" ? published : published.slice(0, seen.length));
              const { waitingPublishers, waitingReceivers } = broadcast.statistics();
              expect([waitingPublishers, waitingReceivers]).toEqual([0, 0]);
            },
          };
        },
        { target },
      );
    });
  }
});

describe("misuse and looking in", () => {
  test.each([0, -1, 1.5, Number.NaN, Infinity, "9"])("a capacity of %s is refused", (capacity) => {
    expect(() => new Broadcast(capacity as number)).toThrow(UsageError);
  });

  test("an unknown policy is refused", () => {
    expect(() => new Broadcast(1, { onLag: "drop" as never })).toThrow('onLag must be "error", "dropOldest" or "wait"');
  });

  test("a wait says what it is for, and statistics are frozen", () => {
    simulated(function* () {
      const broadcast = new Broadcast<number>(undefined, { name: "prices" });
      const subscription = broadcast.subscribe();
      broadcast.subscribe();
      const receiving = spawn(() => subscription.receive());
      yield* sleep(1);
      expect(receiving.waitingFor).toBe('receive from broadcast "prices"');
      const statistics = broadcast.statistics();
      expect(statistics).toEqual({
        name: "prices",
        capacity: 1_024,
        subscriptions: 2,
        published: 0,
        unread: 0,
        waitingPublishers: 0,
        waitingReceivers: 1,
        isClosed: false,
      });
      expect([Object.isFrozen(statistics), Object.isFrozen(subscription.statistics())]).toEqual([true, true]);
      expect([new Broadcast().name, broadcast.capacity]).toEqual(["broadcast", 1_024]);
      yield* broadcast.publish(1);
      yield* receiving;
    });
  });
});
