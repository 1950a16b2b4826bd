import { Future, moveOnAfter, remainingMs, sleep } from "fibril";
import type { Coroutine } from "fibril";
import { listener, reply } from "fibril/http/server";
import type { ServeOptions } from "fibril/http/server";
import { expect, test } from "vitest";
import { ManualTime } from "../manual-time.ts";
import { ask, bodyOf, eventually, RawClient, withServer } from "./harness.ts";

test("the deadline of a request cancels its handler: 503, with cleanup", async () => {
  const time = new ManualTime();
  let isCleanedUp = false;
  let left = 0;
  await withServer(
    function* () {
      left = remainingMs();
      try {
        yield* sleep(1_000_000);
      } finally {
        isCleanedUp = true;
      }
    },
    { timeoutMs: 50 },
    function* ({ port, server, ends, errors }) {
      const client = new RawClient(port).send("GET /", { connection: "close" });
      yield* eventually(() => server.statistics().handlers === 1);
      yield* time.pass(49);
      expect(client.text).toBe("");
      yield* time.pass(1);
      expect(bodyOf(yield* client.rest())).toEqual({
        title: "Service Unavailable",
        status: 503,
        detail: "The request took too long.",
      });
      expect(isCleanedUp).toBe(true);
      expect(left).toBe(50);
      expect(ends).toMatchObject([{ status: 503, outcome: "timeout" }]);
      expect(errors).toEqual([]);
    },
    { clock: time.clock, host: time.host },
  );
});

test("a request that ends in time leaves no timer", async () => {
  await withServer(
    function* () {
      return "x";
    },
    { timeoutMs: 60_000 },
    function* ({ port, loop }) {
      yield* ask(port, "GET /");
      yield* eventually(() => loop.statistics().timers === 0);
    },
  );
});

/** A server whose handlers wait for a gate. */
async function gated(
  options: ServeOptions,
  body: (gate: Future<void>, served: Parameters<Parameters<typeof withServer>[2]>[0]) => Coroutine<void>,
): Promise<void> {
  const gate = new Future<void>({ external: true });
  await withServer(
    function* (request) {
      yield* gate;
      return request.path;
    },
    options,
    (served) => body(gate, served),
  );
}

test("beyond the limit requests stand in line, and beyond the line they get a 503 with retry-after", async () => {
  await gated({ limit: 2, queueLimit: 2, retryAfterMs: 2_500 }, function* (gate, { port, server, ends }) {
    const clients: RawClient[] = [];
    for (let i = 1; i <= 4; i++) {
      clients.push(new RawClient(port).send(`GET /${i}`, { connection: "close" }));
      yield* eventually(() => server.statistics().active + server.statistics().queued === i);
    }
    expect(server.statistics()).toMatchObject({ active: 2, queued: 2, handlers: 2 });
    const refused = yield* ask(port, "GET /5");
    expect(refused).toMatch(/^HTTP\/1\.1 503[\s\S]*retry-after: 3\r\n/);
    expect(ends).toMatchObject([{ path: "/5", status: 503, outcome: "rejected" }]);
    gate.resolve();
    for (const client of clients) yield* client.rest();
    yield* eventually(() => ends.length === 5);
    expect(clients.map((it) => it.text.slice(-2))).toEqual(["/1", "/2", "/3", "/4"]);
    const ended = ends.slice(1).map((it) => it.path); // those that run together may end in any order
    expect([ended.slice(0, 2).sort(), ended.slice(2).sort()]).toEqual([
      ["/1", "/2"],
      ["/3", "/4"],
    ]);
  });
});

test("a client that leaves the line takes no place", async () => {
  await gated({ limit: 1 }, function* (gate, { port, server, ends }) {
    const first = new RawClient(port).send("GET /1", { connection: "close" });
    yield* eventually(() => server.statistics().active === 1);
    const second = new RawClient(port).send("GET /2");
    yield* eventually(() => server.statistics().queued === 1);
    second.destroy();
    yield* eventually(() => ends.length === 1);
    expect(ends).toMatchObject([{ path: "/2", status: 499, outcome: "disconnected" }]);
    expect(server.statistics()).toMatchObject({ active: 1, queued: 0 });
    gate.resolve();
    yield* first.rest();
    expect(server.statistics()).toMatchObject({ active: 0, handlers: 0 });
  });
});

test("a request that stands in line for too long gets a 503", async () => {
  const time = new ManualTime();
  const gate = new Future<void>({ external: true });
  await withServer(
    function* () {
      yield* gate;
    },
    { limit: 1, queueMs: 100 },
    function* ({ port, server, ends }) {
      const first = new RawClient(port).send("GET /1", { connection: "close" });
      yield* eventually(() => server.statistics().active === 1);
      const second = new RawClient(port).send("GET /2", { connection: "close" });
      yield* eventually(() => server.statistics().queued === 1);
      yield* time.pass(100);
      expect(yield* second.rest()).toMatch(/^HTTP\/1\.1 503/);
      expect(ends).toMatchObject([{ path: "/2", outcome: "timeout" }]);
      gate.resolve();
      yield* first.rest();
    },
    { clock: time.clock, host: time.host },
  );
});

test("headers beyond the limit get a 431 without a handler", async () => {
  let begun = 0;
  await withServer(
    function* () {
      begun++;
    },
    { maxHeaderBytes: 1_000 },
    function* ({ port }) {
      expect(yield* ask(port, "GET /", { "x-long": "x".repeat(2_000) })).toMatch(/^HTTP\/1\.1 431/);
      expect(begun).toBe(0);
    },
  );
});

test("bodies: too large, of the wrong type, malformed: 413, 415, 400", async () => {
  await withServer(
    function* (request) {
      const limit = { maxBytes: 10 };
      if (request.path === "/text") return yield* request.text(limit);
      if (request.path === "/form") return [...(yield* request.form({ maxBytes: 1_000 })).entries()];
      return reply({ json: yield* request.json(limit) });
    },
    {},
    function* ({ port, errors }) {
      const json = { "content-type": "application/json" };
      const length = (body: string) => ({ "content-length": String(Buffer.byteLength(body)) });
      const post = (path: string, headers: Record<string, string>, body: string): Coroutine<string> =>
        ask(port, `POST ${path}`, { ...length(body), ...headers }, body);

      expect(yield* post("/text", {}, "0123456789")).toContain("\r\n\r\n0123456789");
      const large = yield* post("/text", {}, "0123456789a");
      expect(large).toMatch(/^HTTP\/1\.1 413[\s\S]*connection: close/i);
      expect(bodyOf(large)).toMatchObject({ detail: "The request body exceeds the limit of 10 bytes." });
      const chunked = yield* ask(
        port,
        "POST /text",
        { "transfer-encoding": "chunked" },
        "6\r\nabcdef\r\n6\r\nabcdef\r\n0\r\n\r\n",
      );
      expect(chunked).toMatch(/^HTTP\/1\.1 413/);

      expect(bodyOf(yield* post("/json", json, '{"a":1}'))).toEqual({ a: 1 });
      expect(bodyOf(yield* post("/json", { "content-type": "application/ld+json" }, "[]"))).toEqual([]);
      expect(yield* post("/json", json, "{")).toMatch(/^HTTP\/1\.1 400/);
      expect(yield* post("/json", json, "")).toMatch(/^HTTP\/1\.1 400/);
      expect(yield* post("/json", {}, "{}")).toMatch(/^HTTP\/1\.1 415[\s\S]*accept: application\/json/);
      expect(yield* post("/json", { ...json, "content-encoding": "gzip" }, "{}")).toMatch(
        /^HTTP\/1\.1 415[\s\S]*accept-encoding: identity/,
      );
      expect(yield* post("/text", { "content-type": "text/plain;charset=nonsense" }, "x")).toMatch(/^HTTP\/1\.1 415/);
      expect(
        yield* ask(port, "POST /text", { "content-type": "text/plain; charset=latin1", "content-length": "1" }, "a"),
      ).toContain("\r\n\r\na");

      const form = "a=1&b=two+words&a=%C3%A4";
      const fields = yield* post("/form", { "content-type": "application/x-www-form-urlencoded" }, form);
      expect(Buffer.from(fields, "latin1").toString()).toContain('[["a","1"],["b","two words"],["a","ä"]]');
      const multipart = '--X\r\nContent-Disposition: form-data; name="f"\r\n\r\nvalue\r\n--X--\r\n';
      expect(bodyOf(yield* post("/form", { "content-type": "multipart/form-data; boundary=X" }, multipart))).toEqual([
        ["f", "value"],
      ]);
      expect(yield* post("/form", { "content-type": "multipart/form-data; boundary=X" }, "--X\r\nbroken")).toMatch(
        /^HTTP\/1\.1 400/,
      );
      expect(yield* post("/form", {}, "a=1")).toMatch(/^HTTP\/1\.1 415/);
      expect(errors).toEqual([]);
    },
  );
});

test("bytes that are no text are malformed", async () => {
  await withServer(
    function* (request) {
      return yield* request.text();
    },
    {},
    function* ({ port }) {
      const client = new RawClient(port);
      client.socket.write("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n");
      client.socket.write(Buffer.from([0xff]));
      expect(yield* client.rest()).toMatch(/^HTTP\/1\.1 400/);
    },
  );
});

test("a read of the body that was cancelled keeps what has arrived for the next one; a second use is refused", async () => {
  await withServer(
    function* (request) {
      const first = yield* moveOnAfter(5, request.text());
      request.response.write(`first: ${String(first)}; `);
      const all = yield* request.text();
      try {
        yield* request.text();
      } catch (error) {
        request.response.end(`all: ${all}; again: ${(error as { code: string }).code}`);
      }
    },
    {},
    function* ({ port }) {
      const client = new RawClient(port).send("POST /", { "content-length": "6", connection: "close" }, "abc");
      yield* client.until((it) => it.text.includes("first"));
      client.socket.write("def");
      expect(yield* client.rest()).toMatch(/first: undefined; [\s\S]*all: abcdef; again: BODY_USED/);
    },
  );
});

test("chunks are taken as they are asked for; a client that sends more is held back", async () => {
  let taken = 0;
  let given = 0;
  const gate = new Future<void>();
  await withServer(
    function* (request) {
      const chunks = request.chunks();
      yield* chunks.next();
      yield* gate;
      for (let step = yield* chunks.next(); step.done !== true; step = yield* chunks.next()) taken += step.value.length;
      return String(taken > 0);
    },
    {},
    function* ({ port }) {
      const client = new RawClient(port);
      const total = 64 * 1024 * 1024;
      client.send("POST /", { "content-length": String(total), connection: "close" });
      const block = Buffer.alloc(1024 * 1024);
      let isHeldBack = false;
      while (!isHeldBack && given < total) {
        isHeldBack = !client.socket.write(block) && given > 16 * 1024 * 1024;
        given += block.length;
        yield* sleep(0);
      }
      expect(client.socket.writableLength).toBeGreaterThan(1024 * 1024); // the system's buffers are full
      gate.resolve();
      for (; given < total; given += block.length) client.socket.write(block);
      expect(yield* client.rest()).toContain("true");
      expect(taken).toBeGreaterThan(total - 1024 * 1024);
    },
  );
});

test("wrong options are refused at once", () => {
  const handler = function* (): Coroutine<void> {};
  expect(() => listener(handler, { limit: 0 })).toThrow(/limit must be a whole number from 1/);
  expect(() => listener(handler, { queueLimit: -1 })).toThrow(/queueLimit/);
  expect(() => listener(handler, { timeoutMs: Number.NaN })).toThrow(/timeoutMs/);
  expect(() => listener(handler, { onDisconnect: "abort" as "cancel" })).toThrow(/onDisconnect is "cancel"/);
  expect(() => listener(undefined as never)).toThrow(/listener\(\) takes a coroutine function/);
});
