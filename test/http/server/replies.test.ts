import { Channel, Future, sleep, spawn, yieldNow } from "fibril";
import type { Coroutine } from "fibril";
import { eventStream, HttpFailure, reply } from "fibril/http/server";
import { expect, test } from "vitest";
import { ManualTime } from "../manual-time.ts";
import { ask, eventually, RawClient, withServer } from "./harness.ts";

test("an answer is text, bytes, JSON, nothing, or says status and headers itself", async () => {
  const answers: Record<string, unknown> = {
    "/text": "grüß",
    "/bytes": Buffer.from("ab"),
    "/json": { a: [1] },
    "/list": [1, 2],
    "/number": 7,
    "/nothing": undefined,
    "/reply": reply({ status: 201, headers: { location: "/x", "set-cookie": ["a=1", "b=2"] }, body: "made" }),
    "/json-reply": reply({ status: 202, json: null }),
    "/moved": reply({ status: 302, headers: { location: "/y" } }),
    "/null": null,
  };
  await withServer(
    function* (request) {
      return answers[request.path];
    },
    {},
    function* ({ port }) {
      const of = (path: string): Coroutine<string> => ask(port, `GET ${path}`);
      expect(Buffer.from(yield* of("/text"), "latin1").toString()).toMatch(
        /200 OK[\s\S]*content-type: text\/plain; charset=utf-8\r\ncontent-length: 6[\s\S]*\r\n\r\ngrüß$/,
      );
      expect(yield* of("/bytes")).toMatch(
        /content-type: application\/octet-stream\r\ncontent-length: 2[\s\S]*\r\n\r\nab$/,
      );
      expect(yield* of("/json")).toMatch(/content-type: application\/json; charset=utf-8[\s\S]*\r\n\r\n\{"a":\[1\]\}$/);
      expect(yield* of("/list")).toMatch(/\r\n\r\n\[1,2\]$/);
      expect(yield* of("/number")).toMatch(/\r\n\r\n7$/);
      expect(yield* of("/nothing")).toMatch(/^HTTP\/1\.1 204 No Content/);
      expect(yield* of("/null")).toMatch(/^HTTP\/1\.1 204 No Content/);
      expect(yield* of("/reply")).toMatch(
        /^HTTP\/1\.1 201[\s\S]*location: \/x\r\nset-cookie: a=1\r\nset-cookie: b=2[\s\S]*\r\n\r\nmade$/,
      );
      expect(yield* of("/json-reply")).toMatch(/^HTTP\/1\.1 202[\s\S]*\r\n\r\nnull$/);
      expect(yield* of("/moved")).toMatch(/^HTTP\/1\.1 302[\s\S]*content-length: 0/);
    },
  );
});

test("replies and failures refuse what cannot be", () => {
  expect(() => reply({ status: 101 })).toThrow(/status from 200 to 599/);
  expect(() => reply({ body: "a", json: 1 })).toThrow(/not both/);
  expect(() => reply({ json: () => 1 })).toThrow(/no JSON form/);
  expect(() => new HttpFailure(200)).toThrow(/status from 400 to 599/);
  expect(() => eventStream([], { heartbeatMs: 0 })).toThrow(/heartbeatMs/);
});

test("sequences, channels, iterables, async iterables and node streams are sent piece by piece", async () => {
  const { Readable } = await import("node:stream");
  const sources: Record<string, () => unknown> = {
    "/channel": () => {
      const channel = new Channel<string>();
      spawn(function* () {
        for (const piece of ["a", "b"]) yield* channel.send(piece);
        channel.close();
      });
      return channel;
    },
    "/list": () => reply({ body: ["a", Buffer.from("b")] }),
    "/async": () =>
      (async function* () {
        yield "a";
        yield "b";
      })(),
    "/stream": () => Readable.from(["a", "b"]),
  };
  await withServer(
    function* (request) {
      return sources[request.path]!();
    },
    {},
    function* ({ port }) {
      for (const path of Object.keys(sources)) {
        expect(yield* ask(port, `GET ${path}`), path).toMatch(
          /transfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n$/i,
        );
      }
      expect(yield* ask(port, "HEAD /list")).toMatch(/200 OK[\s\S]*\r\n\r\n$/);
    },
  );
});

/** A source without end that counts, and says how it was left. */
class Endless {
  given = 0;
  isClosed = false;

  *next(): Coroutine<IteratorResult<Uint8Array, undefined>> {
    yield* yieldNow();
    this.given++;
    return { done: false, value: BLOCK };
  }

  close(): void {
    this.isClosed = true;
  }
}

const BLOCK = Buffer.alloc(256 * 1024);

test("a slow client suspends the source, and one that leaves closes it", async () => {
  const source = new Endless();
  await withServer(
    function* () {
      return source;
    },
    {},
    function* ({ port, loop, ends }) {
      const client = new RawClient(port);
      client.socket.pause();
      client.send("GET /big");
      const reasons = (): (string | null)[] => loop.tasks({ awaitStacks: false }).map((it) => it.waitingFor);
      yield* eventually(() => reasons().includes("client of GET /big to read"));
      // The system may take some more into its buffers, but not for ever: a source that is not held back never gets out of here.
      let before: number;
      do {
        before = source.given;
        for (let i = 0; i < 20; i++) yield* sleep(1);
      } while (source.given !== before);
      client.socket.resume();
      yield* eventually(() => source.given > before + 50);
      expect(source.isClosed).toBe(false);
      client.destroy();
      yield* eventually(() => ends.length === 1);
      expect(source.isClosed).toBe(true);
      expect(ends).toMatchObject([{ status: 499, outcome: "disconnected" }]);
    },
  );
});

test("with ignore a stream whose client has left ends all the same", async () => {
  const source = new Endless();
  await withServer(
    function* () {
      return source;
    },
    { onDisconnect: "ignore" },
    function* ({ port, ends, errors }) {
      const client = new RawClient(port).send("GET /");
      yield* eventually(() => source.given > 0);
      client.destroy();
      yield* eventually(() => ends.length === 1);
      expect(source.isClosed).toBe(true);
      expect(ends).toMatchObject([{ outcome: "disconnected" }]);
      expect(errors).toEqual([]);
    },
  );
});

test("a piece that is neither text nor bytes cuts the connection and is the handler's error", async () => {
  await withServer(
    function* () {
      return reply({ body: ["a", 1 as unknown as string] });
    },
    {},
    function* ({ port, errors }) {
      const text = yield* ask(port, "GET /");
      expect(text).toContain("200 OK");
      expect(text).not.toContain("\r\n0\r\n");
      expect(errors.map(String)).toEqual([
        expect.stringContaining("a piece of a response body is text or bytes, got 1"),
      ]);
    },
  );
});

test("events go out as they come, comments in silence, and a client that leaves ends the source", async () => {
  const time = new ManualTime();
  const events = new Channel<string | { data: string; event: string; id: string }>(10, { external: true });
  await withServer(
    function* () {
      return eventStream(events, { heartbeatMs: 100, retryMs: 2_000 });
    },
    {},
    function* ({ port, ends }) {
      const client = new RawClient(port).send("GET /events");
      yield* client.until((it) => it.text.includes("retry: 2000\n\n"));
      expect(client.text).toMatch(/content-type: text\/event-stream\r\ncache-control: no-store/);
      yield* events.send("two\nlines");
      yield* client.until((it) => it.text.includes("data: two\ndata: lines\n\n"));
      yield* events.send({ data: "x", event: "price", id: "7" });
      yield* client.until((it) => it.text.includes("event: price\nid: 7\ndata: x\n\n"));
      yield* time.pass(99);
      expect(client.text).not.toContain("\n:");
      yield* time.pass(1);
      yield* client.until((it) => it.text.includes("\n: \n\n"));
      client.destroy();
      yield* eventually(() => ends.length === 1);
      expect(() => events.trySend("nobody")).toThrow(/last receiver was closed/);
    },
    { clock: time.clock, host: time.host },
  );
});

test("what feeds a stream belongs to the request", async () => {
  const stopped = new Future<void>({ external: true });
  await withServer(
    function* () {
      const channel = new Channel<string>();
      spawn(function* feed() {
        try {
          for (let i = 0; ; i++) yield* channel.send(`${i},`);
        } finally {
          stopped.tryResolve();
        }
      });
      return channel;
    },
    {},
    function* ({ port, ends }) {
      const client = new RawClient(port).send("GET /");
      yield* client.until((it) => it.text.includes("100,"));
      client.destroy();
      yield* stopped;
      yield* eventually(() => ends.length === 1);
    },
  );
});
