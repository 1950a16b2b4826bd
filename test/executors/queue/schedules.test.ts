/** Schedules, on virtual time: the clock begins on 1 January 1970, a Thursday. */
import { EventLoop, sleep } from "fibril";
import { beforeEach, describe, expect, test } from "vitest";
import {
  CronPackageMissingError,
  currentJob,
  job,
  JobCloneError,
  PayloadTooLargeError,
  QueueExecutor,
} from "../../../src/executors/index.ts";
import type { Job, ScheduleOptions, StreamJob } from "../../../src/executors/index.ts";
import { importCron } from "../../../src/executors/queue/cron.ts";
import { keyOf, idOf } from "../../../src/executors/queue/bull-orders.ts";
import { firingId, readFiringId } from "../../../src/executors/queue/firing-id.ts";
import { now } from "../../core/simulated.ts";
import { thrownIn } from "../threads.ts";
import { queued } from "./simulated-queue.ts";

const { url } = import.meta;
let runs: string[] = [];
beforeEach(() => {
  runs = [];
});

const tick: Job<[what: string, ms?: number], string> = job(url, function* tick(what: string, ms = 0) {
  runs.push(`${what} ${now()}`);
  yield* sleep(ms);
  return currentJob()!.idempotencyKey;
});
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

describe("times", () => {
  test("an interval fires at its multiples, each firing once, however many workers and submitters there are", () =>
    queued(function* ({ executor, engine, serve }) {
      for (let i = 0; i < 3; i++) serve([tick]);
      const other = new QueueExecutor(engine, { name: "other" });
      yield* sleep(1_500);
      const made = yield* executor.schedule("beat", { everyMs: 1_000 }, tick, "beat");
      expect(made).toEqual({
        id: "beat",
        times: { everyMs: 1_000 },
        overlap: "allow",
        address: "tick@1",
        nextAt: 2_000,
        nextJobId: "schedule:beat:2000",
      });
      expect(yield* other.schedule("beat", { everyMs: 1_000 }, tick, "beat")).toEqual(made);
      yield* sleep(3_600);
      expect(runs).toEqual(["beat 2000", "beat 3000", "beat 4000", "beat 5000"]);
      expect(yield* other.attach("schedule:beat:4000", tick)).toBe("schedule:beat:4000");
      expect(yield* executor.unschedule("beat")).toBe(true);
      expect(yield* other.unschedule("beat")).toBe(false);
      yield* sleep(10_000);
      expect(runs).toHaveLength(4);
      expect([yield* executor.schedules(), yield* engine.counts()]).toMatchObject([[], { delayed: 0, waiting: 0 }]);
      yield* other.shutdown();
    }));

  test("cron, in a time zone", () =>
    queued(function* ({ executor, serve }) {
      serve([tick]);
      const night = { cron: "30 2 * * *", timeZone: "Europe/Paris" };
      const { nextAt } = yield* executor.schedule("nightly", night, tick, "night");
      expect(nextAt).toBe(1.5 * HOUR); // 02:30 there is 01:30 UTC
      yield* sleep(2 * DAY);
      expect(runs).toEqual([`night ${1.5 * HOUR}`, `night ${DAY + 1.5 * HOUR}`]);
      const monday = yield* executor.schedule("weekly", { cron: "0 9 * * MON" }, tick, "week"); // UTC
      expect(monday.nextAt).toBe(4 * DAY + 9 * HOUR);
      const seconds = yield* executor.schedule("seconds", { cron: "*/10 * * * * *" }, tick, "s");
      expect(seconds.nextAt).toBe(2 * DAY + 10_000);
      expect((yield* executor.schedules()).map(({ id }) => id)).toEqual(["nightly", "weekly", "seconds"]);
    }));

  test("when clocks are put forward or back, a daily firing comes once a day", async () => {
    for (const noon of ["2026-03-28T12:00Z", "2026-10-24T12:00Z"]) {
      runs = [];
      await queued(
        function* ({ executor, serve }) {
          serve([tick]);
          yield* executor.schedule("nightly", { cron: "30 2 * * *", timeZone: "Europe/Paris" }, tick, "night");
          yield* sleep(3 * DAY);
          const days = runs.map((each) =>
            new Date(Date.parse(noon) + Number(each.slice(6))).toISOString().slice(8, 10),
          );
          expect(days).toEqual(noon.includes("03") ? ["29", "30", "31"] : ["25", "26", "27"]);
        },
        {
          engine: (() => {
            let loop: EventLoop;
            return { timeOfDay: () => Date.parse(noon) + (loop ??= EventLoop.current()).now() };
          })(),
        },
      );
    }
  });

  test("times that cannot be read, or never come, are refused, and change nothing", () =>
    queued(function* ({ executor }) {
      yield* executor.schedule("s", { everyMs: 1_000 }, tick, "s");
      const wrong: unknown[] = [
        {},
        { everyMs: 1_000, cron: "* * * * *" },
        { everyMs: 99 },
        { everyMs: 1_000.5 },
        { everyMs: Number.MAX_SAFE_INTEGER },
        { everyMs: Infinity },
        { cron: "* * *" },
        { cron: "H * * * *" },
        { cron: "61 * * * *" },
        { cron: "0 0 30 2 *" },
        { cron: "* * * * *", timeZone: "Mars/Olympus" },
        { cron: "* * * * *", timeZone: "" },
        { everyMs: 1_000, overlap: "queue" },
        { everyMs: 1_000, attempts: 0 },
        { everyMs: 1_000, deadlineMs: -1 },
        { everyMs: 1_000, priority: Number.NaN },
        null,
      ];
      for (const options of wrong) {
        const error = yield* thrownIn(() => executor.schedule("s", options as ScheduleOptions, tick, "s"));
        expect([options, error]).toMatchObject([options, { code: "USAGE" }]);
      }
      expect(() => executor.schedule("", { everyMs: 1_000 }, tick, "s")).toThrow(/a text for its id/);
      expect(() => executor.schedule("s", { everyMs: 1_000 }, (() => 1) as never)).toThrow(/takes a job/);
      const stream: StreamJob<[], number> = job(
        url,
        function* stream() {
          yield 1;
        } as never,
        { name: "stream", stream: true } as never,
      ) as never;
      if (stream.isStream) expect(() => executor.schedule("s", { everyMs: 1_000 }, stream as never)).toThrow(/streams/);
      expect(() => executor.trySubmit({ idempotencyKey: "schedule:s:1000" }, tick, "s")).toThrow(/scheduled jobs/);
      expect(yield* executor.schedules()).toMatchObject([{ times: { everyMs: 1_000 }, nextAt: 1_000 }]);
    }));

  test("a package that is missing is named, and needed for cron alone", async () => {
    const missing = (): Promise<never> => Promise.reject(new Error("Cannot find package"));
    await expect(importCron(missing)).rejects.toThrow(CronPackageMissingError);
    await expect(importCron(() => Promise.resolve({}))).rejects.toThrow(/npm install cron-parser/);
  });
});

describe("firings", () => {
  test("putting a schedule again replaces what has not begun", () =>
    queued(function* ({ executor, engine, serve }) {
      serve([tick]);
      yield* executor.schedule("s", { everyMs: 10_000 }, tick, "old");
      yield* executor.schedule("s", { everyMs: 4_000, priority: 3, name: "named" }, tick, "new");
      expect(yield* engine.counts()).toMatchObject({ delayed: 1 });
      yield* sleep(9_000);
      expect(runs).toEqual(["new 4000", "new 8000"]);
    }));

  test("while no worker is there one firing waits; it is late, and the others are not made up for", () =>
    queued(function* ({ executor, engine, serve }) {
      yield* executor.schedule("s", { everyMs: 1_000 }, tick, "s");
      yield* sleep(100_500);
      expect(yield* engine.counts()).toMatchObject({ waiting: 1, delayed: 0 });
      expect(yield* executor.schedules()).toMatchObject([{ nextAt: 1_000 }]);
      serve([tick]);
      yield* sleep(2_000);
      expect(runs).toEqual(["s 100500", "s 101000", "s 102000"]);
    }));

  test("a firing that is due while the one before goes on runs beside it, or is left out", async () => {
    for (const overlap of ["allow", "skip"] as const) {
      runs = [];
      await queued(function* ({ executor, serve }) {
        serve([tick], { concurrency: 8 });
        yield* executor.schedule("s", { everyMs: 1_000, overlap }, tick, "s", 2_500);
        yield* sleep(5_500);
        const begun = runs.map((each) => Number(each.slice(2)));
        expect(begun).toEqual(overlap === "allow" ? [1_000, 2_000, 3_000, 4_000, 5_000] : [1_000, 4_000]);
        const second = executor.attach("schedule:s:2000", tick);
        if (overlap === "allow") expect(yield* second).toBe("schedule:s:2000");
        else expect(yield* thrownIn(() => second)).toMatchObject({ code: "CANCELLED", reason: /has not ended/ });
        yield* executor.unschedule("s");
      });
    }
  });

  test("a firing that failed and waits for its next attempt has not ended", () =>
    queued(function* ({ executor, serve }) {
      const failing: Job<[], void> = job(
        url,
        function failing() {
          runs.push(`${now()}`);
          throw new Error("no");
        },
        { name: "failing" },
      );
      serve([failing]);
      const options = { everyMs: 1_000, overlap: "skip", attempts: 2, backoffMs: 2_500 } as const;
      yield* executor.schedule("s", options, failing);
      yield* sleep(4_100);
      expect(runs).toEqual(["1000", "3500", "4000"]);
    }));

  test("one firing can be cancelled before it begins; the next one comes all the same", () =>
    queued(function* ({ executor, serve }) {
      serve([tick]);
      const { nextJobId } = yield* executor.schedule("s", { everyMs: 1_000 }, tick, "s");
      const handle = executor.attach(nextJobId!, tick);
      yield* sleep(10);
      expect(yield* handle.cancel("holiday")).toBe(true);
      expect(now()).toBe(10);
      yield* sleep(2_500);
      expect(runs).toEqual(["s 2000"]);
    }));

  test("a schedule that is put again after its next firing was cancelled, or in the moment of one, goes on", () => {
    let behindMs = 0;
    return queued(
      function* ({ executor, serve }) {
        serve([tick]);
        const { nextJobId } = yield* executor.schedule("s", { everyMs: 1_000 }, tick, "s");
        yield* executor.attach(nextJobId!, tick).cancel();
        const again = yield* executor.schedule("s", { everyMs: 1_000 }, tick, "s");
        expect(again).toMatchObject({ nextAt: 2_000, nextJobId: "schedule:s:2000" });
        yield* sleep(2_005);
        behindMs = 10; // as a clock that is set back: for it the firing is still to come
        expect(yield* executor.schedule("s", { everyMs: 1_000 }, tick, "s")).toMatchObject({ nextAt: 3_000 });
        yield* sleep(2_100);
        expect(runs).toEqual(["s 2000", "s 3010", "s 4010"]);
      },
      { engine: { timeOfDay: () => now() - behindMs } },
    );
  });

  test("a late firing is not lost when a program starts and puts the same again; it is when it puts another", () =>
    queued(function* ({ executor, serve }) {
      const hourly = { cron: "0 * * * *" };
      yield* executor.schedule("s", hourly, tick, "s");
      yield* sleep(HOUR + 600_000); // no worker at the hour
      const putAgain = executor.schedule("s", hourly, tick, "s");
      expect(yield* putAgain).toMatchObject({ nextAt: HOUR });
      expect(yield* putAgain).toMatchObject({ nextAt: HOUR }); // an operation may be run twice
      const worker = serve([tick]);
      yield* sleep(10);
      expect(runs).toEqual([`s ${HOUR + 600_000}`]);
      yield* worker.view.stop();
      yield* sleep(HOUR);
      expect(yield* executor.schedule("s", hourly, tick, "other")).toMatchObject({ nextAt: 3 * HOUR });
    }));

  test("outcomes of firings are forgotten although nobody submits anything", () =>
    queued(function* ({ executor, engine, serve }) {
      serve([tick]);
      yield* executor.schedule("s", { everyMs: 1_000, resultTtlMs: 1_500 }, tick, "s");
      yield* sleep(60_500);
      expect(runs).toHaveLength(60);
      expect(engine.statistics().kept).toBeLessThan(6);
    }));

  test("its deadline begins when it is due", () =>
    queued(
      function* ({ executor, serve }) {
        serve([tick]);
        yield* executor.schedule("s", { everyMs: DAY, deadlineMs: 500 }, tick, "s", 60_000);
        yield* sleep(DAY + 400);
        expect(runs).toEqual([`s ${DAY}`]);
        const firing = executor.attach(firingId("s", DAY), tick);
        expect(yield* thrownIn(() => firing)).toMatchObject({ code: "CANCELLED", reason: /deadline/ });
        expect(now()).toBeLessThan(DAY + 1_000);
      },
      { executor: { sweepMs: 100 } },
    ));

  test("it goes on when its submitter has gone, and when a worker is lost", () =>
    queued(
      function* ({ executor, engine, serve }) {
        serve([tick], { name: "doomed" });
        yield* executor.schedule("s", { everyMs: 10_000 }, tick, "s", 5_000);
        yield* sleep(10_001);
        engine.killWorker("doomed");
        serve([tick]);
        yield* sleep(11_000);
        expect(runs).toEqual(["s 10000", "s 11000", "s 20000"]); // the one that was lost is run again
      },
      { engine: { leaseMs: 1_000 } },
    ));

  test("arguments that cannot be carried are refused at once", () =>
    queued(
      function* ({ executor }) {
        const clone = (): unknown => executor.schedule("s", { everyMs: 1_000 }, tick, new Date(0) as never);
        expect(clone).toThrow(JobCloneError);
        expect(() => executor.schedule("s", { everyMs: 1_000 }, tick, "x".repeat(2_000))).toThrow(PayloadTooLargeError);
        expect(yield* executor.schedules()).toEqual([]);
      },
      { executor: { payloadLimit: 1_000 } },
    ));
});

test("ids of firings are carried by BullMQ, and no other id is taken for one", () => {
  for (const id of ["nightly", "a:b", "100%", "é /?", "repeat:x:1", "42"]) {
    expect(readFiringId(firingId(id, 1_000))).toEqual({ scheduleId: id, dueMs: 1_000 });
    expect(idOf(keyOf(firingId(id, 1_000)))).toBe(firingId(id, 1_000));
    expect(keyOf(firingId(id, 1_000))).toMatch(/^repeat:[^:]+:1000$/);
    expect(readFiringId(id)).toBeNull();
    expect(idOf(keyOf(id))).toBe(id);
    expect(keyOf(id)).not.toContain(":");
  }
  for (const key of ["42", "%", "j%", "repeat:x", "repeat:%:1", ""]) expect(idOf(key) ?? "").not.toContain("%");
});
