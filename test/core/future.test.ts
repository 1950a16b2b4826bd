import { Future, InvalidStateError, moveOnAfter, run, scope, sleep, spawn, yieldNow } from "fibril";
import { describe, expect, test } from "vitest";
import { failureOf, now, simulated, thrownBy } from "./simulated.ts";

describe("a future", () => {
  test("gives its value to all who wait, in the order in which they came", () => {
    const order = simulated(function* () {
      const future = new Future<string>();
      const seen: string[] = [];
      yield* scope(function* (inner) {
        for (let i = 0; i < 4; i++) {
          inner.spawn(function* () {
            seen.push(`${i} ${yield* future}`);
          });
        }
        yield* sleep(1);
        future.resolve("value");
        expect(seen).toEqual([]); // resolving runs nobody
      });
      return seen;
    });
    expect(order).toEqual(["0 value", "1 value", "2 value", "3 value"]);
  });

  test("gives the value again to whoever comes later, without suspending", () => {
    expect(
      simulated(function* () {
        const future = new Future<number>();
        future.resolve(7);
        return [yield* future, yield* future, now()];
      }),
    ).toEqual([7, 7, 0]);
  });

  test("throws its error, the same object each time, before and after it is rejected", () => {
    const error = new Error("rejected");
    const seen = simulated(function* () {
      const future = new Future<never>();
      const caught: unknown[] = [];
      spawn(function* () {
        future.reject(error);
      });
      for (let i = 0; i < 2; i++) {
        try {
          yield* future;
        } catch (it) {
          caught.push(it);
        }
      }
      return caught;
    });
    expect(seen[0]).toBe(error);
    expect(seen[1]).toBe(error);
  });

  test("settles once: a second resolve or reject throws, try… says no", () => {
    const future = new Future<number>({ name: "answer" });
    expect(future.isSettled).toBe(false);
    future.resolve(1);
    expect([future.isSettled, future.tryResolve(2), future.tryReject(3)]).toEqual([true, false, false]);
    for (const again of [() => future.resolve(2), () => future.reject(3)]) {
      expect(thrownBy(again)).toBeInstanceOf(InvalidStateError);
      expect(thrownBy(again)).toMatchObject({
        code: "INVALID_STATE",
        message: expect.stringContaining('"answer"') as string,
      });
    }
    expect(simulated(() => future)).toBe(1);
    const rejected = new Future<number>();
    expect([rejected.tryReject("no"), rejected.tryResolve(1)]).toEqual([true, false]);
    expect(failureOf(() => rejected)).toBe("no");
  });

  test("undefined is a value, and a rejection with undefined is a rejection", () => {
    const nothing = new Future<void>();
    nothing.resolve();
    expect(simulated(() => nothing)).toBeUndefined();
    const broken = new Future<void>();
    broken.reject(undefined);
    expect(failureOf(() => broken)).toBeUndefined();
  });

  test("a waiter that is cancelled leaves it as it is, and the others in their order", () => {
    const seen = simulated(function* () {
      const future = new Future<string>();
      const log: string[] = [];
      const wait = (name: string) =>
        function* () {
          log.push(`${name} ${yield* future}`);
        };
      const tasks = ["a", "b", "c"].map((name) => spawn(wait(name)));
      yield* yieldNow();
      yield* yieldNow();
      yield* tasks[1]!.cancel();
      expect(future.isSettled).toBe(false);
      future.resolve("value");
      yield* tasks[2]!;
      return log;
    });
    expect(seen).toEqual(["a value", "c value"]);
  });

  test("may be awaited from promise code", async () => {
    const future = new Future<string>();
    const waiting = Promise.resolve(future);
    future.resolve("value");
    expect([await waiting, await future]).toEqual(["value", "value"]);
    const bad = new Future<string>();
    bad.reject(new Error("bad"));
    await expect(Promise.resolve(bad)).rejects.toThrow("bad");
  });

  test("that is external holds the loop open; its name is what its waiters wait for", async () => {
    const future = new Future<number>({ name: "the socket", external: true });
    const value = await run(function* () {
      const task = spawn(() => future);
      yield* yieldNow();
      yield* yieldNow();
      expect(task.waitingFor).toBe("the socket");
      // Nothing in the loop can wake it: promise code does.
      void Promise.resolve().then(() => future.resolve(3));
      return yield* task;
    });
    expect(value).toBe(3);
  });

  test("that nobody settles within the time leaves nothing behind", () => {
    expect(simulated(() => moveOnAfter(5, new Future<number>()))).toBeUndefined();
  });
});
