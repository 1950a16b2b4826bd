/**
 * Repeated runs on one loop.
 */
import { CancelledError, EventLoop, sleep, spawn, until, UsageError } from "fibril";
import type { Coroutine, Report, Task } from "fibril";
import { describe, expect, test } from "vitest";
import { Runner } from "../../src/core/index.ts";

describe("Runner", () => {
  test("runs one main after the other on the same loop, and gives what they return", async () => {
    const runner = new Runner({ name: "mine" });
    const loops = [1, 2].map(
      () =>
        function* () {
          yield* sleep(1);
          return EventLoop.current();
        },
    );
    expect(await runner.run(loops[0]!)).toBe(runner.loop);
    expect(await runner.run(loops[1]!)).toBe(runner.loop);
    expect(runner.loop.name).toBe("mine");
    await runner.close();
  });

  test("what is spawned on the loop lives on between the runs", async () => {
    const runner = new Runner();
    const ticks: number[] = [];
    await runner.run(function* () {
      EventLoop.current().spawn(function* ticker() {
        for (let n = 0; ; n++) {
          ticks.push(n);
          yield* sleep(1);
        }
      });
    });
    const before = ticks.length;
    await runner.run(function* () {
      while (ticks.length < before + 3) yield* sleep(1); // would never end if the ticker had
    });
    await runner.close();
    expect(runner.loop.tasks()).toEqual([]);
  });

  test("a run that fails or is cancelled leaves the runner as it was", async () => {
    const runner = new Runner();
    const error = new Error("main");
    await expect(
      runner.run(function* () {
        yield* sleep(0);
        throw error;
      }),
    ).rejects.toBe(error);
    const controller = new AbortController();
    const cancelled = runner.run(() => sleep(10_000), { signal: controller.signal });
    controller.abort("enough");
    await expect(cancelled).rejects.toBe("enough");
    expect(
      await runner.run(function* () {
        return 7;
      }),
    ).toBe(7);
    await runner.close();
  });

  test("a second run at the same time, or inside, is refused; the first goes on", async () => {
    const runner = new Runner();
    const first = runner.run(function* first() {
      const nested: unknown = yield* until(runner.run(() => sleep(1)).catch((error: unknown) => error));
      yield* sleep(2);
      return nested;
    });
    await expect(runner.run(() => sleep(1))).rejects.toMatchObject({ code: "RUNNER_BUSY" });
    expect(await first).toBeInstanceOf(UsageError);
    await runner.close();
  });

  test("close cancels what is left, waits for its cleanup, and reports failures that nobody sees", async () => {
    const reports: Report[] = [];
    const log: string[] = [];
    const error = new Error("cleanup");
    const runner = new Runner({ onReport: (report) => void reports.push(report) });
    await runner.run(function* () {
      for (const name of ["a", "b"]) {
        EventLoop.current().spawn(function* () {
          try {
            yield* sleep(10_000);
          } finally {
            yield* sleep(2);
            log.push(name);
            if (name === "b") yield* failing(error);
          }
        });
      }
      yield* sleep(1);
    });
    await runner.close();
    expect([log, reports.map((it) => it.error)]).toEqual([["a", "b"], [error]]);
  });

  test("close leaves no timer behind that would keep the process, and gives cleanup the runner's time", async () => {
    const ends: string[] = [];
    const runner = new Runner({ cleanupMs: 20, onReport: () => {} });
    await runner.run(function* () {
      EventLoop.current().spawn(function* () {
        try {
          yield* sleep(10_000);
        } finally {
          try {
            yield* sleep(60_000);
          } catch {
            ends.push("cut");
          }
        }
      });
      yield* sleep(1);
    });
    await runner.close();
    expect([ends, runner.loop.statistics().timers]).toEqual([["cut"], 0]);

    const quick = new Runner();
    quick.loop.spawn(sleep, 10_000);
    await quick.close();
    expect(quick.loop.statistics().timers).toBe(0);
  });

  test("close cancels a run under way, and what that spawns while it ends", async () => {
    const runner = new Runner();
    const log: string[] = [];
    const running = runner.run(function* () {
      try {
        yield* sleep(10_000);
      } finally {
        EventLoop.current().spawn(function* late() {
          try {
            yield* sleep(10_000);
          } finally {
            log.push("late stopped");
          }
        });
      }
    });
    running.catch(() => {});
    await runner.run(() => sleep(1)).catch(() => {}); // refused; but the first one is at its wait now
    const closed = [runner.close(), runner.close()];
    await Promise.all(closed);
    expect(log).toEqual(["late stopped"]);
    await expect(running).rejects.toBeInstanceOf(CancelledError);
    expect(runner.isClosed).toBe(true);
  });

  test("after close nothing runs any more", async () => {
    const runner = new Runner();
    await runner[Symbol.asyncDispose]();
    await expect(runner.run(() => sleep(1))).rejects.toMatchObject({ code: "RUNNER_CLOSED" });
  });

  test("the options of the runner are those of every run; a run may have its own", async () => {
    const loop = new EventLoop({ name: "given" });
    const runner = new Runner({ loop, cleanupMs: 1_000 });
    expect(runner.loop).toBe(loop);
    const cleanup: number[] = [];
    function* main() {
      cleanup.push((yield* parentOf(spawn(sleep, 0))).cleanupMs);
    }
    await runner.run(main);
    await runner.run(main, { cleanupMs: 20 });
    expect(cleanup).toEqual([1_000, 20]);
    await expect(runner.run(main, { cleanupMs: Number.NaN })).rejects.toBeInstanceOf(UsageError);
    await expect(runner.run(5 as never)).rejects.toBeInstanceOf(UsageError);
    await runner.run(main);
    await runner.close();
  });
});

function* failing(error: Error): Coroutine<never> {
  throw error;
}

function* parentOf(task: Task<void>) {
  yield* task;
  return task.owner;
}
