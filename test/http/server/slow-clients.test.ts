/**
 * Clients that do not read: what was written for them must not stay for ever. Real sockets; time passes when the test says so.
 */
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { serve as serveHono } from "@hono/node-server";
import fastify from "fastify";
import { EventLoop, Future, run, UsageError } from "fibril";
import type { Coroutine } from "fibril";
import { listener } from "fibril/http/server";
import type { RequestEnd, RequestsOptions, RequestsStatistics } from "fibril/http/server";
import { coroutines as fastifyCoroutines } from "fibril/http/server/fastify";
import { coroutines as honoCoroutines } from "fibril/http/server/hono";
import { Hono } from "hono";
import { expect, test } from "vitest";
import { acceptedBytes } from "../../../src/http/server/accepted-bytes.ts";
import { certificate, privateKey } from "../certificate.ts";
import { ManualTime } from "../manual-time.ts";
import { ask, eventually, RawClient, withServer } from "./harness.ts";

const MIB = 1024 * 1024;
const LARGE = "x".repeat(40 * MIB); // more than the buffers of two sockets

/** A client that reads only when it is told to. */
class SlowClient extends RawClient {
  constructor(port: number) {
    super(port);
    this.socket.pause();
  }

  /** Reads until the other side notices, then stops again. */
  *takesSome(server: Socket): Coroutine<void> {
    const before = acceptedBytes(server);
    this.socket.resume();
    yield* eventually(() => acceptedBytes(server) > before);
    this.socket.pause();
  }
}

/** Lets time pass until the connection was cut. It may take more than once: the system takes some of it on its own. */
function* untilCut(time: ManualTime, statistics: () => RequestsStatistics): Coroutine<void> {
  while (statistics().stalled === 0) yield* time.pass(1_000);
}

test("a client that takes nothing of a whole answer is cut off, counted and logged", async () => {
  const time = new ManualTime();
  await withServer(
    function* () {
      return LARGE;
    },
    { sendTimeoutMs: 1_000 },
    function* ({ port, server, loop, ends, errors }) {
      const client = new SlowClient(port).send("GET /large");
      yield* eventually(() => loop.statistics().timers === 1);
      expect(server.statistics()).toMatchObject({ active: 1, handlers: 0, stalled: 0 });
      yield* time.pass(999);
      expect(server.statistics().stalled).toBe(0);
      yield* untilCut(time, () => server.statistics());
      yield* eventually(() => ends.length === 1);
      expect(ends).toMatchObject([{ path: "/large", status: 200, outcome: "stalled" }]);
      expect(server.statistics()).toMatchObject({ active: 0, stalled: 1 });
      expect(loop.statistics().timers).toBe(0);
      expect(errors).toEqual([]);
      client.socket.resume();
      expect((yield* client.rest()).length).toBeLessThan(LARGE.length);
    },
    { clock: time.clock, host: time.host },
  );
});

test("a client that takes some of it each time gets all of it, however long that is", async () => {
  const time = new ManualTime();
  await withServer(
    function* () {
      return LARGE;
    },
    { sendTimeoutMs: 1_000 },
    function* ({ port, server, loop, ends }) {
      let socket: Socket | undefined;
      server.raw.on("connection", (it) => (socket = it));
      const client = new SlowClient(port).send("GET /", { connection: "close" });
      yield* eventually(() => loop.statistics().timers === 1);
      for (let i = 0; i < 4; i++) {
        yield* client.takesSome(socket!);
        yield* time.pass(1_000);
        expect(server.statistics().stalled).toBe(0);
      }
      client.socket.resume();
      expect((yield* client.rest()).endsWith("xxx")).toBe(true);
      expect(client.text.length).toBeGreaterThan(LARGE.length);
      yield* eventually(() => ends.length === 1);
      expect(ends).toMatchObject([{ status: 200, outcome: "completed" }]);
      expect(loop.statistics().timers).toBe(0);
    },
    { clock: time.clock, host: time.host },
  );
});

test("with TLS: a slow client is not cut, one that takes nothing is", async () => {
  const time = new ManualTime();
  await withServer(
    function* () {
      return LARGE;
    },
    { sendTimeoutMs: 1_000, tls: { key: privateKey, cert: certificate } },
    function* ({ port, server, loop, ends }) {
      let socket: Socket | undefined;
      server.raw.on("secureConnection", (it) => (socket = it));
      const client = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false });
      client.on("error", () => undefined);
      client.write("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
      yield* eventually(() => loop.statistics().timers === 1);
      let bytes = 0;
      client.on("data", (data: Buffer) => void (bytes += data.length));
      for (let i = 0; i < 3; i++) {
        const before = bytes;
        const accepted = acceptedBytes(socket!);
        client.resume();
        yield* eventually(() => bytes > before + MIB && acceptedBytes(socket!) > accepted);
        client.pause();
        yield* time.pass(1_000);
        expect(server.statistics().stalled).toBe(0);
      }
      yield* untilCut(time, () => server.statistics());
      yield* eventually(() => ends.length === 1);
      expect(ends).toMatchObject([{ outcome: "stalled" }]);
      client.destroy();
    },
    { clock: time.clock, host: time.host },
  );
});

test("an answer that goes out at once sets no timer", async () => {
  const time = new ManualTime(); // on it a timer that was set would stay
  const timers: number[] = [];
  const host = { ...time.host, after: (...args: Parameters<typeof time.host.after>) => timers.push(args[0]) };
  await withServer(
    function* () {
      return "small";
    },
    {},
    function* ({ port }) {
      expect(yield* ask(port, "GET /")).toMatch(/small$/);
      expect(timers).toEqual([]);
    },
    { clock: time.clock, host },
  );
});

test("a response that waits for the one before it on the same connection does not count as stalled", async () => {
  const time = new ManualTime();
  const gate = new Future<void>({ external: true });
  await withServer(
    function* (request) {
      if (request.path === "/first") yield* gate;
      return request.path;
    },
    { sendTimeoutMs: 1_000 },
    function* ({ port, server, ends }) {
      const client = new RawClient(port).send("GET /first").send("GET /second", { connection: "close" });
      yield* eventually(() => server.statistics().handlers === 1 && server.statistics().active === 2);
      for (let i = 0; i < 5; i++) yield* time.pass(1_000);
      expect(server.statistics().stalled).toBe(0);
      gate.resolve();
      yield* client.rest();
      expect(client.statuses).toEqual([200, 200]);
      yield* eventually(() => ends.length === 2);
      expect(ends.map((it) => it.outcome)).toEqual(["completed", "completed"]);
    },
    { clock: time.clock, host: time.host },
  );
});

test("of two answers on one connection that takes nothing both are let go of", async () => {
  const time = new ManualTime();
  await withServer(
    function* () {
      return LARGE;
    },
    { sendTimeoutMs: 1_000 },
    function* ({ port, server, ends }) {
      const client = new SlowClient(port).send("GET /first").send("GET /second");
      yield* eventually(() => server.statistics().active === 2 && server.statistics().handlers === 0);
      yield* untilCut(time, () => server.statistics());
      yield* eventually(() => server.statistics().active === 0);
      expect(ends.map((it) => it.path).sort()).toEqual(["/first", "/second"]);
      expect(server.statistics().stalled).toBe(1);
      client.destroy();
    },
    { clock: time.clock, host: time.host },
  );
});

test("a stream that nobody takes ends its handler, with cleanup", async () => {
  const time = new ManualTime();
  let isClosed = false;
  await withServer(
    function* () {
      return (async function* endless() {
        try {
          for (;;) yield Buffer.alloc(MIB);
        } finally {
          isClosed = true;
        }
      })();
    },
    { sendTimeoutMs: 1_000 },
    function* ({ port, server, loop, ends, errors }) {
      const client = new SlowClient(port).send("GET /");
      yield* eventually(() => loop.statistics().timers === 1);
      expect(server.statistics().handlers).toBe(1);
      yield* untilCut(time, () => server.statistics());
      yield* eventually(() => ends.length === 1);
      expect(ends).toMatchObject([{ status: 200, outcome: "stalled" }]);
      expect(isClosed).toBe(true);
      expect(errors).toEqual([]);
      client.destroy();
    },
    { clock: time.clock, host: time.host },
  );
});

test("a stream whose source is silent is no stalled client", async () => {
  const time = new ManualTime();
  const gate = new Future<void>({ external: true });
  await withServer(
    function* () {
      return (async function* chunks() {
        yield LARGE; // which the connection does not take at once: from here on it is watched
        await gate;
        yield "end";
      })();
    },
    { sendTimeoutMs: 1_000 },
    function* ({ port, server, loop }) {
      const client = new RawClient(port).send("GET /", { connection: "close" });
      yield* client.until((it) => it.text.length > LARGE.length);
      yield* eventually(() => loop.statistics().timers === 1);
      for (let i = 0; i < 5; i++) yield* time.pass(1_000);
      expect(server.statistics()).toMatchObject({ handlers: 1, stalled: 0 });
      gate.resolve();
      expect(yield* client.rest()).toContain("end");
    },
    { clock: time.clock, host: time.host },
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
      response.end(LARGE);
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
  fastify: async (options) => {
    const app = fastify();
    const { statistics } = fastifyCoroutines(app, options);
    app.get("/", function* () {
      return LARGE;
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
        return c.text(LARGE);
      }),
    );
    const [server, port] = await new Promise<[ReturnType<typeof serveHono>, number]>((resolve) => {
      const opened = serveHono({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, (info) =>
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

test.for(Object.keys(FRAMEWORKS))("%s: a whole answer that nobody takes is let go of", async (name) => {
  const time = new ManualTime();
  const loop = new EventLoop({ clock: time.clock, host: time.host });
  const ends: RequestEnd[] = [];
  const made = await FRAMEWORKS[name]!({ loop, sendTimeoutMs: 1_000, onRequestEnd: (end) => void ends.push(end) });
  try {
    await run(function* () {
      const client = new SlowClient(made.port).send("GET /");
      yield* eventually(() => loop.statistics().timers === 1);
      yield* untilCut(time, made.statistics);
      yield* eventually(() => ends.length === 1);
      expect(ends).toMatchObject([{ status: 200, outcome: "stalled" }]);
      client.destroy();
      const other = new RawClient(made.port).send("GET /", { connection: "close" });
      yield* other.rest();
      expect(other.text.length).toBeGreaterThan(LARGE.length);
      yield* eventually(() => ends.length === 2);
      expect(ends[1]).toMatchObject({ status: 200, outcome: "completed" });
    });
    expect(made.statistics()).toMatchObject({ active: 0, stalled: 1 });
    expect(loop.statistics().timers).toBe(0);
  } finally {
    await made.close();
  }
  expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
});

test("no limit is Infinity; 0 and nonsense are refused", async () => {
  const handler = function* (): Coroutine<void> {};
  for (const sendTimeoutMs of [0, -1, Number.NaN, "1" as unknown as number]) {
    expect(() => listener(handler, { sendTimeoutMs })).toThrow(UsageError);
  }
  const time = new ManualTime();
  await withServer(
    function* () {
      return LARGE;
    },
    { sendTimeoutMs: Infinity },
    function* ({ port, server, loop }) {
      const client = new SlowClient(port).send("GET /");
      yield* eventually(() => server.statistics().active === 1 && server.statistics().handlers === 0);
      expect(loop.statistics().timers).toBe(0);
      client.destroy();
      yield* eventually(() => server.statistics().active === 0);
    },
    { clock: time.clock, host: time.host },
  );
});
