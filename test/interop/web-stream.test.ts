/**
 * Web streams both ways: backpressure, cancellation both ways, nothing left.
 */
import { CancelledError, moveOnAfter, run, scope, sleep, spawn, UsageError, yieldNow } from "fibril";
import { closeSequence } from "fibril/lowlevel";
import type { Coroutine } from "fibril";
import { describe, expect, test } from "vitest";
import { fromReadableStream, toReadableStream, until } from "../../src/interop/index.ts";
import type { Sequence } from "../../src/interop/index.ts";
import { thrownBy } from "../core/simulated.ts";
import { rejectionOf, turns, withUnhandled } from "./left.ts";

/** A stream that the test feeds; knows how it was cancelled. */
function fed(highWaterMark = 10): {
  stream: ReadableStream<number>;
  feed: ReadableStreamDefaultController<number>;
  cancelled: unknown[];
} {
  let feed!: ReadableStreamDefaultController<number>;
  const cancelled: unknown[] = [];
  const stream = new ReadableStream<number>(
    {
      start: (it) => void (feed = it),
      cancel: async () => {
        await turns(1);
        cancelled.push("cancelled");
      },
    },
    { highWaterMark },
  );
  return { stream, feed, cancelled };
}

describe("fromReadableStream()", () => {
  test("gives the chunks and the end, and releases the lock", async () => {
    const { stream, feed } = fed();
    const seen = await run(function* () {
      const chunks = fromReadableStream(stream);
      feed.enqueue(1);
      feed.enqueue(2);
      feed.close();
      const log: unknown[] = [];
      for (;;) {
        const { done, value } = yield* chunks.next();
        if (done === true) break;
        log.push(value);
      }
      expect((yield* chunks.next()).done).toBe(true);
      yield* closeSequence(chunks);
      return log;
    });
    expect([seen, stream.locked]).toEqual([[1, 2], false]);
  });

  test("asks for no chunk that nobody waits for", async () => {
    let pulled = 0;
    const stream = new ReadableStream<number>({ pull: (it) => it.enqueue(++pulled) }, { highWaterMark: 0 });
    await run(function* () {
      const chunks = fromReadableStream(stream);
      yield* sleep(1);
      expect(pulled).toBe(0);
      yield* chunks.next();
      yield* sleep(1);
      expect(pulled).toBe(1);
    });
  });

  test("what a cancelled next has asked for is given to the next one, and to one only", async () => {
    const { stream, feed } = fed();
    const seen = await run(function* () {
      const chunks = fromReadableStream(stream);
      yield* moveOnAfter(1, chunks.next());
      feed.enqueue(1);
      yield* sleep(1);
      const takers = [spawn(() => chunks.next()), spawn(() => chunks.next())];
      yield* yieldNow();
      yield* yieldNow();
      feed.enqueue(2);
      return [(yield* takers[0]!).value, (yield* takers[1]!).value];
    });
    expect(seen).toEqual([1, 2]);
  });

  test("several who wait are served in their order", async () => {
    const { stream, feed } = fed();
    const seen = await run(function* () {
      const chunks = fromReadableStream(stream);
      const takers = [1, 2, 3].map(() => spawn(() => chunks.next()));
      yield* sleep(1);
      feed.enqueue("a" as never);
      feed.enqueue("b" as never);
      feed.close();
      return [(yield* takers[0]!).value, (yield* takers[1]!).value, (yield* takers[2]!).done];
    });
    expect(seen).toEqual(["a", "b", true]);
  });

  test("closed while it keeps a chunk for the next call: the chunk is dropped", async () => {
    const { stream, feed } = fed();
    await run(function* () {
      const chunks = fromReadableStream(stream);
      yield* moveOnAfter(1, chunks.next());
      feed.enqueue(1);
      yield* sleep(1);
      yield* closeSequence(chunks);
      expect((yield* chunks.next()).done).toBe(true);
    });
  });

  test("an error of the stream is thrown at every next, the very object", async () => {
    const { stream, feed } = fed();
    const error = new Error("broken");
    const { value, unhandled } = await withUnhandled(() =>
      run(function* () {
        const chunks = fromReadableStream(stream);
        const waiting = spawn(function* (): Coroutine<unknown> {
          try {
            return yield* chunks.next();
          } catch (it) {
            return it;
          }
        });
        yield* sleep(1);
        feed.error(error);
        const seen = [yield* waiting];
        try {
          yield* chunks.next();
        } catch (it) {
          seen.push(it);
        }
        return seen;
      }),
    );
    expect(value).toEqual([error, error]);
    expect([unhandled, stream.locked]).toEqual([[], false]);
  });

  test("closing cancels the stream, waits for its source, and ends who waits", async () => {
    const { stream, cancelled } = fed();
    await run(function* () {
      const chunks = fromReadableStream(stream);
      const waiting = spawn(() => chunks.next());
      yield* sleep(1);
      yield* closeSequence(chunks);
      expect(cancelled).toEqual(["cancelled"]);
      expect((yield* waiting).done).toBe(true);
      expect((yield* chunks.next()).done).toBe(true);
    });
    expect(stream.locked).toBe(false);
  });

  test("the end of its scope cancels the stream and waits for that", async () => {
    const { stream, cancelled } = fed();
    await run(function* () {
      yield* scope(function* () {
        fromReadableStream(stream);
      });
      expect([cancelled, stream.locked]).toEqual([["cancelled"], false]);
    });
  });

  test("wrong arguments are refused", async () => {
    expect(thrownBy(() => fromReadableStream({} as never))).toBeInstanceOf(UsageError);
    expect(thrownBy(() => fromReadableStream(fed().stream))).toMatchObject({ code: "OUTSIDE_TASK" });
    const { stream } = fed();
    stream.getReader();
    expect(thrownBy(() => fromReadableStream(stream))).toBeInstanceOf(UsageError);
  });
});

/** Counts for ever, and knows what was asked of it. */
function counting(log: string[]): Sequence<number> {
  let last = 0;
  return {
    *next() {
      yield* sleep(1);
      log.push(`gave ${++last}`);
      return { done: last > 3, value: last } as IteratorResult<number, undefined>;
    },
    *close() {
      log.push("closed");
    },
  };
}

describe("toReadableStream()", () => {
  test("gives the values, then the end", async () => {
    const seen = await run(function* () {
      const reader = toReadableStream(counting([])).getReader();
      const log: unknown[] = [];
      for (;;) {
        const { done, value } = yield* until(reader.read());
        if (done) return log;
        log.push(value);
      }
    });
    expect(seen).toEqual([1, 2, 3]);
  });

  test("takes nothing that nobody has asked for; with a high-water mark just so much", async () => {
    for (const [options, ahead] of [
      [{}, 0],
      [{ highWaterMark: 2 }, 2],
    ] as const) {
      const log: string[] = [];
      await run(function* () {
        const stream = toReadableStream(counting(log), options);
        while (log.length < ahead) yield* sleep(1);
        yield* sleep(20);
        expect(log.length).toBe(ahead);
        yield* until(stream.cancel());
      });
    }
  });

  test("cancelling the stream closes the sequence", async () => {
    const log: string[] = [];
    await run(function* () {
      const stream = toReadableStream(counting(log));
      yield* until(stream.cancel());
      expect(log).toEqual(["closed"]);
    });
    expect(log).toEqual(["closed"]);
  });

  test("an error of the sequence is that of the stream; a cancelled scope is a CancelledError", async () => {
    const { value, unhandled } = await withUnhandled(async () => {
      const error = await run(function* () {
        const stream = toReadableStream<number>({
          *next() {
            yield* sleep(1);
            throw new Error("broken");
          },
        });
        return yield* until(rejectionOf(stream.getReader().read()));
      });
      let read: Promise<unknown> | undefined;
      await run(() =>
        moveOnAfter(2, function* () {
          const never: Sequence<number> = { next: () => sleep(60_000) as never };
          read = rejectionOf(toReadableStream(never).getReader().read());
          yield* sleep(60_000);
        }),
      );
      return [error, await read];
    });
    expect(value).toEqual([new Error("broken"), expect.any(CancelledError)]);
    expect(unhandled).toEqual([]);
  });

  test("there and back it is the same", async () => {
    const seen = await run(function* () {
      const chunks = fromReadableStream(toReadableStream(counting([])));
      const log: unknown[] = [];
      for (let it = yield* chunks.next(); it.done !== true; it = yield* chunks.next()) log.push(it.value);
      return log;
    });
    expect(seen).toEqual([1, 2, 3]);
  });
});
