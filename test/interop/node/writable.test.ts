/**
 * writer(), writeAll() and pipeline(): backpressure, order, what a cancelled write leaves, errors that reach somebody.
 */
import { PassThrough, Readable, Transform, Writable } from "node:stream";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  Cancelled,
  CancelledError,
  currentScope,
  moveOnAfter,
  run,
  scope,
  sleep,
  spawn,
  until,
  UsageError,
  yieldNow,
} from "fibril";
import type { Coroutine, Operation } from "fibril";
import { simulate } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { pipeline, StreamClosedError, writeAll, writer } from "../../../src/interop/node/index.ts";
import { thrownBy } from "../../core/simulated.ts";
import { listenersOf, rejectionOf, turns, withUnhandled } from "../left.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** A stream that takes a chunk when the test lets it. */
class Slow extends Writable {
  readonly written: unknown[] = [];
  #pending: ((error?: Error | null) => void) | null = null;

  constructor(highWaterMark = 1) {
    super({ objectMode: true, highWaterMark });
  }

  override _write(chunk: unknown, _encoding: string, callback: (error?: Error | null) => void): void {
    this.written.push(chunk);
    this.#pending = callback;
  }

  /** Lets the chunk go that it is busy with. */
  accept(error: Error | null = null): void {
    const pending = this.#pending;
    this.#pending = null;
    pending?.(error);
  }
}

/** Accepts everything from now on, a chunk each millisecond. */
function* keepAccepting(stream: Slow): Coroutine<void> {
  while (!stream.closed) {
    stream.accept();
    yield* sleep(1);
  }
}

function* caught(operation: Operation<unknown>): Coroutine<unknown> {
  try {
    yield* operation;
  } catch (error) {
    if (error instanceof Cancelled) throw error;
    return error;
  }
  return "nothing";
}

describe("writer()", () => {
  test("writes in the order of the calls, waits for room, and end() waits until all is written", async () => {
    const stream = new Slow(2);
    await run(function* () {
      const out = writer<number>(stream, { name: "target" });
      yield* out.write(1);
      yield* out.write(2);
      const third = spawn(() => out.write(3));
      const fourth = spawn(() => out.write(4));
      yield* sleep(2);
      expect([third.waitingFor, fourth.isSettled]).toEqual(["room in target", false]);
      expect(out.statistics()).toEqual({ waiting: 2, buffered: 2, highWaterMark: 2 });
      spawn(keepAccepting, stream);
      yield* third;
      yield* fourth;
      yield* out.end();
      expect([stream.written, stream.writableFinished]).toEqual([[1, 2, 3, 4], true]);
      yield* out.end();
    });
    await turns();
    expect(listenersOf(stream)).toBe(0);
  });

  test("streams that have finished leave nothing in a scope that lives on", async () => {
    const kept = await run(function* () {
      const references: WeakRef<object>[] = [];
      for (let i = 0; i < 100; i++) {
        const stream = new PassThrough({ highWaterMark: 1_000 });
        references.push(new WeakRef(stream));
        stream.resume();
        const out = writer(stream);
        yield* out.write("a");
        yield* out.end();
      }
      for (let i = 0; i < 3; i++) {
        yield* until(turns(1)); // a WeakRef holds its object until the end of the job
        collectGarbage();
      }
      return references.filter((it) => it.deref() !== undefined).length;
    });
    expect(kept).toBeLessThan(20);
  });

  test("each drain lets through as many as there is room for, and an end that waits behind them", async () => {
    const stream = new Slow(2);
    await run(function* () {
      const out = writer<number>(stream);
      const writes = [1, 2, 3, 4, 5].map((it) => spawn(() => out.write(it)));
      yield* sleep(1);
      const ending = spawn(() => out.end());
      yield* sleep(1);
      const left = [out.statistics().waiting];
      while (!stream.writableFinished) {
        stream.accept();
        yield* sleep(1);
        left.push(out.statistics().waiting);
        expect(out.statistics().buffered).toBeLessThanOrEqual(2);
      }
      expect(left).toEqual([3, 3, 1, 1, 0, 0]);
      yield* ending;
      expect(writes.every((it) => it.isSettled)).toBe(true);
    });
    expect(stream.written).toEqual([1, 2, 3, 4, 5]);
  });

  test("a duplex whose writing has finished is left to its reader", async () => {
    const stream = new PassThrough({ objectMode: true });
    await run(function* () {
      yield* scope(function* () {
        const out = writer<number>(stream);
        yield* out.write(1);
        yield* out.end();
      });
    });
    expect([stream.destroyed, stream.read()]).toEqual([false, 1]);
  });

  test("a cancelled write has written nothing, and those behind it go on", async () => {
    const stream = new Slow(1);
    await run(function* () {
      const out = writer<number>(stream);
      yield* out.write(1);
      const cancelled = spawn(() => out.write(2));
      const behind = spawn(() => out.write(3));
      yield* sleep(1);
      yield* cancelled.cancel();
      spawn(keepAccepting, stream);
      yield* behind;
      yield* out.end();
    });
    expect(stream.written).toEqual([1, 3]);
  });

  test("end() lets the writes before it through and admits none after; its cancellation does not take that back", async () => {
    const stream = new Slow(1);
    await run(function* () {
      const out = writer<number>(stream);
      yield* out.write(1);
      const before = spawn(() => out.write(2));
      yield* sleep(1);
      const ending = spawn(() => out.end());
      yield* sleep(1);
      expect(stream.writableEnded).toBe(false);
      expect(yield* caught(out.write(3))).toBeInstanceOf(StreamClosedError);
      yield* ending.cancel();
      spawn(keepAccepting, stream);
      yield* before;
      yield* out.end();
    });
    expect(stream.written).toEqual([1, 2]);
  });

  test("end() after writes that were cancelled ends the stream", async () => {
    const stream = new Slow(1);
    await run(function* () {
      const out = writer<number>(stream);
      yield* out.write(1);
      const waiting = spawn(() => out.write(2));
      yield* sleep(1);
      const ending = spawn(() => out.end());
      yield* sleep(1);
      yield* waiting.cancel();
      expect(stream.writableEnded).toBe(true);
      spawn(keepAccepting, stream);
      yield* ending;
    });
    expect(stream.written).toEqual([1]);
  });

  test("an error of the stream is thrown at all who wait and at every further call, the very object", async () => {
    const stream = new Slow(1);
    const error = new Error("disk full");
    const { value, unhandled } = await withUnhandled(() =>
      run(function* () {
        const out = writer<number>(stream);
        yield* out.write(1);
        const waiting = [spawn(() => caught(out.write(2))), spawn(() => caught(out.write(3)))];
        yield* sleep(1);
        stream.accept(error);
        return [yield* waiting[0]!, yield* waiting[1]!, yield* caught(out.write(4)), yield* caught(out.end())];
      }),
    );
    expect(value.every((it) => it === error)).toBe(true);
    expect([unhandled, listenersOf(stream)]).toEqual([[], 0]);
  });

  test("an error that nobody was told is thrown by the scope", async () => {
    const stream = new Slow(5);
    const error = new Error("disk full");
    const thrown = await rejectionOf(
      run(() =>
        scope(function* () {
          const out = writer<number>(stream);
          yield* out.write(1);
          const isTold = new Promise((resolve) => stream.once("close", resolve));
          stream.accept(error);
          yield* until(isTold);
        }),
      ),
    );
    expect(thrown).toBe(error);
  });

  test("an error that Node has not told yet when the scope ends is thrown by the scope, and told to nobody else", async () => {
    for (const destroy of [true, false]) {
      const stream = new Slow(5);
      const { value, unhandled } = await withUnhandled(() =>
        rejectionOf(
          run(function* () {
            const out = writer<number>(stream, { destroy });
            yield* out.write(1);
            stream.accept(new Error("disk full"));
          }),
        ),
      );
      expect(value).toMatchObject({ message: "disk full" });
      expect(unhandled).toEqual([]);
      await turns(3);
      expect(listenersOf(stream)).toEqual(listenersOf(new Slow()));
    }
  });

  test("an error that a later call has thrown is not thrown by the scope again", async () => {
    const stream = new Slow(5);
    const error = new Error("disk full");
    const seen = await run(() =>
      scope(function* () {
        const out = writer<number>(stream);
        yield* out.write(1);
        const isTold = new Promise((resolve) => stream.once("close", resolve));
        stream.accept(error);
        yield* until(isTold);
        return yield* caught(out.write(2));
      }),
    );
    expect(seen).toBe(error);
  });

  test("a stream that goes away is a StreamClosedError; so is one that somebody else has ended", async () => {
    const { value, unhandled } = await withUnhandled(() =>
      run(function* () {
        const gone = new Slow(1);
        const out = writer<number>(gone, { name: "target" });
        yield* out.write(1);
        const waiting = spawn(() => caught(out.write(2)));
        yield* sleep(1);
        gone.destroy();
        const afterwards = yield* caught(out.write(3)); // before the stream has told anybody
        const unused = new Slow(1);
        const early = writer<number>(unused);
        unused.destroy();
        const unheard = yield* caught(early.write(1)); // likewise, with nobody in line
        const ended = new PassThrough();
        const other = writer<string>(ended);
        ended.end();
        const others = yield* caught(other.write("x"));
        return [yield* waiting, afterwards, unheard, yield* caught(out.end()), others];
      }),
    );
    expect(value).toEqual(Array(5).fill(expect.any(StreamClosedError)));
    expect((value[0] as Error).message).toContain("target");
    expect(unhandled).toEqual([]);
  });

  test("a chunk of the wrong type is thrown at its write, also when it stood in line; the stream is unharmed", async () => {
    const written: string[] = [];
    let release: (() => void) | undefined;
    const stream = new Writable({
      highWaterMark: 1,
      write(chunk: Buffer, _encoding, callback) {
        written.push(chunk.toString());
        if (written.length === 1) release = callback;
        else callback();
      },
    });
    await run(function* () {
      const out = writer<unknown>(stream);
      expect(yield* caught(out.write(5))).toMatchObject({ code: "ERR_INVALID_ARG_TYPE" });
      yield* out.write("a");
      const wrong = spawn(() => caught(out.write({})));
      const right = spawn(() => out.write("b"));
      yield* sleep(1);
      release!();
      expect(yield* wrong).toMatchObject({ code: "ERR_INVALID_ARG_TYPE" });
      yield* right;
      yield* out.end();
    });
    expect(written).toEqual(["a", "b"]);
  });

  test("a scope that ends before the stream has finished destroys it; with destroy: false it is let go of", async () => {
    const streams = [new Slow(), new Slow()];
    await run(() =>
      moveOnAfter(1, function* () {
        const outs = [writer<number>(streams[0]!), writer<number>(streams[1]!, { destroy: false })];
        for (const out of outs) yield* out.write(1);
        yield* outs[0]!.write(2);
      }),
    );
    expect(streams.map((it) => [it.destroyed, listenersOf(it)])).toEqual([
      [true, 0],
      [false, 0],
    ]);
  });

  test("used after its scope it says so", async () => {
    const seen = await run(function* () {
      const out = yield* scope(function* () {
        return writer<number>(new Slow());
      });
      return [yield* caught(out.write(1)), yield* caught(out.end())];
    });
    expect(seen).toEqual([expect.any(StreamClosedError), expect.any(StreamClosedError)]);
  });

  test("wrong arguments are refused", () => {
    expect(thrownBy(() => writer({} as never))).toBeInstanceOf(UsageError);
    expect(thrownBy(() => writer(new PassThrough()))).toMatchObject({ code: "OUTSIDE_TASK" });
  });
});

/** Counts; knows whether it was closed. */
class Source {
  closed = 0;
  given = 0;
  readonly #end: number;
  readonly #failure: Error | null;

  constructor(end: number, failure: Error | null = null) {
    this.#end = end;
    this.#failure = failure;
  }

  *next(): Coroutine<IteratorResult<number, undefined>> {
    yield* yieldNow();
    if (this.given === this.#end) {
      if (this.#failure !== null) throw this.#failure;
      return { done: true, value: undefined };
    }
    return { done: false, value: ++this.given };
  }

  *close(): Coroutine<void> {
    this.closed++;
  }
}

describe("writeAll()", () => {
  test("writes everything, ends the stream, and takes no more from the source than there is room for", async () => {
    const stream = new Slow(2);
    const source = new Source(6);
    await run(function* () {
      const all = spawn(() => writeAll(stream, source));
      while (source.given < 3) yield* sleep(1);
      yield* sleep(3);
      expect(source.given).toBe(3);
      spawn(keepAccepting, stream);
      yield* all;
      expect(stream.writableFinished).toBe(true);
    });
    expect([stream.written, source.closed]).toEqual([[1, 2, 3, 4, 5, 6], 0]);
    await turns();
    expect(listenersOf(stream)).toBe(0);
  });

  test("takes arrays, iterables, async iterables and readable streams, on virtual time too", async () => {
    const seen = await simulate(function* () {
      const parts: unknown[] = [];
      async function* later(): AsyncGenerator<number> {
        yield* [1, 2];
      }
      for (const source of [[1, 2], new Set([1, 2]), later(), Readable.from([1, 2])]) {
        const stream = new PassThrough({ objectMode: true });
        stream.on("data", (it) => parts.push(it));
        yield* writeAll<number>(stream, source as Iterable<number>);
      }
      return parts;
    });
    expect(seen).toEqual([1, 2, 1, 2, 1, 2, 1, 2]);
  });

  test("cancelled, it closes the source and destroys the stream", async () => {
    const stream = new Slow(1);
    const source = new Source(10);
    await run(() => moveOnAfter(2, writeAll(stream, source)));
    expect([stream.destroyed, source.closed, listenersOf(stream)]).toEqual([true, 1, 0]);
  });

  test("an error of the source destroys the stream: half of something must not look whole", async () => {
    const stream = new Slow(5);
    const error = new Error("source");
    expect(await rejectionOf(run(() => writeAll(stream, new Source(2, error))))).toBe(error);
    expect([stream.destroyed, stream.writableFinished]).toEqual([true, false]);
  });

  test("an error of the stream closes the source", async () => {
    const stream = new Slow(1);
    const source = new Source(10);
    const error = new Error("target");
    const { value, unhandled } = await withUnhandled(() =>
      rejectionOf(
        run(function* () {
          spawn(function* () {
            yield* sleep(1);
            stream.accept(error);
          });
          yield* writeAll(stream, source);
        }),
      ),
    );
    expect([value, source.closed, unhandled]).toEqual([error, 1, []]);
  });

  test("with end: false the stream stays open, also after a cancellation", async () => {
    const stream = new PassThrough({ objectMode: true });
    await run(function* () {
      yield* writeAll(stream, [1, 2], { end: false });
      yield* moveOnAfter(1, writeAll(stream, { next: () => sleep(60_000) as never }, { end: false }));
    });
    expect([stream.destroyed, stream.writableEnded, stream.read(), stream.read()]).toEqual([false, false, 1, 2]);
  });

  test("cancelled from inside its scope it throws CancelledError", async () => {
    const stream = new Slow(1);
    const source = {
      *next(): Coroutine<IteratorResult<number, undefined>> {
        currentScope().cancel();
        yield* sleep(1);
        return { done: true, value: undefined };
      },
    };
    expect(await rejectionOf(run(() => writeAll(stream, source)))).toBeInstanceOf(CancelledError);
  });
});

describe("pipeline()", () => {
  const upper = (): Transform =>
    new Transform({
      transform(chunk: Buffer, _encoding, callback) {
        callback(null, chunk.toString().toUpperCase());
      },
    });

  test("connects streams, and sequences, and waits until everything has arrived", async () => {
    for (const source of [
      () => Readable.from(["a", "b"]),
      () => ["a", "b"],
      () => {
        const parts = ["a", "b"];
        return {
          *next(): Coroutine<IteratorResult<string, undefined>> {
            yield* sleep(1);
            const value = parts.shift();
            return value === undefined ? { done: true, value } : { done: false, value };
          },
        };
      },
    ]) {
      const target = new PassThrough();
      const parts: string[] = [];
      target.on("data", (chunk) => parts.push(String(chunk)));
      await run(() => pipeline(source(), upper(), target));
      expect(parts.join("")).toBe("AB");
    }
  });

  test("cancelled, it destroys all streams before it ends, and closes the sequence", async () => {
    const target = new Slow(1);
    const middle = upper();
    const source = new Source(1_000_000);
    const { unhandled } = await withUnhandled(async () =>
      run(function* () {
        yield* moveOnAfter(5, pipeline({ next: () => text(source), close: () => source.close() }, middle, target));
        expect([target.destroyed, middle.destroyed, source.closed]).toEqual([true, true, 1]);
      }),
    );
    expect(unhandled).toEqual([]);
  });

  test("cancelled while its streams are silent, it waits until they are closed", async () => {
    const log: string[] = [];
    const source = new PassThrough();
    const target = new Writable({
      destroy(error, callback) {
        void (async () => {
          await turns(3);
          log.push("destroyed");
          callback(error);
        })();
      },
    });
    const { unhandled } = await withUnhandled(() =>
      run(function* () {
        yield* moveOnAfter(1, pipeline(source, target));
        expect([source.destroyed, log]).toEqual([true, ["destroyed"]]);
      }),
    );
    expect(unhandled).toEqual([]);
  });

  test("cancelled while its source is silent, it ends: an async generator, a web stream", async () => {
    const silence = new Promise<never>(() => {});
    async function* generator(): AsyncGenerator<string> {
      yield "a";
      await silence;
    }
    let cancelled = 0;
    const web = new ReadableStream({ pull: () => silence, cancel: () => void cancelled++ });
    for (const source of [generator(), web]) {
      const target = new PassThrough();
      const { unhandled } = await withUnhandled(() => run(() => moveOnAfter(20, pipeline(source, target))));
      expect([target.destroyed, unhandled]).toEqual([true, []]);
    }
    expect(cancelled).toBe(1);
  });

  test("a source that is none is refused", async () => {
    expect(await rejectionOf(run(() => pipeline(42 as never, new PassThrough())))).toBeInstanceOf(UsageError);
  });

  test("throws the first error, the very object", async () => {
    const error = new Error("broken");
    const broken = new Transform({ transform: (_chunk, _encoding, callback) => callback(error) });
    const source = Readable.from(["a"]);
    expect(await rejectionOf(run(() => pipeline(source, broken, new PassThrough())))).toBe(error);
    expect(source.destroyed).toBe(true);
    expect(await rejectionOf(run(() => pipeline(["a"])))).toBeInstanceOf(UsageError);
  });
});

function* text(source: Source): Coroutine<IteratorResult<string, undefined>> {
  const it = yield* source.next();
  return it.done === true ? it : { done: false, value: String(it.value) };
}
