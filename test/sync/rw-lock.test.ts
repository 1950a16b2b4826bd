import { EventLoop, sleep, spawn } from "fibril";
import type { Coroutine } from "fibril";
import { describe, expect, test } from "vitest";
import { BrokenLockError, RwLock } from "../../src/sync/index.ts";
import { caught } from "./caught.ts";
import { now, simulated, thrownBy } from "../core/simulated.ts";

describe("an rw-lock", () => {
  test("lets readers read together, a writer alone", () => {
    const log = simulated(function* () {
      const lock = new RwLock();
      const seen: string[] = [];
      function* enter(name: string, isWrite: boolean): Coroutine<void> {
        const body = function* () {
          seen.push(`${name} at ${now()}`);
          yield* sleep(2);
        };
        yield* isWrite ? lock.write(body) : lock.read(body);
      }
      const tasks = [
        spawn(enter, "r1", false),
        spawn(enter, "r2", false),
        spawn(enter, "w", true),
        spawn(enter, "r3", false),
      ];
      for (const task of tasks) yield* task;
      return seen;
    });
    expect(log).toEqual(["r1 at 0", "r2 at 0", "w at 2", "r3 at 4"]);
  });

  test("stops readers behind a writer that waits, and lets them in when it is cancelled", () => {
    simulated(function* () {
      const lock = new RwLock({ name: "config" });
      const permit = yield* lock.acquireRead();
      const writer = spawn(() => lock.acquireWrite());
      const readers = [1, 2].map(() => spawn(() => lock.acquireRead()));
      yield* sleep(1);
      expect(lock.statistics()).toEqual({
        name: "config",
        readers: 1,
        writer: null,
        waitingReaders: 2,
        waitingWriters: 1,
        isBroken: false,
      });
      expect(writer.waitingFor).toBe('rw-lock "config" to write (1 read)');
      yield* spawn(function* () {
        expect(lock.tryAcquireRead()).toBeUndefined();
      });
      yield* writer.cancel();
      expect(lock.readers).toBe(3);
      for (const reader of readers) yield* reader;
      permit.release();
      lock.repair(); // the readers ended with their permits
    });
  });

  test("serves the readers at the front together, up to the next writer", () => {
    simulated(function* () {
      const lock = new RwLock();
      const permit = yield* lock.acquireWrite();
      const hold = function* (isWrite: boolean): Coroutine<void> {
        yield* isWrite ? lock.write(sleep(5)) : lock.read(sleep(5));
      };
      const tasks = [false, false, true, false].map((isWrite) => spawn(hold, isWrite));
      yield* sleep(1);
      expect(tasks[0]!.waitingFor).toBe('rw-lock to read (held by "main")');
      permit.release();
      expect(lock.statistics()).toMatchObject({ readers: 2, waitingReaders: 1, waitingWriters: 1 });
      yield* tasks[1]!;
      expect(lock.statistics()).toMatchObject({ readers: 0, waitingReaders: 1, waitingWriters: 0, writer: "hold" });
      expect(lock.isWriting).toBe(true);
    });
  });

  test("a writer becomes a reader without letting anybody write in between", () => {
    simulated(function* () {
      const lock = new RwLock();
      const permit = yield* lock.acquireWrite();
      const tasks = [
        spawn(() => lock.read(sleep(2))),
        spawn(() => lock.write(sleep(2))),
        spawn(() => lock.read(sleep(2))),
      ];
      yield* sleep(1);
      permit.downgrade();
      expect(lock.statistics()).toMatchObject({ readers: 2, writer: null, waitingReaders: 1, waitingWriters: 1 });
      expect(thrownBy(() => permit.downgrade())).toMatchObject({ code: "LOCK_NOT_OWNED" });
      permit.release();
      permit.release();
      expect(thrownBy(() => permit.downgrade())).toMatchObject({ code: "LOCK_NOT_OWNED" });
      expect(lock.readers).toBe(1);
      for (const task of tasks) yield* task;
    });
  });

  test("a task holds it once: it cannot read twice, nor upgrade", () => {
    simulated(function* () {
      const lock = new RwLock({ name: "config" });
      const reading = yield* lock.acquireRead();
      for (const operation of [lock.acquireRead(), lock.acquireWrite()]) {
        expect(yield* caught(operation)).toMatchObject({ code: "LOCK_REENTERED" });
      }
      expect(thrownBy(() => lock.tryAcquireWrite())).toMatchObject({ code: "LOCK_REENTERED" });
      reading.release();
      using _writing = lock.tryAcquireWrite()!;
      expect(yield* caught(lock.acquireRead())).toMatchObject({ message: expect.stringContaining("downgrade()") });
      yield* spawn(function* () {
        expect([lock.tryAcquireRead(), lock.tryAcquireWrite()]).toEqual([undefined, undefined]);
      });
    });
  });

  test("outside a coroutine nobody can hold it", () => {
    expect(thrownBy(() => new RwLock().tryAcquireRead())).toMatchObject({ code: "OUTSIDE_TASK" });
  });

  test("a permit may be given back from anywhere, once", () => {
    simulated(function* () {
      const lock = new RwLock();
      const permit = yield* lock.acquireRead();
      EventLoop.current().callSoon(() => permit[Symbol.dispose]());
      yield* sleep(1);
      expect(lock.readers).toBe(0);
      using _again = yield* lock.acquireRead();
      permit.release();
      expect(lock.readers).toBe(1);
      expect(Object.isFrozen(lock.statistics())).toBe(true);
    });
  });
});

describe("an rw-lock whose holder ended while it held it", () => {
  function* dieHolding(lock: RwLock, isWrite: boolean, ms: number): Coroutine<void> {
    yield* isWrite ? lock.acquireWrite() : lock.acquireRead();
    yield* sleep(ms);
  }

  test("a writer breaks it for all", () => {
    simulated(function* () {
      const lock = new RwLock({ name: "config" });
      const writer = spawn({ name: "writer" }, dieHolding, lock, true, 3);
      const waiting = [lock.acquireRead(), lock.acquireWrite()].map((it) => spawn(() => caught(it)));
      yield* writer;
      for (const task of waiting) expect(yield* task).toMatchObject({ code: "LOCK_BROKEN", owner: "writer" });
      expect(yield* caught(lock.acquireRead())).toBeInstanceOf(BrokenLockError);
      expect(thrownBy(() => lock.tryAcquireWrite())).toBeInstanceOf(BrokenLockError);
      expect(lock.statistics()).toMatchObject({ isBroken: true, writer: "writer" });
      lock.repair();
      yield* lock.write(sleep(1));
    });
  });

  test("a reader breaks it for writers; readers behind them go on", () => {
    simulated(function* () {
      const lock = new RwLock();
      const reader = spawn({ name: "reader" }, dieHolding, lock, false, 3);
      const writer = spawn(() => caught(lock.acquireWrite()));
      const behind = spawn(() => lock.read(sleep(1)));
      yield* reader;
      expect(yield* writer).toMatchObject({ code: "LOCK_BROKEN", owner: "reader" });
      yield* behind;
      yield* lock.read(sleep(1));
      expect(yield* caught(lock.acquireWrite())).toBeInstanceOf(BrokenLockError);
      expect([lock.isBroken, lock.readers]).toEqual([true, 1]);
      lock.repair();
      yield* lock.write(sleep(1));
      expect(lock.isBroken).toBe(false);
    });
  });

  test("a permit of the dead gives nothing back and is not downgraded", () => {
    simulated(function* () {
      const lock = new RwLock();
      const permit = yield* spawn(() => lock.acquireWrite());
      permit.release();
      expect(thrownBy(() => permit.downgrade())).toBeInstanceOf(BrokenLockError);
      expect([lock.isBroken, lock.isWriting]).toEqual([true, true]);
    });
  });

  test("repair leaves holders that live alone", () => {
    simulated(function* () {
      const lock = new RwLock();
      using _permit = yield* lock.acquireRead();
      yield* spawn(dieHolding, lock, false, 0);
      expect([lock.readers, lock.isBroken]).toEqual([2, true]);
      lock.repair();
      expect([lock.readers, lock.isBroken]).toEqual([1, false]);
    });
  });
});
