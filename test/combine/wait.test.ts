import { EventLoop, moveOnAfter, run, sleep, spawn, UsageError } from "fibril";
import type { Task } from "fibril";
import { simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { wait } from "../../src/combine/index.ts";
import type { WaitOptions } from "../../src/combine/index.ts";
import { failureOf, now, simulated, thrownBy } from "../core/simulated.ts";
import { after, fail } from "./operands.ts";

/** Names of the done and of the pending, and the time, for tasks with these delays. */
function waited(delays: readonly number[], options?: WaitOptions): unknown {
  return simulated(function* () {
    const tasks = delays.map((ms) => spawn({ name: `t${ms}` }, sleep, ms));
    const { done, pending } = yield* wait(tasks, options);
    const seen = [done.map((it) => it.name), pending.map((it) => it.name), now()];
    return seen;
  });
}

describe("wait", () => {
  test("waits for all, and gives them in the order of the operands", () => {
    expect(waited([3, 1, 2])).toEqual([["t3", "t1", "t2"], [], 3]);
  });

  test("or for the first", () => {
    expect(waited([3, 1, 2], { returnWhen: "first" })).toEqual([["t1"], ["t3", "t2"], 1]);
  });

  test("for a while: running out of time throws nothing and cancels nobody", () => {
    expect(waited([3, 1, 20], { timeoutMs: 5 })).toEqual([["t3", "t1"], ["t20"], 5]);
    expect(waited([3, 1], { timeoutMs: 0 })).toEqual([[], ["t3", "t1"], 0]);
  });

  test("or for the first failure; a cancelled task is none, and without one it waits for all", () => {
    const seen = simulated(function* () {
      const home = EventLoop.current();
      const [cancelled, failing, slow] = [spawn(sleep, 50), home.spawn(fail, 4, new Error("x")), spawn(sleep, 9)];
      cancelled.cancel();
      const first = yield* wait([slow, failing, cancelled], { returnWhen: "firstFailure" });
      const at = now();
      const rest = yield* wait([slow, cancelled], { returnWhen: "firstFailure" });
      return [first.done, first.pending, at, rest.done, now()].map((it) =>
        Array.isArray(it) ? it.map((task: Task<unknown>) => [slow, failing, cancelled].indexOf(task as never)) : it,
      );
    });
    expect(seen).toEqual([[1, 2], [0], 4, [0, 2], 9]);
  });

  test("of no tasks, or with what has settled, it answers at once", () => {
    const seen = simulated(function* () {
      const settled = spawn(after, 1, "x");
      yield* settled;
      const open = spawn(sleep, 5);
      const { done, pending } = yield* wait([open, settled], { returnWhen: "first" });
      return [yield* wait([]), done.length, pending.length, now()];
    });
    expect(seen).toEqual([{ done: [], pending: [] }, 1, 1, 1]);
  });

  test("looks at no outcome: a failure that nobody looks at is still reported", () => {
    const error = new Error("unseen");
    const { reports } = simulateSync(function* () {
      const task = EventLoop.current().spawn(fail, 1, error);
      yield* wait([task as Task<unknown>]);
    });
    expect(reports.map((it) => it.error)).toEqual([error]);
  });

  test("cancelling it leaves the tasks alone, and no timer or watcher behind", () => {
    const { outcome, elapsedMs } = simulateSync(function* () {
      const task = spawn(after, 9, "done");
      const waiting = wait([task], { timeoutMs: 50 });
      yield* moveOnAfter(2, waiting);
      const { done } = yield* waiting;
      return [done.length, yield* task];
    });
    expect([outcome, elapsedMs]).toEqual([{ status: "succeeded", value: [1, "done"] }, 9]);
  });

  test("tasks of another loop are waited for as something outside", async () => {
    const far = new EventLoop({ name: "other" }).spawn(after, 3, "far");
    const { done } = await run(() => wait([far]));
    expect(done[0] === far).toBe(true);
  });

  test("says what it waits for", () => {
    const seen = simulated(function* () {
      const tasks = [1, 2, 3, 4, 5].map((ms) => spawn({ name: `t${ms}` }, sleep, ms));
      const waiting = spawn(() => wait(tasks, { returnWhen: "first" }));
      yield* sleep(0);
      yield* sleep(0);
      return waiting.waitingFor;
    });
    expect(seen).toBe('the first of task(s) "t1", "t2", "t3" and 2 more');
  });

  test("wrong operands and options are refused at once", () => {
    for (const make of [
      () => wait([sleep(1)] as never),
      () => wait([], { timeoutMs: Number.NaN }),
      () => wait([], { timeoutMs: -1 }),
      () => wait([], { returnWhen: "some" as never }),
    ]) {
      expect(thrownBy(make)).toBeInstanceOf(UsageError);
    }
    const self = failureOf(function* () {
      const task: Task<unknown> = spawn(function* () {
        yield* sleep(1);
        yield* wait([task]);
      });
      yield* task;
    });
    expect(self).toMatchObject({ code: "SELF_JOIN" });
  });
});
