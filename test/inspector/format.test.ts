/**
 * A snapshot as text: what people see, whatever names the program has given.
 */
// oxlint-disable no-control-regex -- what must not be printed has to be named
import { EventLoop, Lock, moveOnAfter, scope, sleep, spawn, yieldNow } from "fibril";
import type { Task } from "fibril";
import { InlineExecutor } from "../../src/executors/index.ts";
import { describe, expect, test } from "vitest";
import { formatTable, formatTree, snapshotHere, waitCircles } from "../../src/inspector/index.ts";
import type { JobRecord, LoopRecord, Snapshot, SnapshotOptions, ThreadRecord } from "../../src/inspector/index.ts";
import { duration, harmless } from "../../src/inspector/line.ts";
import * as jobs from "../executors/jobs.ts";
import { simulated } from "../core/simulated.ts";

/** The running loop alone: other files of this process may have left loops and threads. */
function here(options: SnapshotOptions = {}): Snapshot {
  const taken = snapshotHere({ ...options, loops: [EventLoop.current()] });
  return { ...taken, thread: { ...taken.thread, threads: [] } };
}

/** Without what differs from run to run. */
function inTree(taken: Snapshot): string[] {
  return formatTree({ ...taken, pid: 42, runtime: "node v24", uptimeMs: 65_000 }).split("\n");
}

function threadRecord(name: string, more: Partial<ThreadRecord>): ThreadRecord {
  return {
    threadId: 7,
    name,
    role: "pool worker",
    executor: "cpu",
    state: "answered",
    trouble: null,
    heardMs: null,
    jobs: [],
    loops: [],
    threads: [],
    ...more,
  };
}

describe("formatTree", () => {
  test("shows threads, loops, tasks under their tasks and scopes, waits, deadlines", () => {
    simulated(function* main() {
      const lock = new Lock({ name: "stock" });
      yield* moveOnAfter(61_000, () =>
        scope(
          function* (own) {
            own.spawn({ name: "writer" }, () => lock.use(() => sleep(2_500)));
            own.spawn({ name: "reader" }, function* () {
              spawn({ name: "helper" }, () => sleep(10));
              yield* lock.use(() => sleep(1));
            });
            own.spawn({ name: "late" }, () => moveOnAfter(5, () => sleep(8)));
            yield* sleep(1);
            expect(inTree(here())).toEqual([
              "process 42, node v24, up 1 min 5 s",
              "main thread",
              '└─ loop "simulation": 5 task(s), 5 timer(s)',
              "   └─ #1 main: running, deadline in 1 min 0 s",
              '      └─ scope "moveOnAfter", deadline in 1 min 0 s',
              '         └─ scope "shop"',
              "            ├─ #2 writer: sleep 2500 ms, due in 2.4 s",
              '            ├─ #3 reader: lock "stock" (held by "writer") → #2 writer',
              "            │  └─ #5 helper: sleep 10 ms, due in 9 ms",
              "            └─ #4 late: sleep 8 ms, due in 7 ms, deadline in 4 ms",
            ]);
          },
          { name: "shop" },
        ),
      );
    });
  });

  test("shows who is being cancelled and why, once", () => {
    simulated(function* main() {
      const task = spawn({ name: "cleaning" }, function* () {
        spawn({ name: "child" }, function* () {
          try {
            yield* sleep(100);
          } finally {
            yield* sleep(5);
          }
        });
        yield* sleep(100);
      });
      yield* sleep(1);
      void task.cancel("no more use");
      yield* sleep(1);
      expect(inTree(here()).slice(3)).toEqual([
        "   └─ #1 main: running",
        '      └─ #2 cleaning: 1 task(s) of scope "cleaning", being cancelled (request by "main": no more use)',
        "         └─ #3 child: sleep 5 ms, due in 4 ms, being cancelled",
      ]);
    });
  });

  test("links a wait to the job, and the job to the task that runs it", () => {
    simulated(function* main() {
      const executor = new InlineExecutor({ name: "here", concurrency: 1 });
      const first = yield* executor.submit(jobs.nap, 50);
      const second = yield* executor.submit(jobs.nap, 50);
      yield* sleep(20);
      const lines = inTree(here()).slice(3);
      expect(lines).toEqual([
        "   ├─ #1 main: running",
        '   │  ├─ #3 nap: job "nap" #1 (running in here), submitted 20 ms ago → #2 nap',
        '   │  └─ #4 nap: job "nap" #2 (queued in here), submitted 20 ms ago',
        "   └─ #2 nap: sleep 50 ms, due in 30 ms",
      ]);
      yield* first.cancel();
      yield* second.cancel();
      yield* executor.shutdown();
    });
  });

  test("finds a job in the thread that runs it", () => {
    simulated(function* main() {
      yield* yieldNow();
      const taken = here();
      const [loop] = taken.thread.loops;
      const [task] = loop!.tasks;
      const job: JobRecord = { id: 17, name: "hash", state: "running", ageMs: 500, runMs: 120, task: null };
      const wait = {
        reason: 'job "hash" #17 (running in cpu)',
        ms: null,
        isAtLeast: false,
        dueMs: null,
        task: null,
        scopeId: null,
        job: {
          executor: "cpu",
          id: 17,
          name: "hash",
          state: "running" as const,
          ageMs: 500,
          threadId: 7,
          task: null,
        },
      };
      const loopHere: LoopRecord = { ...loop!, tasks: [{ ...task!, state: "waiting", wait }] };
      const there = threadRecord("cpu 1", { jobs: [job] });
      const idle = threadRecord("cpu 2", { threadId: 8 });
      const lines = inTree({ ...taken, thread: { ...taken.thread, loops: [loopHere], threads: [there, idle] } });
      expect(lines.slice(3)).toEqual([
        '│  └─ #1 main: job "hash" #17 (running in cpu), runs for 120 ms → thread 7',
        '├─ pool worker "cpu 1" (thread 7) of cpu',
        '│  └─ job "hash" #17 running, began 120 ms ago',
        '└─ pool worker "cpu 2" (thread 8) of cpu is idle',
      ]);
    });
  });

  test("stacks stand under their task", () => {
    simulated(function* main() {
      spawn({ name: "napper" }, function* napping() {
        spawn({ name: "child" }, () => sleep(1));
        yield* sleep(5);
      });
      yield* yieldNow();
      const lines = inTree(here({ stacks: true }));
      expect(lines[5]).toMatch(/^ {6}.*│ {4}at napping \(.*format\.test\.ts:\d+:\d+\)$/);
    });
  });

  test("lines are cut to the width, colours come in whole", () => {
    simulated(function* main() {
      spawn({ name: "x".repeat(200) }, () => sleep(1));
      yield* yieldNow();
      const taken = here();
      for (const width of [1, 10, 40]) {
        const plain = formatTree(taken, { width }).split("\n");
        expect(Math.max(...plain.map((line) => line.length))).toBe(width);
        expect(plain.at(-1)).toMatch(/…$/);
        const coloured = formatTree(taken, { width, colours: true });
        expect(coloured.replaceAll(/\u001b\[\d+m/g, "")).toBe(plain.join("\n"));
        expect(coloured.split("\u001b[0m").length).toBe(coloured.split(/\u001b\[[1-9]\d*m/).length);
      }
    });
  });
});

describe("formatTable", () => {
  test("is a line for each task, in the order of their making, then the jobs of threads", () => {
    simulated(function* main() {
      spawn({ name: "long" }, () => sleep(1_500));
      const doomed = spawn({ name: "doomed" }, function* () {
        try {
          yield* sleep(10);
        } finally {
          yield* sleep(5);
        }
      });
      yield* sleep(1);
      void doomed.cancel();
      yield* yieldNow();
      here();
      yield* sleep(2);
      const taken = here();
      const job: JobRecord = { id: 3, name: "hash", state: "running", ageMs: 5, runMs: null, task: null };
      const thread = threadRecord("cpu 1", { state: "silent", heardMs: 1_500, jobs: [job] });
      expect(formatTable({ ...taken, thread: { ...taken.thread, threads: [thread] } }).split("\n")).toEqual([
        "THREAD  LOOP        ID  PARENT  STATE       SINCE   NAME    WHAT",
        "     0  simulation   1       -  running     -       main",
        "     0  simulation   2       1  waiting     ≥ 2 ms  long    sleep 1500 ms, due in 1.4 s",
        "     0  simulation   3       1  cancelling  ≥ 2 ms  doomed  sleep 5 ms, due in 3 ms",
        "     7  -            -       -  running     -       hash    job #3 of cpu",
        'thread 7 "cpu 1" does not answer, last heard of 1.5 s ago',
      ]);
      yield* doomed.cancel();
    });
  });
});

describe("names", () => {
  test("that hold control characters or marks of direction are printed harmless, in the tree and in the table", () => {
    const evil = "a\u001b[2J\n\r\tb\u0007\u009b1m\u202egpj\u2066\u200b\u2028\ud800\u{e0041}é語🎉";
    const harmful =
      /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u2028-\u202e\u2066-\u2069]|\p{Cs}|[\u{e0000}-\u{e007f}]/u;
    simulated(() =>
      scope(
        function* (own) {
          own.spawn({ name: evil }, () => sleep(1));
          void own.cancel(evil);
          const taken = here();
          for (const text of [formatTree(taken), formatTable(taken)]) {
            expect(text).not.toMatch(harmful);
            expect(text).toContain("a\\u{1b}[2J\\u{a}\\u{d}\\u{9}b\\u{7}");
          }
          expect(formatTree(taken)).toContain(
            "\\u{9b}1m\\u{202e}gpj\\u{2066}\\u{200b}\\u{2028}\\u{d800}\\u{e0041}é語🎉",
          );
          expect(formatTree(taken).split("\n").length).toBe(6);
        },
        { name: evil },
      ),
    );
  });

  test("plain text stays as it is", () => {
    for (const text of ["", "GET /a?b=c&d", "naïve – “quoted”", "日本語", "👩‍👩‍👧".replaceAll("\u200d", "")]) {
      expect(harmless(text)).toBe(text);
    }
  });

  test("durations are short and never rounded up to the next unit", () => {
    expect([0, 0.4, 999.4, 1_000, 59_999, 60_000, 3_599_999, 3_600_000, -1_500].map(duration)).toEqual([
      "0 ms",
      "0 ms",
      "999 ms",
      "1 s",
      "59.9 s",
      "1 min 0 s",
      "59 min 59 s",
      "1 h 0 min",
      "-1.5 s",
    ]);
    expect(duration(999.7)).toBe("999 ms");
  });
});

describe("waitCircles", () => {
  test("finds tasks that wait for each other by joins, locks and scopes, and the tree names them", () => {
    simulated(function* main() {
      const [a, b] = [new Lock({ name: "a" }), new Lock({ name: "b" })];
      const bystander = spawn({ name: "bystander" }, function* () {
        yield* sleep(2);
        yield* second; // waits for the circle and is no part of it
      });
      bystander.keepFailure();
      const first = spawn({ name: "first" }, () =>
        a.use(function* () {
          yield* sleep(1);
          yield* b.use(() => sleep(1));
        }),
      );
      const second: Task<void> = spawn({ name: "second" }, () =>
        b.use(function* () {
          yield* sleep(1);
          yield* scope(function* (own) {
            own
              .spawn({ name: "child" }, function* () {
                yield* first;
              })
              .keepFailure();
          });
        }),
      );
      yield* sleep(5);
      const taken = here();
      expect(waitCircles(taken).map((circle) => circle.map((task) => task.name).sort())).toEqual([
        ["child", "first", "second"],
      ]);
      expect(formatTree(taken)).toContain("wait for each other: #4 second → #5 child → #3 first → #4 second");
      yield* first.cancel();
      expect(waitCircles(here())).toEqual([]);
    });
  });

  test("finds none where somebody else may help", () => {
    simulated(function* main() {
      const lock = new Lock();
      const task = spawn({ name: "a" }, () => lock.use(() => sleep(5)));
      spawn({ name: "b" }, () => lock.use(() => sleep(1)));
      yield* sleep(1);
      expect(waitCircles(here())).toEqual([]);
      yield* task;
    });
  });
});
