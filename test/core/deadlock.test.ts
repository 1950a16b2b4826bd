/**
 * When nothing can ever happen again, the program ends at once and says why.
 */
import {
  all,
  DeadlockError,
  Event,
  EventLoop,
  Future,
  run,
  scope,
  Semaphore,
  shield,
  sleep,
  spawn,
  until,
  yieldNow,
} from "fibril";
import type { Coroutine, Operation, Task } from "fibril";
import { WaitQueue } from "fibril/lowlevel";
import { simulate, VirtualClock, VirtualHost } from "fibril/testing";
import { describe, expect, test } from "vitest";

/** What `run` rejects with. */
async function failureOfRun(
  main: () => Operation<unknown>,
  options: Parameters<typeof simulate>[1] = {},
): Promise<unknown> {
  return await simulate(main, options).then(
    (value) => {
      throw new Error(`it ended with ${String(value)}`);
    },
    (error: unknown) => error,
  );
}

describe("a deadlock is reported at once", () => {
  test("with the name, the wait and the line of every task that is stuck", async () => {
    const error = await failureOfRun(function* main() {
      const lock = new WaitQueue();
      const answer = new Future<void>({ name: "the answer" });
      yield* scope(
        function* () {
          spawn({ name: "left" }, () => lock.park('lock "stock"'));
          spawn(function* right() {
            yield* answer;
          });
        },
        { name: "pair" },
      );
    });
    expect(error).toBeInstanceOf(DeadlockError);
    const { message, code } = error as DeadlockError;
    expect(code).toBe("DEADLOCK");
    expect(message).toContain("3 task(s) can never run again");
    expect(message).toMatch(/"main" waits for 2 task\(s\) of scope "pair" at main \(.*deadlock\.test\.ts:\d+:\d+\)/);
    expect(message).toContain('"left" waits for lock "stock"');
    expect(message).toMatch(/"right" waits for the answer at right \(/);
  });

  test.each<[string, () => Operation<unknown>]>([
    ["two tasks that join each other", joinEachOther],
    ["a task that joins the one that waits for it", joinParent],
    ["a sleep without end", () => sleep(Infinity)],
    ["all() of a future that nobody resolves", () => all([new Future(), () => sleep(5)])],
    ["a wait inside a shield", () => shield(new Future())],
    ["a wait inside a shield inside a task", () => scope((own) => own.spawn(() => shield(new Future())))],
  ])("%s", async (_, main) => {
    expect(await failureOfRun(main)).toBeInstanceOf(DeadlockError);
  });

  test("the tasks that were stuck are cancelled: their cleanup runs", async () => {
    const log: string[] = [];
    const error = await failureOfRun(function* () {
      spawn(function* () {
        try {
          yield* new Future();
        } finally {
          yield* sleep(3);
          log.push(`clean at ${EventLoop.current().now()}`);
        }
      });
      yield* new Future();
    });
    expect(error).toBeInstanceOf(DeadlockError);
    expect(log).toEqual(["clean at 3"]);
  });

  test("cleanup that is stuck itself ends as well, also with all the time in the world", async () => {
    function* stuckTwice(): Coroutine<void> {
      try {
        yield* new Future({ name: "first" });
      } finally {
        yield* new Future({ name: "second" });
      }
    }
    expect(await failureOfRun(stuckTwice)).toBeInstanceOf(DeadlockError);
    expect(await failureOfRun(stuckTwice, { cleanupMs: Infinity })).toBeInstanceOf(DeadlockError);
  });

  test("on the real clock too", async () => {
    await expect(run(() => new Future())).rejects.toBeInstanceOf(DeadlockError);
  });
});

describe("no false alarm", () => {
  test("while a promise, an external future or a hold is pending", async () => {
    const value = await run(function* () {
      const loop = EventLoop.current();
      const late = new Future<string>({ external: true });
      void Promise.resolve().then(() => Promise.resolve().then(() => late.resolve("late")));
      const first = yield* late;
      yield* until(new Promise((resolve) => void Promise.resolve().then(resolve)));
      const inside = new Future<string>();
      const release = loop.hold();
      void Promise.resolve().then(() => {
        inside.resolve("held");
        release();
        release();
      });
      return [first, yield* inside];
    });
    expect(value).toEqual(["late", "held"]);
  });

  test("a hold that is let go of while everybody is stuck is a deadlock then", async () => {
    const error = await failureOfRun(function* () {
      const release = EventLoop.current().hold();
      void Promise.resolve().then(release);
      yield* new Future();
    });
    expect(error).toBeInstanceOf(DeadlockError);
  });

  test("while a timer is set, be it far away", async () => {
    await expect(
      simulate(function* () {
        const answer = new Future<string>();
        EventLoop.current().callLater(1e9, () => answer.resolve("at last"));
        return yield* answer;
      }),
    ).resolves.toBe("at last");
  });

  test("while a task that was spawned from outside is left: somebody outside may feed it", async () => {
    const loop = new EventLoop();
    const feed = new Future<string>();
    const other = loop.spawn(() => feed);
    const main = run(() => other, { loop });
    for (let i = 0; i < 5; i++) await Promise.resolve();
    feed.resolve("fed");
    await expect(main).resolves.toBe("fed");
  });

  test("an external wait that was withdrawn does not count any more", async () => {
    const error = await failureOfRun(function* () {
      const task = spawn(() => until(new Promise(() => {})));
      yield* yieldNow();
      yield* yieldNow();
      yield* task.cancel();
      yield* new Future();
    });
    expect(error).toBeInstanceOf(DeadlockError);
  });
});

describe("several loops on one host", () => {
  /** Runs each main on a loop of its own, at the same time. */
  async function runs(mains: readonly (() => Operation<unknown>)[]): Promise<string[]> {
    const clock = new VirtualClock();
    const host = new VirtualHost(clock);
    const running = mains.map((main) => run(main, { loop: new EventLoop({ clock, host }) }));
    const settled = Promise.allSettled(running);
    host.drain();
    return (await settled).map((it) => (it.status === "fulfilled" ? "fulfilled" : (it.reason as Error).name));
  }

  test("who waits for what a task of another loop holds is not stuck while that one has something to do", async () => {
    const semaphore = new Semaphore(1);
    const request = (): Coroutine<void> => semaphore.use(() => sleep(5));
    expect(await runs([request, request, request])).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
  });

  test("when none of them has, all that wait are stuck, however long one of them had been busy", async () => {
    const never = new Event();
    const soon = (): Operation<void> => never.wait();
    function* late(): Coroutine<void> {
      yield* sleep(50);
      yield* never.wait();
    }
    expect(await runs([soon, late, soon])).toEqual(["DeadlockError", "DeadlockError", "DeadlockError"]);
  });

  test("one that has been woken and has ended is not reported later", async () => {
    const event = new Event();
    function* waker(): Coroutine<void> {
      yield* sleep(5);
      event.set();
      yield* sleep(5);
      yield* new Event().wait();
    }
    expect(await runs([() => event.wait(), waker])).toEqual(["fulfilled", "DeadlockError"]);
  });
});

function* joinEachOther(): Coroutine<void> {
  const tasks: Task<void>[] = [];
  for (const i of [0, 1]) {
    tasks.push(
      spawn(function* () {
        yield* tasks[1 - i]!;
      }),
    );
  }
  yield* tasks[0]!;
}

function* joinParent(): Coroutine<void> {
  const parent: Task<void> = spawn(function* () {
    yield* spawn(function* child(): Coroutine<void> {
      yield* parent;
    });
  });
  yield* parent;
}
