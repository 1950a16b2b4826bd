/**
 * What clients, frameworks and programs do to a server that nobody meant: each claim here was once false, or nobody had looked.
 */
import { createServer } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { EventLoop, Future, run, shield, sleep, spawn, until } from "fibril";
import { eventStream, HttpFailure, listener, reply, serve } from "fibril/http/server";
import type { ServeOptions } from "fibril/http/server";
import { coroutines as fastifyCoroutines, problems } from "fibril/http/server/fastify";
import { coroutines as honoCoroutines } from "fibril/http/server/hono";
import fastify from "fastify";
import { Hono } from "hono";
import { serve as serveHono } from "@hono/node-server";
import { expect, test } from "vitest";
import { ManualTime } from "../manual-time.ts";
import { ask, eventually, RawClient, withServer } from "./harness.ts";

test("a client that has left before its request is admitted holds no place: a hook in front, fastify", async () => {
  const app = fastify();
  const { statistics } = fastifyCoroutines(app, { drainMs: 0 });
  let isIn = false;
  let begun = 0;
  let open!: () => void;
  const gate = new Promise<void>((resolve) => (open = resolve));
  app.get(
    "/",
    {
      preHandler: async () => {
        isIn = true;
        await gate;
      },
    },
    function* () {
      begun++;
      return "x";
    },
  );
  let isGone = false;
  app.server.on("connection", (socket) => void socket.once("close", () => (isGone = true)));
  await app.listen({ port: 0, host: "127.0.0.1" });
  const { port } = app.server.address() as AddressInfo;
  await run(function* () {
    const client = new RawClient(port).send("GET /");
    yield* eventually(() => isIn);
    client.destroy();
    yield* eventually(() => isGone);
    open();
    yield* sleep(20);
    expect(statistics()).toMatchObject({ active: 0, handlers: 0 });
    expect(begun).toBe(0);
  });
  await app.close();
});

test("a request whose body was read in part leaves its connection to the next one", async () => {
  await withServer(
    function* (request) {
      if (request.method === "POST") {
        const chunks = request.chunks();
        yield* chunks.next();
        return "enough";
      }
      return "next";
    },
    {},
    function* ({ port }) {
      const client = new RawClient(port).send("POST /", { "content-length": "300000" }, "x".repeat(100_000));
      yield* client.until((it) => it.text.includes("enough"));
      client.socket.write("y".repeat(200_000));
      client.send("GET /", { connection: "close" });
      expect(yield* client.rest()).toContain("next");
    },
  );
});

test("a deadline in the middle of an upload leaves the connection usable", async () => {
  const time = new ManualTime();
  await withServer(
    function* (request) {
      if (request.method === "POST") return yield* request.text();
      return "next";
    },
    { timeoutMs: 30 },
    function* ({ port, server }) {
      const client = new RawClient(port).send("POST /", { "content-length": "300000" }, "x".repeat(100_000));
      yield* eventually(() => server.statistics().handlers === 1);
      yield* time.pass(30);
      yield* client.until((it) => it.text.includes("too long"));
      client.socket.write("y".repeat(200_000));
      client.send("GET /", { connection: "close" });
      expect(yield* client.rest()).toContain("next");
    },
    { clock: time.clock, host: time.host },
  );
});

test.each([
  ["bad TLS material", { tls: { key: "nonsense", cert: "nonsense" } }],
  ["wrong limits of WebSockets", { webSockets: { "/": function* () {} }, webSocketLimits: { capacity: -1 } }],
  ["a port that is none", { port: 70_000 }],
  ["a port in use", { port: -1 }],
] as [string, ServeOptions][])("a server that cannot be opened leaves nothing: %s", async (_, options) => {
  const loop = new EventLoop();
  const taken = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => taken.once("listening", resolve));
  const port = options.port === -1 ? { port: (taken.address() as AddressInfo).port } : {};
  const opening = run(
    function* () {
      try {
        yield* serve(function* () {}, { ...options, ...port });
      } catch (error) {
        return error;
      }
      return "opened";
    },
    { loop },
  );
  expect(await opening).toBeInstanceOf(Error);
  taken.close();
  expect(loop.statistics()).toMatchObject({ tasks: 0, ready: 0, timers: 0, outside: 0 });
});

test("serve that is cancelled at any step of opening leaves nothing", async () => {
  for (const options of [{}, { http2: true }, { webSockets: { "/": function* () {} } }] as ServeOptions[]) {
    for (let turns = 0; turns < 12; turns++) {
      const loop = new EventLoop({ onReport: (report) => expect(report).toBeUndefined() });
      await run(
        function* () {
          const task = spawn(function* () {
            yield* serve(function* () {}, options);
            yield* sleep(1e6);
          });
          for (let i = 0; i < turns; i++) yield* until(i % 2 === 0 ? Promise.resolve() : new Promise(setImmediate));
          yield* task.cancel();
        },
        { loop },
      );
      expect(loop.statistics()).toMatchObject({ tasks: 0, ready: 0, timers: 0, outside: 0 });
    }
  }
});

test("half an answer over HTTP/2 does not look whole", async () => {
  await withServer(
    function* () {
      return reply({
        body: (function* () {
          yield "half";
          throw new Error("broken");
        })(),
      });
    },
    { http2: true },
    function* ({ port }) {
      const session = connectHttp2(`http://127.0.0.1:${port}`);
      const stream = session.request({ ":path": "/" });
      let text = "";
      const how = yield* until(
        new Promise<string>((resolve) => {
          stream.on("data", (it: Buffer) => (text += it.toString()));
          stream.on("end", () => resolve(`end ${stream.rstCode}`));
          stream.on("error", (error) => resolve(`error ${String(error)}`));
          stream.on("close", () => resolve(`close ${stream.rstCode}`));
        }),
      );
      session.destroy();
      expect(how).toMatch(/error/);
    },
  );
});

test("what was forgotten is told, not sent: a promise, an operation, a generator, a Response, a Map", async () => {
  const answers: (() => unknown)[] = [
    () => Promise.resolve(1),
    () => sleep(10),
    () =>
      (function* () {
        yield* sleep(1);
        return "x";
      })(),
    () => new Response("x"),
    () => new Map([[1, 2]]),
  ];
  await withServer(
    function* (request) {
      return answers[Number(request.query.get("n"))]!();
    },
    {},
    function* ({ port, errors }) {
      for (const n of answers.keys()) {
        const text = yield* ask(port, `GET /?n=${n}`);
        expect.soft(`${n} ${text.split("\r\n")[0]}`).toBe(`${n} HTTP/1.1 500 Internal Server Error`);
      }
      expect(errors).toHaveLength(answers.length);
    },
  );
});

test("the URL of a request is on its own host, whatever its path looks like", async () => {
  await withServer(
    function* (request) {
      return `${request.url.host} ${request.url.pathname}`;
    },
    {},
    function* ({ port }) {
      expect(yield* ask(port, "GET //evil.example/x?y=1")).toContain("test //evil.example/x");
      expect(yield* ask(port, "GET http://other/x")).toContain("other /x");
    },
  );
});

test("fastify: a handler that fails after hijacking is heard of, and its client gets an end", async () => {
  const errors: unknown[] = [];
  const app = fastify();
  fastifyCoroutines(app, { onError: (error) => void errors.push(error) });
  app.get("/", function* (_request, reply) {
    reply.hijack();
    yield* sleep(1);
    throw new Error("after hijack");
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  const { port } = app.server.address() as AddressInfo;
  await run(function* () {
    const text = yield* ask(port, "GET /");
    expect(text).toMatch(/^HTTP\/1\.1 500/);
    expect(text).not.toContain("after hijack");
  });
  expect(errors).toHaveLength(1);
  await app.close();
});

test("replies are the same in fastify and hono: length, status of an empty one", async () => {
  const app = fastify();
  fastifyCoroutines(app);
  app.get("/json", function* () {
    return reply({ json: { a: 1 } });
  });
  app.get("/none", function* () {
    return reply({ headers: { "x-a": "1" } });
  });
  const json = await app.inject("/json");
  expect(json.headers).toMatchObject({ "content-length": "7", "content-type": "application/json; charset=utf-8" });
  expect(json.json()).toEqual({ a: 1 });
  const none = await app.inject("/none");
  expect(none.statusCode).toBe(204);
  expect(none.headers["x-a"]).toBe("1");
  await app.close();
  const hono = new Hono();
  const { handler, close } = honoCoroutines();
  hono.get(
    "/none",
    handler(function* () {
      return reply({ headers: { "x-a": "1" } });
    }),
  );
  expect((await hono.request("/none")).status).toBe(204);
  await run(() => close());
});

test("fastify: problems() tells the client what is meant for it, and nothing else", async () => {
  const app = fastify();
  fastifyCoroutines(app);
  app.setErrorHandler(problems);
  app.get("/secret", function* () {
    throw new Error("password of the database");
  });
  app.get("/gone", function* () {
    throw new HttpFailure(410, { detail: "no more", headers: { "x-a": "1" } });
  });
  app.get("/schema", { schema: { querystring: { type: "object", required: ["a"] } } }, function* () {
    return 1;
  });
  const secret = await app.inject("/secret");
  expect(secret.json()).toEqual({ title: "Internal Server Error", status: 500 });
  expect(secret.headers["content-type"]).toMatch(/^application\/problem\+json/);
  const gone = await app.inject("/gone");
  expect(gone.json()).toEqual({ title: "Gone", status: 410, detail: "no more" });
  expect(gone.headers["x-a"]).toBe("1");
  const schema = await app.inject("/schema");
  expect(schema.json()).toMatchObject({ status: 400, detail: expect.stringContaining("'a'") as unknown });
  await app.close();
});

test("a WebSocket whose client has left the line gives up its place there", async () => {
  const gate = new Future<void>({ external: true });
  await withServer(
    function* () {
      yield* gate;
    },
    { limit: 1, queueLimit: 1, webSockets: { "/ws": function* () {} } },
    function* ({ port, server }) {
      const first = new RawClient(port).send("GET /", { connection: "close" });
      yield* eventually(() => server.statistics().active === 1);
      const second = new RawClient(port).send("GET /ws", {
        connection: "upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      });
      yield* eventually(() => server.statistics().queued === 1);
      second.destroy();
      yield* eventually(() => server.statistics().queued === 0); // while the first one is still there
      gate.resolve();
      yield* first.rest();
    },
  );
});

test("a request that asks for another protocol beside WebSockets is answered in HTTP/1.1", async () => {
  await withServer(
    function* () {
      return "plain";
    },
    { webSockets: { "/ws": function* () {} } },
    function* ({ port }) {
      const text = yield* ask(port, "GET /", {
        connection: "Upgrade, HTTP2-Settings, close",
        upgrade: "h2c",
        "http2-settings": "AAMAAABkAARAAAAAAAIAAAAA",
      });
      expect(text).toMatch(/^HTTP\/1\.1 200/);
    },
  );
});

test("a 503 from the line says when to come again", async () => {
  const gate = new Future<void>({ external: true });
  await withServer(
    function* () {
      yield* gate;
    },
    { limit: 1, queueMs: 5, retryAfterMs: 3_000 },
    function* ({ port, server }) {
      const first = new RawClient(port).send("GET /1", { connection: "close" });
      yield* eventually(() => server.statistics().active === 1);
      expect(yield* ask(port, "GET /2")).toMatch(/retry-after: 3\r\n/i);
      gate.resolve();
      yield* first.rest();
    },
  );
});

test("events that are no text are told by name", async () => {
  await withServer(
    function* () {
      return eventStream([{ data: { a: 1 } as never }]);
    },
    {},
    function* ({ port, errors }) {
      yield* ask(port, "GET /");
      expect(String(errors[0])).toMatch(/data of a server-sent event/);
    },
  );
});

test("a heartbeat loses no event of an async iterable", async () => {
  async function* source(): AsyncGenerator<string> {
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 25));
      yield `e${i}`;
    }
  }
  await withServer(
    function* () {
      return eventStream(source(), { heartbeatMs: 10 });
    },
    {},
    function* ({ port }) {
      const text = yield* ask(port, "GET /");
      expect([...text.matchAll(/data: (\w+)/g)].map((it) => it[1])).toEqual(["e0", "e1", "e2"]);
    },
  );
});

test("a client that has left before its request is admitted holds no place: middleware of hono", async () => {
  const loop = new EventLoop({ onReport: (report) => expect.fail(report.message) });
  const { handler, statistics, close } = honoCoroutines({ loop, limit: 1 });
  const app = new Hono();
  let isIn = false;
  let open!: () => void;
  const gate = new Promise<void>((r) => (open = r));
  let begun = 0;
  app.use(async (_c, next) => {
    isIn = true;
    await gate;
    await next();
  });
  app.get(
    "/",
    handler(function* (c) {
      begun++;
      return c.text("x");
    }),
  );
  const server = await new Promise<ReturnType<typeof serveHono>>((resolve) => {
    const s = serveHono({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, () => resolve(s));
  });
  let isGone = false;
  server.on("connection", (socket: Socket) => void socket.once("close", () => (isGone = true)));
  const { port } = server.address() as AddressInfo;
  await run(function* () {
    const client = new RawClient(port).send("GET /");
    yield* eventually(() => isIn);
    client.destroy();
    yield* eventually(() => isGone);
    open();
    yield* sleep(20);
    expect(statistics()).toMatchObject({ active: 0, handlers: 0 });
    expect(begun).toBe(0);
  });
  await run(() => close(), { loop });
  await new Promise((r) => server.close(r));
});

test("a stream of HTTP/2 that was reset before its request is admitted holds no place", async () => {
  const loop = new EventLoop({ onReport: (report) => expect.fail(report.message) });
  const { createServer: h2 } = await import("node:http2");
  let listen!: ReturnType<typeof listener>;
  let begun = 0;
  await run(
    function* () {
      listen = listener(function* (_q, s) {
        begun++;
        s.end("x");
      });
      let isIn = false;
      let open!: () => void;
      const gate = new Promise<void>((r) => (open = r));
      let isReset = false;
      const server = h2((q, s) => {
        isIn = true;
        s.once("close", () => (isReset = true));
        void gate.then(() => listen(q, s));
      });
      yield* until(new Promise<void>((r) => server.listen(0, "127.0.0.1", r)));
      const session = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
      const stream = session.request({ ":path": "/" });
      stream.on("error", () => {});
      stream.end();
      yield* eventually(() => isIn);
      stream.close(8);
      yield* eventually(() => isReset);
      open();
      yield* sleep(30);
      expect(listen.statistics()).toMatchObject({ active: 0, handlers: 0 });
      expect(begun).toBe(0);
      session.destroy();
      server.close();
    },
    { loop },
  );
});

test("a deadline, a client that leaves and the end of the server, all at once, are one end", async () => {
  for (let i = 0; i < 12; i++) {
    await withServer(
      function* () {
        try {
          yield* sleep(1e6);
        } finally {
          yield* shield(sleep(3));
        }
      },
      { timeoutMs: 10, drainMs: 8 + (i % 4) },
      function* ({ port, server, ends }) {
        const c = new RawClient(port).send("GET /");
        yield* eventually(() => server.statistics().active === 1 || ends.length === 1);
        spawn(function* () {
          yield* sleep(6 + (i % 5));
          c.destroy();
        });
        yield* server.close();
        expect(ends).toHaveLength(1);
      },
    );
  }
});

test("a server that has closed has told the end of every request", async () => {
  for (let i = 0; i < 5; i++) {
    await withServer(
      function* (request) {
        request.response.write("x");
        yield* sleep(1e6);
      },
      {},
      function* ({ port, server, ends }) {
        const client = new RawClient(port).send("GET /");
        yield* client.until((it) => it.text.endsWith("x\r\n"));
        client.socket.pause();
        yield* server.close();
        expect(server.statistics()).toMatchObject({ active: 0, handlers: 0 });
        expect(ends).toHaveLength(1);
        client.destroy();
      },
    );
  }
});
