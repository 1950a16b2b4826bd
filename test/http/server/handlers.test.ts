import { AsyncLocalStorage } from "node:async_hooks";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { currentTask, EventLoop, run, sleep, spawn, TaskLocal, until } from "fibril";
import { answering, HttpFailure, listener, reply, routes } from "fibril/http/server";
import { nodeAsyncContext } from "fibril/interop/node";
import { expect, test } from "vitest";
import { ask, bodyOf, eventually, RawClient, withServer } from "./harness.ts";

test("a request is a task of the server that is named after method and path, without the query", async () => {
  const names: string[] = [];
  await withServer(
    function* (request) {
      names.push(currentTask().name, currentTask().parent?.name ?? "");
      request.route = "/users/:id";
      names.push(currentTask().name);
    },
    { name: "shop" },
    function* ({ port, ends }) {
      yield* ask(port, "GET /users/7?token=secret");
      expect(names).toEqual(["GET /users/7", "shop", "GET /users/:id"]);
      expect(ends).toMatchObject([{ method: "GET", path: "/users/7", route: "/users/:id", status: 204 }]);
    },
  );
});

test("the line for the log has status, bytes on the wire, duration and outcome", async () => {
  await withServer(
    function* () {
      return "hello";
    },
    {},
    function* ({ port, ends }) {
      const text = yield* ask(port, "GET /a?b=c");
      yield* eventually(() => ends.length === 1);
      expect(ends[0]).toEqual({
        method: "GET",
        path: "/a",
        route: undefined,
        status: 200,
        bytes: text.length,
        durationMs: ends[0]!.durationMs,
        outcome: "completed",
      });
      expect(ends[0]!.durationMs).toBeGreaterThanOrEqual(0);
    },
  );
});

test.each([
  { waits: false, expected: { active: 0, ends: 1, listeners: 0 } },
  { waits: true, expected: { active: 1, ends: 0, listeners: 1 } },
])("a request whose answer has gone out is over when its handler has not waited: $waits", async (each) => {
  const seen: object[] = [];
  const ends: string[] = [];
  const loop = new EventLoop({ clock: { now: () => 0 } }); // it never owes the host a turn, so handlers begin at once
  await run(function* () {
    const listen = listener(
      function* (_request, response) {
        if (each.waits) yield* until(new Promise((resolve) => void setImmediate(resolve)));
        response.end("x");
      },
      { loop, onRequestEnd: ({ outcome, bytes }) => void ends.push(`${outcome} ${bytes}`) },
    );
    const server = createServer((request, response) => {
      listen(request, response);
      const { active } = listen.statistics();
      seen.push({ active, ends: ends.length - seen.length, listeners: response.listenerCount("close") });
    });
    yield* until(new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)));
    const { port } = server.address() as AddressInfo;
    for (let i = 1; i <= 2; i++) {
      const text = yield* ask(port, "GET /");
      yield* eventually(() => ends.length === i);
      expect(ends[i - 1]).toBe(`completed ${text.length}`);
    }
    expect(seen[1]).toEqual(each.expected); // the first one waits for its loop to begin
    yield* listen.close();
    yield* until(new Promise((resolve) => server.close(resolve)));
  });
});

test("what a handler spawns ends with the request: a failure there is the request's", async () => {
  await withServer(
    function* () {
      spawn(function* () {
        yield* sleep(1);
        throw new HttpFailure(409, { detail: "taken" });
      });
      yield* sleep(1_000_000);
    },
    {},
    function* ({ port, ends, errors }) {
      const text = yield* ask(port, "GET /");
      expect(bodyOf(text)).toEqual({ title: "Conflict", status: 409, detail: "taken" });
      expect(text).toMatch(/^HTTP\/1\.1 409 [\s\S]*content-type: application\/problem\+json/);
      expect(ends).toMatchObject([{ status: 409, outcome: "failed" }]);
      expect(errors).toEqual([]);
    },
  );
});

test("the message of an unknown error stays on the server", async () => {
  const secret = new Error("password of db1 is hunter2");
  await withServer(
    function* (request) {
      request.response.setHeader("x-kept", "yes");
      request.response.setHeader("etag", '"of the body"');
      throw secret;
    },
    {},
    function* ({ port, ends, errors }) {
      const text = yield* ask(port, "GET /");
      expect(text).not.toContain("hunter2");
      expect(text).toContain("x-kept: yes");
      expect(text).not.toContain("etag");
      expect(bodyOf(text)).toEqual({ title: "Internal Server Error", status: 500 });
      expect(errors).toEqual([secret]);
      expect(ends).toMatchObject([{ status: 500, outcome: "failed" }]);
    },
  );
});

test("without onError an unknown error is reported to the loop, and one of onError's too", async () => {
  const reports: string[] = [];
  const loop = new EventLoop({ onReport: (report) => void reports.push(`${report.message} ${String(report.error)}`) });
  const failing = listener(
    function* () {
      throw new Error("first");
    },
    { loop, name: "plain" },
  );
  const breaking = listener(
    function* () {
      throw new Error("second");
    },
    {
      loop,
      onError: () => {
        throw new Error("third");
      },
    },
  );
  for (const listen of [failing, breaking]) {
    const server = createServer(listen).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/x`);
    expect(response.status).toBe(500);
    server.close();
    server.closeAllConnections();
    await loop.spawn(() => listen.close());
  }
  expect(reports).toEqual([
    'plain: request "GET /x" failed: Error: first',
    'http server: request "GET /x" failed: Error: second',
    "http server: onError threw: Error: third",
  ]);
});

test("an error after the headers were sent cuts the connection: half an answer does not look whole", async () => {
  await withServer(
    function* (request) {
      request.response.write("half");
      yield* sleep(1);
      throw new Error("too late");
    },
    {},
    function* ({ port, ends }) {
      const text = yield* ask(port, "GET /");
      expect(text).toContain("half");
      expect(text).not.toContain("\r\n0\r\n");
      yield* eventually(() => ends.length === 1);
      expect(ends).toMatchObject([{ outcome: "failed" }]);
    },
  );
});

test("an answer that cannot be written is a failure of the request", async () => {
  await withServer(
    function* (request) {
      return request.path === "/header" ? reply({ headers: { "x-bad": "a\r\nb" } }) : () => 1;
    },
    {},
    function* ({ port, errors }) {
      expect(bodyOf(yield* ask(port, "GET /header"))).toEqual({ title: "Internal Server Error", status: 500 });
      expect(bodyOf(yield* ask(port, "GET /function"))).toEqual({ title: "Internal Server Error", status: 500 });
      expect(errors.map(String)).toEqual([
        expect.stringContaining("Invalid character in header"),
        expect.stringContaining("no JSON form"),
      ]);
    },
  );
});

test("a handler that is no coroutine fails its requests, and nothing else", async () => {
  const wrong = (async () => "x") as unknown as () => Generator<never, string>;
  await withServer(wrong, {}, function* ({ port, errors, server }) {
    expect(bodyOf(yield* ask(port, "GET /"))).toEqual({ title: "Internal Server Error", status: 500 });
    expect(errors).toHaveLength(1);
    expect(server.statistics()).toMatchObject({ active: 0, handlers: 0 });
  });
});

test("a raw handler writes the response itself; what it leaves open is ended", async () => {
  await run(function* () {
    const server = createServer(
      listener(function* (request, response) {
        yield* sleep(1);
        response.statusCode = 202;
        if (request.url === "/ended") response.end("by hand");
        else response.write("left open");
      }),
    ).listen(0, "127.0.0.1");
    yield* until(new Promise((resolve) => server.once("listening", resolve)));
    const { port } = server.address() as AddressInfo;
    expect(yield* ask(port, "GET /ended")).toMatch(/202 Accepted[\s\S]*by hand/);
    expect(yield* ask(port, "GET /open")).toMatch(/202 Accepted[\s\S]*left open\r\n0\r\n/);
    server.close();
  });
});

test("outside coroutines a listener has a loop of its own, and close() ends its requests", async () => {
  let cancelled = 0;
  const listen = answering(function* () {
    try {
      yield* sleep(1_000_000);
    } finally {
      cancelled++;
    }
  });
  const server = createServer(listen).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const client = new RawClient(port).send("GET /");
  await run(function* () {
    yield* eventually(() => listen.statistics().handlers === 1);
    yield* listen.close();
    yield* client.until((it) => it.text.includes("\r\n\r\n"));
    expect(client.statuses).toEqual([503]);
    expect(client.text.toLowerCase()).toContain("connection: close");
    expect(cancelled).toBe(1);
    const late = yield* ask(port, "GET /");
    expect(late).toMatch(/^HTTP\/1\.1 503/);
    server.close();
  });
});

test("a handler sees the task-locals of the server, and what it sets is its own", async () => {
  const user = new TaskLocal("user", "nobody");
  const seen: string[] = [];
  await run(function* () {
    user.set("server");
    const listen = answering(function* (request) {
      const before = user.get();
      user.set(request.path);
      yield* sleep(1);
      seen.push(`${before} ${user.get()}`);
    });
    const server = createServer(listen).listen(0, "127.0.0.1");
    yield* until(new Promise((resolve) => server.once("listening", resolve)));
    const { port } = server.address() as AddressInfo;
    const a = new RawClient(port).send("GET /a", { connection: "close" });
    const b = new RawClient(port).send("GET /b", { connection: "close" });
    yield* a.rest();
    yield* b.rest();
    server.close();
  });
  expect(seen.toSorted()).toEqual(["server /a", "server /b"]);
});

test("AsyncLocalStorage reaches the handler and stays through its waits", async () => {
  const storage = new AsyncLocalStorage<string>();
  const seen: string[] = [];
  const loop = new EventLoop({ asyncContext: nodeAsyncContext() });
  const listen = answering(
    function* () {
      yield* sleep(1);
      seen.push(String(storage.getStore()));
    },
    { loop },
  );
  const server = createServer((request, response) => {
    storage.run(request.url!, () => listen(request, response));
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await Promise.all(["/1", "/2", "/3"].map((path) => fetch(`http://127.0.0.1:${port}${path}`)));
  expect(seen.toSorted()).toEqual(["/1", "/2", "/3"]);
  server.close();
  server.closeAllConnections();
  await loop.spawn(() => listen.close());
});

test("the router finds by map and by pattern, decodes, and answers 404 and 405", async () => {
  const handler = routes({
    "GET /users/me": function* () {
      return "me";
    },
    "GET /users/:id": function* (request) {
      return request.params;
    },
    "DELETE /users/:id": function* () {},
    "GET /files/*": function* (request) {
      return request.params["*"];
    },
  });
  await withServer(handler, {}, function* ({ port }) {
    expect(yield* ask(port, "GET /users/me")).toContain("\r\n\r\nme");
    expect(bodyOf(yield* ask(port, "GET /users/a%2Fb?x=1"))).toEqual({ id: "a/b" });
    expect(yield* ask(port, "GET /files/a/b%20c")).toContain("\r\n\r\na/b c");
    expect(yield* ask(port, "GET /users/")).toContain("404");
    expect(yield* ask(port, "GET /users/%zz")).toContain("400");
    const refused = yield* ask(port, "POST /users/7");
    expect(refused).toMatch(/^HTTP\/1\.1 405[\s\S]*allow: GET, DELETE, HEAD/);
    const head = yield* ask(port, "HEAD /users/me");
    expect(head).toMatch(/200 OK[\s\S]*content-length: 2[\s\S]*\r\n\r\n$/);
  });
  expect(() => routes({ "/users": handler })).toThrow(/a route is a method/);
});
