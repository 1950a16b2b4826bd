/**
 * Readable streams both ways: backpressure, ends of every kind, nothing left on the stream.
 */
import { getEventListeners } from "node:events";
import { createServer, connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { Duplex, PassThrough, Readable } from "node:stream";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { CancelledError, moveOnAfter, run, scope, sleep, spawn, UsageError, yieldNow } from "fibril";
import { closeSequence } from "fibril/lowlevel";
import type { Coroutine } from "fibril";
import { simulate } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { fromReadable, once, StreamClosedError, toReadable } from "../../../src/interop/node/index.ts";
import { until } from "../../../src/interop/index.ts";
import type { Sequence } from "../../../src/interop/index.ts";
import { thrownBy } from "../../core/simulated.ts";
import { listenersOf, rejectionOf, turns, withUnhandled } from "../left.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** How many listeners streams of that kind have by themselves. */
const own = (make: () => NodeJS.EventEmitter): number => listenersOf(make());

function* collect<T>(sequence: Sequence<T>): Coroutine<T[]> {
  const all: T[] = [];
  for (let it = yield* sequence.next(); it.done !== true; it = yield* sequence.next()) all.push(it.value);
  return all;
}

/** What `fn` throws in the coroutine. */
function* caught(fn: () => Generator<never, unknown, unknown> | Coroutine<unknown>): Coroutine<unknown> {
  try {
    yield* fn() as Coroutine<unknown>;
  } catch (error) {
    return error;
  }
  return "nothing";
}

describe("fromReadable()", () => {
  test("gives the chunks and the end, and leaves no listener", async () => {
    const stream = Readable.from(["a", "b", "c"]);
    const before = own(() => Readable.from([]));
    const seen = await run(function* () {
      const chunks = fromReadable<string>(stream);
      const all = yield* collect(chunks);
      expect((yield* chunks.next()).done).toBe(true);
      return all;
    });
    await turns();
    expect([seen, listenersOf(stream) <= before]).toEqual([["a", "b", "c"], true]);
  });

  test("streams that have been read to their end leave nothing in a scope that lives on", async () => {
    const kept = await run(function* () {
      const references: WeakRef<object>[] = [];
      for (let i = 0; i < 100; i++) {
        const stream = Readable.from(["a"]);
        references.push(new WeakRef(stream));
        yield* collect(fromReadable(stream));
      }
      for (let i = 0; i < 3; i++) {
        yield* until(turns(1)); // a WeakRef holds its object until the end of the job
        collectGarbage();
      }
      return references.filter((it) => it.deref() !== undefined).length;
    });
    expect(kept).toBeLessThan(20);
  });

  test("a socket whose other half is open still is destroyed at the end of the scope", async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => socket.end("bye")).listen(0, "127.0.0.1");
    await run(function* () {
      yield* once(server, "listening");
      const { port } = server.address() as AddressInfo;
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      yield* scope(function* () {
        expect(String((yield* collect(fromReadable(socket)))[0])).toBe("bye");
        expect(socket.destroyed).toBe(false);
      });
      expect(socket.destroyed).toBe(true);
    });
    server.close();
  });

  test("takes from a stream that is fed by a task of the same loop, on virtual time", async () => {
    const seen = await simulate(function* () {
      const stream = new PassThrough({ objectMode: true });
      spawn(function* () {
        for (let i = 0; i < 3; i++) {
          stream.write(i);
          yield* sleep(0);
        }
        stream.end();
      });
      return yield* collect(fromReadable<number>(stream));
    });
    expect(seen).toEqual([0, 1, 2]);
  });

  test("reads no further ahead than the stream's own high-water mark", async () => {
    let made = 0;
    const stream = new Readable({
      objectMode: true,
      highWaterMark: 4,
      read() {
        this.push(++made);
      },
    });
    await run(function* () {
      const chunks = fromReadable<number>(stream);
      yield* sleep(2);
      expect(made).toBeLessThanOrEqual(4);
      for (let i = 1; i <= 20; i++) expect((yield* chunks.next()).value).toBe(i);
      yield* sleep(2);
      expect(made).toBeLessThanOrEqual(25);
    });
    expect(stream.destroyed).toBe(true);
  });

  test("those who wait are served in their order, one chunk each", async () => {
    const stream = new PassThrough({ objectMode: true });
    const seen = await run(function* () {
      const chunks = fromReadable<number>(stream);
      const takers = [1, 2, 3].map(() => spawn(() => chunks.next()));
      yield* yieldNow();
      yield* yieldNow();
      yield* takers[0]!.cancel();
      stream.write(1);
      const late = spawn(() => chunks.next());
      stream.write(2);
      stream.write(3);
      return [yield* takers[1]!, yield* takers[2]!, yield* late].map((it) => it.value);
    });
    expect(seen).toEqual([1, 2, 3]);
  });

  test("a cancelled next takes nothing", async () => {
    const stream = new PassThrough({ objectMode: true });
    const seen = await run(function* () {
      const chunks = fromReadable<number>(stream);
      yield* moveOnAfter(1, chunks.next());
      stream.write(1);
      return (yield* chunks.next()).value;
    });
    expect(seen).toBe(1);
  });

  test("an error of the stream is thrown at every next, the very object", async () => {
    const stream = new PassThrough();
    const error = new Error("broken");
    const { value, unhandled } = await withUnhandled(() =>
      run(function* () {
        const chunks = fromReadable(stream);
        const waiting = spawn(() => caught(() => collect(chunks)));
        yield* sleep(1);
        stream.destroy(error);
        return [yield* waiting, yield* caught(() => collect(chunks))];
      }),
    );
    expect(value[0]).toBe(error);
    expect(value[1]).toBe(error);
    expect(unhandled).toEqual([]);
    expect(listenersOf(stream)).toBe(own(() => new PassThrough()));
  });

  test("after an error nothing is read from what the stream had buffered", async () => {
    const stream = new PassThrough({ objectMode: true });
    const error = new Error("broken");
    const seen = await run(function* () {
      const chunks = fromReadable<number>(stream);
      for (const number of [1, 2, 3]) stream.write(number);
      const first = (yield* chunks.next()).value;
      stream.destroy(error);
      return [first, yield* caught(() => scope(() => chunks.next()))];
    });
    expect(seen).toEqual([1, error]);
  });

  test("a stream that is closed before its end is a StreamClosedError, also one that was before", async () => {
    const destroyed = new PassThrough();
    destroyed.destroy();
    await turns();
    const seen = await run(function* () {
      const stream = new PassThrough();
      const waiting = spawn(() => caught(() => collect(fromReadable(stream, { name: "upload" }))));
      yield* sleep(1);
      stream.destroy();
      return [yield* waiting, yield* caught(() => collect(fromReadable(destroyed)))];
    });
    expect(seen).toEqual([expect.any(StreamClosedError), expect.any(StreamClosedError)]);
    expect((seen[0] as StreamClosedError).message).toContain("upload");
    expect((seen[0] as StreamClosedError).cause).toMatchObject({ code: "ERR_STREAM_PREMATURE_CLOSE" });
  });

  test("a stream that has ended before gives the end", async () => {
    const stream = Readable.from([]);
    stream.resume();
    await turns();
    expect(await run(() => scope(() => collect(fromReadable(stream))))).toEqual([]);
  });

  test("closing destroys a silent stream at once, waits for its close, and ends who waits", async () => {
    const log: string[] = [];
    const stream = new Readable({
      read() {},
      destroy(_error, callback) {
        void (async () => {
          await turns(3);
          log.push("destroyed");
          callback(null);
        })();
      },
    });
    await run(function* () {
      const chunks = fromReadable(stream);
      const waiting = spawn(() => chunks.next());
      yield* sleep(1);
      const closed = chunks.close!();
      expect(stream.destroyed).toBe(true);
      if (closed !== undefined) yield* closed;
      expect(log).toEqual(["destroyed"]);
      expect((yield* waiting).done).toBe(true);
      expect((yield* chunks.next()).done).toBe(true);
      yield* closeSequence(chunks);
    });
    expect(listenersOf(stream)).toBe(0);
  });

  test("the end of its scope destroys the stream, a cancellation too, and an error of destroying is dropped", async () => {
    const { value, unhandled } = await withUnhandled(() =>
      run(function* () {
        const streams: Readable[] = [];
        const make = (): Readable => {
          const stream = new Readable({
            read() {},
            destroy: (_error, callback) => callback(new Error("while destroying")),
          });
          streams.push(stream);
          return stream;
        };
        yield* scope(function* () {
          fromReadable(make());
        });
        yield* moveOnAfter(1, function* () {
          yield* fromReadable(make()).next();
        });
        return streams.map((it) => [it.destroyed, it.closed, listenersOf(it)]);
      }),
    );
    expect([value, unhandled]).toEqual([Array(2).fill([true, true, 0]), []]);
  });

  test("with destroy: false the stream is only let go of, and goes on", async () => {
    const stream = new PassThrough({ objectMode: true });
    const before = own(() => new PassThrough());
    await run(function* () {
      yield* scope(function* () {
        const chunks = fromReadable<number>(stream, { destroy: false });
        stream.write(1);
        expect((yield* chunks.next()).value).toBe(1);
      });
      expect([stream.destroyed, listenersOf(stream)]).toEqual([false, before]);
      stream.write(2);
      expect((yield* fromReadable<number>(stream).next()).value).toBe(2);
    });
    expect(stream.destroyed).toBe(true);
  });

  test("a duplex whose readable side ends can still be written to; an error afterwards crashes nobody", async () => {
    const written: string[] = [];
    const { unhandled } = await withUnhandled(() =>
      run(function* () {
        const stream = new Duplex({
          allowHalfOpen: true,
          read() {
            this.push(null);
          },
          write(chunk: Buffer, _encoding, callback) {
            written.push(chunk.toString());
            callback(written.length === 2 ? new Error("second") : null);
          },
        });
        const chunks = fromReadable(stream);
        expect(yield* collect(chunks)).toEqual([]);
        stream.write("after the end");
        stream.write("fails");
        yield* sleep(2);
      }),
    );
    expect([written, unhandled]).toEqual([["after the end", "fails"], []]);
  });

  test("a real socket: the other side goes away, or is cancelled", async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
      socket.write("hello");
    });
    await run(function* () {
      yield* scope(function* () {
        server.listen(0, "127.0.0.1");
        yield* once(server, "listening");
        const { port } = server.address() as AddressInfo;
        const silent = connect(port, "127.0.0.1");
        yield* moveOnAfter(50_000, function* () {
          const chunks = fromReadable(silent);
          expect(String((yield* chunks.next()).value)).toBe("hello");
          yield* moveOnAfter(1, chunks.next());
          sockets[0]!.end(" and goodbye");
          expect(String((yield* chunks.next()).value)).toBe(" and goodbye");
          expect((yield* chunks.next()).done).toBe(true);
        });
        yield* scope(function* () {
          const chunks = fromReadable(connect(port, "127.0.0.1"));
          yield* chunks.next();
        });
        expect(silent.destroyed).toBe(true);
      });
      for (const socket of sockets) socket.destroy();
      server.close();
      yield* once(server, "close");
    });
    expect(sockets.length).toBe(2);
  });

  test("wrong arguments are refused", () => {
    expect(thrownBy(() => fromReadable({} as never))).toBeInstanceOf(UsageError);
    expect(thrownBy(() => fromReadable(new PassThrough()))).toMatchObject({ code: "OUTSIDE_TASK" });
  });
});

function numbers(log: unknown[], end = 5): Sequence<number> {
  let last = 0;
  return {
    *next() {
      log.push(last + 1);
      yield* yieldNow();
      return last === end ? { done: true, value: undefined } : { done: false, value: ++last };
    },
    *close() {
      log.push("closed");
    },
  };
}

describe("toReadable()", () => {
  test("gives the values, then the end", async () => {
    const seen = await run(() => scope(() => collect(fromReadable<number>(toReadable(numbers([]))))));
    expect(seen).toEqual([1, 2, 3, 4, 5]);
  });

  test("takes no more than its high-water mark ahead", async () => {
    const log: unknown[] = [];
    await run(function* () {
      const stream = toReadable(numbers(log, 100), { highWaterMark: 3 });
      stream.read(0);
      yield* sleep(2);
      expect(log.length).toBeLessThanOrEqual(4);
      stream.destroy();
      yield* once(stream, "close");
    });
    expect(log.at(-1)).toBe("closed");
  });

  test("destroying it cancels what is pending and closes the sequence, with or without an error", async () => {
    for (const error of [undefined, new Error("destroyed")]) {
      const log: unknown[] = [];
      const { unhandled } = await withUnhandled(() =>
        run(function* () {
          const stream = toReadable<number>({
            *next() {
              try {
                yield* sleep(60_000);
              } finally {
                log.push("cancelled");
              }
              return { done: true, value: undefined };
            },
            *close() {
              log.push("closed");
            },
          });
          const errors: unknown[] = [];
          stream.on("error", (it) => errors.push(it));
          stream.read();
          yield* sleep(1);
          stream.destroy(error);
          while (!stream.closed) yield* sleep(1);
          expect(errors).toEqual(error === undefined ? [] : [error]);
        }),
      );
      expect([log, unhandled]).toEqual([["cancelled", "closed"], []]);
    }
  });

  test("an error of the sequence destroys the stream with it; so does the cancellation of its scope", async () => {
    const { value, unhandled } = await withUnhandled(async () => {
      const error = new Error("broken");
      const seen = await run(function* () {
        const stream = toReadable<number>({
          *next() {
            yield* sleep(1);
            throw error;
          },
        });
        return yield* until(rejectionOf(stream.toArray()));
      });
      expect(seen).toBe(error);
      let all: Promise<unknown> | undefined;
      await run(() =>
        moveOnAfter(1, function* () {
          all = rejectionOf(toReadable<number>({ next: () => sleep(60_000) as never }).toArray());
          yield* sleep(60_000);
        }),
      );
      return await all;
    });
    expect(value).toBeInstanceOf(CancelledError);
    expect(unhandled).toEqual([]);
  });

  test("without objectMode it is a stream of bytes", async () => {
    const seen = await run(function* () {
      const stream = toReadable(
        (function () {
          const parts = ["ab", "cd"];
          return {
            *next(): Coroutine<IteratorResult<string, undefined>> {
              const value = parts.shift();
              return value === undefined ? { done: true, value } : { done: false, value };
            },
          };
        })(),
        { objectMode: false },
      );
      return Buffer.concat(yield* until(stream.toArray() as Promise<Buffer[]>)).toString();
    });
    expect([seen, getEventListeners(new EventTarget(), "abort")]).toEqual(["abcd", []]);
  });
});
