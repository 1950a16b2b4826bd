import { moveOnAfter, sleep, spawn } from "fibril";
import { describe, expect, test } from "vitest";
import { Limiter } from "../../src/sync/index.ts";
import { caught } from "./caught.ts";
import { simulated, thrownBy } from "../core/simulated.ts";

describe("a limiter", () => {
  test("lends its tokens in the order of coming, and says who has them", () => {
    simulated(function* () {
      const limiter = new Limiter(2, { name: "threads" });
      const tasks = ["a", "b", "c"].map((name) => spawn({ name }, () => limiter.use(sleep(5))));
      yield* sleep(1);
      expect(limiter.statistics()).toEqual({
        name: "threads",
        total: 2,
        borrowed: 2,
        borrowers: ['task "a"', 'task "b"'],
        waiting: 1,
      });
      expect([limiter.available, limiter.isBorrowing(tasks[0]!), limiter.isBorrowing(tasks[2]!)]).toEqual([
        0,
        true,
        false,
      ]);
      expect(tasks[2]!.waitingFor).toBe('limiter "threads"');
      yield* tasks[1]!;
      expect(limiter.statistics().borrowers).toEqual(['task "c"']);
      yield* tasks[2]!;
      expect(limiter.statistics()).toEqual({ name: "threads", total: 2, borrowed: 0, borrowers: [], waiting: 0 });
    });
  });

  test("refuses to lend twice to the same task, or the same other borrower", () => {
    simulated(function* () {
      const limiter = new Limiter(2);
      class Connection {}
      const connection = new Connection();
      using _token = yield* limiter.acquire();
      expect(yield* caught(limiter.acquire())).toMatchObject({ code: "LIMITER_TWICE" });
      expect(thrownBy(() => limiter.tryAcquire())).toMatchObject({ code: "LIMITER_TWICE" });
      using _other = yield* limiter.acquireOnBehalfOf(connection);
      expect(limiter.statistics().borrowers).toEqual(['task "main"', "an object of class Connection"]);
      expect(thrownBy(() => limiter.tryAcquireOnBehalfOf(connection))).toMatchObject({ code: "LIMITER_TWICE" });
      expect(limiter.borrowed).toBe(2);
    });
  });

  test("refuses a second wait on behalf of the same borrower", () => {
    simulated(function* () {
      const limiter = new Limiter(0);
      const user = {};
      const waiting = spawn(() => limiter.acquireOnBehalfOf(user));
      yield* sleep(1);
      expect(yield* caught(limiter.acquireOnBehalfOf(user))).toMatchObject({
        message: expect.stringContaining("stands in line"),
      });
      expect(limiter.isBorrowing(user)).toBe(false);
      yield* waiting.cancel();
      limiter.total = 1;
      (yield* limiter.acquireOnBehalfOf(user)).release();
    });
  });

  test("the total can be raised, which serves those who wait, and lowered below what is lent", () => {
    simulated(function* () {
      const limiter = new Limiter(1);
      const tasks = [1, 2, 3, 4].map(() => spawn(() => limiter.use(sleep(5))));
      yield* sleep(1);
      limiter.total = 3;
      expect(limiter.statistics()).toMatchObject({ total: 3, borrowed: 3, waiting: 1 });
      limiter.total = 1;
      expect([limiter.borrowed, limiter.available]).toEqual([3, 0]);
      yield* tasks[0]!; // 2 are left: nobody is served
      expect(limiter.statistics()).toMatchObject({ borrowed: 2, waiting: 1 });
      yield* tasks[2]!;
      expect(limiter.statistics()).toMatchObject({ borrowed: 1, waiting: 0 });
      yield* tasks[3]!;
      limiter.total = Infinity;
      expect(limiter.available).toBe(Infinity);
    });
  });

  test("a token is given back once, by its permit or by its borrower", () => {
    simulated(function* () {
      const limiter = new Limiter(1);
      expect(thrownBy(() => limiter.release())).toMatchObject({ code: "LIMITER_NOT_BORROWED" });
      const token = yield* limiter.acquire();
      limiter.release();
      expect(thrownBy(() => limiter.release())).toMatchObject({ code: "LIMITER_NOT_BORROWED" });
      yield* limiter.acquire();
      token.release();
      expect(limiter.borrowed).toBe(1);
      limiter.release();
      const lent = spawn(() => limiter.acquire());
      yield* lent;
      limiter.releaseOnBehalfOf(lent); // it ended without doing so
      expect(limiter.borrowed).toBe(0);
    });
  });

  test("a cancelled waiter takes no token", () => {
    simulated(function* () {
      const limiter = new Limiter(1);
      using _other = yield* limiter.acquireOnBehalfOf({});
      expect(yield* moveOnAfter(1, limiter.acquire())).toBeUndefined();
      expect(limiter.statistics()).toMatchObject({ borrowed: 1, waiting: 0 });
      expect(Object.isFrozen(limiter.statistics()) && Object.isFrozen(limiter.statistics().borrowers)).toBe(true);
    });
  });

  test("refuses totals that are no whole number, and borrowers without identity", () => {
    const limiter = new Limiter(1);
    for (const total of [NaN, -1, 1.5, "2" as never]) {
      expect(thrownBy(() => new Limiter(total))).toMatchObject({ code: "USAGE" });
      expect(thrownBy(() => (limiter.total = total))).toMatchObject({ code: "USAGE" });
    }
    expect(limiter.total).toBe(1);
    for (const borrower of ["me", 1, null, undefined]) {
      expect(thrownBy(() => limiter.acquireOnBehalfOf(borrower as never))).toMatchObject({ code: "USAGE" });
      expect(thrownBy(() => limiter.tryAcquireOnBehalfOf(borrower as never))).toMatchObject({ code: "USAGE" });
    }
  });
});
