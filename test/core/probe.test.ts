import { EventLoop, Future, scope, sleep, spawn, yieldNow } from "fibril";
import type { Report } from "fibril";
import type { Probe, TaskView } from "fibril/lowlevel";
import { simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";

function recorder(log: string[]): Required<Probe> {
  const note = (hook: string) => (task: TaskView) =>
    void log.push(`${hook} ${task.name} ${task.waitingFor ?? task.state}`);
  return {
    taskSpawned: note("spawned"),
    beforeStep: note("before"),
    afterStep: note("after"),
    waitStarted: note("parked"),
    waitEnded: note("woken"),
    taskSettled: note("settled"),
    cancelRequested: (it, cancelled) => void log.push(`cancel ${it.name} ${cancelled.source}`),
  };
}

describe("a probe", () => {
  test("sees every hook, in the order in which things happen", () => {
    const log: string[] = [];
    simulateSync(
      function* main() {
        const future = new Future<void>({ name: "go" });
        const task = spawn({ name: "child" }, () => future);
        yield* yieldNow();
        future.resolve();
        yield* task;
      },
      { probe: recorder(log) },
    );
    expect(log).toEqual([
      "spawned main ready",
      "before main running",
      "spawned child ready",
      "after main ready",
      "before child running",
      "parked child go",
      "after child go",
      "before main running",
      "woken child go",
      'parked main join task "child"',
      'after main join task "child"',
      "before child running",
      "after child running",
      "settled child settled",
      'woken main join task "child"',
      "before main running",
      "after main running",
      "settled main settled",
    ]);
  });

  test("sees who is cancelled and why", () => {
    const log: string[] = [];
    simulateSync(
      function* main() {
        yield* scope(
          function* (inner) {
            inner.spawn(() => sleep(10));
            yield* sleep(1);
            inner.cancel();
          },
          { name: "batch" },
        );
        const task = spawn({ name: "child" }, () => sleep(10));
        yield* task.cancel();
      },
      {
        probe: {
          cancelRequested: (it, cancelled) =>
            void log.push(`${it.name} by ${cancelled.by} ${cancelled.source} at ${cancelled.at}`),
        },
      },
    );
    expect(log).toEqual(["batch by main request at 1", "child by main request at 1"]);
  });

  test("changes no order: a program runs the same with and without it", () => {
    const program = (log: string[]) =>
      function* () {
        for (const name of ["a", "b", "c"]) {
          spawn(function* () {
            for (let i = 0; i < 3; i++) {
              log.push(`${name}${i}`);
              yield* i === 1 ? sleep(1) : yieldNow();
            }
          });
        }
      };
    const [without, withOne]: string[][] = [[], []];
    simulateSync(program(without!));
    simulateSync(program(withOne!), { probe: recorder([]) });
    expect(withOne).toEqual(without);
  });

  test("that throws is detached and reported; what it observed goes on, and other probes still see it", () => {
    const log: string[] = [];
    const error = new Error("probe");
    let calls = 0;
    const { outcome, reports } = simulateSync(function* () {
      const loop = EventLoop.current();
      loop.addProbe({
        beforeStep: () => {
          calls++;
          throw error;
        },
      });
      loop.addProbe(recorder(log));
      yield* yieldNow();
      yield* yieldNow();
      return "unharmed";
    });
    expect(outcome).toEqual({ status: "succeeded", value: "unharmed" });
    expect(reports).toEqual([
      { kind: "probe-failed", message: expect.stringContaining("beforeStep") as string, error } satisfies Report,
    ]);
    expect([calls, log.filter((it) => it.startsWith("before")).length]).toEqual([1, 2]);
  });

  test("detached, it sees nothing more, also from within one of its own hooks", () => {
    let before = 0;
    let after = 0;
    simulateSync(function* () {
      const detach = EventLoop.current().addProbe({
        beforeStep: () => {
          before++;
          if (before === 2) detach();
        },
        afterStep: () => void after++,
      });
      for (let i = 0; i < 5; i++) yield* yieldNow();
      detach();
    });
    expect([before, after]).toEqual([2, 2]);
  });
});
