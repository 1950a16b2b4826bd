/**
 * Loops on one host look at each other before they call something a deadlock: what one waits for another may still do. One that
 * waits for the outside keeps its place among its neighbours while it runs, and loses it only by falling idle.
 */
import { DeadlockError, EventLoop, Future, run, sleep, until } from "fibril";
import { systemHost } from "fibril/lowlevel";
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";

interface Pair {
  readonly stalled: EventLoop;
  readonly other: EventLoop;
}

/** On a host of their own, so that no other loop of this thread is their neighbour. */
function pair(): Pair {
  const host = { ...systemHost };
  const onReport = (report: { readonly message: string }): never => expect.fail(report.message);
  return {
    stalled: new EventLoop({ name: "stalled", host, onReport }),
    other: new EventLoop({ name: "other", host, onReport }),
  };
}

const outside = (): Promise<void> => setImmediate();

/** What comes of a loop that waits for a future which only another loop can resolve. */
async function outcomeOf(loop: EventLoop, future: Future<string>): Promise<string> {
  try {
    return await run(() => future, { loop });
  } catch (error) {
    expect(error).toBeInstanceOf(DeadlockError);
    return "deadlock";
  }
}

const lives: readonly (readonly [string, (resolve: () => void) => Generator<any, void, any>])[] = [
  [
    "waits outside once",
    function* (resolve) {
      yield* until(outside());
      resolve();
    },
  ],
  [
    "waits outside again and again",
    function* (resolve) {
      for (let i = 0; i < 5; i++) yield* until(outside());
      resolve();
    },
  ],
  [
    "waits outside, then for a timer",
    function* (resolve) {
      yield* until(outside());
      yield* sleep(5);
      resolve();
    },
  ],
  [
    "waits for a timer, then outside, then for a timer",
    function* (resolve) {
      yield* sleep(2);
      yield* until(outside());
      yield* sleep(2);
      resolve();
    },
  ],
  [
    "waits outside, then lets others go first",
    function* (resolve) {
      yield* until(outside());
      yield* sleep(0);
      resolve();
    },
  ],
];

test.each(lives)("no deadlock is invented while the other loop %s", async (_, life) => {
  const { stalled, other } = pair();
  const future = new Future<string>();
  other.spawn(() => life(() => future.resolve("resolved")));
  expect(await outcomeOf(stalled, future)).toBe("resolved");
});

test.each(lives)("a deadlock is not missed when the other loop %s, and ends", async (_, life) => {
  const { stalled, other } = pair();
  const future = new Future<string>();
  other.spawn(() => life(() => undefined));
  expect(await outcomeOf(stalled, future)).toBe("deadlock");
});

test("a deadlock is not missed when a hold of the other loop is given back", async () => {
  const { stalled, other } = pair();
  const letGo = other.hold();
  const outcome = outcomeOf(stalled, new Future<string>());
  await outside();
  const again = other.hold();
  letGo();
  await outside();
  let isOver = false;
  void outcome.then(() => (isOver = true));
  for (let i = 0; i < 5; i++) await outside();
  expect(isOver).toBe(false);
  again();
  expect(await outcome).toBe("deadlock");
});

test("a loop that was idle, waits outside and is idle again is no neighbour that counts", async () => {
  const { stalled, other } = pair();
  for (let i = 0; i < 3; i++) await run(() => until(outside()), { loop: other });
  expect(await outcomeOf(stalled, new Future<string>())).toBe("deadlock");
});
