import { all, Cancelled, currentTask, EventLoop, moveOnAfter, scope, sleep, spawn, use, yieldNow } from "fibril";
import type { Coroutine } from "fibril";
import { describe, expect, test } from "vitest";
import { BrokenLockError, Lock } from "../../src/sync/index.ts";
import { caught } from "./caught.ts";
import { failureOf, simulated, thrownBy } from "../core/simulated.ts";

function* holdFor(lock: Lock, ms: number): Coroutine<void> {
  yield* lock.use(() => sleep(ms));
}

/** Ends without giving the lock back. */
function* dieHolding(lock: Lock, ms: number): Coroutine<void> {
  yield* lock.acquire();
  yield* sleep(ms);
}

describe("a lock", () => {
  test("lets one in at a time, in the order of coming", () => {
    const log = simulated(function* () {
      const lock = new Lock();
      const seen: string[] = [];
      yield* all(
        ["a", "b", "c"].map(
          (name) =>
            function* () {
              yield* lock.use(function* () {
                seen.push(`${name} in`);
                yield* sleep(3);
                seen.push(`${name} out`);
              });
            },
        ),
      );
      return seen;
    });
    expect(log).toEqual(["a in", "a out", "b in", "b out", "c in", "c out"]);
  });

  test("goes from hand to hand: who comes while somebody waits gets in line, also right after a release", () => {
    const log = simulated(function* () {
      const lock = new Lock();
      const seen: string[] = [];
      const permit = yield* lock.acquire();
      const waiting = spawn({ name: "waiting" }, function* () {
        yield* lock.use(function* () {
          seen.push("waiting");
        });
      });
      yield* sleep(1);
      permit.release();
      seen.push(`owner ${lock.owner?.name}`, `try ${lock.tryAcquire() === undefined}`);
      yield* lock.use(function* () {
        seen.push("main");
      });
      yield* waiting;
      return seen;
    });
    expect(log).toEqual(["owner waiting", "try true", "waiting", "main"]);
  });

  test("use gives what the body gives, and releases when it returns, throws or is cancelled", () => {
    simulated(function* () {
      const lock = new Lock();
      expect(yield* lock.use(() => holdReturning(7))).toBe(7);
      expect(lock.isLocked).toBe(false);
      const error = new Error("no");
      expect(
        yield* caught(
          lock.use(function* () {
            throw error;
          }),
        ),
      ).toBe(error);
      expect(lock.isLocked).toBe(false);
      expect(yield* moveOnAfter(1, holdFor(lock, 100))).toBeUndefined();
      expect(lock.isLocked).toBe(false);
      yield* lock.use(sleep(1)); // an operation is a body too
      expect(lock.isLocked).toBe(false);
    });
  });

  test("use refuses a body that is no coroutine, and releases", () => {
    simulated(function* () {
      const lock = new Lock();
      expect(yield* caught(lock.use((() => Promise.resolve()) as never))).toMatchObject({ code: "NOT_AN_OPERATION" });
      expect(lock.isLocked).toBe(false);
    });
  });

  test("a permit gives back once; a later release cannot take it from the next owner", () => {
    simulated(function* () {
      const lock = new Lock();
      const first = yield* lock.acquire();
      const other = spawn(holdFor, lock, 5);
      yield* sleep(1);
      first.release();
      first.release();
      first[Symbol.dispose]();
      expect(lock.owner).toBe(other);
      yield* other;
      using _permit = yield* lock.acquire();
      first.release();
      expect(lock.owner).toBe(currentTask());
    });
  });

  test("its permit is a resource: use() registers the release, also when the scope is cancelled", () => {
    simulated(function* () {
      const lock = new Lock();
      yield* moveOnAfter(
        2,
        scope(function* () {
          yield* use(lock.acquire());
          expect(lock.isLocked).toBe(true);
          yield* sleep(10);
        }),
      );
      expect(lock.isLocked).toBe(false);
      {
        using permit = yield* lock.acquire();
        expect([lock.isLocked, typeof permit.release]).toEqual([true, "function"]);
      }
      expect(lock.isLocked).toBe(false);
    });
  });

  test("a cancelled waiter takes nothing and gives up its place", () => {
    simulated(function* () {
      const lock = new Lock();
      const permit = yield* lock.acquire();
      const impatient = spawn(holdFor, lock, 1);
      const patient = spawn(holdFor, lock, 1);
      yield* sleep(1);
      expect(lock.statistics().waiting).toBe(2);
      yield* impatient.cancel();
      expect(lock.statistics().waiting).toBe(1);
      permit.release();
      expect(lock.owner).toBe(patient);
    });
  });

  test("a waiter that was handed the lock and is cancelled in the same turn has it, and gives it back", () => {
    simulated(function* () {
      const lock = new Lock();
      const permit = yield* lock.acquire();
      const seen: unknown[] = [];
      const task = spawn(function* () {
        using _permit = yield* lock.acquire();
        seen.push("has it");
        try {
          yield* yieldNow();
        } catch (error) {
          seen.push(error instanceof Cancelled);
          throw error;
        }
      });
      yield* sleep(1);
      permit.release();
      yield* task.cancel();
      expect([seen, lock.isLocked]).toEqual([["has it", true], false]);
    });
  });

  test("says who holds it to those who wait, and in statistics", () => {
    simulated(function* () {
      const lock = new Lock({ name: "stock" });
      expect(lock.statistics()).toEqual({ name: "stock", isLocked: false, isBroken: false, owner: null, waiting: 0 });
      expect(Object.isFrozen(lock.statistics())).toBe(true);
      const task = spawn({ name: "writer" }, holdFor, lock, 5);
      const waiting = spawn(holdFor, lock, 5);
      yield* sleep(1);
      expect(waiting.waitingFor).toBe('lock "stock" (held by "writer")');
      expect(lock.statistics()).toEqual({
        name: "stock",
        isLocked: true,
        isBroken: false,
        owner: "writer",
        waiting: 1,
      });
      expect(lock.owner).toBe(task);
      const unnamed = new Lock();
      yield* unnamed.acquire();
      const other = spawn({ name: "other" }, holdFor, unnamed, 1);
      yield* sleep(1);
      expect([unnamed.name, other.waitingFor?.slice(0, 6)]).toEqual(["lock", "lock ("]);
      unnamed.release();
    });
  });
});

describe("a lock belongs to its task", () => {
  test("acquiring it again is refused, not waited for", () => {
    simulated(function* () {
      const lock = new Lock({ name: "stock" });
      using _permit = yield* lock.acquire();
      expect(yield* caught(lock.acquire())).toMatchObject({
        code: "LOCK_REENTERED",
        message: expect.stringContaining('holds lock "stock" already'),
      });
      expect(thrownBy(() => lock.tryAcquire())).toMatchObject({ code: "LOCK_REENTERED" });
      expect(lock.statistics()).toMatchObject({ isLocked: true, waiting: 0 });
    });
  });

  test("only the owner releases it by hand", () => {
    simulated(function* () {
      const lock = new Lock();
      expect(thrownBy(() => lock.release())).toMatchObject({ code: "LOCK_NOT_OWNED" });
      const task = spawn({ name: "owner" }, holdFor, lock, 5);
      yield* sleep(1);
      expect(thrownBy(() => lock.release())).toMatchObject({
        code: "LOCK_NOT_OWNED",
        message: expect.stringContaining('task "owner" holds it'),
      });
      EventLoop.current().callSoon(() => {
        expect(thrownBy(() => lock.release())).toMatchObject({ message: expect.stringContaining("outside") });
      });
      yield* sleep(1);
      expect(lock.owner).toBe(task);
      yield* task;
      yield* lock.acquire();
      lock.release();
      expect(lock.isLocked).toBe(false);
    });
  });

  test("outside a coroutine nobody can own it", () => {
    expect(thrownBy(() => new Lock().tryAcquire())).toMatchObject({ code: "OUTSIDE_TASK" });
  });

  test("whoever has the permit may give it back", () => {
    simulated(function* () {
      const lock = new Lock();
      const permit = yield* lock.acquire();
      yield* spawn(function* () {
        permit.release();
      });
      expect(lock.isLocked).toBe(false);
    });
  });
});

describe("a lock whose owner ended while it held it", () => {
  test("is broken: those who wait and those who come are told who", () => {
    simulated(function* () {
      const lock = new Lock({ name: "stock" });
      const owner = spawn({ name: "writer" }, dieHolding, lock, 5);
      const waiting = [1, 2].map(() => spawn(() => caught(lock.acquire())));
      yield* owner;
      const errors: unknown[] = [];
      for (const task of waiting) errors.push(yield* task);
      errors.push(yield* caught(lock.acquire()));
      errors.push(thrownBy(() => lock.tryAcquire()));
      for (const error of errors) {
        expect(error).toBeInstanceOf(BrokenLockError);
        expect(error).toMatchObject({ code: "LOCK_BROKEN", owner: "writer", lock: 'lock "stock"' });
        expect((error as Error).message).toContain('task "writer" ended while it held it');
      }
      expect(new Set(errors).size).toBe(4); // one each: stacks grow
      expect(lock.statistics()).toEqual({ name: "stock", isLocked: true, isBroken: true, owner: "writer", waiting: 0 });
      expect(thrownBy(() => lock.release())).toMatchObject({ code: "LOCK_NOT_OWNED" });
    });
  });

  test("is broken also when nobody waited, and when the owner was cancelled", () => {
    simulated(function* () {
      const lock = new Lock();
      const owner = spawn(dieHolding, lock, 50);
      yield* sleep(1);
      yield* owner.cancel();
      expect(lock.isBroken).toBe(true);
      expect(yield* caught(lock.acquire())).toBeInstanceOf(BrokenLockError);
    });
  });

  test("stays broken when somebody else gives the permit back afterwards", () => {
    simulated(function* () {
      const lock = new Lock();
      const permit = yield* spawn(() => lock.acquire());
      permit.release();
      expect(lock.isBroken).toBe(true);
    });
  });

  test("notices it also for those who came in line after a hand-over", () => {
    simulated(function* () {
      const lock = new Lock();
      const first = spawn(holdFor, lock, 2);
      const second = spawn({ name: "second" }, dieHolding, lock, 2);
      const third = spawn(() => caught(lock.acquire()));
      yield* first;
      yield* second;
      expect(yield* third).toMatchObject({ owner: "second" });
    });
  });

  test("works again after repair; nobody comes in between", () => {
    simulated(function* () {
      const lock = new Lock();
      yield* spawn(dieHolding, lock, 0);
      lock.repair();
      expect(lock.isLocked).toBe(false);
      const other = spawn(holdFor, lock, 1);
      using _permit = yield* lock.acquire();
      expect(lock.owner).toBe(currentTask());
      lock.repair(); // it is not broken: nothing happens
      expect(lock.owner).toBe(currentTask());
      yield* sleep(1);
      expect(other.state).toBe("waiting");
    });
  });

  test("an owner that releases in its own scope's end did not die holding it", () => {
    simulated(function* () {
      const lock = new Lock();
      yield* spawn(function* () {
        yield* use(lock.acquire());
      });
      expect(lock.isLocked).toBe(false);
    });
  });
});

test("two tasks that wait for each other's lock are reported, with who holds what", () => {
  const error = failureOf(function* () {
    const [a, b] = [new Lock({ name: "a" }), new Lock({ name: "b" })];
    function* take(first: Lock, second: Lock): Coroutine<void> {
      yield* first.use(function* () {
        yield* sleep(1);
        yield* second.use(() => sleep(1));
      });
    }
    yield* moveOnAfter(
      5,
      scope(function* () {
        const one = spawn({ name: "one" }, take, a, b);
        const two = spawn({ name: "two" }, take, b, a);
        yield* sleep(3);
        throw new Error(`${one.waitingFor}; ${two.waitingFor}`);
      }),
    );
  });
  expect((error as Error).message).toBe('lock "b" (held by "two"); lock "a" (held by "one")');
});

function* holdReturning(value: number): Coroutine<number> {
  yield* sleep(1);
  return value;
}
