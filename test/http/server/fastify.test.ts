import type { AddressInfo } from "node:net";
import fastify from "fastify";
import type { FastifyInstance } from "fastify";
import { Channel, currentTask, EventLoop, Future, run, sleep, spawn } from "fibril";
import type { Coroutine } from "fibril";
import { eventStream, HttpFailure, reply } from "fibril/http/server";
import type { RequestEnd } from "fibril/http/server";
import { coroutines, handler } from "fibril/http/server/fastify";
import type { CoroutinesOptions, FastifyCoroutines } from "fibril/http/server/fastify";
import { expect, test } from "vitest";
import { ManualTime } from "../manual-time.ts";
import { ask, bodyOf, eventually, RawClient } from "./harness.ts";

/** An app in a loop of its own; at its end nothing is left. */
async function withApp(
  options: CoroutinesOptions,
  define: (app: FastifyInstance) => void,
  body: (it: {
    readonly port: number;
    readonly app: FastifyInstance;
    readonly made: FastifyCoroutines;
    readonly ends: RequestEnd[];
    readonly errors: unknown[];
  }) => Coroutine<void>,
): Promise<void> {
  const loop = new EventLoop();
  const ends: RequestEnd[] = [];
  const errors: unknown[] = [];
  const app = fastify();
  const made = coroutines(app, {
    loop,
    drainMs: 0,
    onRequestEnd: (end) => void ends.push(end),
    onError: (error) => void errors.push(error),
    ...options,
  });
  define(app);
  await app.listen({ port: 0, host: "127.0.0.1" });
  try {
    await run(() => body({ port: (app.server.address() as AddressInfo).port, app, made, ends, errors }));
  } finally {
    await app.close();
  }
  expect(made.statistics()).toMatchObject({ active: 0, handlers: 0, queued: 0 });
  expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
}

test("routes may be generator functions; schemas, serializers and hooks work as ever", async () => {
  const hooks: string[] = [];
  await withApp(
    {},
    (app) => {
      app.addHook("onSend", async (request, _reply, payload) => {
        hooks.push(`onSend ${request.url}`);
        return payload;
      });
      app.addHook(
        "onResponse",
        async (request, response) => void hooks.push(`onResponse ${request.url} ${response.statusCode}`),
      );
      app.register(async (plugin) => {
        plugin.get<{ Params: { id: string } }>(
          "/users/:id",
          {
            schema: {
              params: { type: "object", properties: { id: { type: "string", maxLength: 3 } } },
              response: { 200: { type: "object", properties: { name: { type: "string" } } } },
            },
          },
          function* (request) {
            yield* sleep(1);
            return { name: `${currentTask().name} ${request.params.id}`, secret: "not in the schema" };
          },
        );
      });
      app.get("/plain", async () => "as ever");
    },
    function* ({ port, ends }) {
      expect(bodyOf(yield* ask(port, "GET /users/7"))).toEqual({ name: "GET /users/:id 7" });
      expect(bodyOf(yield* ask(port, "GET /users/1234"))).toMatchObject({
        statusCode: 400,
        code: "FST_ERR_VALIDATION",
      });
      expect(yield* ask(port, "GET /plain")).toContain("as ever");
      expect(hooks).toContain("onSend /users/7");
      expect(hooks).toContain("onResponse /users/7 200");
      expect(ends).toMatchObject([{ route: "/users/:id", path: "/users/7", status: 200, outcome: "completed" }]);
    },
  );
});

test("what a handler throws goes to fastify's error handler", async () => {
  await withApp(
    {},
    (app) => {
      app.get("/failure", function* () {
        yield* sleep(1);
        throw new HttpFailure(418, { detail: "tea", headers: { "x-pot": "yes" } });
      });
      app.register(async (plugin) => {
        plugin.setErrorHandler((error, _request, response) =>
          response.code(599).send({ seen: (error as Error).message }),
        );
        plugin.get("/handled", function* () {
          throw new Error("mine");
        });
      });
    },
    function* ({ port, ends }) {
      const text = yield* ask(port, "GET /failure");
      expect(text).toContain("x-pot: yes");
      expect(bodyOf(text)).toMatchObject({ statusCode: 418, message: "tea" });
      expect(bodyOf(yield* ask(port, "GET /handled"))).toEqual({ seen: "mine" });
      expect(ends).toMatchObject([
        { status: 418, outcome: "failed" },
        { status: 599, outcome: "failed" },
      ]);
    },
  );
});

test("a reply that the handler sends or gives back itself is left to it", async () => {
  await withApp(
    {},
    (app) => {
      app.get("/sent", function* (_request, response) {
        response.code(201).send("sent");
        yield* sleep(1);
        return "ignored";
      });
      app.get("/given", function* (_request, response) {
        return response.code(202).send("given");
      });
      app.get("/nothing", function* () {});
    },
    function* ({ port }) {
      expect(yield* ask(port, "GET /sent")).toMatch(/201 Created[\s\S]*\r\n\r\nsent$/);
      expect(yield* ask(port, "GET /given")).toMatch(/202 Accepted[\s\S]*\r\n\r\ngiven$/);
      expect(yield* ask(port, "GET /nothing")).toMatch(/200 OK[\s\S]*content-length: 0/);
    },
  );
});

test("a client that leaves cancels the handler, also after a POST was read; not before", async () => {
  let cancelled = 0;
  await withApp(
    {},
    (app) => {
      app.post("/", function* (request) {
        try {
          yield* sleep((request.body as { ms: number }).ms);
          return "in time";
        } finally {
          cancelled++;
        }
      });
    },
    function* ({ port, made, ends }) {
      const headers = { "content-type": "application/json" };
      const body = (ms: number): string => JSON.stringify({ ms });
      const post = (client: RawClient, text: string): RawClient =>
        client.send("POST /", { ...headers, "content-length": String(text.length), connection: "close" }, text);
      expect(yield* post(new RawClient(port), body(5)).rest()).toContain("in time");
      const client = post(new RawClient(port), body(1_000_000));
      yield* eventually(() => made.statistics().handlers === 1);
      client.destroy();
      yield* eventually(() => ends.length === 2);
      expect(cancelled).toBe(2);
      expect(ends[1]).toMatchObject({ status: 499, outcome: "disconnected" });
    },
  );
});

test("options of one handler, and a handler that is no generator function", async () => {
  const gate = new Future<void>({ external: true });
  let isDone = false;
  await withApp(
    { timeoutMs: 20 },
    (app) => {
      app.get("/slow", function* () {
        yield* sleep(1_000_000);
      });
      function* detached(): Coroutine<void> {
        yield* gate;
        isDone = true;
      }
      app.get(
        "/detached",
        handler(() => detached(), { onDisconnect: "detach", timeoutMs: Infinity }),
      );
    },
    function* ({ port, made, ends }) {
      expect(bodyOf(yield* ask(port, "GET /slow"))).toMatchObject({
        statusCode: 503,
        message: "The request took too long.",
      });
      const client = new RawClient(port).send("GET /detached");
      yield* eventually(() => made.statistics().handlers === 1);
      client.destroy();
      yield* eventually(() => ends.length === 2);
      expect(made.statistics()).toMatchObject({ active: 0, handlers: 1 });
      gate.resolve();
      yield* eventually(() => made.statistics().handlers === 0);
      expect(isDone).toBe(true);
      expect(ends).toMatchObject([{ outcome: "timeout" }, { outcome: "disconnected" }]);
    },
  );
});

test("streams and events, with what feeds them inside the request", async () => {
  let isStopped = false;
  await withApp(
    {},
    (app) => {
      app.get("/two", function* () {
        const channel = new Channel<string>();
        spawn(function* () {
          yield* channel.send("a");
          yield* channel.send("b");
          channel.close();
        });
        return channel.receiver;
      });
      app.get("/reply", function* () {
        return reply({ status: 203, headers: { "x-a": "1" }, body: "text" });
      });
      app.get("/events", function* () {
        const channel = new Channel<string>();
        spawn(function* () {
          try {
            for (let i = 0; ; i++) yield* channel.send(String(i));
          } finally {
            isStopped = true;
          }
        });
        return eventStream(channel);
      });
    },
    function* ({ port, made }) {
      expect(yield* ask(port, "GET /two")).toMatch(/\r\n1\r\na\r\n1\r\nb\r\n0\r\n/);
      expect(yield* ask(port, "GET /reply")).toMatch(/^HTTP\/1\.1 203[\s\S]*x-a: 1[\s\S]*text/);
      const client = new RawClient(port).send("GET /events");
      yield* client.until((it) => it.text.includes("data: 100\n\n"));
      client.destroy();
      yield* eventually(() => made.statistics().active === 0 && made.statistics().handlers === 0);
      expect(isStopped).toBe(true);
    },
  );
});

test("closing the app waits drainMs for requests in work, then cancels them", async () => {
  const time = new ManualTime();
  const loop = new EventLoop({ clock: time.clock, host: time.host });
  const app = fastify();
  const ends: RequestEnd[] = [];
  const made = coroutines(app, { loop, drainMs: 1_000, onRequestEnd: (end) => void ends.push(end) });
  const isClosing = new Future<void>({ external: true });
  app.get("/:ms", function* (request) {
    yield* isClosing; // until both are here: on a machine that stands still the quick one could have gone before the other comes
    yield* sleep(Number((request.params as { ms: string }).ms));
    return "x";
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  const { port } = app.server.address() as AddressInfo;
  const quick = new RawClient(port).send("GET /1", { connection: "close" });
  const slow = new RawClient(port).send("GET /1000000", { connection: "close" });
  await run(() => eventually(() => made.statistics().handlers === 2));
  const closed = app.close();
  isClosing.resolve();
  await run(function* () {
    while (!quick.isClosed) yield* time.pass(1);
    expect(quick.text).toContain("200 OK");
    expect(slow.text).toBe("");
    while (!slow.isClosed) yield* time.pass(100);
    expect(slow.text).toMatch(/^HTTP\/1\.1 503/);
  });
  await closed;
  expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
});

test("it can be registered as a plugin, once, and handlers need it", async () => {
  const app = fastify();
  await app.register(coroutines, { name: "api" });
  app.get("/", function* () {
    return { ok: true };
  });
  expect((await app.inject("/")).json()).toEqual({ ok: true });
  expect(() => coroutines(app)).toThrow(/called for this app already/);
  await app.close();

  const without = fastify();
  without.get(
    "/",
    handler(function* () {}),
  );
  expect((await without.inject("/")).json()).toMatchObject({
    statusCode: 500,
    message: expect.stringContaining("coroutines(app)") as string,
  });
  await without.close();
});
