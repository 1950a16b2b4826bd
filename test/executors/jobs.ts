/**
 * The jobs of these tests. Hundreds of threads import this file, one after the other, so it imports the modules that it needs and not
 * `fibril` and `fibril/executors`: those are three times as many, and take a thread longer than all the rest of its life.
 * (`test/asyncio/jobs.ts` and `test/inspector/jobs.ts` import them as a user does.)
 */
import { threadId } from "node:worker_threads";
import type { Cancelled, Coroutine } from "fibril";
import { ChannelClosedError } from "../../src/channels/errors.ts";
import { forEach } from "../../src/combine/for-each.ts";
import { TaskLocal } from "../../src/core/index.ts";
import { carried } from "../../src/executors/carried.ts";
import {
  currentJob,
  isCancelled,
  job,
  log,
  progress,
  throwIfCancelled,
} from "../../src/executors/thread/worker-entry.ts";
import { remainingMs } from "../../src/time/deadline.ts";
import { sleep } from "../../src/time/sleep.ts";
import type { Job, StreamJob, ThreadReceiver, ThreadSender } from "../../src/executors/index.ts";

const { url } = import.meta;

export const add: Job<[a: number, b: number], number> = job(url, function add(a: number, b: number): number {
  return a + b;
});
export const square: Job<[value: number], number> = job(url, function square(value: number): number {
  if (value < 0) throw new RangeError(`${value} is below zero`);
  return value * value;
});
export const slowSquare: Job<[value: number], number> = job(url, function* slowSquare(value: number) {
  yield* sleep(value % 3);
  return value * value;
});
export const where: Job<[], number> = job(url, () => threadId, { name: "where" });
export const addLater: Job<[a: number, b: number], number> = job(
  url,
  async function addLater(a: number, b: number): Promise<number> {
    await Promise.resolve();
    return a + b;
  },
);
export const nap: Job<[ms: number], string> = job(url, function* nap(ms: number) {
  yield* sleep(ms);
  return `slept ${ms}`;
});
/** Waits, without blocking its thread, until `gate[1]` is set; `gate[0]` counts those that have begun. */
export const hold: Job<[gate: Int32Array], string> = job(url, function* hold(gate: Int32Array) {
  Atomics.add(gate, 0, 1);
  while (Atomics.load(gate, 1) === 0) yield* sleep(1);
  return "let go";
});
/** Notes its number as the next one of those that have begun: `order[0]` counts them. */
export const noteOrder: Job<[order: Int32Array, number: number], void> = job(
  url,
  function noteOrder(order: Int32Array, number: number): void {
    order[Atomics.add(order, 0, 1) + 1] = number;
  },
);
export const napWithCleanup: Job<[ended: Int32Array], void> = job(url, function* napWithCleanup(ended: Int32Array) {
  Atomics.add(ended, 1, 1);
  try {
    yield* sleep(60_000);
  } finally {
    yield* sleep(5);
    Atomics.add(ended, 0, 1);
  }
});
export const stubborn: Job<[value: string, started: Int32Array], string> = job(
  url,
  function* stubborn(value: string, started: Int32Array) {
    try {
      Atomics.store(started, 0, 1);
      yield* sleep(60_000);
    } catch {
      return value; // takes no notice
    }
    return "woke up by itself";
  },
);
/** Blocks its thread; `started[0]` says that it has begun, and it ends when `started[1]` says so. */
export const block: Job<[started: Int32Array], string> = job(url, function block(started: Int32Array): string {
  Atomics.store(started, 0, 1);
  Atomics.notify(started, 0);
  Atomics.wait(started, 1, 0, 50_000);
  return "was let go";
});
export const spin: Job<[started: Int32Array], void> = job(url, function spin(started: Int32Array): void {
  Atomics.store(started, 0, 1);
  for (;;);
});
export const pollUntilCancelled: Job<[started: Int32Array], string> = job(
  url,
  function pollUntilCancelled(started: Int32Array): string {
    Atomics.store(started, 0, 1);
    while (!isCancelled());
    return "gave what it had";
  },
);
export const throwWhenCancelled: Job<[started: Int32Array], void> = job(
  url,
  function throwWhenCancelled(started: Int32Array): void {
    Atomics.store(started, 0, 1);
    for (;;) throwIfCancelled();
  },
);
export const waitForSignal: Job<[started: Int32Array], never> = job(
  url,
  async function waitForSignal(started: Int32Array): Promise<never> {
    const { signal } = currentJob()!;
    Atomics.store(started, 0, 1);
    return new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
  },
);

class TeapotError extends Error {
  override readonly name = "TeapotError";
  readonly code = "E_TEAPOT";
  readonly brewing = true;
  readonly handler = (): void => {};
}
export const fail: Job<[kind: string], void> = job(url, function fail(kind: string): void {
  if (kind === "range") throw new RangeError("out of range", { cause: new TypeError("deeper") });
  if (kind === "own") throw new TeapotError("short and stout");
  if (kind === "aggregate") throw new AggregateError([new Error("one"), new RangeError("two")], "both");
  if (kind === "string") throw "a string";
  throw { an: "object" };
});
export const failLater: Job<[], void> = job(url, function* failLater() {
  yield* sleep(1);
  throw new SyntaxError("later");
});
export const giveFunction: Job<[], unknown> = job(url, function giveFunction(): unknown {
  return { deep: [() => 1] };
});
export const take: Job<readonly unknown[], number> = job(url, function take(...values: readonly unknown[]): number {
  return values.length;
});
export const lengthOf: Job<[buffer: ArrayBuffer], number> = job(url, function lengthOf(buffer: ArrayBuffer): number {
  return buffer.byteLength;
});
export const raise: Job<[shared: Int32Array], void> = job(url, function raise(shared: Int32Array): void {
  Atomics.add(shared, 0, 1);
});
export const report: Job<[count: number], string> = job(url, function* report(count: number) {
  for (let i = 1; i <= count; i++) {
    progress(i);
    log(`step ${i}`, { i });
    yield* sleep(1);
  }
  return "reported";
});
export const exit: Job<[code: number], void> = job(url, function exit(code: number): void {
  process.exit(code);
});
export const crash: Job<[], void> = job(url, function* crash() {
  queueMicrotask(() => {
    throw new RangeError("nobody catches this");
  });
  yield* sleep(60_000);
});
export const devour: Job<[], void> = job(url, function devour(): void {
  const all: unknown[] = [];
  for (;;) all.push(new Array<number>(100_000).fill(all.length));
});
export const whoAmI: Job<[], { name: string; id: number; idempotencyKey: string }> = job(url, function whoAmI() {
  const { name, id, idempotencyKey } = currentJob()!;
  return { name, id, idempotencyKey };
});
export const countTo: StreamJob<[last: number], number> = job.stream(url, function* countTo(last: number) {
  for (let i = 1; i <= last; i++) yield i;
});
export const countThenFail: StreamJob<[last: number], number> = job.stream(
  url,
  async function* countThenFail(last: number) {
    for (let i = 1; i <= last; i++) yield i;
    throw new RangeError("no more");
  },
);
/** Counts in shared memory how many it has given. */
export const countForEver: StreamJob<[given: Int32Array], number> = job.stream(
  url,
  function* countForEver(given: Int32Array) {
    try {
      for (let i = 1; ; i++) {
        Atomics.store(given, 0, i);
        yield i;
      }
    } finally {
      Atomics.store(given, 1, 1);
    }
  },
);

export const user: TaskLocal<string> = carried(url, new TaskLocal("user", "nobody"));
export const secret: TaskLocal<string> = new TaskLocal("secret", "none");
export const whoIsUser: Job<[], string[]> = job(url, function whoIsUser() {
  return [user.get(), secret.get()];
});
export const timeLeft: Job<[], number> = job(url, function* timeLeft() {
  yield* sleep(0);
  return remainingMs();
});

/** An end of a channel between threads comes in, results go out. */
export const countWords: Job<[lines: ThreadReceiver<string>], number> = job(url, function* countWords(lines) {
  let words = 0;
  yield* forEach(lines, function* (line) {
    words += line.split(" ").length;
  });
  return words;
});
/** Sends until the other end is closed; `sent[0]` says how many went out. */
export const sendForEver: Job<[numbers: ThreadSender<number>, sent: Int32Array], string> = job(
  url,
  function* sendForEver(numbers, sent) {
    try {
      for (let i = 1; ; i++) {
        yield* numbers.send(i);
        Atomics.store(sent, 0, i);
      }
    } catch (error) {
      if (error instanceof ChannelClosedError) return "closed";
      throw error;
    }
  },
);
let counter = 0;
/** What a thread remembers: each has modules of its own. */
export const count: Job<[], number> = job(url, function count() {
  return ++counter;
});
export const prepare: Job<[start: number], void> = job(url, function* prepare(start) {
  yield* sleep(1);
  counter = start;
});
export const failToPrepare: Job<[], void> = job(url, function failToPrepare() {
  throw new RangeError("no database");
});
export const tick: Job<[ticks: Int32Array], void> = job(url, function* tick(ticks) {
  for (;;) {
    yield* sleep(1);
    Atomics.add(ticks, 0, 1);
  }
});
function define(): Job<[], number> {
  return job(url, function hidden() {
    return 1;
  });
}
/** Known here only when somebody asks: a worker that imports this module does not define it. */
export const makeHidden: () => Job<[], number> = define;
/** Looks until it is cancelled and only then begins to wait. `heard[1]`: 1 when the reason that it is told there is "enough", else 2. */
export const waitsWhenCancelled: Job<[heard: Int32Array], void> = job(
  url,
  function waitsWhenCancelled(heard: Int32Array): Coroutine<void> {
    Atomics.store(heard, 0, 1);
    while (!isCancelled());
    return (function* () {
      try {
        yield* sleep(60_000);
      } catch (error) {
        Atomics.store(heard, 1, (error as Cancelled).reason === "enough" ? 1 : 2);
        throw error;
      }
    })();
  },
);
