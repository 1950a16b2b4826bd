import { sleep, spawn, UsageError, use } from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { ChannelClosedError, Watch } from "../../src/channels/index.ts";
import { select } from "../../src/channels/select.ts";
import { failureOf, simulated, thrownBy } from "../core/simulated.ts";

describe("a watch", () => {
  test("is a value that can be read and set at any time", () => {
    const watch = new Watch(1);
    watch.value = 2;
    expect([watch.value, watch.update((it) => it * 10), watch.value]).toEqual([2, 20, 20]);
    expect(() =>
      watch.update(() => {
        throw new Error("no");
      }),
    ).toThrow("no");
    expect([watch.value, watch.statistics().changes]).toEqual([20, 2]);
  });

  test("an observer sees the latest value, once; those in between are skipped", () => {
    simulated(function* () {
      const watch = new Watch("a");
      const observer = watch.observe();
      expect([observer.hasChanged, observer.tryChanged()]).toEqual([false, undefined]);
      for (const value of ["b", "c"]) watch.value = value;
      expect(observer.hasChanged).toBe(true);
      expect(yield* observer.changed()).toBe("c");
      expect(observer.hasChanged).toBe(false);
      const waiting = spawn(() => observer.next());
      yield* sleep(1);
      watch.value = "d";
      watch.value = "e";
      expect(yield* waiting).toEqual({ done: false, value: "d" });
      expect(observer.tryChanged()).toEqual({ value: "e" });
    });
  });

  test("with includeCurrent the first value is the one of now", () => {
    simulated(function* () {
      const watch = new Watch("a");
      expect(yield* watch.observe({ includeCurrent: true }).changed()).toBe("a");
    });
  });

  test("setting an equal value is a change", () => {
    const watch = new Watch(1);
    const observer = watch.observe();
    watch.value = 1;
    expect(observer.tryChanged()).toEqual({ value: 1 });
  });

  test("everybody who waits is told, also two at one observer", () => {
    simulated(function* () {
      const watch = new Watch(0);
      const observer = watch.observe();
      const tasks = [observer, observer, watch.observe()].map((it) => spawn(() => it.changed()));
      yield* sleep(1);
      expect(watch.statistics().waitingObservers).toBe(3);
      watch.value = 7;
      for (const task of tasks) expect(yield* task).toBe(7);
      expect(watch.statistics().waitingObservers).toBe(0);
    });
  });
});

describe("waitFor", () => {
  test("gives the value that satisfies it, at once or when it is set", () => {
    simulated(function* () {
      const watch = new Watch(3, { name: "connections" });
      expect(yield* watch.waitFor((it) => it === 3)).toBe(3);
      const waiting = spawn(() => watch.waitFor((it) => it === 0));
      yield* sleep(1);
      watch.value = 2;
      expect(watch.statistics().waitingConditions).toBe(1);
      watch.value = 0;
      watch.value = 5; // in the same turn: the value is not missed
      expect(yield* waiting).toBe(0);
    });
  });

  test("what the condition throws comes to the task that waits, not to the one that sets", () => {
    simulated(function* () {
      const watch = new Watch<number>(1);
      const bad = spawn(() =>
        codeOf(
          watch.waitFor((it) => {
            if (it === 2) throw new UsageError("not two", "BAD");
            return false;
          }),
        ),
      );
      const good = spawn(() => watch.waitFor((it) => it === 2));
      yield* sleep(1);
      watch.value = 2;
      expect([yield* bad, yield* good]).toEqual(["BAD", 2]);
    });
  });

  test("a condition that throws ends the select that it is an arm of, once", () => {
    simulated(function* () {
      const watch = new Watch(0);
      const fails = (value: number): boolean => {
        if (value === 1) throw new UsageError("no", "BAD");
        return false;
      };
      const waiting = spawn(() => codeOf(select([watch.waitFor(fails), watch.waitFor(fails)])));
      yield* sleep(1);
      watch.value = 1;
      expect(yield* waiting).toBe("BAD");
    });
  });

  test("a condition may not set the watch", () => {
    const error = failureOf(function* () {
      const watch = new Watch(0, { name: "count" });
      yield* watch.waitFor(() => {
        watch.value++;
        return true;
      });
    });
    expect(error).toMatchObject({
      name: "UsageError",
      message: expect.stringContaining('a condition of waitFor() set watch "count"'),
    });
  });

  test("a condition that has thrown does not lock the watch", () => {
    simulated(function* () {
      const watch = new Watch(0);
      const bad = watch.waitFor(() => {
        throw new UsageError("no", "BAD");
      });
      expect(yield* codeOf(bad)).toBe("BAD");
      watch.value = 1;
      expect(watch.value).toBe(1);
    });
  });
});

describe("closing", () => {
  test("an observer sees the last value, then the end; the value stays", () => {
    simulated(function* () {
      const watch = new Watch(0, { name: "config" });
      const observer = watch.observe();
      const upToDate = watch.observe();
      watch.value = 1;
      yield* upToDate.changed();
      const waiting = [
        spawn(() => upToDate.next()),
        spawn(() => codeOf(upToDate.changed())),
        spawn(() => codeOf(watch.waitFor((it) => it === 9))),
      ];
      yield* sleep(1);
      watch.close();
      watch.close();
      expect(yield* waiting[0]!).toEqual({ done: true, value: undefined });
      expect([yield* waiting[1]!, yield* waiting[2]!]).toEqual(["CHANNEL_CLOSED", "CHANNEL_CLOSED"]);
      expect(yield* observer.next()).toEqual({ done: false, value: 1 });
      expect(yield* observer.next()).toEqual({ done: true, value: undefined });
      expect(() => observer.tryChanged()).toThrow(
        'cannot wait for a change of watch "config": it was closed and its last value was seen',
      );
      expect(yield* watch.waitFor((it) => it === 1)).toBe(1);
      expect(yield* codeOf(watch.waitFor((it) => it === 2))).toBe("CHANNEL_CLOSED");
      expect(thrownBy(() => (watch.value = 2))).toBeInstanceOf(ChannelClosedError);
      expect([watch.value, watch.isClosed]).toEqual([1, true]);
    });
  });

  test("a closed observer ends, the others go on", () => {
    simulated(function* () {
      const watch = new Watch(0);
      const [one, two] = [watch.observe(), watch.observe()];
      const ending = spawn(() => one.next());
      const staying = spawn(() => two.next());
      yield* sleep(1);
      one.close();
      one.close();
      expect(yield* ending).toEqual({ done: true, value: undefined });
      watch.value = 1;
      expect(yield* staying).toEqual({ done: false, value: 1 });
      expect([one.hasChanged, one.isClosed]).toEqual([false, true]);
      expect(() => one.tryChanged()).toThrow("this observer was closed");
    });
  });

  test("watch and observer are resources", () => {
    simulated(function* () {
      const watch = new Watch(0);
      const observer = watch.observe();
      yield* spawn(function* () {
        yield* use(watch);
        yield* use(observer);
      });
      expect([watch.isClosed, observer.isClosed]).toEqual([true, true]);
    });
  });
});

describe("cancelling and looking in", () => {
  test("a cancelled observer has seen nothing", () => {
    simulated(function* () {
      const watch = new Watch(0);
      const observer = watch.observe();
      const waiting = spawn(() => observer.changed());
      const condition = spawn(() => watch.waitFor((it) => it === 1));
      yield* sleep(1);
      yield* waiting.cancel();
      yield* condition.cancel();
      expect(watch.statistics()).toMatchObject({ waitingObservers: 0, waitingConditions: 0 });
      watch.value = 1;
      expect(yield* observer.changed()).toBe(1);
    });
  });

  test("setting the value commits one arm of a select that waits twice", () => {
    simulated(function* () {
      const watch = new Watch(0);
      const [one, two] = [watch.observe(), watch.observe()];
      const waiting = spawn(() => select([one.changed(), two.changed(), watch.waitFor((it) => it === 1)]));
      yield* sleep(1);
      watch.value = 1;
      expect(yield* waiting).toEqual({ key: 0, value: 1 });
      expect([one.hasChanged, two.hasChanged]).toEqual([false, true]);
      expect(watch.statistics()).toMatchObject({ waitingObservers: 0, waitingConditions: 0 });
    });
  });

  test("the sweep: nothing is left in line", () => {
    cancelSweep(() => {
      const watch = new Watch(0);
      function* main(): Coroutine<void> {
        spawn(() => watch.observe().changed());
        spawn(() => watch.waitFor((it) => it === 2));
        yield* sleep(1);
        watch.value = 1;
        yield* sleep(1);
        watch.value = 2;
      }
      return {
        main,
        check: () => expect(watch.statistics()).toMatchObject({ waitingObservers: 0, waitingConditions: 0 }),
      };
    });
  });

  test("a wait says what it is for, and statistics are frozen", () => {
    simulated(function* () {
      const watch = new Watch(0, { name: "config" });
      const observing = spawn(() => watch.observe().changed());
      const named = spawn(() => watch.waitFor(isOne));
      const unnamed = spawn(() => new Watch(0).waitFor((it) => it === 1));
      yield* sleep(1);
      expect([observing, named, unnamed].map((it) => it.waitingFor)).toEqual([
        'a change of watch "config"',
        'a value of watch "config" that satisfies isOne',
        "a value of watch",
      ]);
      const statistics = watch.statistics();
      expect(statistics).toEqual({
        name: "config",
        changes: 0,
        waitingObservers: 1,
        waitingConditions: 1,
        isClosed: false,
      });
      expect(Object.isFrozen(statistics)).toBe(true);
      watch.value = 1;
      yield* unnamed.cancel();
    });
  });
});

function isOne(value: number): boolean {
  return value === 1;
}

function* codeOf(operation: object): Coroutine<string> {
  try {
    yield* operation as Coroutine<unknown>;
    return "done";
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return (error as ChannelClosedError).code;
  }
}
