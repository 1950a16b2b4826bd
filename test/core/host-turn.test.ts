/**
 * The host gets its turn, whatever coroutines do. On the real host and the real clock, and without sleeping: each program
 * is bounded work, and counts how often the host got round meanwhile.
 */
import { setImmediate } from "node:timers";
import { EventLoop, Future, run, scope, sleep, spawn, until, yieldNow } from "fibril";
import type { Coroutine, Operation } from "fibril";
import { systemHost } from "fibril/lowlevel";
import type { Host } from "fibril/lowlevel";
import { VirtualClock, VirtualHost } from "fibril/testing";
import { describe, expect, test } from "vitest";

interface HostTurns {
  /** Immediates that the host ran while the program ran. */
  readonly turns: number;
  /** What the thread has worked meanwhile: that other processes had the machine for a while is no time in which the host could have got round. */
  readonly workedMs: number;
}

/** Runs `main` on a real loop and watches the host beside it. */
async function watchHost(
  main: () => Operation<unknown>,
  options: { readonly onStart?: (loop: EventLoop) => void } = {},
): Promise<HostTurns> {
  const loop = new EventLoop();
  let turns = 0;
  let isOver = false;
  const began = process.threadCpuUsage();
  const tick = (): void => {
    if (isOver) return;
    turns++;
    setImmediate(tick);
  };
  setImmediate(tick);
  options.onStart?.(loop);
  await run(main, { loop });
  isOver = true;
  const { user, system } = process.threadCpuUsage(began);
  return { turns, workedMs: (user + system) / 1_000 };
}

/**
 * The slice is 5 ms, so much work means many turns of the host. A loop that does not give way allows none before the end.
 * Only three are asked for, and only of what the thread itself has worked.
 */
function expectFair({ turns, workedMs }: HostTurns): void {
  expect(turns).toBeGreaterThanOrEqual(Math.max(1, Math.min(3, Math.floor(workedMs / 20))));
}

const STEPS = 1_000_000;

describe("the host gets its turn", () => {
  test("while a million steps give way", async () => {
    expectFair(
      await watchHost(function* () {
        for (let i = 0; i < STEPS; i++) yield* yieldNow();
      }),
    );
  });

  test("while a million operations complete at once", async () => {
    const settled = new Future<number>();
    settled.resolve(1);
    expectFair(
      await watchHost(function* () {
        for (let i = 0; i < STEPS; i++) yield* settled;
      }),
    );
  });

  test("while joins of a settled task complete at once", async () => {
    expectFair(
      await watchHost(function* () {
        const task = spawn(function* () {});
        yield* task;
        for (let i = 0; i < STEPS / 2; i++) yield* task;
      }),
    );
  });

  test("while operations fail at once, again and again", async () => {
    const failed = new Future<number>();
    failed.reject(new Error("at once"));
    expectFair(
      await watchHost(function* () {
        for (let i = 0; i < STEPS / 5; i++) {
          try {
            yield* failed;
          } catch {
            // The next one fails as well.
          }
        }
      }),
    );
  });

  test("while promises that are settled already are awaited again and again", async () => {
    expectFair(
      await watchHost(function* () {
        for (let i = 0; i < STEPS / 20; i++) yield* until(Promise.resolve(i));
      }),
    );
  });

  test("in the middle of a turn that a hundred thousand tasks share", async () => {
    function* work(): Coroutine<void> {
      for (let sum = 0; sum < 1000; sum++);
      yield* yieldNow();
    }
    expectFair(
      await watchHost(function* () {
        yield* scope(function* (inner) {
          for (let i = 0; i < 100; i++) {
            for (let k = 0; k < 1000; k++) inner.spawn(work);
            yield* yieldNow();
          }
        });
      }),
    );
  });

  test("while callbacks schedule callbacks", async () => {
    expectFair(
      await watchHost(function* () {
        const done = new Future<void>({ external: true });
        let left = STEPS / 2;
        const loop = EventLoop.current();
        const again = (): void => {
          if (--left === 0) done.resolve();
          else loop.callSoon(again);
        };
        loop.callSoon(again);
        yield* done;
      }),
    );
  });

  test("while a task swallows every cancellation and never stops", async () => {
    let swallowed = 0;
    let stop = false;
    // A timer of the host ends it; if the host did not get its turn, nothing would.
    const look = (): void => void systemHost.after(100, true, () => (swallowed > 100 ? (stop = true) : look()));
    const turns = await watchHost(
      function* () {
        yield* scope(
          function* (inner) {
            inner.spawn(function* stubborn() {
              while (!stop) {
                try {
                  yield* sleep(1000);
                } catch {
                  swallowed++;
                }
              }
            });
            yield* yieldNow();
            yield* yieldNow();
            inner.cancel("please");
          },
          { cleanupMs: 0 },
        );
      },
      { onStart: look },
    );
    expect(swallowed).toBeGreaterThan(100);
    expectFair(turns);
  });
});

test("a timer of the loop is not kept waiting by steps that never stop", async () => {
  const { late, workedMs } = await run(function* () {
    let firedAt: number | undefined = undefined;
    const start = EventLoop.current().now();
    const began = process.threadCpuUsage();
    EventLoop.current().callLater(10, () => (firedAt = EventLoop.current().now()));
    for (let i = 0; i < 50 * STEPS && firedAt === undefined; i++) yield* yieldNow();
    const { user, system } = process.threadCpuUsage(began);
    return { late: firedAt! - start - 10, workedMs: (user + system) / 1_000 };
  });
  expect(late).toBeGreaterThanOrEqual(0);
  expect(workedMs).toBeLessThan(1000); // all steps together would take longer
});

test("one host timer stands behind ten thousand sleeps", () => {
  const clock = new VirtualClock();
  const host = new VirtualHost(clock);
  let set = 0;
  let pending = 0;
  let most = 0;
  const counting: Host = {
    soon: (slice) => host.soon(slice),
    afterIo: (slice) => host.afterIo(slice),
    report: (message, error) => host.report(message, error),
    after(delayMs, outside, slice) {
      set++;
      most = Math.max(most, ++pending);
      return host.after(delayMs, outside, () => {
        pending--;
        slice();
      });
    },
    clear(timer) {
      pending--;
      host.clear(timer);
    },
  };
  const loop = new EventLoop({ clock, host: counting });
  for (let i = 0; i < 10_000; i++) loop.spawn(() => sleep(1 + (i % 5)));
  host.drain();
  expect({ most, set, pending }).toEqual({ most: 1, set: 5, pending: 0 });
});
