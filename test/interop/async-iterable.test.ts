/**
 * toAsyncIterable(): sequences for promise code.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { CancelledError, EventLoop, Future, run, scope, sleep, spawn, UsageError, yieldNow } from "fibril";
import type { Coroutine, Operation, Scope } from "fibril";
import { describe, expect, test } from "vitest";
import { sequenceOf, toAsyncIterable, until } from "../../src/interop/index.ts";
import type { Sequence } from "../../src/interop/index.ts";
import { thrownBy } from "../core/simulated.ts";
import { rejectionOf, turns, virtualLoop, withUnhandled } from "./left.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Counts up to `end`; each number takes `ms`. Says what was asked of it. */
class Counting implements Sequence<number> {
  readonly log: string[] = [];
  readonly #end: number;
  readonly #ms: number;
  #last = 0;

  constructor(end: number, ms = 0) {
    this.#end = end;
    this.#ms = ms;
  }

  *next(): Coroutine<IteratorResult<number, undefined>> {
    this.log.push("next");
    try {
      yield* sleep(this.#ms);
    } catch (error) {
      this.log.push("cancelled");
      throw error;
    }
    if (this.#last === this.#end) return { done: true, value: undefined };
    return { done: false, value: ++this.#last };
  }

  *close(): Coroutine<void> {
    yield* sleep(1);
    this.log.push("closed");
  }
}

/** Each `next` waits for what the test gives. */
class Given implements Sequence<string> {
  readonly asked: Future<string>[] = [];
  closed = 0;

  *next(): Coroutine<IteratorResult<string, undefined>> {
    const future = new Future<string>({ name: "given", external: true });
    this.asked.push(future);
    return { done: false, value: yield* future };
  }

  *close(): Coroutine<void> {
    this.closed++;
  }
}

const values = (results: IteratorResult<unknown, unknown>[]): unknown[] =>
  results.map((it) => (it.done ? "end" : it.value));

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const it of source) all.push(it);
  return all;
}

describe("for await over a sequence", () => {
  test("gives every value and then the end; the sequence is not closed, it has ended by itself", async () => {
    const { loop, host } = virtualLoop();
    const sequence = new Counting(3);
    const all = collect(toAsyncIterable(sequence, { loop }));
    while (loop.statistics().tasksSpawned < 4) {
      host.drain();
      await turns(1);
    }
    host.drain();
    expect(await all).toEqual([1, 2, 3]);
    expect(sequence.log).toEqual(["next", "next", "next", "next"]);
  });

  test("leaving it early closes the sequence, and waits for that", async () => {
    const sequence = new Counting(10);
    await run(function* (): Coroutine<void> {
      const iterable = toAsyncIterable(sequence);
      yield* until(
        (async () => {
          for await (const value of iterable) if (value === 2) break;
        })(),
      );
      sequence.log.push("left");
    });
    expect(sequence.log).toEqual(["next", "next", "closed", "left"]);
  });

  test("an error of the sequence rejects the call, ends the iteration, and does not fail the scope", async () => {
    const error = new Error("broken");
    const { value, unhandled } = await withUnhandled(() =>
      run(function* () {
        const iterator = toAsyncIterable<number>({
          *next() {
            yield* yieldNow();
            throw error;
          },
        });
        const [first, second] = [iterator.next(), iterator.next()];
        const failure = yield* until(rejectionOf(first));
        return [failure, yield* until(second), yield* until(iterator.next())];
      }),
    );
    expect(value[0]).toBe(error);
    expect(values(value.slice(1) as never)).toEqual(["end", "end"]);
    expect(unhandled).toEqual([]);
  });

  test("no task is left while nobody asks", async () => {
    const { loop, host } = virtualLoop();
    const iterator = toAsyncIterable(new Counting(3), { loop });
    expect(loop.statistics().tasks).toBe(0);
    const first = iterator.next();
    expect(loop.statistics().tasks).toBe(1);
    host.drain();
    expect(await first).toEqual({ done: false, value: 1 });
    expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
  });

  test("what sequenceOf made of an async iterable comes back the same", async () => {
    async function* source(): AsyncGenerator<number> {
      yield* [1, 2, 3];
    }
    expect(await run(() => until(collect(toAsyncIterable(sequenceOf(source()), { loop: new EventLoop() }))))).toEqual([
      1, 2, 3,
    ]);
  });

  test("wrong arguments are refused", () => {
    expect(thrownBy(() => toAsyncIterable(42 as never))).toBeInstanceOf(UsageError);
    expect(thrownBy(() => toAsyncIterable(new Counting(1)))).toMatchObject({ code: "OUTSIDE_TASK" });
  });
});

describe("calls that overlap", () => {
  test("are answered in their order, one question at a time", async () => {
    const { loop, host } = virtualLoop();
    const sequence = new Given();
    const iterator = toAsyncIterable(sequence, { loop });
    const calls = [iterator.next(), iterator.next(), iterator.next()];
    host.drain();
    expect(sequence.asked.length).toBe(1);
    for (const value of ["a", "b", "c"]) {
      sequence.asked.at(-1)!.resolve(value);
      host.drain();
    }
    expect(values(await Promise.all(calls))).toEqual(["a", "b", "c"]);
    expect(loop.statistics().tasks).toBe(0);
  });

  test("those behind the end get the end", async () => {
    const { loop, host } = virtualLoop();
    const iterator = toAsyncIterable(new Counting(1), { loop });
    const calls = [iterator.next(), iterator.next(), iterator.next()];
    host.drain();
    expect(values([...(await Promise.all(calls)), await iterator.next()])).toEqual([1, "end", "end", "end"]);
  });
});

describe("return() and throw()", () => {
  test("cancel what is pending: the calls get the end, then the sequence is closed, once", async () => {
    const { loop, host } = virtualLoop();
    const sequence = new Counting(5, 1_000);
    const iterator = toAsyncIterable(sequence, { loop });
    const calls = [iterator.next(), iterator.next()];
    host.drain(() => sequence.log.length > 0);
    const returned = [iterator.return(), iterator.return()];
    host.drain();
    expect(values([...(await Promise.all(calls)), ...(await Promise.all(returned)), await iterator.next()])).toEqual(
      Array(5).fill("end"),
    );
    expect(sequence.log).toEqual(["next", "cancelled", "closed"]);
  });

  test("a value that came in the same turn still goes to the oldest call", async () => {
    const { loop, host } = virtualLoop();
    const sequence = new Given();
    const iterator = toAsyncIterable(sequence, { loop });
    const calls = [iterator.next(), iterator.next()];
    host.drain();
    sequence.asked[0]!.resolve("just in time");
    const returned = iterator.return();
    host.drain();
    expect(values([...(await Promise.all(calls)), await returned])).toEqual(["just in time", "end", "end"]);
    expect([sequence.asked.length, sequence.closed]).toEqual([1, 1]);
  });

  test("throw(error) does the same and rejects with the error", async () => {
    const { loop, host } = virtualLoop();
    const sequence = new Given();
    const iterator = toAsyncIterable(sequence, { loop });
    const rejected = rejectionOf(iterator.throw("mine"));
    host.drain();
    expect([await rejected, sequence.closed]).toEqual(["mine", 1]);
  });

  test("after the end they close nothing", async () => {
    const { loop, host } = virtualLoop();
    const sequence = new Counting(0);
    const iterator = toAsyncIterable(sequence, { loop });
    const call = iterator.next();
    host.drain();
    expect(values([await call, await iterator.return()])).toEqual(["end", "end"]);
    expect(sequence.log).toEqual(["next"]);
  });

  test("await using closes it", async () => {
    const { loop, host } = virtualLoop();
    const sequence = new Given();
    const disposed = toAsyncIterable(sequence, { loop })[Symbol.asyncDispose]();
    host.drain();
    await disposed;
    expect(sequence.closed).toBe(1);
  });

  test("an error of close() rejects return(), and fails the scope", async () => {
    const error = new Error("close");
    const seen: unknown[] = [];
    const { value, unhandled } = await withUnhandled(() =>
      rejectionOf(
        run(() =>
          scope(function* () {
            const iterator = toAsyncIterable({
              next: () => sleep(1_000) as unknown as Operation<IteratorResult<number, undefined>>,
              *close(): Coroutine<void> {
                throw error;
              },
            });
            iterator.return().catch((it) => seen.push(it));
            void iterator.return();
            yield* sleep(1_000);
          }),
        ),
      ),
    );
    expect([value, ...seen, ...unhandled]).toEqual([error, error]);
  });
});

describe("an iterator of a scope", () => {
  test("pending calls reject with CancelledError when the scope is cancelled, the sequence is closed, nothing is unhandled", async () => {
    const sequence = new Counting(5, 60_000);
    const { value, unhandled } = await withUnhandled(async () => {
      const calls: Promise<unknown>[] = [];
      let after: (() => Promise<unknown>) | undefined;
      await run(function* () {
        const task = spawn(function* () {
          const iterator = toAsyncIterable(sequence);
          calls.push(iterator.next(), iterator.next());
          after = () => iterator.next();
          yield* sleep(60_000);
        });
        yield* yieldNow();
        yield* yieldNow();
        yield* yieldNow();
        yield* task.cancel();
      });
      return [await rejectionOf(calls[0]!), await rejectionOf(after!())];
    });
    expect(value).toEqual([expect.any(CancelledError), expect.any(CancelledError)]);
    expect(sequence.log).toEqual(["next", "cancelled", "closed"]);
    expect(unhandled).toEqual([]);
  });

  test("a return() that the cancellation interrupts leaves no call pending and closes the sequence", async () => {
    const sequence = new Given();
    const { value, unhandled } = await withUnhandled(async () => {
      const calls: Promise<IteratorResult<string>>[] = [];
      let isReturning = false;
      await run(function* () {
        const task = spawn(function* () {
          const iterator = toAsyncIterable<string>({
            *next() {
              try {
                return yield* sequence.next();
              } finally {
                yield* sleep(400);
              }
            },
            close: () => sequence.close(),
          });
          calls.push(iterator.next(), iterator.next());
          yield* sleep(1);
          void iterator.return();
          isReturning = true;
          yield* sleep(60_000);
        });
        while (!isReturning) yield* sleep(1);
        yield* sleep(20);
        yield* task.cancel();
      });
      return values(await Promise.all(calls));
    });
    expect(value).toEqual(["end", "end"]);
    expect([sequence.closed, unhandled]).toEqual([1, []]);
  });

  test("when the scope ends the sequence is closed, and later calls say why there is no more", async () => {
    const sequence = new Counting(5);
    const seen = await run(function* () {
      let own: Scope | undefined;
      const iterator = yield* scope(function* (it) {
        own = it;
        const made = toAsyncIterable(sequence);
        expect((yield* until(made.next())).value).toBe(1);
        return made;
      });
      expect(own!.isLeft).toBe(true);
      return yield* until(rejectionOf(iterator.next()));
    });
    expect(seen).toBeInstanceOf(CancelledError);
    expect(sequence.log).toEqual(["next", "closed"]);
  });

  test("those that have ended leave nothing in a scope that lives on", async () => {
    const kept = await run(function* () {
      const refs: WeakRef<object>[] = [];
      for (let i = 0; i < 200; i++) {
        const iterator = toAsyncIterable(new Counting(0));
        refs.push(new WeakRef(iterator));
        yield* until(i % 2 === 0 ? iterator.return() : iterator.next());
      }
      for (let i = 0; i < 3; i++) {
        yield* until(turns(1)); // a WeakRef holds its object until the end of the job
        collectGarbage();
      }
      return refs.filter((it) => it.deref() !== undefined).length;
    });
    expect(kept).toBeLessThan(40);
  });

  test("one that was closed by hand is not closed again", async () => {
    const sequence = new Counting(5);
    await run(() =>
      scope(function* () {
        yield* until(toAsyncIterable(sequence).return());
      }),
    );
    expect(sequence.log).toEqual(["closed"]);
  });
});
