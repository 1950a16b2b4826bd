/** The inbox against a worker that is played here, step by step: whatever cannot be read, every outcome is told once, and none is made up. */
import { clearInterval, setImmediate, setInterval } from "node:timers";
import { MessageChannel } from "node:worker_threads";
import fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { systemHost } from "../../src/core/index.ts";
import { Inbox } from "../../src/executors/thread/inbox.ts";
import {
  CANCEL,
  ENDED,
  HELD,
  MOST_NEWS,
  NEWS,
  OUTCOMES,
  ROOM_AGAIN,
  RUNNING,
} from "../../src/executors/thread/protocol.ts";
import { ThreadSlots } from "../../src/executors/thread/thread-slots.ts";
import type { JobShape, PoolJob } from "../../src/executors/pool.ts";
import { unreadable } from "./light-jobs.ts";

/** A worker whose moves are made here, and all that its executor has heard of it. */
class Played {
  readonly slots = new ThreadSlots(8);
  readonly told: unknown[] = [];
  readonly ends: string[] = [];
  onNews: () => void = () => {};
  onEnd: () => void = () => {};
  readonly #channel = new MessageChannel();
  readonly #running = new Set<number>();

  constructor() {
    const { port1 } = this.#channel;
    const inbox = new Inbox({
      port: port1,
      slots: this.slots,
      handle: (reply) => {
        if (reply[0] === "value") {
          const tear = inbox.tearOf(reply[1]);
          this.#end(reply[1], tear === undefined ? `read ${String(reply[2])}` : "torn");
        } else {
          this.told.push(reply[2]);
          this.onNews();
        }
      },
      isIdle: () => this.#running.size === 0,
      missed: (slot) => this.#end(slot, "missed"),
      torn: ({ id }) => this.slots.askToStop(id),
      hasRoom: () => this.told.push(`room at ${this.word(NEWS)}`),
    });
    port1.on("message", (reply) => inbox.receive(reply));
    port1.on("messageerror", (error) => inbox.unreadable(error));
  }

  word(at: number): number {
    return Atomics.load(this.slots.words, at);
  }

  begin(shape: JobShape = "call"): number {
    const job = { shape, id: 0 };
    const slot = this.slots.take(job as unknown as PoolJob);
    job.id = slot;
    this.#running.add(slot);
    Atomics.store(this.slots.words, slot, RUNNING);
    return slot;
  }

  tell(slot: number, value: unknown): void {
    Atomics.add(this.slots.words, NEWS, 1);
    this.#channel.port2.postMessage(["progress", slot, value]);
  }

  give(slot: number, value: unknown): void {
    this.#channel.port2.postMessage(["item", slot, value]);
  }

  end(slot: number): void {
    Atomics.store(this.slots.words, slot, ENDED);
  }

  post(slot: number, value: unknown): void {
    this.#channel.port2.postMessage(["value", slot, value, 0]);
  }

  count(): void {
    Atomics.add(this.slots.words, OUTCOMES, 1);
  }

  finish(slot: number, value: unknown): void {
    this.end(slot);
    this.post(slot, value);
    this.count();
  }

  close(): void {
    this.#channel.port1.close();
  }

  #end(slot: number, how: string): void {
    this.ends.push(`${slot} ${how}`);
    this.slots.empty(slot);
    this.slots.free(slot);
    this.#running.delete(slot);
    this.onEnd();
  }
}

const worlds: Played[] = [];

function played(): Played {
  const worker = new Played();
  worlds.push(worker);
  return worker;
}

afterEach(() => {
  for (const worker of worlds.splice(0)) worker.close();
  vi.restoreAllMocks();
});

/** The executor's loop has its turn: what was posted by now arrives. */
async function turn(): Promise<void> {
  for (let i = 0; i < 2; i++) await new Promise<void>((resolve) => void setImmediate(resolve));
}

function until(holds: () => boolean): Promise<unknown> {
  return vi.waitUntil(holds, { timeout: 50_000, interval: 1 });
}

test.each([1, 3])(
  "outcomes that cannot be read are missed, %i at a time, and are not taken for news",
  async (count) => {
    const worker = played();
    const slots = Array.from({ length: count }, () => worker.begin());
    const telling = worker.begin();
    worker.onEnd = () => worker.tell(telling, "news");
    for (const slot of slots) worker.finish(slot, unreadable());
    await until(() => worker.told.length === count);
    expect(worker.ends.sort()).toEqual(slots.map((slot) => `${slot} missed`));
    expect(worker.word(NEWS)).toBe(0);
  },
);

test("outcomes that were missed are not counted again", async () => {
  const worker = played();
  worker.finish(worker.begin(), unreadable());
  await until(() => worker.ends.length === 1);
  const slow = worker.begin();
  worker.tell(slow, unreadable());
  worker.end(slow);
  for (let i = 0; i < 4; i++) await turn(); // it is looked for, and still to be posted
  worker.post(slow, "slow");
  worker.count();
  await until(() => worker.ends.length === 2);
  expect(worker.ends[1]).toBe(`${slow} read slow`);
});

test("an outcome that comes during the look and cannot be read is looked for as well", async () => {
  const worker = played();
  const [telling, other] = [worker.begin(), worker.begin()];
  vi.spyOn(systemHost, "afterIo").mockImplementation((look) => look());
  worker.onNews = () => worker.finish(other, unreadable());
  worker.tell(telling, unreadable());
  worker.tell(telling, "what is read by the look");
  await until(() => worker.ends.length === 1);
  expect(worker.ends).toEqual([`${other} missed`]);
});

test("a value of a stream that cannot be read is not taken for news", async () => {
  const worker = played();
  const slot = worker.begin("stream");
  worker.give(slot, unreadable());
  await until(() => worker.word(slot) === CANCEL);
  await turn();
  expect(worker.word(NEWS)).toBe(0);
});

test("a stream that has ended by then is torn like one that runs, and gives nothing that comes behind the gap", async () => {
  const worker = played();
  const running = worker.begin("stream");
  const ended = worker.begin("stream");
  for (const slot of [running, ended]) for (const value of [1, unreadable(), 3]) worker.give(slot, value);
  worker.finish(ended, "end");
  await until(() => worker.ends.length === 1);
  expect(worker.ends).toEqual([`${ended} torn`]);
  expect(worker.told).toEqual([1]);
  worker.finish(running, "end");
  await until(() => worker.ends.length === 2);
  expect(worker.ends[1]).toBe(`${running} torn`);
  const next = worker.begin("stream"); // in the slot of one that was torn
  worker.give(next, 2);
  worker.finish(next, "end");
  await until(() => worker.ends.length === 3);
  expect(worker.ends[2]).toBe(`${next} read end`);
  expect([running, ended]).toContain(next);
  expect(worker.told).toEqual([1, 2]);
});

test("much that cannot be read is looked into by one look at a time", async () => {
  const worker = played();
  const slot = worker.begin();
  for (let i = 0; i < 200; i++) worker.tell(slot, unreadable());
  worker.end(slot); // and its outcome takes its time
  const looks: (() => void)[] = [];
  vi.spyOn(systemHost, "after").mockImplementation((_delayMs, _outside, look) => looks.push(look));
  for (let i = 0; i < 4; i++) await turn();
  expect(looks).toHaveLength(1);
  worker.post(slot, "late");
  worker.count();
  looks[0]!();
  expect(worker.word(NEWS)).toBe(0);
  expect(worker.ends).toEqual([`${slot} read late`]);
});

test("a job that tells without end does not hold up the loop while an outcome is looked for", async () => {
  const worker = played();
  const [bad, busy] = [worker.begin(), worker.begin()];
  const MOST = 100_000;
  worker.onNews = () => {
    if (worker.told.length < MOST) worker.tell(busy, "more");
  };
  worker.tell(busy, "more");
  worker.finish(bad, unreadable());
  let toldByThen = 0;
  const ticking = setInterval(() => (toldByThen ||= worker.told.length), 1);
  await until(() => worker.ends.length === 1 && worker.told.length === MOST);
  clearInterval(ticking);
  expect(toldByThen).toBeLessThan(MOST / 2);
  expect(worker.ends).toEqual([`${bad} missed`]);
});

test("an outcome that lies behind more than is read in one go is not missed", async () => {
  const worker = played();
  const [bad, good] = [worker.begin(), worker.begin()];
  vi.spyOn(systemHost, "afterIo").mockImplementation((look) => look()); // before the rest arrives
  worker.finish(bad, unreadable());
  for (let i = 0; i < 3 * MOST_NEWS; i++) worker.tell(good, i);
  worker.finish(good, "far behind");
  await until(() => worker.ends.length === 2);
  expect(worker.ends.sort()).toEqual([`${bad} missed`, `${good} read far behind`].sort());
});

test("news that cannot be read leaves its room to others", async () => {
  const worker = played();
  const slot = worker.begin();
  for (let i = 0; i < 600; i++) worker.tell(slot, unreadable());
  Atomics.store(worker.slots.words, HELD, 1);
  await until(() => worker.word(NEWS) === 0);
  expect(worker.told).toEqual([`room at ${ROOM_AGAIN}`]);
  expect(worker.word(HELD)).toBe(0);
});

const move = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("tell" as const), bad: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("end" as const), bad: fc.boolean(), turns: fc.nat(7) }) },
  { weight: 2, arbitrary: fc.constant({ kind: "turn" as const }) },
);

test("whenever the executor looks: outcomes that can be read are read, the others are missed, each once", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(move, { maxLength: 16 }), async (moves) => {
      const worker = played();
      const expected: string[] = [];
      const telling = worker.begin();
      for (const each of moves) {
        if (each.kind === "turn") await turn();
        else if (each.kind === "tell") worker.tell(telling, each.bad ? unreadable() : "news");
        else if (worker.slots.hasFree) {
          const slot = worker.begin();
          const value = expected.length;
          expected.push(`${slot} ${each.bad ? "missed" : `read ${value}`}`);
          // As a worker does it, one job after the other; the executor may look in between.
          worker.end(slot);
          if ((each.turns & 1) !== 0) await turn();
          worker.post(slot, each.bad ? unreadable() : value);
          if ((each.turns & 2) !== 0) await turn();
          worker.count();
          if ((each.turns & 4) !== 0) await turn();
        }
      }
      worker.finish(telling, "told");
      expected.push(`${telling} read told`);
      await until(() => worker.ends.length >= expected.length && worker.word(NEWS) === 0);
      expect(worker.ends.sort()).toEqual(expected.sort());
      worker.close();
    }),
    { numRuns: 60 },
  );
});
