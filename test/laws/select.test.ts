/**
 * Select commits exactly one operation and loses nothing: random programs of tasks that send, receive, take permits and
 * sleep, by select and without, on shared channels and semaphores, some of them cancelled at any step.
 *
 * The model is the books: a send that returned has sent, one that threw has not, and what was sent is received once or is
 * still in its channel.
 */
import { sleep, spawn, yieldNow } from "fibril";
import type { Coroutine, Operation } from "fibril";
import { WaitQueue } from "fibril/lowlevel";
import { simulateSync } from "fibril/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Channel } from "../../src/channels/index.ts";
import { select, trySelect } from "../../src/channels/select.ts";
import { Semaphore } from "../../src/sync/index.ts";
import type { Permit } from "../../src/sync/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

type Arm =
  | { readonly do: "send" | "receive" | "permit"; readonly at: number }
  | { readonly do: "acquire"; readonly at: number; readonly count: number }
  | { readonly do: "sleep"; readonly ms: number }
  | { readonly do: "turn" | "coroutine" };

interface Step {
  readonly arms: readonly Arm[];
  readonly how: "select" | "fair" | "try" | "nested";
}

interface Program {
  readonly capacities: readonly number[];
  readonly tasks: readonly (readonly Step[])[];
}

const CHANNELS = 3;
const SEMAPHORES = 2;
const MOST_PERMITS = 3;

const arm: fc.Arbitrary<Arm> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("send" as const), at: fc.nat(CHANNELS - 1) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("receive" as const), at: fc.nat(CHANNELS - 1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("permit" as const), at: fc.constant(0) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("acquire" as const),
      at: fc.nat(SEMAPHORES - 1),
      count: fc.integer({ min: 1, max: MOST_PERMITS }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("sleep" as const), ms: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("turn" as const, "coroutine" as const) }) },
);

const step: fc.Arbitrary<Step> = fc.record({
  arms: fc.array(arm, { minLength: 1, maxLength: 4 }),
  how: fc.constantFrom("select", "fair", "try", "nested"),
});

const program: fc.Arbitrary<Program> = fc.record({
  capacities: fc.array(fc.nat(2), { minLength: CHANNELS, maxLength: CHANNELS }),
  tasks: fc.array(fc.array(step, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 5 }),
});

const PATIENCE_MS = 20; // a select that nobody serves gives up: every program ends

interface Books {
  readonly sent: Map<number, number[]>;
  readonly received: Map<number, number[]>;
  permitsGiven: number;
  permitsTaken: number;
  readonly broken: string[];
}

function execute(
  { capacities, tasks }: Program,
  seed: number | undefined,
  cancelAt: number,
): Books & { steps: number } {
  const books: Books = { sent: new Map(), received: new Map(), permitsGiven: 0, permitsTaken: 0, broken: [] };
  const channels = capacities.map((capacity, at) => new Channel<number>(capacity, { name: `${at}` }));
  const permits = new WaitQueue<string>();
  // One permit is never free, so that a large request stands in the way of those behind it until it is withdrawn.
  const semaphores = Array.from({ length: SEMAPHORES }, () => new Semaphore(MOST_PERMITS - 1, { max: MOST_PERMITS }));
  let lastValue = 0;
  const note = (list: Map<number, number[]>, at: number, value: number): void => {
    list.set(at, [...(list.get(at) ?? []), value]);
  };

  function* oneStep(each: Step): Coroutine<void> {
    const held: Permit[] = [];
    try {
      yield* choose(each, held);
      if (held.length > 0) yield* sleep(1);
    } finally {
      for (const permit of held) permit.release();
    }
  }

  function* choose({ arms, how }: Step, held: Permit[]): Coroutine<void> {
    const values = arms.map(() => ++lastValue);
    const waits: Operation<unknown>[] = arms.map((each, index): Operation<unknown> => {
      switch (each.do) {
        case "send":
          return channels[each.at]!.send(values[index]!);
        case "receive":
          return channels[each.at]!.receive();
        case "permit":
          return permits.park("a permit");
        case "acquire":
          return semaphores[each.at]!.acquire(each.count);
        case "sleep":
          return sleep(each.ms);
        case "turn":
          return yieldNow();
        case "coroutine":
          return how === "select" || how === "fair" ? naps() : yieldNow();
      }
    });
    const happened = (key: number, value: unknown): void => {
      const chosen = arms[key];
      if (chosen === undefined) return; // gave up
      if (chosen.do === "send") note(books.sent, chosen.at, values[key]!);
      else if (chosen.do === "receive") note(books.received, chosen.at, value as number);
      else if (chosen.do === "permit") books.permitsTaken++;
      else if (chosen.do === "acquire") held.push(value as Permit);
    };
    if (how === "try") {
      const chosen = trySelect(waits);
      if (chosen !== undefined) happened(chosen.key, chosen.value);
    } else if (how === "nested") {
      const half = Math.ceil(waits.length / 2);
      const operands = [select(waits.slice(0, half)), select([...waits.slice(half), sleep(PATIENCE_MS)])] as const;
      const { key, value } = yield* select(operands);
      happened(key === 0 ? value.key : value.key + half, value.value);
    } else {
      const { key, value } = yield* select([...waits, sleep(PATIENCE_MS)], { fair: how === "fair" });
      happened(key, value);
    }
  }

  function* worker(steps: readonly Step[]): Coroutine<void> {
    for (const each of steps) yield* oneStep(each);
  }

  const simulation = simulateSync(
    function* main() {
      const workers = tasks.map((steps, index) => spawn({ name: `worker ${index}` }, worker, steps));
      for (let i = 0; i < 6; i++) {
        yield* sleep(2);
        books.permitsGiven += permits.unpark(1, "permit");
      }
      for (const task of workers) yield* task;
    },
    seed === undefined ? {} : { seed },
    (main, stepped, steps) => {
      if (steps === cancelAt) (cancelAt % 2 === 0 || stepped === null ? main : stepped).cancel("law");
    },
  );
  const { broken } = books;
  broken.push(...simulation.leaks, ...simulation.reports.map((report) => report.message));
  if (simulation.outcome.status === "failed" && cancelAt < 0) broken.push(String(simulation.outcome.error));
  channels.forEach((channel, at) => {
    const left = channel.drain();
    const sent = [...(books.sent.get(at) ?? [])].sort(ascending);
    const arrived = [...(books.received.get(at) ?? []), ...left].sort(ascending);
    if (sent.join() !== arrived.join()) broken.push(`channel ${at}: sent ${sent.join()}, arrived ${arrived.join()}`);
    const { waitingSenders, waitingReceivers } = channel.statistics();
    if (waitingSenders + waitingReceivers > 0) broken.push(`channel ${at}: somebody still stands in line`);
  });
  if (books.permitsTaken !== books.permitsGiven) {
    broken.push(`${books.permitsGiven} permits given, ${books.permitsTaken} taken`);
  }
  if (permits.size > 0) broken.push("somebody still waits for a permit");
  for (const semaphore of semaphores) {
    const { available, waiting } = semaphore.statistics();
    if (available !== MOST_PERMITS - 1 || waiting > 0) broken.push(`${available} permits are left, ${waiting} wait`);
  }
  return { ...books, steps: simulation.steps };
}

function ascending(a: number, b: number): number {
  return a - b;
}

function* naps(): Coroutine<void> {
  yield* sleep(1);
  yield* sleep(1);
}

const seeds = fc.option(fc.nat(), { nil: undefined });

test(
  "exactly one operand happens, and what was sent arrives once",
  () => {
    fc.assert(
      fc.property(program, seeds, (each, seed) => {
        expect(execute(each, seed, -1).broken).toEqual([]);
      }),
      runs(150),
    );
  },
  LAW_TIMEOUT_MS,
);

test(
  "also when a task is cancelled at any step",
  () => {
    fc.assert(
      fc.property(program, seeds, fc.nat(), (each, seed, at) => {
        const { steps } = execute(each, seed, -1);
        expect(execute(each, seed, at % (steps + 1)).broken).toEqual([]);
      }),
      runs(150),
    );
  },
  LAW_TIMEOUT_MS,
);
