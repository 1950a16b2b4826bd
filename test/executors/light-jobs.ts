/** Jobs whose module imports no more than a job needs. Workers import this file. */
import { BlockList } from "node:net";
import { setImmediate, setInterval } from "node:timers";
import { currentJob, isCancelled, job, log, progress } from "../../src/executors/thread/worker-entry.ts";
import type { Job } from "../../src/executors/thread/worker-entry.ts";
import type { StreamJob, ThreadReceiver } from "../../src/executors/index.ts";

const { url } = import.meta;

/** The modules of `src` that this thread has loaded, see `listing-entry.ts`. */
export const loaded: Job<[], string[]> = job(url, function loaded(): string[] {
  return [...((globalThis as { loadedModules?: readonly string[] }).loadedModules ?? [])];
});
export const square: Job<[value: number], number> = job(url, function square(value: number): number {
  if (value < 0) throw new RangeError(`${value} is below zero`);
  return value * value;
});
export const pollUntilCancelled: Job<[started: Int32Array], string> = job(
  url,
  function pollUntilCancelled(started: Int32Array): string {
    progress("polling");
    log("polling", { id: currentJob()!.id });
    Atomics.store(started, 0, 1);
    while (!isCancelled());
    return "gave what it had";
  },
);
export const three: Job<[], number> = job(url, function* three(): Generator<never, number> {
  return currentJob() === null ? -1 : 3;
});
export const rejectsAtOnce: Job<[], number> = job(url, function rejectsAtOnce(): Promise<number> {
  return Promise.reject(new TypeError("at once"));
});
export const never: Job<[started: Int32Array], void> = job(
  url,
  async function never(started: Int32Array): Promise<void> {
    const { signal } = currentJob()!;
    Atomics.store(started, 0, 1);
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    Atomics.store(started, 1, 1);
  },
);
export const letters: StreamJob<[], string> = job.stream(url, function* letters(): Iterable<string> {
  yield* "abc";
});
export const hasEnd: Job<[receiver: ThreadReceiver<string>], boolean> = job(
  url,
  function hasEnd(receiver: ThreadReceiver<string>): boolean {
    return typeof receiver.next === "function";
  },
);
/** Tells a great deal, and that it has told it, by shared memory: nobody over there listens by then. */
export const tellMuch: Job<[count: number, told: Int32Array], void> = job(
  url,
  function tellMuch(count: number, told: Int32Array): void {
    for (let i = 1; i <= count; i++) {
      progress(i);
      log(`entry ${i}`);
      Atomics.store(told, 0, i);
    }
    Atomics.store(told, 1, 1);
    Atomics.notify(told, 1);
  },
);
/** Tells much and goes on, without saying anything more, until it is cancelled. */
export const tellAndStay: Job<[count: number, told: Int32Array], void> = job(
  url,
  async function tellAndStay(count: number, told: Int32Array): Promise<void> {
    const { signal } = currentJob()!;
    for (let i = 1; i <= count; i++) progress(i);
    Atomics.store(told, 0, 1);
    Atomics.notify(told, 0);
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  },
);
/** How many timers of 1 ms this thread has seen while it had no job, in so many jobs of this kind. */
let ticks = 0;
export const ticking: Job<[], number> = job(url, function ticking(): number {
  if (ticks === 0) setInterval(() => ticks++, 1).unref();
  ticks ||= 1;
  return ticks;
});

/** A value that can be sent and cannot be read where it arrives. */
export function unreadable(): unknown {
  const value = new BlockList();
  const key = Object.getOwnPropertySymbols(BlockList.prototype).find((it) => String(it).includes("clone"))!;
  Object.defineProperty(value, key, { value: () => ({ data: {}, deserializeInfo: "internal/blocklist:None" }) });
  return value;
}
export const giveUnreadable: Job<[], unknown> = job(url, function giveUnreadable(): unknown {
  return unreadable();
});
export const tellUnreadable: Job<[], string> = job(url, function tellUnreadable(): string {
  progress(unreadable());
  progress("readable");
  return "done";
});
/** Its result is read slowly: `gate[0]` says that this has begun, and it goes on when `gate[1]` is set. */
export const tellUnreadableAndDally: Job<[gate: Int32Array], unknown> = job(
  url,
  function tellUnreadableAndDally(gate: Int32Array): unknown {
    progress(unreadable());
    return {
      get word() {
        Atomics.store(gate, 0, 1);
        Atomics.notify(gate, 0);
        Atomics.wait(gate, 1, 0, 50_000);
        return "done";
      },
    };
  },
);
export const take: Job<[value: unknown], string> = job(url, function take(): string {
  return "taken";
});
export const streamUnreadable: StreamJob<[], unknown> = job.stream(
  url,
  function* streamUnreadable(): Iterable<unknown> {
    yield 1;
    yield unreadable();
    for (let i = 2; ; i++) yield i;
  },
);
/** Ends after three values, and says by shared memory that it has. */
export const streamUnreadableAndEnd: StreamJob<[ended: Int32Array], unknown> = job.stream(
  url,
  function* streamUnreadableAndEnd(ended: Int32Array): Iterable<unknown> {
    yield 1;
    yield unreadable();
    yield 3;
    setImmediate(() => {
      Atomics.store(ended, 0, 1);
      Atomics.notify(ended, 0);
    });
  },
);
/** Notes its number as the next one of those that have begun: `order[0]` counts them. */
export const noteOrder: Job<[order: Int32Array, number: number], void> = job(
  url,
  function noteOrder(order: Int32Array, number: number): void {
    order[Atomics.add(order, 0, 1) + 1] = number;
  },
);
/** The same as a coroutine, which needs the kernel before it is called. */
export const noteOrderAndWait: Job<[order: Int32Array, number: number], void> = job(
  url,
  function* noteOrderAndWait(order: Int32Array, number: number): Generator<never, void> {
    order[Atomics.add(order, 0, 1) + 1] = number;
  },
);
/** A plain function that returns a promise: only its result needs the kernel. */
export const noteOrderAndPromise: Job<[order: Int32Array, number: number], void> = job(
  url,
  function noteOrderAndPromise(order: Int32Array, number: number): Promise<void> {
    order[Atomics.add(order, 0, 1) + 1] = number;
    return Promise.resolve();
  },
);
/** Says by shared memory that it has returned a promise, which never comes to anything. */
export const promisesForEver: Job<[started: Int32Array], void> = job(
  url,
  function promisesForEver(started: Int32Array): Promise<void> {
    Atomics.store(started, 0, 1);
    return new Promise(() => {});
  },
);
export const tellMuchUnreadable: Job<[count: number, told: Int32Array], void> = job(
  url,
  function tellMuchUnreadable(count: number, told: Int32Array): void {
    for (let i = 0; i < count; i++) progress(unreadable());
    Atomics.store(told, 0, 1);
    Atomics.notify(told, 0);
  },
);
/** Tells much that cannot be sent; gives how often it was told so. */
export const tellMuchUncloneable: Job<[count: number], number> = job(
  url,
  function tellMuchUncloneable(count: number): number {
    let refused = 0;
    for (let i = 0; i < count; i++) {
      try {
        progress(() => i);
      } catch {
        refused++;
      }
    }
    return refused;
  },
);
export const noop: Job<[], number> = job(url, function noop(): number {
  return 0;
});
export const promiseForItem: Job<[item: number], void> = job(url, function promiseForItem(): Promise<void> {
  return new Promise(() => {});
});
