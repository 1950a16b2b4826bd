import type { AddressInfo } from "node:net";
import { setImmediate } from "node:timers/promises";
import { serve as serveHono } from "@hono/node-server";
import { Channel, currentTask, EventLoop, run, sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import { eventStream, HttpFailure, reply } from "fibril/http/server";
import type { RequestEnd } from "fibril/http/server";
import { coroutines, handler } from "fibril/http/server/hono";
import type { HonoCoroutines } from "fibril/http/server/hono";
import { Hono } from "hono";
import { expect, test } from "vitest";
import { ask, eventually, RawClient } from "./harness.ts";

interface AppEnv {
  Variables: { user: string };
}

test("handlers see the context with its types, without a server too", async () => {
  const app = new Hono<AppEnv>();
  const { handler } = coroutines<AppEnv>();
  app.use(async (c, next) => {
    c.set("user", "ada");
    await next();
  });
  app.get(
    "/users/:id",
    handler(function* (c) {
      yield* sleep(1);
      const id: string = c.req.param("id")!;
      const user: string = c.var.user;
      // @ts-expect-error -- the variables are those of the app
      c.get("users");
      return c.json({ id, user, task: currentTask().name });
    }),
  );
  const response = await app.request("/users/7?x=1");
  expect(await response.json()).toEqual({ id: "7", user: "ada", task: "GET /users/7" });
});

test("a handler that ends in its first step answers without a promise", async () => {
  const app = new Hono();
  app.get(
    "/",
    handler(function* (c) {
      return c.text("now");
    }),
  );
  let response = app.request("/"); // the task that hosts the requests begins with the first one
  // A loop whose time is up begins nothing at once: the host has its turn first. On a slow machine that may happen more than once.
  for (let tries = 0; tries < 100 && !(response instanceof Response); tries++) {
    await response;
    await setImmediate();
    response = app.request("/");
  }
  expect(response).toBeInstanceOf(Response);
  expect(await (await response).text()).toBe("now");
});

test("inside a coroutine of the same loop too a handler is a task of its own", async () => {
  const loop = new EventLoop();
  const made = coroutines({ loop });
  const app = new Hono();
  app.get(
    "/",
    made.handler(function* (c) {
      return c.text(currentTask().name);
    }),
  );
  await run(
    function* () {
      const response = yield* until(Promise.resolve(app.request("/")));
      expect(yield* until(response.text())).toBe("GET /");
      yield* made.close();
    },
    { loop },
  );
  expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
});

test("errors go to hono: an HttpFailure becomes its problem document, others are for onError", async () => {
  const app = new Hono();
  const seen: unknown[] = [];
  app.get(
    "/failure",
    handler(function* () {
      throw new HttpFailure(418, { detail: "tea" });
    }),
  );
  app.get(
    "/late",
    handler(function* () {
      yield* sleep(1);
      throw new HttpFailure(409);
    }),
  );
  const broken = new Error("mine");
  const inner = new Hono();
  inner.onError((error, c) => {
    seen.push(error);
    return c.text("handled", 500);
  });
  inner.get(
    "/",
    handler(function* () {
      yield* sleep(1);
      throw broken;
    }),
  );
  app.route("/broken", inner);
  const response = await app.request("/failure");
  expect([response.status, response.headers.get("content-type")]).toEqual([418, "application/problem+json"]);
  expect(await response.json()).toEqual({ title: "I'm a Teapot", status: 418, detail: "tea" });
  expect((await app.request("/late")).status).toBe(409);
  expect(await (await app.request("/broken")).text()).toBe("handled");
  expect(seen).toEqual([broken]);
});

/** An app on @hono/node-server; at its end nothing is left. */
async function onNode(
  define: (app: Hono, made: HonoCoroutines) => void,
  body: (it: { readonly port: number; readonly made: HonoCoroutines; readonly ends: RequestEnd[] }) => Coroutine<void>,
): Promise<void> {
  const loop = new EventLoop();
  const ends: RequestEnd[] = [];
  const made = coroutines({ loop, onRequestEnd: (end) => void ends.push(end) });
  const app = new Hono();
  define(app, made);
  const server = await new Promise<ReturnType<typeof serveHono>>((resolve) => {
    const opened = serveHono({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, () => resolve(opened));
  });
  try {
    await run(() => body({ port: (server.address() as AddressInfo).port, made, ends }));
  } finally {
    server.close();
    await loop.spawn(() => made.close());
  }
  expect(made.statistics()).toMatchObject({ active: 0, handlers: 0 });
  expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
}

test("on node a client that leaves cancels the handler; one that got its answer does not", async () => {
  let ended = 0;
  await onNode(
    (app, made) => {
      app.post(
        "/:ms",
        made.handler(function* (c) {
          yield* until(c.req.text());
          try {
            yield* sleep(Number(c.req.param("ms")));
            return c.text("in time");
          } finally {
            ended++;
          }
        }),
      );
    },
    function* ({ port, made, ends }) {
      expect(yield* ask(port, "POST /5", { "content-length": "3" }, "abc")).toContain("in time");
      const client = new RawClient(port).send("POST /1000000", { "content-length": "3" }, "abc");
      yield* eventually(() => made.statistics().handlers === 1);
      client.destroy();
      yield* eventually(() => ends.length === 2);
      expect(ended).toBe(2);
      expect(ends).toMatchObject([
        { method: "POST", path: "/5", status: 200, outcome: "completed" },
        { path: "/1000000", status: 499, outcome: "disconnected" },
      ]);
    },
  );
});

test("a deadline gives a 503, and closing cancels what is left", async () => {
  await onNode(
    (app, made) => {
      const slow = function* (): Coroutine<Response> {
        yield* sleep(1_000_000);
        return new Response();
      };
      app.get("/limited", made.handler(slow, { timeoutMs: 10 }));
      app.get("/slow", made.handler(slow));
    },
    function* ({ port, made }) {
      const text = yield* ask(port, "GET /limited");
      expect(text).toMatch(/^HTTP\/1\.1 503/);
      expect(text).toContain('"detail":"The request took too long."');
      const client = new RawClient(port).send("GET /slow", { connection: "close" });
      yield* eventually(() => made.statistics().handlers === 1);
      yield* made.close();
      expect(yield* client.rest()).toMatch(/^HTTP\/1\.1 503/);
      expect(yield* ask(port, "GET /slow")).toMatch(/^HTTP\/1\.1 503/);
    },
  );
});

test("a sequence goes on after the handler has returned, until its end", async () => {
  const app = new Hono();
  app.get(
    "/",
    handler(function* () {
      let given = 0;
      function* next(): Coroutine<IteratorResult<string, undefined>> {
        yield* sleep(1);
        return given++ < 3 ? { done: false, value: String(given) } : { done: true, value: undefined };
      }
      return reply({ status: 203, headers: { "x-a": ["1", "2"] }, body: { next } });
    }),
  );
  const response = await app.request("/");
  expect([response.status, response.headers.get("x-a"), await response.text()]).toEqual([203, "1, 2", "123"]);
});

test("events are streamed, and a client that leaves stops what feeds them", async () => {
  let isStopped = false;
  await onNode(
    (app, made) => {
      app.get(
        "/events",
        made.handler(function* () {
          const channel = new Channel<string>();
          spawn(function* () {
            try {
              for (let i = 0; ; i++) {
                yield* channel.send(String(i));
                yield* sleep(0);
              }
            } finally {
              isStopped = true;
            }
          });
          return eventStream(channel);
        }),
      );
    },
    function* ({ port, ends }) {
      const client = new RawClient(port).send("GET /events");
      yield* client.until((it) => it.text.includes("data: 20\n\n"));
      expect(client.text).toContain("content-type: text/event-stream");
      client.destroy();
      yield* eventually(() => ends.length === 1);
      expect(isStopped).toBe(true);
    },
  );
});
