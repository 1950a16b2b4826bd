/**
 * fromCallback(): functions that take a Node callback.
 */
import { readFile, stat } from "node:fs";
import type { Stats } from "node:fs";
import { moveOnAfter, run, sleep, spawn, UsageError, yieldNow } from "fibril";
import { simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { fromCallback } from "../../../src/interop/node/index.ts";
import type { Callback } from "../../../src/interop/node/index.ts";
import { failureOf, simulated, thrownBy } from "../../core/simulated.ts";

describe("fromCallback(start)", () => {
  test("gives the value, or throws the error, of a real callback", async () => {
    const seen = await run(function* () {
      const stats = yield* fromCallback<Stats>((done) => stat(import.meta.filename, done));
      try {
        yield* fromCallback<Buffer>((done) => readFile("/there/is/no/such/file", done));
      } catch (error) {
        return [stats.isFile(), (error as NodeJS.ErrnoException).code];
      }
      return [];
    });
    expect(seen).toEqual([true, "ENOENT"]);
  });

  test("a callback in the same call ends it at once", () => {
    expect(simulated(() => fromCallback<number>((done) => done(null, 7)))).toBe(7);
    expect(simulated(() => fromCallback((done) => done(undefined)))).toBe(undefined);
    expect(failureOf(() => fromCallback((done) => done("failed")))).toBe("failed");
  });

  test("only the first call of the callback counts", () => {
    const value = simulated(() =>
      fromCallback<number>((done) => {
        done(null, 1);
        done(null, 2);
        done("late");
      }),
    );
    expect(value).toBe(1);
  });

  test("used again after a wait that was parked, it may be called back at once", async () => {
    let calls = 0;
    const operation = fromCallback<number>((done) => {
      if (++calls === 1) process.nextTick(done, null, calls);
      else done(null, calls);
    });
    const seen = await run(function* () {
      return [yield* operation, yield* operation, yield* operation];
    });
    expect(seen).toEqual([1, 2, 3]);
  });

  test("what start throws is thrown at the wait; the operation can be used again", () => {
    let calls = 0;
    const operation = fromCallback<string>((done) => {
      if (++calls === 1) throw new Error("start");
      done(null, "second");
    });
    const seen = simulated(function* () {
      try {
        yield* operation;
      } catch (error) {
        return [(error as Error).message, yield* operation];
      }
      return [];
    });
    expect(seen).toEqual(["start", "second"]);
  });

  test("cancelled, it calls what start returned, once; a late callback has no effect", () => {
    const dones: Callback<string>[] = [];
    let aborted = 0;
    const operation = fromCallback<string>((done) => {
      dones.push(done);
      return () => void aborted++;
    });
    const { outcome } = simulateSync(function* () {
      const task = spawn(() => operation);
      yield* yieldNow();
      yield* yieldNow();
      expect(task.waitingFor).toBe("callback");
      yield* task.cancel();
      expect(aborted).toBe(1);
      dones[0]!(null, "late");
      const again = spawn(() => operation);
      yield* yieldNow();
      yield* yieldNow();
      dones[0]!(null, "from the first use");
      yield* yieldNow();
      yield* yieldNow();
      expect(again.isSettled).toBe(false);
      dones[1]!(null, "fresh");
      return [yield* again, aborted];
    });
    expect(outcome).toEqual({ status: "succeeded", value: ["fresh", 1] });
  });

  test("the abort of what was begun may call back: the cancellation stays", async () => {
    const seen = await run(() =>
      moveOnAfter(
        1,
        fromCallback<string>((done) => () => done("aborted")),
      ),
    );
    expect(seen).toBe(undefined);
  });

  test("nothing is aborted after it has called back", async () => {
    let aborted = 0;
    await run(function* () {
      yield* fromCallback((done) => {
        process.nextTick(done);
        return () => void aborted++;
      });
      yield* fromCallback((done) => {
        done(null);
        return () => void aborted++;
      });
      yield* sleep(0);
    });
    expect(aborted).toBe(0);
  });

  test("its reason is the name given, or that of the function", () => {
    simulateSync(function* () {
      const tasks = [
        spawn(() => fromCallback(function ask() {})),
        spawn(() => fromCallback(() => {}, { name: "an answer" })),
      ];
      yield* yieldNow();
      yield* yieldNow();
      expect(tasks.map((it) => it.waitingFor)).toEqual(["callback of ask", "an answer"]);
      for (const task of tasks) yield* task.cancel();
    });
    expect(thrownBy(() => fromCallback(5 as never))).toBeInstanceOf(UsageError);
  });
});
