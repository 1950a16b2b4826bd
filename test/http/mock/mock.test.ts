import { EventLoop, sleep, spawn, timeout, TimeoutError } from "fibril";
import type { Coroutine } from "fibril";
import { ConnectError, HttpRequest, HttpTimeoutError, ProtocolError, TooManyRedirects } from "fibril/http";
import type { HttpResponse, Transport } from "fibril/http";
import { cancelSweep, simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { mockTransport, MockNotDoneError, UnmatchedRequestError } from "../../../src/http/mock/index.ts";
import type { MockReply } from "../../../src/http/mock/index.ts";
import { failureOf, withMock } from "./sessions.ts";

function* textOf(asking: Iterable<unknown>): Coroutine<string> {
  const response = yield* asking as Coroutine<HttpResponse>;
  return yield* response.text();
}

describe("routes", () => {
  test("answer by method and path, with parameters, at any host", () =>
    withMock({}, function* (session, mock) {
      mock.on("GET", "/users/:id").reply((call) => ({ json: { id: call.params["id"] } }));
      mock.on("*", "/files/*").reply({ text: "file" });
      expect(yield* (yield* session.get("users/a%20b")).json()).toEqual({ id: "a b" });
      expect(yield* textOf(session.put("http://other.test:81/files/x/y"))).toBe("file");
      expect(mock.calls.map(({ method, url }) => `${method} ${url}`)).toEqual([
        "GET https://api.test/users/a%20b",
        "PUT http://other.test:81/files/x/y",
      ]);
    }));

  test("answer by whole URL, query, expression or function", () =>
    withMock({}, function* (session, mock) {
      mock.on("GET", "https://api.test:8443/x/:y").reply({ text: "whole" });
      mock.on("GET", "/search?q=1").reply({ text: "query" });
      mock.on("GET", /\/v(?<version>\d+)\//).reply((call) => ({ text: `v${call.params["version"]}` }));
      mock.on("GET", (url) => url.hash === "" && url.pathname === "/fn").reply({ text: "function" });
      expect(yield* textOf(session.get("https://api.test:8443/x/1"))).toBe("whole");
      expect(yield* textOf(session.get("search?q=1"))).toBe("query");
      expect(yield* textOf(session.get("v12/a"))).toBe("v12");
      expect(yield* textOf(session.get("fn"))).toBe("function");
      expect(yield* failureOf(session.get("search?q=2"))).toBeInstanceOf(UnmatchedRequestError);
    }));

  test("a dot in a path is a dot, and a parameter is one segment", () =>
    withMock({}, function* (session, mock) {
      mock.on("GET", "/a.b/:c");
      expect((yield* session.get("a.b/c")).status).toBe(200);
      expect(yield* failureOf(session.get("aXb/c"))).toBeInstanceOf(UnmatchedRequestError);
      expect(yield* failureOf(session.get("a.b/c/d"))).toBeInstanceOf(UnmatchedRequestError);
    }));

  test("can ask for headers, query and body", () =>
    withMock({}, function* (session, mock) {
      mock
        .on("POST", "/orders")
        .where({ headers: { "X-Kind": /^a/, cookie: null }, query: { page: "2" } })
        .where({ body: { b: 1, a: [1, { c: null }] } })
        .reply({ status: 201 });
      const json = { a: [1, { c: null }], b: 1 };
      const good = { json, headers: { "x-kind": "abc" }, query: { page: 2 } };
      expect((yield* session.post("orders", good)).status).toBe(201);
      const wrong = [
        { ...good, json: { a: [1], b: 1 } },
        { ...good, headers: {} },
        { ...good, headers: { "x-kind": "abc", cookie: "a=1" } },
        { ...good, query: { page: 3 } },
      ];
      for (const options of wrong) {
        expect(yield* failureOf(session.post("orders", options))).toBeInstanceOf(UnmatchedRequestError);
      }
      expect(mock.calls[0]!.json()).toEqual(json);
      expect(mock.calls[0]!.headers["content-type"]).toBe("application/json");
    }));

  test("a request that no route wants is an error that lists them and says why not", () =>
    withMock({}, function* (session, mock) {
      expect(String(yield* failureOf(session.get("x")))).toContain("has no routes");
      mock.on("POST", "/x");
      mock.on("GET", "/y").once();
      mock.on("GET", "/x").where({ headers: { a: "1" } });
      const error = yield* failureOf(session.get("x"));
      expect(error).toMatchObject({ code: "MOCK_UNMATCHED", method: "GET", url: "https://api.test/x" });
      expect(String(error)).toContain("POST /x (asked 0 times): another method");
      expect(String(error)).toContain("GET /y (asked 0 of 1 time");
      expect(String(error)).toContain("header a differs");
    }));

  test("once and times end, and the next route takes over", () =>
    withMock({}, function* (session, mock) {
      mock.on("GET", "/x").reply({ text: "first" }).once();
      mock.on("GET", "/x").reply({ text: "then" }).times(2);
      expect(() => mock.assertDone()).toThrow(MockNotDoneError);
      expect(() => mock.assertDone()).toThrow(/\/x \(asked 0 of 2 time/);
      for (const text of ["first", "then", "then"]) expect(yield* textOf(session.get("x"))).toBe(text);
      mock.assertDone();
      expect(yield* failureOf(session.get("x"))).toBeInstanceOf(UnmatchedRequestError);
      mock.reset();
      expect(mock.calls).toEqual([]);
    }));

  test("replies follow one another, the last one stays", () =>
    withMock({}, function* (session, mock) {
      const route = mock.on("GET", "/x").fail("connect").reply({ status: 503 }).reply({ text: "well" });
      expect(yield* failureOf(session.get("x"))).toBeInstanceOf(ConnectError);
      expect((yield* session.get("x")).status).toBe(503);
      for (let i = 0; i < 3; i++) expect(yield* textOf(session.get("x"))).toBe("well");
      expect(route.calls).toHaveLength(5);
    }));

  test("wrong arguments throw at once", () => {
    const mock = mockTransport();
    expect(() => mock.on("GET", "users")).toThrow(/begins with/);
    expect(() => mock.on("GET", 7 as never)).toThrow(/is a path, a URL/);
    expect(() => mock.on("GET", "/").times(0)).toThrow(/times must be/);
    expect(() => mock.on("GET", "/").reply("text" as never)).toThrow(/a reply is an object/);
  });
});

describe("replies", () => {
  test("json, text, bytes, streams, headers", () =>
    withMock({}, function* (session, mock) {
      mock.on("GET", "/json").reply({ json: [1] });
      mock.on("GET", "/text").reply({ text: "ä", headers: { "content-type": "text/html" } });
      mock.on("GET", "/bytes").reply({
        body: new Uint8Array([1, 2]),
        headers: [
          ["set-cookie", "a=1"],
          ["set-cookie", "b=2"],
        ],
      });
      mock.on("GET", "/stream").reply(() => ({
        body: (function* () {
          yield "a";
          yield new Uint8Array([98]);
        })(),
      }));
      expect((yield* session.get("json")).headers.get("content-type")).toBe("application/json");
      const text = yield* session.get("text");
      expect([text.headers.get("content-type"), yield* text.text()]).toEqual(["text/html", "ä"]);
      const bytes = yield* session.get("bytes");
      expect([...(yield* bytes.bytes())]).toEqual([1, 2]);
      expect(bytes.headers.getAll("set-cookie")).toEqual(["a=1", "b=2"]);
      for (let i = 0; i < 2; i++) expect(yield* textOf(session.get("stream"))).toBe("ab");
    }));

  test("HEAD and 204 have no body", () =>
    withMock({}, function* (session, mock) {
      mock.on("HEAD", "/x").reply({ text: "never" });
      mock.on("GET", "/x").reply({ status: 204, text: "never" });
      expect(yield* textOf(session.head("x"))).toBe("");
      expect(yield* textOf(session.get("x"))).toBe("");
    }));

  test("a reply can be made by a coroutine that waits", () =>
    withMock({}, function* (session, mock) {
      mock.on("GET", "/x").reply(function* (): Coroutine<{ text: string }> {
        yield* sleep(1_000);
        return { text: "made" };
      });
      expect(yield* textOf(session.get("x"))).toBe("made");
    }));

  test("delays take virtual time and obey deadlines", () =>
    withMock({}, function* (session, mock) {
      mock.on("GET", "/slow").reply({ text: "abcdef", delayMs: 30_000, chunkBytes: 2, chunkDelayMs: 1_000 });
      const loop = EventLoop.current();
      const start = loop.now();
      const response = yield* session.get("slow");
      expect(loop.now() - start).toBe(30_000);
      expect(yield* response.text()).toBe("abcdef");
      expect(loop.now() - start).toBe(33_000);
      expect(yield* failureOf(timeout(100, session.get("slow")))).toBeInstanceOf(TimeoutError);
      const total = yield* failureOf(session.get("slow", { timeout: { totalMs: 500 } }));
      expect(total).toMatchObject({ phase: "total" });
    }));

  test("a delay beyond the limit of the request is the time-out that a server would cause", () =>
    withMock({ timeout: { headersMs: 5_000, idleMs: 700 } }, function* (session, mock) {
      mock.on("GET", "/slow").reply({ delayMs: 5_001 });
      mock.on("GET", "/body").reply({ text: "ab", chunkBytes: 1, chunkDelayMs: 701 });
      const start = EventLoop.current().now();
      expect(yield* failureOf(session.get("slow"))).toMatchObject({
        code: "HTTP_TIMEOUT",
        phase: "headers",
        limitMs: 5_000,
      });
      expect(EventLoop.current().now() - start).toBe(5_000);
      const response = yield* session.get("body");
      expect(yield* failureOf(response.text())).toMatchObject({ phase: "body", limitMs: 700 });
    }));
});

describe("failures", () => {
  test("each is the error of the network", () =>
    withMock({ timeout: { connectMs: 10, headersMs: 20, idleMs: 30 } }, function* (session, mock) {
      const route = mock.on("GET", "/x");
      route.fail("connect").fail("dns").fail("reset").fail("connect-timeout").fail("headers-timeout");
      const expected = [
        [ConnectError, { systemCode: "ECONNREFUSED" }],
        [ConnectError, { systemCode: "ENOTFOUND" }],
        [ProtocolError, { problem: "reset", afterHeaders: false }],
        [HttpTimeoutError, { phase: "connect", limitMs: 10 }],
        [HttpTimeoutError, { phase: "headers", limitMs: 20 }],
      ] as const;
      for (const [type, fields] of expected) {
        const error = yield* failureOf(session.get("x"));
        expect(error).toBeInstanceOf(type);
        expect(error).toMatchObject(fields);
      }
    }));

  test("in the body they come after what came before", () =>
    withMock({ timeout: { idleMs: 30 } }, function* (session, mock) {
      mock.on("GET", "/reset").fail("reset-in-body", { text: "0123456789", afterBytes: 4, status: 206 });
      mock.on("GET", "/silent").fail("body-timeout");
      const broken = yield* session.get("reset");
      expect(broken.status).toBe(206);
      expect(broken.headers.get("content-length")).toBe("10");
      expect(Buffer.from((yield* broken.chunk())!).toString()).toBe("0123");
      expect(yield* failureOf(broken.chunk())).toMatchObject({ problem: "reset", afterHeaders: true });
      const silent = yield* session.get("silent");
      expect(yield* failureOf(silent.text())).toMatchObject({ phase: "body", limitMs: 30 });
    }));

  test("a redirect to itself is a loop", () =>
    withMock({}, function* (session, mock) {
      mock.on("GET", "/loop").redirect("/loop");
      expect(yield* failureOf(session.get("loop"))).toBeInstanceOf(TooManyRedirects);
      expect(mock.calls).toHaveLength(11);
    }));

  test("retries see them, and the log tells the attempts", () =>
    withMock({ retry: 3 }, function* (session, mock) {
      mock.on("GET", "/x").fail("connect").reply({ status: 503 }).reply({ text: "third" });
      expect(yield* textOf(session.get("x"))).toBe("third");
      expect(mock.calls.map((call) => call.attempt)).toEqual([1, 2, 3]);
      expect(mock.calls[2]!.at).toBeGreaterThan(mock.calls[0]!.at);
    }));
});

describe("cancelling", () => {
  test("at any step leaves nothing, with a slow reply, a slow body and a failing one", () => {
    const sweep = cancelSweep(() => {
      const mock = mockTransport();
      mock.on("GET", "/slow").reply({ text: "abc", delayMs: 10, chunkBytes: 1, chunkDelayMs: 5 });
      mock.on("GET", "/broken").fail("reset-in-body", { text: "abcdef" });
      const ask = (path: string): Coroutine<string> => textOf(send(mock, path));
      return {
        main: function* (): Coroutine<void> {
          const task = spawn(() => ask("/slow"));
          yield* failureOf(ask("/broken"));
          expect(yield* task).toBe("abc");
        },
      };
    });
    expect(sweep.cancelled).toBeGreaterThan(5);
  });

  test("a reply that would be ignored or never end is refused, also one that was made for a call", () => {
    const mock = mockTransport();
    const wrong: [MockReply, RegExp][] = [
      [{ text: "a", json: 1 }, /at most one/],
      [{ text: "a", chunkBytes: 0 }, /chunkBytes/],
      [{ text: "a", chunkDelayMs: 5 }, /needs chunkBytes/],
      [{ delayMs: Number.NaN }, /delayMs/],
    ];
    for (const [reply, message] of wrong) {
      const route = mock.on("GET", "/x");
      expect(() => route.reply(reply)).toThrow(message);
      expect(() => route.fail("reset-in-body", reply)).toThrow(message);
      const made = mockTransport();
      made.on("GET", "/x").reply(() => reply);
      expect(simulateSync(() => textOf(send(made, "/x"))).outcome).toMatchObject({ status: "failed" });
    }
    expect(() => mock.on("GET", "/x").fail("reset-in-body", { afterBytes: -1 })).toThrow(/afterBytes/);
    expect(() => mock.on("GET", "/x").reply(null as never)).toThrow(/a reply is an object/);
  });

  test("a mock by itself needs no session and no host", () => {
    const mock = mockTransport();
    mock.on("POST", "/x").reply((call) => ({ text: call.text.toUpperCase(), delayMs: 60_000 }));
    const { outcome, elapsedMs } = simulateSync(() => textOf(send(mock, "/x", "POST", "body")));
    expect(outcome).toMatchObject({ status: "succeeded", value: "BODY" });
    expect(elapsedMs).toBe(60_000);
  });
});

function* send(transport: Transport, path: string, method = "GET", body?: string): Coroutine<HttpResponse> {
  const options = body === undefined ? {} : { body };
  return yield* transport(HttpRequest.of(method, `http://h.test${path}`, options));
}
