/**
 * Clients of HTTP/2 that do not take what waits for them: by the window of a stream, by that of the connection, by the socket. Each
 * would keep its places for ever. Real sockets, and a client that is no library's; time passes when the test says so.
 */
import { createServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { serve as serveHono } from "@hono/node-server";
import fastify from "fastify";
import type { FastifyInstance } from "fastify";
import { EventLoop, Future, run, sleep } from "fibril";
import type { Coroutine } from "fibril";
import { listener } from "fibril/http/server";
import type { Handler, RequestEnd, RequestsOptions, RequestsStatistics, ServeOptions } from "fibril/http/server";
import { coroutines as fastifyCoroutines } from "fibril/http/server/fastify";
import { coroutines as honoCoroutines } from "fibril/http/server/hono";
import { Hono } from "hono";
import { expect, test } from "vitest";
import { acceptedBytes } from "../../../src/http/server/accepted-bytes.ts";
import { certificate, privateKey } from "../certificate.ts";
import { hostTurn, ManualTime } from "../manual-time.ts";
import { eventually, withServer } from "./harness.ts";
import type { Served } from "./harness.ts";
import { Http2Peer, LARGEST_WINDOW } from "./http2-peer.ts";
import type { PeerStream } from "./http2-peer.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const LARGE = "x".repeat(40 * MIB); // more than the buffers of two sockets
// Two of them, too; but one alone is not so much that Node refuses further streams (`maxSessionMemory`).
const HALF_OF_LARGE = "x".repeat(7 * MIB);
const LOOK_MS = 20;

interface Attacked extends Served {
  readonly time: ManualTime;
  readonly peer: (windowBytes: number) => Http2Peer;
  /** The server's ends of connections that are open. */
  readonly sockets: readonly Socket[];
  /** The same with TLS. */
  readonly secureSockets: readonly Socket[];
}

/** A server whose clients have a second for each step; at the end no connection of it is left. */
async function attacked(
  handler: Handler,
  body: (it: Attacked) => Coroutine<void>,
  options: ServeOptions = {},
): Promise<void> {
  const time = new ManualTime();
  const sockets: Socket[] = [];
  const secureSockets: Socket[] = [];
  const peers: Http2Peer[] = [];
  await withServer(
    handler,
    { http2: true, sendTimeoutMs: 1_000, ...options },
    function* (served) {
      served.server.raw.on("connection", (socket) => {
        sockets.push(socket);
        socket.once("close", () => void sockets.splice(sockets.indexOf(socket), 1));
      });
      served.server.raw.on("secureConnection", (socket) => void secureSockets.push(socket));
      const peer = (windowBytes: number): Http2Peer => {
        const made = new Http2Peer(served.port, windowBytes, options.tls !== undefined);
        peers.push(made);
        return made;
      };
      yield* body({ ...served, time, peer, sockets, secureSockets });
      expect(served.errors).toEqual([]);
      for (const it of peers) it.destroy();
      yield* eventually(() => sockets.length === 0 && served.server.statistics().active === 0);
      expect(served.loop.statistics().timers).toBe(0);
    },
    { clock: time.clock, host: time.host },
  );
}

/** Until the answer is watched: the common look has found it waiting. */
function* untilWatched({ server, loop, time }: Attacked, answers = 1): Coroutine<void> {
  yield* eventually(() => server.statistics().active === answers && server.statistics().handlers === 0);
  yield* time.pass(LOOK_MS);
  expect(loop.statistics().timers).toBe(answers);
}

/** So that the server has done with all that the client has said. */
function* untilHeard(peer: Http2Peer): Coroutine<void> {
  const before = peer.pongs;
  peer.ping();
  yield* eventually(() => peer.pongs > before);
}

/** The timers of the requests: there is no other in these tests. */
function timersOf(loop: EventLoop): number {
  return loop.statistics().timers;
}

test.for([5, 100 * KIB])("a stream whose window stays shut is reset, counted and logged: %i bytes", async (bytes) => {
  await attacked(
    function* () {
      return "x".repeat(bytes);
    },
    function* (it) {
      const peer = it.peer(0);
      const stream = peer.request("/");
      yield* untilWatched(it);
      yield* it.time.pass(999);
      expect(it.server.statistics()).toMatchObject({ active: 1, stalled: 0 });
      yield* it.time.pass(1);
      yield* eventually(() => it.ends.length === 1);
      expect(it.ends).toMatchObject([{ path: "/", status: 200, outcome: "stalled" }]);
      expect(it.server.statistics()).toMatchObject({ active: 0, stalled: 1 });
      expect(timersOf(it.loop)).toBe(0);
      yield* eventually(() => stream.reset !== null);
      expect(stream).toMatchObject({ headers: true, bytes: 0, hasEnded: false, reset: 8 });
      expect(peer.isClosed).toBe(false); // the connection is good for others
      peer.opens(null, MIB);
      const other = peer.request("/");
      peer.opens(other, MIB);
      yield* eventually(() => other.hasEnded);
      expect(other.bytes).toBe(bytes);
    },
  );
});

test("a stream that is never told of more room ends its handler, with cleanup", async () => {
  let isClosed = false;
  await attacked(
    function* () {
      return (async function* endless() {
        try {
          for (;;) yield Buffer.alloc(10 * KIB);
        } finally {
          isClosed = true;
        }
      })();
    },
    function* (it) {
      const stream = it.peer(64 * KIB - 1).request("/");
      yield* eventually(() => stream.bytes === 64 * KIB - 1);
      yield* eventually(() => timersOf(it.loop) === 1);
      expect(it.server.statistics()).toMatchObject({ active: 1, handlers: 1 });
      yield* untilStalled(it);
      yield* eventually(() => it.ends.length === 1);
      expect(it.ends).toMatchObject([{ status: 200, outcome: "stalled" }]);
      expect(isClosed).toBe(true);
      expect(it.server.statistics()).toMatchObject({ active: 0, handlers: 0, stalled: 1 });
      yield* eventually(() => stream.reset === 8);
    },
  );
});

/** What was on its way when the watch began is taken in its first round, so it may need another. */
function* untilStalled({ time, server }: Attacked, count = 1): Coroutine<number> {
  let rounds = 0;
  for (; server.statistics().stalled < count; rounds++) yield* time.pass(1_000);
  return rounds;
}

test("a connection that is not read at all is cut, with all its streams", async () => {
  await attacked(
    function* () {
      return HALF_OF_LARGE;
    },
    function* (it) {
      const peer = it.peer(LARGEST_WINDOW);
      peer.socket.pause();
      peer.socket.cork(); // together: while Node writes it does not read
      peer.opens(null, LARGEST_WINDOW - 64 * KIB);
      peer.request("/first");
      peer.request("/second");
      peer.socket.uncork();
      yield* untilWatched(it, 2);
      yield* untilStalled(it);
      yield* eventually(() => it.server.statistics().active === 0);
      expect(it.ends.map((end) => end.path).sort()).toEqual(["/first", "/second"]);
      expect(it.server.statistics().stalled).toBe(1);
      expect(timersOf(it.loop)).toBe(0);
      peer.socket.resume();
      yield* eventually(() => peer.isClosed);
    },
  );
});

test("a window of the connection that stays shut stalls every stream, and each is reset", async () => {
  await attacked(
    function* () {
      return "x".repeat(100 * KIB);
    },
    function* (it) {
      const peer = it.peer(LARGEST_WINDOW);
      const streams = [peer.request("/1"), peer.request("/2"), peer.request("/3")];
      yield* eventually(() => streams.reduce((sum, stream) => sum + stream.bytes, 0) === 64 * KIB - 1);
      yield* untilWatched(it, 3);
      yield* untilStalled(it, 3);
      yield* eventually(() => streams.every((stream) => stream.reset === 8));
      expect(it.ends.map((end) => end.outcome)).toEqual(["stalled", "stalled", "stalled"]);
      expect(peer.isClosed).toBe(false);
    },
  );
});

test("a client that opens many streams, one after the other, and takes nothing loses each in its time", async () => {
  await attacked(
    function* () {
      return "x".repeat(1_000);
    },
    function* (it) {
      const peer = it.peer(0);
      const streams: PeerStream[] = [];
      for (let i = 0; i < 40; i++) {
        streams.push(peer.request(`/${i}`));
        yield* untilHeard(peer);
        yield* it.time.pass(25);
      }
      yield* eventually(() => it.server.statistics().handlers === 0);
      expect(it.server.statistics()).toMatchObject({ active: 40, stalled: 0 });
      for (let i = 0; i < 80; i++) yield* it.time.pass(25);
      yield* eventually(() => streams.every((stream) => stream.reset === 8));
      expect(it.server.statistics()).toMatchObject({ active: 0, stalled: 40 });
    },
  );
});

test("a client that takes a little each time gets all of it, however long that is", async () => {
  await attacked(
    function* () {
      return "x".repeat(20_000);
    },
    function* (it) {
      const peer = it.peer(0);
      const stream = peer.request("/");
      yield* untilWatched(it);
      for (let taken = 2_500; taken <= 20_000; taken += 2_500) {
        peer.opens(stream, 2_500);
        peer.opens(null, 2_500); // as libraries do: the window of the connection is then as it was before
        yield* eventually(() => stream.bytes === taken);
        yield* it.time.pass(1_000);
        expect(it.server.statistics().stalled).toBe(0);
      }
      peer.opens(stream, 1); // without room not even the end of a stream is sent
      yield* eventually(() => stream.hasEnded && it.ends.length === 1);
      expect(it.ends).toMatchObject([{ outcome: "completed" }]);
    },
  );
});

test("a client that reads a large answer slowly from its socket gets all of it", async () => {
  await attacked(
    function* () {
      return LARGE;
    },
    function* (it) {
      const peer = it.peer(LARGEST_WINDOW);
      peer.socket.pause();
      peer.opens(null, LARGEST_WINDOW - 64 * KIB);
      const stream = peer.request("/");
      yield* untilWatched(it);
      const socket = it.sockets[0]!;
      for (let i = 0; i < 4; i++) {
        const before = acceptedBytes(socket);
        peer.socket.resume();
        yield* eventually(() => acceptedBytes(socket) > before); // until the other side notices
        peer.socket.pause();
        yield* it.time.pass(1_000);
        expect(it.server.statistics().stalled).toBe(0);
      }
      peer.socket.resume();
      yield* eventually(() => stream.hasEnded && it.ends.length === 1);
      expect(stream.bytes).toBe(LARGE.length);
      expect(it.ends).toMatchObject([{ outcome: "completed" }]);
    },
  );
});

test("a stream in large pieces whose client is slow is not cut: every piece counts", async () => {
  const pieces = 15;
  await attacked(
    function* () {
      return (async function* equalPieces() {
        for (let i = 0; i < pieces; i++) yield Buffer.alloc(80 * KIB); // more than is buffered; at each look just as much is waiting
      })();
    },
    function* (it) {
      const peer = it.peer(0);
      peer.opens(null, 2 * MIB);
      const stream = peer.request("/");
      yield* eventually(() => timersOf(it.loop) === 1);
      for (let i = 1; i <= 2 * pieces; i++) {
        peer.opens(stream, 40 * KIB); // half a piece
        yield* eventually(() => stream.bytes === i * 40 * KIB);
        yield* untilHeard(peer);
        yield* it.time.pass(1_000);
        expect(it.server.statistics().stalled).toBe(0);
      }
      peer.opens(stream, 1);
      yield* eventually(() => stream.hasEnded && it.ends.length === 1);
      expect(it.ends).toMatchObject([{ outcome: "completed" }]);
    },
  );
});

test("a stream whose source is silent is no stalled client", async () => {
  const gate = new Future<void>({ external: true });
  await attacked(
    function* () {
      return (async function* chunks() {
        yield "x".repeat(100 * KIB); // more than the window: from here on it is watched
        await gate;
        yield "end";
      })();
    },
    function* (it) {
      const peer = it.peer(64 * KIB);
      const stream = peer.request("/");
      yield* eventually(() => timersOf(it.loop) === 1);
      peer.opens(null, MIB);
      peer.opens(stream, MIB);
      yield* eventually(() => stream.bytes === 100 * KIB);
      for (let i = 0; i < 30; i++) yield* it.time.pass(1_000);
      expect(it.server.statistics()).toMatchObject({ handlers: 1, stalled: 0 });
      gate.resolve();
      yield* eventually(() => stream.hasEnded);
      expect(stream.bytes).toBe(100 * KIB + 3);
    },
  );
});

test("a stalled stream is found beside others that move, within one round of their taking more than it waits for", async () => {
  await attacked(
    function* (request) {
      return request.path === "/stalled" ? "x".repeat(30 * KIB) : "x".repeat(100 * KIB);
    },
    function* (it) {
      const peer = it.peer(0);
      peer.opens(null, LARGEST_WINDOW - 64 * KIB);
      const stalled = peer.request("/stalled");
      yield* untilWatched(it);
      for (const path of ["/1", "/2"]) {
        const moving = peer.request(path);
        peer.opens(moving, MIB);
        yield* eventually(() => moving.hasEnded);
      }
      yield* it.time.pass(1_000);
      yield* eventually(() => stalled.reset === 8);
      yield* eventually(() => it.ends.length === 3);
      expect(it.ends.map((end) => end.outcome).sort()).toEqual(["completed", "completed", "stalled"]);
    },
  );
});

test("a large answer that is taken slowly is not cut for others that are fast", async () => {
  await attacked(
    function* (request) {
      return "x".repeat(request.path === "/slow" ? 300 * KIB : MIB);
    },
    function* (it) {
      const peer = it.peer(0);
      peer.opens(null, LARGEST_WINDOW - 64 * KIB);
      const slow = peer.request("/slow");
      yield* untilWatched(it);
      for (let i = 1; i <= 4; i++) {
        peer.opens(slow, 70 * KIB);
        const fast = peer.request(`/${i}`);
        peer.opens(fast, 2 * MIB);
        yield* eventually(() => fast.hasEnded && slow.bytes === i * 70 * KIB);
        yield* it.time.pass(1_000);
        expect(it.server.statistics().stalled).toBe(0);
      }
      peer.opens(slow, 70 * KIB);
      yield* eventually(() => slow.hasEnded && it.ends.length === 5);
      expect(slow.bytes).toBe(300 * KIB);
    },
  );
});

test("pings and openings of windows that nothing comes of buy some rounds, and no more", async () => {
  await attacked(
    function* () {
      return "x".repeat(30 * KIB);
    },
    function* (it) {
      const peer = it.peer(0);
      const stream = peer.request("/");
      yield* untilWatched(it);
      let rounds = 0;
      for (; it.server.statistics().stalled === 0 && rounds < 50; rounds++) {
        for (let i = 0; i < 10; i++) yield* untilHeard(peer);
        peer.opens(null, 1);
        yield* untilHeard(peer);
        yield* it.time.pass(1_000);
      }
      expect(rounds).toBe(10);
      yield* eventually(() => stream.reset === 8);
    },
  );
});

test("the end of a stream that finds no room counts as something that waits", async () => {
  const gate = new Future<void>({ external: true });
  await attacked(
    function* () {
      return (async function* exact() {
        yield Buffer.alloc(1_000);
        await gate;
      })();
    },
    function* (it) {
      const peer = it.peer(1_000);
      const stream = peer.request("/");
      yield* eventually(() => stream.bytes === 1_000);
      yield* untilHeard(peer); // the server knows, too, that it was taken
      gate.resolve();
      yield* untilWatched(it);
      yield* untilStalled(it);
      yield* eventually(() => it.ends.length === 1);
      expect(it.ends).toMatchObject([{ outcome: "stalled" }]);
    },
  );
});

test("a client that has its answer and never ends its request keeps no place", async () => {
  await attacked(
    function* (request) {
      for (const chunks = request.chunks(); ;) {
        const step = yield* chunks.next();
        return step.done === true ? "nothing" : "enough";
      }
    },
    function* (it) {
      const peer = it.peer(MIB);
      const stream = peer.request("/", "POST", false);
      peer.data(stream, "the first of many");
      yield* eventually(() => stream.hasEnded);
      yield* eventually(() => it.server.statistics().handlers === 0);
      yield* it.time.pass(LOOK_MS);
      yield* eventually(() => it.ends.length === 1);
      expect(it.ends).toMatchObject([{ outcome: "completed", status: 200 }]);
      yield* eventually(() => stream.reset !== null);
      expect(stream).toMatchObject({ bytes: 6, reset: 0 });
    },
  );
});

test("a refusal that nobody takes is let go of, too", async () => {
  await attacked(
    () => sleep(1_000_000),
    function* (it) {
      const peer = it.peer(0);
      const first = peer.request("/first");
      yield* eventually(() => it.server.statistics().active === 1);
      const second = peer.request("/second");
      yield* eventually(() => second.headers);
      peer.reset(first);
      yield* eventually(() => it.server.statistics().active === 0);
      yield* untilStalled(it);
      yield* eventually(() => second.reset === 8);
    },
    { limit: 1, queueLimit: 0 },
  );
});

const WAYS_TO_GO: Readonly<Record<string, (peer: Http2Peer) => void>> = {
  "closes its connection": (peer) => void peer.socket.end(),
  "cuts its connection": (peer) => peer.destroy(),
  "resets its connection": (peer) => void peer.socket.resetAndDestroy(),
};

test.for(Object.keys(WAYS_TO_GO))(
  "a client that %s while much waits for it gives back its places at once",
  async (way) => {
    let closed = 0;
    await attacked(
      function* (request) {
        if (request.path === "/whole") return HALF_OF_LARGE;
        return (async function* endless() {
          try {
            for (;;) yield Buffer.alloc(MIB);
          } finally {
            closed++;
          }
        })();
      },
      function* (it) {
        const peer = it.peer(0);
        peer.request("/whole");
        peer.request("/stream");
        yield* eventually(() => it.server.statistics().active === 2 && it.server.statistics().handlers === 1);
        yield* untilHeard(peer);
        WAYS_TO_GO[way]!(peer);
        yield* eventually(() => it.server.statistics().active === 0);
        expect(closed).toBe(1);
        expect(it.ends.map((end) => end.outcome).sort()).toEqual(["completed", "disconnected"]);
        expect(timersOf(it.loop)).toBe(0);
      },
    );
  },
);

test("a client that cuts a connection it did not read gives back its places at once", async () => {
  await attacked(
    function* () {
      return LARGE;
    },
    function* (it) {
      const peer = it.peer(LARGEST_WINDOW);
      peer.socket.pause();
      peer.opens(null, LARGEST_WINDOW - 64 * KIB);
      peer.request("/");
      yield* untilWatched(it);
      peer.destroy();
      yield* eventually(() => it.server.statistics().active === 0);
      expect(timersOf(it.loop)).toBe(0);
    },
  );
});

test("a client that says it leaves on a connection it does not read is let go of after the limit", async () => {
  await attacked(
    function* () {
      return LARGE;
    },
    function* (it) {
      const peer = it.peer(LARGEST_WINDOW);
      peer.socket.pause();
      peer.opens(null, LARGEST_WINDOW - 64 * KIB);
      const stream = peer.request("/");
      yield* untilWatched(it);
      peer.reset(stream); // Node does not hear it: it reads nothing while it writes
      peer.socket.end();
      yield* untilStalled(it);
      yield* eventually(() => it.server.statistics().active === 0);
    },
  );
});

test("with TLS: a shut window is a reset, an unread connection is cut, one that is read slowly is not", async () => {
  await attacked(
    function* (request) {
      return request.path === "/large" ? LARGE : "small";
    },
    function* (it) {
      const stream = it.peer(0).request("/");
      yield* untilWatched(it);
      yield* untilStalled(it);
      yield* eventually(() => stream.reset === 8);

      const slow = it.peer(LARGEST_WINDOW);
      yield* untilHeard(slow);
      slow.opens(null, LARGEST_WINDOW - 64 * KIB);
      const large = slow.request("/large");
      yield* eventually(() => large.bytes > 0);
      slow.socket.pause();
      yield* untilWatched(it);
      for (let i = 0; i < 3; i++) {
        slow.socket.resume();
        const before = acceptedBytes(it.secureSockets[1]!);
        yield* eventually(() => acceptedBytes(it.secureSockets[1]!) > before);
        slow.socket.pause();
        yield* it.time.pass(1_000);
        expect(it.server.statistics().stalled).toBe(1);
      }
      yield* untilStalled(it, 2);
      yield* eventually(() => it.server.statistics().active === 0);
      expect(it.ends.map((end) => end.outcome)).toEqual(["stalled", "stalled"]);
    },
    { tls: { key: privateKey, cert: certificate } },
  );
});

interface Framework {
  readonly port: number;
  readonly statistics: () => RequestsStatistics;
  readonly close: () => Promise<void>;
}

const FRAMEWORKS: Readonly<Record<string, (options: RequestsOptions) => Promise<Framework>>> = {
  listener: async (options) => {
    const listen = listener(function* (_request, response) {
      response.end("small");
    }, options);
    const server = createServer(listen);
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    return {
      port: (server.address() as AddressInfo).port,
      statistics: () => listen.statistics(),
      close: async () => {
        await options.loop!.spawn(() => listen.close());
        await new Promise<void>((resolve) => void server.close(() => resolve()));
      },
    };
  },
  "fastify, a stream": async (options) => {
    const app = fastify({ http2: true });
    const { statistics } = fastifyCoroutines(app as unknown as FastifyInstance, options);
    app.get("/", function* () {
      return (async function* () {
        for (;;) yield Buffer.alloc(80 * KIB);
      })();
    });
    await app.listen({ port: 0, host: "127.0.0.1" });
    return { port: (app.server.address() as AddressInfo).port, statistics, close: async () => await app.close() };
  },
  hono: async (options) => {
    const app = new Hono();
    const made = honoCoroutines(options);
    app.get(
      "/",
      made.handler(function* (c) {
        return c.text("small");
      }),
    );
    const [server, port] = await new Promise<[ReturnType<typeof serveHono>, number]>((resolve) => {
      const opened = serveHono({ fetch: app.fetch, port: 0, hostname: "127.0.0.1", createServer }, (info) =>
        resolve([opened, info.port]),
      );
    });
    return {
      port,
      statistics: () => made.statistics(),
      close: async () => {
        await options.loop!.spawn(() => made.close());
        await new Promise<void>((resolve) => void server.close(() => resolve()));
      },
    };
  },
};

test.for(Object.keys(FRAMEWORKS))("%s: what nobody takes is let go of", async (name) => {
  const time = new ManualTime();
  const loop = new EventLoop({ clock: time.clock, host: time.host });
  const ends: RequestEnd[] = [];
  const made = await FRAMEWORKS[name]!({ loop, sendTimeoutMs: 1_000, onRequestEnd: (end) => void ends.push(end) });
  const peer = new Http2Peer(made.port, 0);
  try {
    await run(function* () {
      const stream = peer.request("/");
      yield* eventually(() => stream.headers);
      yield* time.pass(LOOK_MS);
      while (made.statistics().stalled === 0) yield* time.pass(1_000);
      yield* eventually(() => ends.length === 1 && stream.reset === 8);
      expect(ends).toMatchObject([{ status: 200, outcome: "stalled" }]);
      peer.destroy();
    });
    expect(made.statistics()).toMatchObject({ active: 0, handlers: 0, stalled: 1 });
    expect(loop.statistics().timers).toBe(0);
  } finally {
    await made.close();
  }
  expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
});

test("fastify: a stream whose client is slow is not cut", async () => {
  const time = new ManualTime();
  const loop = new EventLoop({ clock: time.clock, host: time.host });
  const made = await FRAMEWORKS["fastify, a stream"]!({ loop, sendTimeoutMs: 1_000 });
  const peer = new Http2Peer(made.port, 0);
  try {
    await run(function* () {
      peer.opens(null, 2 * MIB);
      const stream = peer.request("/");
      yield* eventually(() => loop.statistics().timers === 1);
      for (let i = 1; i <= 30; i++) {
        peer.opens(stream, 40 * KIB);
        yield* eventually(() => stream.bytes === i * 40 * KIB);
        yield* untilHeard(peer);
        yield* time.pass(1_000);
        expect(made.statistics().stalled).toBe(0);
      }
      peer.destroy();
      yield* eventually(() => made.statistics().active === 0);
    });
    expect(loop.statistics().timers).toBe(0);
  } finally {
    await made.close();
  }
});

test("a stream that is let go of gives back its place although its reset waits behind another answer", async () => {
  await attacked(
    function* (request) {
      return request.path === "/large" ? Buffer.alloc(80 * MIB) : "small";
    },
    function* (it) {
      const peer = it.peer(0);
      peer.opens(null, LARGEST_WINDOW - 64 * KIB);
      const stalled = peer.request("/stalled");
      yield* untilWatched(it);
      const large = peer.request("/large");
      peer.opens(large, LARGEST_WINDOW);
      yield* eventually(() => large.bytes > 0);
      peer.socket.pause();
      const socket = it.sockets[0]!;
      while (it.server.statistics().stalled === 0) {
        const before = acceptedBytes(socket);
        peer.socket.resume();
        yield* eventually(() => acceptedBytes(socket) > before);
        peer.socket.pause();
        yield* it.time.pass(1_000);
      }
      expect(large.hasEnded).toBe(false);
      yield* eventually(() => it.ends.length === 1);
      expect(it.ends).toMatchObject([{ path: "/stalled", outcome: "stalled" }]);
      expect(large.hasEnded).toBe(false);
      peer.socket.resume();
      yield* eventually(() => large.hasEnded && stalled.reset === 8);
      expect(large.bytes).toBe(80 * MIB);
    },
  );
});

test("answers that are taken at once set one timer for all, which nobody waits for", async () => {
  await attacked(
    function* () {
      return "small";
    },
    function* (it) {
      const peer = it.peer(MIB);
      const streams = Array.from({ length: 50 }, (_, i) => peer.request(`/${i}`));
      let most = 0;
      while (!streams.every((stream) => stream.hasEnded)) {
        most = Math.max(most, timersOf(it.loop));
        yield* hostTurn();
      }
      yield* eventually(() => it.ends.length === 50);
      expect(most).toBeLessThanOrEqual(1);
      expect(timersOf(it.loop)).toBe(0);
      expect(peer.isClosed).toBe(false);
    },
  );
});

test("no limit is Infinity: then a client may keep its place", async () => {
  await attacked(
    function* () {
      return "small";
    },
    function* (it) {
      const peer = it.peer(0);
      peer.request("/");
      yield* eventually(() => it.server.statistics().active === 1 && it.server.statistics().handlers === 0);
      expect(timersOf(it.loop)).toBe(0);
      for (let i = 0; i < 20; i++) yield* it.time.pass(60_000);
      expect(it.server.statistics()).toMatchObject({ active: 1, stalled: 0 });
    },
    { sendTimeoutMs: Infinity },
  );
});
