/**
 * Random children under a supervisor against a model that keeps the times of restarts in a list.
 */
import { currentTask, EventLoop, moveOnAfter, sleep } from "fibril";
import { simulateSync } from "fibril/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RestartLimitError, supervise } from "../../src/combine/index.ts";
import type { ChildBody, RestartPolicy } from "../../src/combine/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

type End = "returns" | "fails" | "cancels";

interface ChildPlan {
  /** How long it lives each time, and how it ends; after the last one it stays. */
  readonly lives: readonly { readonly ms: number; readonly end: End }[];
  readonly restart: RestartPolicy;
}

interface Plan {
  readonly children: readonly ChildPlan[];
  readonly strategy: "oneForOne" | "oneForAll" | "restForOne";
  readonly maxRestarts: number;
  readonly withinMs: number;
  readonly delayMs: number;
}

const HORIZON_MS = 40.5;

const plan = (least: number, most: number): fc.Arbitrary<Plan> =>
  fc.record({
    children: fc.array(
      fc.record({
        lives: fc.array(
          fc.record({
            ms: fc.nat({ max: 9 }),
            end: fc.constantFrom("returns" as const, "fails" as const, "cancels" as const),
          }),
          { maxLength: 4 },
        ),
        restart: fc.constantFrom("always" as const, "onFailure" as const, "never" as const),
      }),
      { minLength: least, maxLength: most },
    ),
    strategy: fc.constantFrom("oneForOne" as const, "oneForAll" as const, "restForOne" as const),
    maxRestarts: fc.nat({ max: 4 }),
    withinMs: fc.nat({ max: 20 }),
    delayMs: fc.nat({ max: 3 }),
  });

interface Entry {
  readonly child: number;
  readonly what: "start" | "end" | "stop";
  readonly at: number;
}

function execute(it: Plan, seed: number | undefined) {
  const trace: Entry[] = [];
  const running = it.children.map(() => 0);
  const starts = it.children.map(() => 0);
  const bodies: Record<string, ChildBody> = {};
  for (const [child, { lives, restart }] of it.children.entries()) {
    bodies[`c${child}`] = {
      restart,
      *run() {
        const now = (): number => EventLoop.current().now();
        trace.push({ child, what: "start", at: now() });
        expect(++running[child]!).toBe(1);
        const life = lives[starts[child]!++];
        let isOver = false;
        try {
          yield* sleep(life?.ms ?? 10_000);
          isOver = true;
          if (life?.end === "fails") throw new Error(`c${child}`);
          if (life?.end === "cancels") {
            currentTask().cancel();
            yield* sleep(1);
          }
        } finally {
          running[child]!--;
          trace.push({ child, what: isOver ? "end" : "stop", at: now() });
        }
      },
    };
  }
  const { children: _, ...options } = it;
  const ran = simulateSync(
    () => moveOnAfter(HORIZON_MS, supervise(bodies, { ...options, onRestart: () => {} })),
    seed === undefined ? {} : { seed },
  );
  expect([ran.leaks, running]).toEqual([[], it.children.map(() => 0)]);
  return { trace, ...ran };
}

describe("supervise", () => {
  test(
    "one child: starts, ends and the limit are those of the model",
    () => {
      fc.assert(
        fc.property(plan(1, 1), (it) => {
          const [{ lives, restart }] = it.children as [ChildPlan];
          const model: Entry[] = [];
          const recent: number[] = [];
          let at = 0;
          let status = "returned";
          for (let n = 0; ; n++) {
            if (at > HORIZON_MS) {
              status = "stopped";
              break;
            }
            model.push({ child: 0, what: "start", at });
            const life = lives[n];
            if (life === undefined || at + life.ms > HORIZON_MS) {
              model.push({ child: 0, what: "stop", at: HORIZON_MS });
              status = "stopped";
              break;
            }
            at += life.ms;
            model.push({ child: 0, what: "end", at });
            if (restart === "never" || (restart === "onFailure" && life.end !== "fails")) break;
            if (recent.filter((then) => then > at - it.withinMs).length >= it.maxRestarts) {
              status = "gave up";
              break;
            }
            recent.push(at);
            at += it.delayMs;
          }
          const ran = execute(it, undefined);
          expect(ran.trace).toEqual(model);
          expect(ran.outcome.status).toBe(status === "gave up" ? "failed" : "succeeded");
          if (ran.outcome.status === "failed") expect(ran.outcome.error).toBeInstanceOf(RestartLimitError);
        }),
        runs(300),
      );
    },
    LAW_TIMEOUT_MS,
  );

  test(
    "several: never two of one child, groups restart together, and all are stopped in reverse order",
    () => {
      fc.assert(
        fc.property(plan(1, 4), fc.option(fc.nat(), { nil: undefined }), (it, seed) => {
          const { trace, outcome, reports } = execute(it, seed);
          for (const report of reports) expect(report.kind).toBe("unobserved-failure");
          if (outcome.status === "failed") expect(outcome.error).toBeInstanceOf(RestartLimitError);
          const last = it.children.map((_, child) => trace.filter((entry) => entry.child === child).at(-1)!);
          // Who was stopped in the end was stopped the last one first.
          const end = Math.max(...trace.map((entry) => entry.at));
          const afterStarts = trace.slice(trace.findLastIndex((entry) => entry.what === "start"));
          const stopped = afterStarts.filter((it) => it.what === "stop" && it.at === end && last.includes(it));
          const order = stopped.map((entry) => entry.child);
          expect(order).toEqual([...order].sort((a, b) => b - a));
          const stops = trace.filter((entry) => entry.what === "stop" && entry.at < end);
          if (it.strategy === "oneForOne") expect(stops).toEqual([]);
          if (it.strategy === "restForOne") expect(stops.every((entry) => entry.child > 0)).toBe(true);
          // One that was stopped for a restart is started again with the group, unless its policy is against it.
          for (const stop of stops) {
            const again = trace
              .slice(trace.indexOf(stop))
              .find((entry) => entry.child === stop.child && entry.what === "start");
            if (it.children[stop.child]!.restart === "never") expect(again).toBe(undefined);
            else if (again !== undefined) expect(again.at).toBeGreaterThanOrEqual(stop.at + it.delayMs);
          }
        }),
        runs(300),
      );
    },
    LAW_TIMEOUT_MS,
  );
});
