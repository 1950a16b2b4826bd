/** Rates, back-off and the search for the knee, on virtual time against model servers. */
import { EventLoop, scope, Semaphore, sleep, type Coroutine } from "fibril";
import { simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { JobQueue, type JobQueueOptions } from "../../src/fetch/job-queue.ts";
import { AdaptiveLimit } from "../../src/fetch/limits/adaptive-limit.ts";
import { rate } from "../../src/fetch/option-values.ts";
import { fetchHere } from "./in-process.ts";
import { HostileServer } from "./hostile-server.ts";

const now = (): number => EventLoop.current().now();

interface Item {
  readonly origin: string;
}

interface Begun {
  readonly origin: string;
  readonly at: number;
}

/** Takes all items with many workers; says when each was begun. */
function takeAll(options: Partial<JobQueueOptions>, origins: readonly string[], workMs = 0): Begun[] {
  const begun: Begun[] = [];
  const { outcome, leaks } = simulateSync(function* () {
    const queue = new JobQueue<Item>({ capacity: 10_000, perHost: Infinity, ...options });
    yield* scope(function* (own) {
      for (let n = 0; n < 20; n++) {
        own.spawn(function* () {
          for (let item = yield* queue.take(); item !== undefined; item = yield* queue.take()) {
            begun.push({ origin: item.origin, at: now() });
            yield* sleep(workMs);
            queue.finished(item);
          }
        });
      }
      for (const origin of origins) yield* queue.put({ origin });
      queue.end();
    });
    queue.close();
  });
  expect(leaks).toEqual([]);
  expect(outcome.status).toBe("succeeded");
  return begun;
}

/** The most that begin within any time of this length. */
function mostWithin(ms: number, begun: readonly Begun[]): number {
  return Math.max(...begun.map(({ at }) => begun.filter((other) => other.at >= at && other.at < at + ms).length));
}

const many = (count: number, ...origins: string[]): string[] =>
  Array.from({ length: count }, (_, n) => origins[n % origins.length]!);

describe("a rate", () => {
  test.for([
    ["100/s", 100],
    ["100", 100],
    ["30/m", 0.5],
    ["0.5/s", 0.5],
    ["3600/h", 1],
  ] as const)("%s is %f a second", ([text, perSecond]) => expect(rate("--rate", text)).toBe(perSecond));

  test("of all requests is kept and used up", () => {
    const begun = takeAll({ rate: 100 }, many(500, "a", "b", "c"));
    expect(begun).toHaveLength(500);
    expect(mostWithin(1_000, begun)).toBeLessThanOrEqual(106);
    expect(begun.at(-1)!.at).toBeGreaterThanOrEqual(4_900);
    expect(begun.at(-1)!.at).toBeLessThan(5_050);
  });

  test("of one host is kept for each, and one does not wait for the other", () => {
    const begun = takeAll({ ratePerHost: 5 }, many(60, "a", "b", "c"));
    for (const origin of ["a", "b", "c"]) {
      const own = begun.filter((one) => one.origin === origin);
      expect(own).toHaveLength(20);
      expect(mostWithin(1_000, own)).toBeLessThanOrEqual(6);
    }
    expect(begun.at(-1)!.at).toBeLessThan(4_000);
    expect(begun.at(-1)!.at).toBeGreaterThan(3_600);
  });

  test("is remembered of a host that has nothing to do for a moment", () => {
    const times: number[] = [];
    simulateSync(function* () {
      const queue = new JobQueue<Item>({ capacity: 10, perHost: Infinity, ratePerHost: 1 });
      for (let n = 0; n < 4; n++) {
        yield* queue.put({ origin: "a" });
        const item = (yield* queue.take())!;
        times.push(now());
        queue.finished(item);
      }
      queue.close();
    });
    expect(times).toEqual([0, 950, 1_950, 2_950]);
  });

  test("with concurrency and a limit for each host all hold", () => {
    const begun = takeAll({ rate: 1_000, limit: 3, perHost: 1 }, many(60, "a", "b"), 100);
    expect(mostWithin(100, begun)).toBe(2);
    expect(begun.at(-1)!.at).toBe(2_900);
  });
});

describe("the queue", () => {
  test("gives nothing out while it is paused, and as many as the limit allows when that is raised", () => {
    const { outcome } = simulateSync(function* () {
      const queue = new JobQueue<Item>({ capacity: 100, perHost: Infinity, limit: 2 });
      let most = 0;
      let taken = 0;
      yield* scope(function* (own) {
        const work = function* (): Coroutine<void> {
          for (let item = yield* queue.take(); item !== undefined; item = yield* queue.take()) {
            most = Math.max(most, queue.taken);
            taken++;
            yield* sleep(10);
            queue.finished(item);
          }
        };
        for (let n = 0; n < 10; n++) own.spawn(work);
        queue.isPaused = true;
        for (let n = 0; n < 60; n++) yield* queue.put({ origin: "a" });
        queue.end();
        yield* sleep(1_000);
        expect([taken, most]).toEqual([0, 0]);
        queue.isPaused = false;
        yield* sleep(95);
        expect([taken, most]).toEqual([20, 2]);
        queue.limit = 8;
        yield* sleep(9);
        expect(most).toBe(8);
      });
      return taken;
    });
    expect(outcome).toMatchObject({ status: "succeeded", value: 60 });
  });

  test("a place that became free goes to another host at once, whatever its last holder does next", () => {
    const begun: [string, number][] = [];
    simulateSync(function* () {
      const queue = new JobQueue<Item>({ capacity: 10, perHost: Infinity, limit: 1 });
      yield* scope(function* (own) {
        for (let n = 0; n < 2; n++) {
          own.spawn(function* () {
            for (let item = yield* queue.take(); item !== undefined; item = yield* queue.take()) {
              begun.push([item.origin, now()]);
              yield* sleep(10);
              queue.finished(item);
              yield* sleep(1_000); // it writes its result, say
            }
          });
        }
        for (const origin of ["a", "b"]) yield* queue.put({ origin });
        queue.end();
      });
    });
    expect(begun).toEqual([
      ["a", 0],
      ["b", 10],
    ]);
  });

  test("a host that asked for less is tried with half of what it had, and more with every answer", () => {
    simulateSync(function* () {
      const queue = new JobQueue<Item>({ capacity: 100, perHost: 8 });
      for (let n = 0; n < 30; n++) yield* queue.put({ origin: "a" });
      const takeWhatThereIs = function* (): Coroutine<Item[]> {
        const items: Item[] = [];
        const before = queue.waiting;
        for (let n = 0; n < 8 && n < before; n++) {
          const task = yield* scope(function* (own) {
            const taking = own.spawn(() => queue.take());
            yield* sleep(1);
            if (taking.state === "settled") return yield* taking;
            yield* taking.cancel();
            return undefined;
          });
          if (task === undefined) break;
          items.push(task);
        }
        return items;
      };
      const first = yield* takeWhatThereIs();
      expect(first).toHaveLength(8);
      yield* sleep(5);
      expect(queue.strike("a", 0)).toBe(1);
      expect(queue.strike("a", 0)).toBe(0); // the same wave
      for (const item of first) queue.finished(item);
      const second = yield* takeWhatThereIs();
      expect(second).toHaveLength(4);
      queue.finished(second[0]!, { ms: 5, startedAt: now(), isOverload: false });
      expect(yield* takeWhatThereIs()).toHaveLength(2);
    });
  });
});

describe("the search for the knee", () => {
  interface Model {
    /** Requests that it works on at once; the others stand in a line. */
    readonly capacity: number;
    readonly serviceMs: (random: number) => number;
    /** The line, beyond which it fails. */
    readonly longestLine?: number;
    readonly requests: number;
    readonly most?: number;
  }

  /** Runs a model server; says where the limit was in the second half, and how the server fared. */
  function settle({ capacity, serviceMs, longestLine = Infinity, requests, most = 512 }: Model, seed = 1) {
    const limits: number[] = [];
    let longest = 0;
    let failures = 0;
    const { outcome, elapsedMs, leaks } = simulateSync(
      function* () {
        const queue = new JobQueue<Item>({ capacity: 10_000, perHost: Infinity, limit: most, adaptive: most });
        const server = new Semaphore(capacity);
        let inServer = 0;
        yield* scope(function* (own) {
          for (let n = 0; n < most; n++) {
            own.spawn(function* () {
              for (let item = yield* queue.take(); item !== undefined; item = yield* queue.take()) {
                const startedAt = now();
                let isOverload = false;
                inServer++;
                longest = Math.max(longest, inServer - capacity);
                if (inServer - capacity > longestLine) {
                  isOverload = true;
                  failures++;
                  yield* sleep(1);
                } else {
                  yield* server.acquire();
                  yield* sleep(serviceMs(EventLoop.current().random()));
                  server.release();
                }
                inServer--;
                queue.finished(item, { ms: now() - startedAt, startedAt, isOverload });
                for (const [, limit] of queue.foundLimits()) limits.push(limit);
              }
            });
          }
          for (let n = 0; n < requests; n++) yield* queue.put({ origin: "a" });
          queue.end();
        });
        queue.close();
      },
      { seed },
    );
    expect(leaks).toEqual([]);
    if (outcome.status === "failed") throw outcome.error;
    const late = limits.slice(limits.length / 4).sort((one, other) => one - other);
    return { median: late[late.length >> 1]!, highest: Math.max(...limits), longest, failures, elapsedMs };
  }

  test.for([4, 20, 64, 200])("finds a server that works on %i at once, from above and not far", (capacity) => {
    const found = settle({ capacity, serviceMs: () => 50, requests: capacity * 200 });
    expect(found.median).toBeGreaterThanOrEqual(capacity);
    expect(found.median).toBeLessThanOrEqual(capacity * 1.3 + 8);
    // Nothing is lost by not asking for more: within 10 % of what the server can do at all, the start included.
    expect(found.elapsedMs).toBeLessThan(200 * 50 * 1.1 + 500);
  });

  test.for([1, 2, 3])("finds it as well when the times are all over the place (seed %i)", (seed) => {
    const serviceMs = (random: number): number => 20 - 30 * Math.log(1 - random * 0.999);
    const found = settle({ capacity: 40, serviceMs, requests: 20_000 }, seed);
    expect(found.median).toBeGreaterThanOrEqual(28);
    expect(found.median).toBeLessThanOrEqual(80);
    expect(found.highest).toBeLessThanOrEqual(160);
  });

  test("goes no further than it may, however much the server can bear", () => {
    const found = settle({ capacity: 1_000, serviceMs: () => 10, requests: 20_000, most: 32 });
    expect([found.median, found.highest]).toEqual([32, 32]);
  });

  test("hurts a server that fails under load at most for moments", () => {
    const found = settle({ capacity: 10, serviceMs: () => 50, longestLine: 10, requests: 5_000 });
    expect(found.failures / 5_000).toBeLessThan(0.02);
    expect(found.median).toBeGreaterThanOrEqual(8);
  });

  test("one wave of failures is one reason to ask for less", () => {
    const limit = new AdaptiveLimit(100);
    for (let round = 1; round <= 8; round++)
      for (let n = 0; n < 100; n++) limit.answered(10, round * 100, 100, round * 100 + 50);
    const before = limit.limit;
    for (let n = 0; n < 50; n++) limit.overloaded(850, 900);
    expect(limit.limit).toBe(Math.floor((before * 2) / 3));
  });
});

describe("a host that says 429 or 503", () => {
  test("is left alone as a whole, without a Retry-After as well, and everything arrives in the end", async () => {
    let isBusy = true;
    let refused = 0;
    const server = await HostileServer.start({
      crowded: (_request, response) => {
        if (isBusy && ++refused >= 4) isBusy = false;
        if (isBusy) response.writeHead(429).end();
        else response.end("ok");
      },
    });
    const urls = Array.from({ length: 40 }, (_, n) => `${server.origin}/crowded/${n}`);
    const { tally } = await fetchHere(urls, { ndjson: true, retries: "2", retryDelay: "30ms", concurrency: "4" });
    expect(tally).toMatchObject({ succeeded: 40, failed: 0 });
    expect(server.seenInAll).toBeLessThanOrEqual(44);
  });
});

describe("--deadline", () => {
  test("ends the run, and what is under way with it", async () => {
    const server = await HostileServer.start();
    // It would not end before the timeout of 5 minutes otherwise.
    const { tally } = await fetchHere([`${server.origin}/ok/1`, `${server.origin}/stall`], {
      ndjson: true,
      deadline: "2s",
      timeout: "5m",
    });
    expect(tally).toMatchObject({ succeeded: 1, failed: 0 });
  });
});
