import { moveOnAfter, sleep, spawn } from "fibril";
import type { Coroutine } from "fibril";
import { describe, expect, test } from "vitest";
import { BrokenBarrierError, Barrier } from "../../src/sync/index.ts";
import { caught } from "./caught.ts";
import { simulated, thrownBy } from "../core/simulated.ts";

describe("a barrier", () => {
  test("lets its parties go together, each with its place, round after round", () => {
    const log = simulated(function* () {
      const barrier = new Barrier(3, { name: "frame" });
      const seen: string[] = [];
      function* party(name: string, ms: number): Coroutine<void> {
        for (let round = 0; round < 2; round++) {
          yield* sleep(ms);
          seen.push(`${name} ${round}: ${yield* barrier.wait()}`);
        }
      }
      const tasks = [spawn(party, "a", 3), spawn(party, "b", 1), spawn(party, "c", 2)];
      yield* sleep(2);
      expect(tasks[1]!.waitingFor).toBe('barrier "frame" (1 of 3 have come)');
      for (const task of tasks) yield* task;
      expect(barrier.statistics()).toEqual({ name: "frame", parties: 3, waiting: 0, rounds: 2, isBroken: false });
      return seen;
    });
    expect(log.toSorted()).toEqual(["a 0: 2", "a 1: 2", "b 0: 0", "b 1: 0", "c 0: 1", "c 1: 1"]);
  });

  test("of one party never holds anybody", () => {
    simulated(function* () {
      const barrier = new Barrier(1);
      expect([yield* barrier.wait(), yield* barrier.wait()]).toEqual([0, 0]);
    });
  });

  test("a cancelled waiter leaves as if it had not come: others move up, the round needs one more", () => {
    simulated(function* () {
      const barrier = new Barrier(3);
      const first = spawn(() => barrier.wait());
      const second = spawn(() => barrier.wait());
      yield* sleep(1);
      yield* first.cancel();
      expect(barrier.waiting).toBe(1);
      const third = spawn(() => barrier.wait());
      yield* sleep(1);
      expect([second.state, third.state]).toEqual(["waiting", "waiting"]);
      expect([yield* barrier.wait(), yield* second, yield* third]).toEqual([2, 0, 1]);
    });
  });

  test("abort fails those who wait and those who come, until reset", () => {
    simulated(function* () {
      const barrier = new Barrier(2, { name: "frame" });
      const waiting = spawn(() => caught(barrier.wait()));
      yield* sleep(1);
      barrier.abort();
      const error = yield* waiting;
      expect(error).toBeInstanceOf(BrokenBarrierError);
      expect(error).toMatchObject({
        code: "BARRIER_BROKEN",
        message: expect.stringContaining('barrier "frame" was aborted'),
      });
      expect(yield* caught(barrier.wait())).toBeInstanceOf(BrokenBarrierError);
      expect(barrier.isBroken).toBe(true);
      barrier.reset();
      expect(barrier.isBroken).toBe(false);
      const task = spawn(() => barrier.wait());
      yield* sleep(1);
      expect([yield* barrier.wait(), yield* task]).toEqual([1, 0]);
    });
  });

  test("reset fails those who wait, nobody else", () => {
    simulated(function* () {
      const barrier = new Barrier(2);
      const waiting = spawn(() => caught(barrier.wait()));
      yield* sleep(1);
      barrier.reset();
      expect(yield* waiting).toMatchObject({ message: expect.stringContaining("was reset") });
      expect(yield* moveOnAfter(1, barrier.wait())).toBeUndefined();
      expect(Object.isFrozen(barrier.statistics())).toBe(true);
    });
  });

  test.each([NaN, 0, -1, 1.5, Infinity])("refuses %s parties", (parties) => {
    expect(thrownBy(() => new Barrier(parties))).toMatchObject({ code: "USAGE" });
  });
});
