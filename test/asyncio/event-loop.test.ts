import { EventLoop as KernelLoop, sleep as fibrilSleep, UsageError } from "fibril";
import type { Report } from "fibril";
import { simulate, VirtualClock, VirtualHost } from "fibril/testing";
import { describe, expect, test } from "vitest";
import {
  Context,
  createTask,
  getRunningLoop,
  newEventLoop,
  RuntimeError,
  sleep,
  SystemExit,
  ValueError,
} from "../../src/asyncio/index.ts";
import type { Coroutine } from "../../src/asyncio/index.ts";
import { now, play, stage, thrownBy, thrownIn } from "./virtual.ts";

describe("running", () => {
  test("test_run_forever_pre_stopped: stop before a run is exactly one iteration", async () => {
    const { loop, host } = stage();
    const log: string[] = [];
    loop.callSoon(() => {
      log.push("first");
      loop.callSoon(() => log.push("second"));
    });
    loop.stop();
    const run = loop.runForever();
    host.drain();
    await run;
    expect([log, loop.isRunning()]).toEqual([["first"], false]);
  });

  test("stop ends the run after the iteration, and what is left runs in the next run", async () => {
    const { loop, host } = stage();
    const log: string[] = [];
    loop.callSoon(() => loop.stop());
    loop.callSoon(() => {
      log.push("same iteration");
      loop.callSoon(() => log.push("later"));
    });
    const run = loop.runForever();
    host.drain();
    await run;
    expect(log).toEqual(["same iteration"]);
    loop.stop();
    const again = loop.runForever();
    host.drain();
    await again;
    expect(log).toEqual(["same iteration", "later"]);
  });

  test("nothing runs while the loop does not", () => {
    const { loop, host } = stage();
    let ran = false;
    loop.callSoon(() => (ran = true));
    loop.callLater(1, () => (ran = true));
    host.drain();
    expect(ran).toBe(false);
  });

  test("a loop that sleeps is woken by callSoon, by an earlier timer and by stop", async () => {
    const { loop, host, clock } = stage();
    const log: string[] = [];
    const run = loop.runForever();
    host.drain();
    loop.callSoon(() => log.push("soon"));
    host.drain();
    const far = loop.callLater(100, () => log.push("far"));
    loop.callLater(5, () => log.push(`near ${loop.time()}`));
    far.cancel();
    host.drain();
    expect([log, clock.now()]).toEqual([["soon", "near 5"], 5000]);
    loop.stop();
    host.drain();
    await run;
  });

  test("runUntilComplete gives the result, the exception, or RuntimeError when stop came first", async () => {
    const { loop, host } = stage();
    const settled = async <T>(run: Promise<T>): Promise<T> => {
      host.drain();
      return await run;
    };
    await expect(settled(loop.runUntilComplete(sleep(1, "value")))).resolves.toBe("value");
    const error = new Error("x");
    const failing = loop.runUntilComplete(
      (function* (): Coroutine<void> {
        yield* sleep(0);
        throw error;
      })(),
    );
    await expect(settled(failing)).rejects.toBe(error);
    loop.callLater(1, () => loop.stop());
    const endless = loop.createTask(sleep(100));
    await expect(settled(loop.runUntilComplete(endless))).rejects.toBeInstanceOf(RuntimeError);
    expect(loop.isRunning()).toBe(false);
  });

  test("no run inside a run, in a coroutine of another loop, or on a closed one", async () => {
    const { loop, host, finish } = stage();
    const other = newEventLoop();
    let inside: Promise<unknown>[] = [];
    finish(
      (function* () {
        yield* sleep(0);
        inside = [loop.runForever(), other.runForever(), loop.runUntilComplete(loop.createFuture())];
      })(),
    );
    for (const run of inside) await expect(run).rejects.toBeInstanceOf(RuntimeError);
    loop.close();
    loop.close();
    await expect(loop.runForever()).rejects.toBeInstanceOf(RuntimeError);
    for (const use of [
      () => loop.callSoon(() => {}),
      () => loop.callLater(1, () => {}),
      () => loop.createTask(sleep(1)),
    ]) {
      expect(thrownBy(use)).toBeInstanceOf(RuntimeError);
    }
    expect(loop.isClosed()).toBe(true);
    host.drain();
  });

  test("a loop that runs cannot be closed; closing drops what is scheduled", () => {
    play(function* () {
      yield* sleep(0);
      expect(thrownBy(() => getRunningLoop().close())).toBeInstanceOf(RuntimeError);
    });
    const { loop } = stage();
    loop.callLater(1, () => {});
    loop.close();
    expect(loop.kernel.statistics()).toMatchObject({ timers: 0, ready: 0 });
  });

  test("closing tells of tasks that are not done", () => {
    const { loop, complaints } = stage();
    loop.createTask(sleep(1), { name: "left" });
    loop.close();
    expect(complaints.map((it) => [it.message, String(it.task)])).toEqual([
      ["Task was destroyed but it is pending!", '<Task pending name="left">'],
    ]);
  });

  test("SystemExit in a task or callback ends the run at once", async () => {
    const { loop, host } = stage();
    const exit = new SystemExit(3);
    loop.callSoon(() => {
      throw exit;
    });
    let later = false;
    loop.callSoon(() => (later = true));
    const run = loop.runForever();
    host.drain();
    await expect(run).rejects.toBe(exit);
    expect([later, loop.isRunning()]).toEqual([false, false]);
    const task = loop.runUntilComplete(
      // oxlint-disable-next-line require-yield -- it ends before any suspension
      (function* (): Coroutine<void> {
        throw exit;
      })(),
    );
    host.drain();
    await expect(task).rejects.toBe(exit);
  });

  test("getRunningLoop: the loop inside, an error outside", () => {
    expect(
      play(function* () {
        yield* sleep(0);
        return getRunningLoop().isRunning();
      }),
    ).toBe(true);
    expect(thrownBy(getRunningLoop)).toBeInstanceOf(RuntimeError);
    expect(thrownBy(() => createTask(sleep(1)))).toBeInstanceOf(RuntimeError);
  });
});

describe("callbacks and timers", () => {
  test("times are in seconds, and a timer's time is exactly its own", () => {
    const { loop, host } = stage();
    const seen: number[] = [];
    loop.callAt(0.1 + 0.2, () => seen.push(loop.time()));
    loop.callAt(0.7, () => seen.push(loop.time()));
    void loop.runForever();
    host.drain();
    expect(seen).toEqual([0.1 + 0.2, 0.7]);
    // 100 + 20 ms are 0.12 s; 0.1 + 0.02 s are not, and the next timer is set from there
    const chained = play(function* () {
      yield* sleep(0.1);
      yield* sleep(0.02);
      return now();
    });
    expect([chained, chained === 0.12]).toEqual([0.1 + 0.02, false]);
  });

  test("test_call_later_negative_delays: timers of the past run in the order of their times", () => {
    const { loop, host } = stage();
    const log: number[] = [];
    loop.callLater(-1, () => log.push(-1));
    loop.callLater(-3, () => log.push(-3));
    loop.callLater(-2, () => log.push(-2));
    void loop.runForever();
    host.drain();
    expect(log).toEqual([-3, -2, -1]);
  });

  test("a handle that is cancelled is not called, not even by a callback of the same iteration", () => {
    const { loop, host, complaints } = stage();
    const log: string[] = [];
    loop.callSoon(() => second.cancel());
    const second = loop.callSoon(() => log.push("second"));
    const timer = loop.callLater(1, () => log.push("timer"));
    timer.cancel();
    timer.cancel();
    void loop.runForever();
    host.drain();
    expect([log, second.cancelled(), timer.cancelled(), timer.when(), loop.time()]).toEqual([[], true, true, 1, 0]);
    expect(complaints).toEqual([]);
  });

  test("test__run_once_cancelled_event_cleanup: ten thousand timers that were cancelled leave nothing", () => {
    play(function* () {
      const loop = getRunningLoop();
      for (let i = 0; i < 10_000; i++) loop.callLater(1000 + i, () => {}).cancel();
      yield* sleep(1);
      expect(now()).toBe(1);
    });
  });

  test("sleeps of days and for ever", () => {
    play(function* () {
      createTask(sleep(Infinity));
      yield* sleep(3 * 24 * 3600);
      expect(now()).toBe(3 * 24 * 3600);
    });
  });

  test("what a callback throws goes to the exception handler, and the loop goes on", () => {
    const { loop, host, complaints } = stage();
    const error = new Error("x");
    loop.callSoon(function careless() {
      throw error;
    });
    let after = false;
    loop.callSoon(() => (after = true));
    void loop.runForever();
    host.drain();
    expect([complaints.length, complaints[0]!.exception, after]).toEqual([1, error, true]);
    expect(complaints[0]!.message).toContain("careless");
  });

  test("test_set_exc_handler_broken: an exception handler that throws does not stop the loop; both errors are reported", () => {
    const clock = new VirtualClock();
    const host = new VirtualHost(clock);
    const reports: Report[] = [];
    const loop = newEventLoop({ clock, host, onReport: (report) => void reports.push(report) });
    const [first, second] = [new Error("1"), new Error("2")];
    const log: unknown[] = [];
    loop.callSoon(() => {
      throw first;
    });
    loop.callSoon(() => log.push("goes on"));
    void loop.runForever();
    host.drain();
    loop.setExceptionHandler(() => {
      throw second;
    });
    loop.callSoon(() => {
      throw first;
    });
    loop.callSoon(() => log.push("goes on"));
    host.drain();
    expect(reports.map((it) => it.error)).toEqual([first, second]);
    expect(log).toEqual(["goes on", "goes on"]);
    expect(loop.getExceptionHandler()).not.toBeNull();
  });

  test("a step that cannot even begin is told, and the loop goes on", () => {
    const { loop, host, complaints } = stage();
    const context = new Context();
    loop.createTask(sleep(1), { context });
    let after = false;
    loop.callSoon(() => (after = true));
    context.run(() => {
      void loop.runForever();
      host.drain();
    });
    expect([after, complaints.map((it) => it.exception)]).toEqual([true, [expect.any(RuntimeError)]]);
  });

  test("wrong arguments are refused at once", () => {
    const { loop } = stage();
    for (const wrong of [
      () => loop.callSoon(undefined as never),
      () => loop.callSoon(function* () {} as never),
      () => loop.callLater("1" as never, () => {}),
      () => loop.callLater(Number.NaN, () => {}),
      () => loop.callAt(1, sleep(1) as never),
      () => loop.createTask((() => {}) as never),
      () => loop.setExceptionHandler(1 as never),
      () => loop.setTaskFactory(1 as never),
    ]) {
      expect(thrownBy(wrong)).toBeInstanceOf(UsageError);
    }
    expect(thrownBy(() => loop.callAt(Number.NaN, () => {}))).toBeInstanceOf(ValueError);
    expect(loop.kernel.statistics()).toMatchObject({ ready: 0, timers: 0 });
  });
});

describe("debug mode", () => {
  test("slow callbacks and steps are reported", () => {
    const clock = new VirtualClock();
    const host = new VirtualHost(clock);
    const reports: Report[] = [];
    const loop = newEventLoop({ clock, host, onReport: (report) => void reports.push(report) });
    const work = (): void => clock.advanceTo(clock.now() + 2500);
    loop.callSoon(function unseen() {
      work();
    });
    void loop.runForever();
    host.drain();
    loop.setDebug(true);
    loop.callSoon(function heavy() {
      work();
    });
    host.drain();
    loop.slowCallbackDuration = 3;
    loop.callSoon(work);
    host.drain();
    expect(reports.map((it) => it.kind)).toEqual(["slow-callback"]);
    expect(reports[0]!.message).toMatch(/executing <Handle heavy.*> took 2\.500 seconds/);
    expect(loop.getDebug()).toBe(true);
  });

  test("a failure says where its task was made", () => {
    const { loop, finish, complaints } = stage();
    loop.setDebug(true);
    finish(
      (function* () {
        createTask(
          (function* (): Coroutine<void> {
            yield* sleep(0);
            throw new Error("x");
          })(),
        );
        yield* sleep(1);
      })(),
    );
    loop.close();
    expect(complaints[0]!.sourceTraceback).toContain("event-loop.test.ts");
  });
});

describe("on a kernel's loop", () => {
  test("several loops and Fibril's tasks share one thread, each with its own running loop", () => {
    const clock = new VirtualClock();
    const host = new VirtualHost(clock);
    const kernel = new KernelLoop({ clock, host });
    const [a, b] = [newEventLoop({ kernel, name: "a" }), newEventLoop({ kernel, name: "b" })];
    const log: string[] = [];
    const main = function* (name: string): Coroutine<void> {
      for (let i = 1; i <= 2; i++) {
        yield* sleep(i);
        log.push(`${name}${i} ${getRunningLoop() === (name === "a" ? a : b)}`);
      }
    };
    void a.runUntilComplete(main("a"));
    void b.runUntilComplete(main("b"));
    kernel.spawn(function* () {
      yield* fibrilSleep(2000);
      log.push("fibril");
    });
    host.drain();
    expect(log).toEqual(["a1 true", "b1 true", "fibril", "a2 true", "b2 true"]);
  });

  test("an iteration counts for the host's budget: a busy loop lets it in", async () => {
    const loop = newEventLoop();
    let spins = 0;
    let hostRan = false;
    const spin = function* (): Coroutine<void> {
      while (!hostRan && spins++ < 5_000_000) yield* sleep(0);
    };
    const timer = simulate(function* () {}).then(() => (hostRan = true)); // takes a turn of the host
    await loop.runUntilComplete(spin());
    await timer;
    expect(spins).toBeLessThan(5_000_000);
    loop.close();
  });
});

test("runInExecutor gives what the executor's promise settles with, and holds the loop meanwhile", async () => {
  const executor = {
    submit: async <A extends readonly unknown[], T>(fn: (...args: A) => T, ...args: A): Promise<Awaited<T>> =>
      await fn(...args),
  };
  const loop = newEventLoop();
  const add = (a: number, b: number): number => a + b;
  const fail = (): never => {
    throw new ValueError("no");
  };
  const result = await loop.runUntilComplete(
    (function* () {
      const sum = yield* loop.runInExecutor(executor, add, 1, 2);
      const error = yield* thrownIn(loop.runInExecutor(executor, fail));
      const dropped = loop.runInExecutor(executor, add, 3, 4);
      dropped.cancel();
      yield* sleep(0.001);
      return [sum, error instanceof ValueError, dropped.cancelled()];
    })(),
  );
  expect([result, loop.kernel.statistics().outside]).toEqual([[3, true, true], 0]);
  loop.close();
});
