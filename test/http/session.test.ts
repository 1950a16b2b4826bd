import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { all, run, sleep, spawn, timeout, until } from "fibril";
import type { Coroutine } from "fibril";
import { InvalidUrlError, ResponseError, Session } from "fibril/http";
import { describe, expect, test } from "vitest";
import { atRest, failureOf, withSession } from "./harness.ts";
import { ManualTime } from "./manual-time.ts";
import { bodyOf, startHttpServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

describe.each(undiciVersions)("a session on %s", (_, undici) => {
  test("status and headers come first, the body when it is asked for", async () => {
    await using server = await startHttpServer((_request, response) => {
      response.writeHead(201, { "x-kind": "test", "set-cookie": ["a=1", "b=2"] }).end("the body");
    });
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const response = yield* session.get("x?y=1");
      expect([response.status, response.ok, response.method]).toEqual([201, true, "GET"]);
      expect(response.url).toBe(`${server.origin}/x?y=1`);
      expect(response.headers.get("X-Kind")).toBe("test");
      expect(response.headers.getAll("set-cookie")).toEqual(["a=1", "b=2"]);
      expect(yield* response.text()).toBe("the body");
      expect(response.isComplete).toBe(true);
    });
  });

  test("each method is sent as itself", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      for (const method of ["get", "post", "put", "patch", "delete", "head"] as const) {
        const response = yield* session[method](`/${method}`);
        expect(yield* response.text()).toBe(method === "head" ? "" : `${method.toUpperCase()} /${method}`);
      }
      expect(yield* (yield* session.request("options", "/o")).text()).toBe("OPTIONS /o");
      expect(yield* (yield* session.request("PROPFIND", "/p")).text()).toBe("PROPFIND /p");
    });
  });

  test("default headers are sent, request headers go over them", async () => {
    await using server = await startHttpServer((request, response) => response.end(JSON.stringify(request.headers)));
    await withSession(
      undici,
      { baseUrl: server.origin, headers: { "X-Token": "t", Accept: "text/html" } },
      function* (session) {
        const seen = yield* (yield* session.get("/", { headers: { "x-token": undefined, "x-other": 1 } })).json<
          Record<string, string>
        >();
        expect(seen).toMatchObject({ accept: "text/html", "user-agent": "fibril", "x-other": "1" });
        expect(seen).not.toHaveProperty("x-token");
        expect(seen["accept-encoding"]).toMatch(/^gzip, deflate, br(?:, zstd)?$/);
      },
    );
  });

  test("user and password of a URL become basic authorization", async () => {
    await using server = await startHttpServer((request, response) => response.end(request.headers.authorization));
    await withSession(undici, {}, function* (session) {
      const response = yield* session.get(`http://me:secret@127.0.0.1:${server.port}/`);
      expect(yield* response.text()).toBe(`Basic ${Buffer.from("me:secret").toString("base64")}`);
      expect(response.url).toBe(`${server.origin}/`);
    });
  });

  test("bodies arrive as they were given: json, form, text, bytes, lists, generators, node streams", async () => {
    await using server = await startHttpServer((request, response) => {
      void bodyOf(request).then((body) => {
        const { "content-type": type, "content-length": length, "transfer-encoding": encoding } = request.headers;
        response.end(JSON.stringify({ body, type, length, encoding }));
      });
    });
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      function* echo(options: Parameters<typeof session.post>[1]): Coroutine<unknown> {
        return yield* (yield* session.post("/", options)).json();
      }
      async function* pieces(): AsyncGenerator<string> {
        yield "a";
        yield "b";
      }
      expect(yield* echo({ json: { ä: 1 } })).toEqual({ body: '{"ä":1}', type: "application/json", length: "8" });
      expect(yield* echo({ form: { a: "1 2" } })).toMatchObject({
        body: "a=1+2",
        type: "application/x-www-form-urlencoded",
      });
      expect(yield* echo({ body: "text" })).toMatchObject({ body: "text", length: "4" });
      expect(yield* echo({ body: new TextEncoder().encode("bytes") })).toMatchObject({ body: "bytes", length: "5" });
      expect(yield* echo({ body: ["a", Buffer.from("b")] })).toMatchObject({ body: "ab", encoding: "chunked" });
      expect(yield* echo({ body: pieces() })).toMatchObject({ body: "ab", encoding: "chunked" });
      expect(yield* echo({ body: Readable.from(["a", "b"]) })).toMatchObject({ body: "ab", encoding: "chunked" });
      expect(yield* echo({ body: pieces(), headers: { "content-length": 2 } })).toMatchObject({
        body: "ab",
        length: "2",
      });
      expect(yield* echo({})).toMatchObject({ body: "", length: "0" });
    });
  });

  test("a large upload arrives whole, and is taken no faster than the server reads", async () => {
    const piece = Buffer.alloc(64 * 1024, "x");
    const count = 200;
    let given = 0;
    let release = (): void => undefined;
    await using server = await startHttpServer((request, response) => {
      release = () => {
        const hash = createHash("sha256");
        request.on("data", (chunk: Buffer) => hash.update(chunk));
        request.on("end", () => response.end(hash.digest("hex")));
      };
    });
    async function* upload(): AsyncGenerator<Uint8Array> {
      for (; given < count; given++) yield piece;
    }
    const hash = createHash("sha256");
    for (let i = 0; i < count; i++) hash.update(piece);
    const expected = hash.digest("hex");
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const [answer] = yield* all([
        function* () {
          return yield* (yield* session.post("/", { body: upload() })).text();
        },
        function* () {
          let before = -1;
          while (given !== before || given === 0) {
            before = given;
            yield* sleep(25); // until the buffers of the kernel are full and nothing moves any more
          }
          expect(given).toBeLessThan(count);
          release();
        },
      ]);
      expect(answer).toBe(expected);
    });
  });

  test("text follows the charset of the content type and drops a byte order mark", async () => {
    await using server = await startHttpServer((request, response) => {
      if (request.url === "/latin1")
        response.setHeader("content-type", "text/html; charset=ISO-8859-1").end(Buffer.from("ä", "latin1"));
      else if (request.url === "/odd") response.setHeader("content-type", "text/plain; charset=klingon").end("x");
      else response.setHeader("content-type", 'text/plain; charset="utf-8"').end("\uFEFFä");
    });
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      expect(yield* (yield* session.get("/latin1")).text()).toBe("ä");
      expect(yield* (yield* session.get("/utf8")).text()).toBe("ä");
      const odd = yield* session.get("/odd");
      expect(yield* failureOf(odd.text())).toMatchObject({
        code: "HTTP_DECODE",
        message: expect.stringContaining("klingon"),
      });
    });
  });

  test("json that is none is an error that shows where it came from", async () => {
    await using server = await startHttpServer((_request, response) => response.end("<html>"));
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const response = yield* session.get("/page");
      const error = yield* failureOf(response.json());
      expect(error).toMatchObject({
        code: "HTTP_DECODE",
        url: `${server.origin}/page`,
        cause: expect.any(SyntaxError),
      });
    });
  });

  test("bytes are what was sent, whole and in order, also when they come in many pieces", async () => {
    const sent = Buffer.from(Array.from({ length: 300_000 }, (_unused, i) => (i * 7) % 251));
    await using server = await startHttpServer((_request, response) => {
      for (let at = 0; at < sent.length; at += 1000) response.write(sent.subarray(at, at + 1000));
      response.end();
    });
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const whole = yield* (yield* session.get("/")).bytes();
      expect(Object.getPrototypeOf(whole)).toBe(Uint8Array.prototype);
      expect(Buffer.compare(whole, sent)).toBe(0);
      const pieces: Uint8Array[] = [];
      const response = yield* session.get("/");
      for (let chunk = yield* response.chunk(); chunk !== undefined; chunk = yield* response.chunk())
        pieces.push(chunk);
      expect(Buffer.compare(Buffer.concat(pieces), sent)).toBe(0);
      expect(yield* response.chunk()).toBeUndefined();
    });
  });

  test("promise code reads a body with for await, and leaving early closes the connection", async () => {
    await using server = await startHttpServer((_request, response) => {
      response.write("first");
      if (_request.url === "/short") response.end("last");
    });
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const short = yield* session.get("/short");
      let text = "";
      yield* until(
        (async () => {
          for await (const chunk of short) text += Buffer.from(chunk).toString();
        })(),
      );
      expect(text).toBe("firstlast");
      const endless = yield* session.get("/endless");
      yield* until(
        (async () => {
          for await (const chunk of endless) {
            expect(Buffer.from(chunk).toString()).toBe("first");
            break;
          }
        })(),
      );
      expect(atRest(session)).toMatchObject({ active: 0 });
      yield* until(server.untilOpen(1));
    });
  });

  test("a body is read once and in one way; a second attempt says so", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const response = yield* session.get("/");
      yield* response.text();
      expect(yield* failureOf(response.text())).toMatchObject({ code: "BODY_USED" });
      expect(yield* failureOf(response.chunk())).toMatchObject({
        message: expect.stringContaining("was read as a whole already"),
      });
      const discarded = yield* session.get("/");
      yield* discarded.discard();
      expect(yield* failureOf(discarded.json())).toMatchObject({
        message: expect.stringContaining("was discarded already"),
      });
    });
  });

  test("raiseForStatus throws with status, URL and the beginning of the body, and keeps the connection", async () => {
    await using server = await startHttpServer((request, response) => {
      response.statusCode = Number(request.url!.slice(1));
      response.end(`why it failed ${"x".repeat(5000)}`);
    });
    await withSession(undici, { baseUrl: server.origin, raiseForStatus: true }, function* (session) {
      const error = (yield* failureOf(session.get("/503"))) as ResponseError;
      expect(error).toBeInstanceOf(ResponseError);
      expect(error).toMatchObject({ code: "HTTP_STATUS", status: 503, url: `${server.origin}/503`, method: "GET" });
      expect(error.excerpt).toHaveLength(1024);
      expect(error.message).toMatch(/^http GET 127\.0\.0\.1:\d+\/503 was answered with status 503: why it failed x+…$/);
      expect((yield* session.get("/404", { raiseForStatus: false })).status).toBe(404);
      expect((yield* session.get("/299")).ok).toBe(true);
      expect(server.accepted).toBe(1);
    });
  });

  test("timings say where the time went", async () => {
    await using server = await startHttpServer();
    const time = new ManualTime();
    const body = function* (session: Session): Coroutine<void> {
      const first = spawn(() => session.get("/hold/1"));
      const second = spawn(() => session.get("/hold/2"));
      yield* until(server.until(() => server.held.length === 1));
      yield* time.pass(10);
      server.held[0]!.response.write("a");
      const one = yield* first;
      yield* time.pass(20);
      expect(one.timings).toEqual({ queueMs: 0, connectMs: 0, headersMs: 10, bodyMs: 20, totalMs: 30 });
      yield* time.pass(5);
      server.held[0]!.response.end("b");
      yield* one.text();
      yield* until(server.until(() => server.held.length === 2));
      yield* time.pass(7);
      server.held[1]!.response.end("c");
      const two = yield* second;
      yield* two.text();
      yield* time.pass(1_000);
      expect(one.timings).toEqual({ queueMs: 0, connectMs: 0, headersMs: 10, bodyMs: 25, totalMs: 35 });
      expect(two.timings).toEqual({ queueMs: 35, connectMs: 0, headersMs: 7, bodyMs: 0, totalMs: 42 });
    };
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, body, { clock: time.clock, host: time.host });
  });

  test("an operation can be run again: it is another request", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const operation = session.get("/again");
      expect(yield* (yield* operation).text()).toBe("GET /again");
      expect(yield* (yield* operation).text()).toBe("GET /again");
      expect(server.log).toHaveLength(2);
    });
  });

  test("responses may leave the operation that got them: all, timeout", async () => {
    await using server = await startHttpServer((_request, response) => {
      response.write("x".repeat(200_000));
      setTimeout(() => response.end("end"), 20);
    });
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const responses = yield* all([session.get("/1"), () => session.get("/2")]);
      const third = yield* timeout(50_000, session.get("/3"));
      for (const response of [...responses, third]) expect((yield* response.text()).length).toBe(200_003);
    });
  });

  test("bad requests are refused with the reason before anything is sent", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      expect(yield* failureOf(session.get("http://"))).toBeInstanceOf(InvalidUrlError);
      expect(yield* failureOf(session.get("/", { headers: { "bad name": "x" } }))).toMatchObject({
        code: "HTTP_INVALID_REQUEST",
      });
      expect(yield* failureOf(session.get("/", { headers: { x: "a\r\nb: c" } }))).toMatchObject({
        code: "HTTP_INVALID_REQUEST",
      });
      expect(yield* failureOf(session.request("BAD METHOD", "/"))).toMatchObject({ code: "HTTP_INVALID_REQUEST" });
      expect(yield* failureOf(session.get("/", { timeout: { headersMs: -1 } }))).toMatchObject({ code: "USAGE" });
      expect(yield* failureOf(session.get("/", { timeout: { headerMs: 1 } as never }))).toMatchObject({
        code: "USAGE",
      });
      expect(yield* failureOf(session.get("/", { maxRedirects: -1 }))).toMatchObject({ code: "USAGE" });
      expect(yield* failureOf(session.get("/", { maxBodyBytes: Number.NaN }))).toMatchObject({ code: "USAGE" });
      expect(() => session.request("CONNECT", "/")).toThrow(/tunnel/);
      expect(atRest(session)).toEqual({ active: 0, queued: 0, connecting: 0, idle: 0 });
      expect(server.accepted).toBe(0);
    });
  });

  test("a session is of one loop", async () => {
    await withSession(undici, {}, function* (session) {
      const error = yield* failureOf(until(run(() => session.get("http://127.0.0.1:1/"), { name: "other" })));
      expect(error).toMatchObject({ code: "USAGE", message: expect.stringMatching(/belongs to loop/) });
    });
  });
});

describe("opening a session", () => {
  test("takes the undici that is installed", async () => {
    await using server = await startHttpServer();
    const text = await run(function* () {
      const session = yield* Session.open();
      return yield* (yield* session.get(server.origin)).text();
    });
    expect(text).toBe("GET /");
  });

  test.each([
    [{ limit: 0 }, "limit"],
    [{ limit: 1.5 }, "limit"],
    [{ limitPerHost: -1 }, "limitPerHost"],
    [{ maxRedirects: Number.NaN }, "maxRedirects"],
    [{ maxBodyBytes: -1 }, "maxBodyBytes"],
    [{ undici: {} as never }, "no Client"],
    [{ baseUrl: "https://example.org/v1" }, "slash"],
  ])("refuses %o", async (options, message) => {
    await expect(run(() => Session.open(options))).rejects.toThrow(message);
  });
});
