import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { gzipSync } from "node:zlib";
import { all, moveOnAfter, scope, sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import { basicAuth, CookieJar, HttpRequest, HttpTimeoutError, Session } from "fibril/http";
import type { HttpResponse, RequestOptions } from "fibril/http";
import { simulate } from "fibril/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { mockTransport } from "../../../src/http/mock/index.ts";
import type { MockReply, MockTransport } from "../../../src/http/mock/index.ts";
import { cacheLayer } from "../../../src/http/middleware/cache.ts";
import { atRest, withSession } from "../harness.ts";
import { hostTurn } from "../manual-time.ts";
import { startHttpServer } from "../servers.ts";
import { undiciVersions } from "../undici-versions.ts";
import { failureOf, withMock } from "../mock/sessions.ts";

// Undici's cache goes by the clock on the wall.
beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"], now: 1_800_000_000_000 }));
afterEach(() => void vi.useRealTimers());
const pass = (seconds: number): void => void vi.setSystemTime(Date.now() + seconds * 1_000);

/** Counts what it answers: `body 1`, `body 2`, … */
function counting(
  mock: MockTransport,
  path: string,
  headers: Readonly<Record<string, string>>,
  more: MockReply = {},
): void {
  let count = 0;
  mock.on("GET", path).reply(() => ({ text: `body ${++count}`, headers, ...more }));
}

interface Seen {
  readonly status: number;
  readonly text: string;
  readonly cached: boolean;
  readonly age: number | undefined;
}

function* look(asking: Iterable<unknown>): Coroutine<Seen> {
  const response = yield* asking as Coroutine<HttpResponse>;
  const { status, fromCache: cached, age } = response;
  return { status, text: yield* response.text(), cached, age };
}

describe.each(undiciVersions)("the cache of %s", (name, undici) => {
  test("a fresh answer needs no server, and tells its age", () =>
    withMock({ undici, cache: true }, function* (session, mock) {
      counting(mock, "/x", { "cache-control": "max-age=60" });
      expect(yield* look(session.get("x"))).toEqual({ status: 200, text: "body 1", cached: false, age: undefined });
      pass(30);
      expect(yield* look(session.get("x"))).toEqual({ status: 200, text: "body 1", cached: true, age: 30 });
      expect(mock.calls).toHaveLength(1);
      pass(31);
      expect(yield* look(session.get("x"))).toMatchObject({ text: "body 2", cached: false });
    }));

  test("without the option, with no-store, or for a request that goes without, nothing is kept", () =>
    withMock({ undici, cache: true }, function* (session, mock) {
      counting(mock, "/x", { "cache-control": "no-store" });
      counting(mock, "/y", { "cache-control": "max-age=60" });
      for (const text of ["body 1", "body 2"])
        expect(yield* look(session.get("x"))).toMatchObject({ text, cached: false });
      for (const text of ["body 1", "body 2"]) {
        expect(yield* look(session.get("y", { cache: false }))).toMatchObject({ text, cached: false });
      }
      expect(yield* look(session.with({ cache: false }).get("y"))).toMatchObject({ text: "body 3" });
      expect(yield* look(session.get("y"))).toMatchObject({ text: "body 4", cached: false });
      expect(yield* look(session.get("y", { headers: { "cache-control": "no-store" } }))).toMatchObject({
        text: "body 5",
      });
      expect(yield* look(session.get("y"))).toMatchObject({ text: "body 4", cached: true });
    }));

  test("a stale answer is asked for again with a condition; 304 keeps it, 200 replaces it", () =>
    withMock({ undici, cache: true }, function* (session, mock) {
      let tag = '"one"';
      mock.on("GET", "/x").reply((call) => {
        const headers = { etag: tag, "cache-control": "max-age=10" };
        return call.headers["if-none-match"] === tag ? { status: 304, headers } : { text: `body ${tag}`, headers };
      });
      yield* look(session.get("x"));
      pass(15);
      expect(yield* look(session.get("x"))).toMatchObject({ status: 200, text: 'body "one"', cached: true });
      expect(mock.calls.map((call) => call.headers["if-none-match"])).toEqual([undefined, '"one"']);
      tag = '"two"';
      pass(15);
      expect(yield* look(session.get("x"))).toMatchObject({ text: 'body "two"', cached: false });
      expect(yield* look(session.get("x"))).toMatchObject({ text: 'body "two"', cached: true });
    }));

  test("no-cache asks again, only-if-cached never asks", () =>
    withMock({ undici, cache: true }, function* (session, mock) {
      counting(mock, "/x", { "cache-control": "max-age=60", etag: '"e"' });
      const only = { headers: { "cache-control": "only-if-cached" } };
      expect(yield* look(session.get("x", only))).toMatchObject({ status: 504, text: "", cached: false });
      expect(mock.calls).toHaveLength(0);
      yield* look(session.get("x"));
      expect(yield* look(session.get("x", only))).toMatchObject({ status: 200, text: "body 1" });
      const again = { headers: { "cache-control": "no-cache" } };
      expect(yield* look(session.get("x", again))).toMatchObject({ text: "body 2", cached: false });
      expect(mock.calls[1]!.headers["if-none-match"]).toBe('"e"');
    }));

  test("an answer to one authorization, or of one language, is not given to another", () =>
    withMock({ undici, cache: true }, function* (session, mock) {
      counting(mock, "/x", { "cache-control": "private, max-age=60" });
      counting(mock, "/lang", { "cache-control": "max-age=60", vary: "accept-language" });
      const as = (authorization: string) => ({ headers: { authorization } });
      expect(yield* look(session.get("x", as("a")))).toMatchObject({ text: "body 1" });
      expect(yield* look(session.get("x", as("b")))).toMatchObject({ text: "body 2" });
      expect(yield* look(session.get("x"))).toMatchObject({ text: "body 3" });
      expect(yield* look(session.get("x", as("a")))).toMatchObject({ text: "body 1", cached: true });
      const inLanguage = (language: string) => ({ headers: { "accept-language": language } });
      expect(yield* look(session.get("lang", inLanguage("de")))).toMatchObject({ text: "body 1" });
      expect(yield* look(session.get("lang", inLanguage("en")))).toMatchObject({ text: "body 2" });
      expect(yield* look(session.get("lang", inLanguage("de")))).toMatchObject({ text: "body 1", cached: true });
    }));

  test("what one user got is not given to another, whatever tells them apart", () =>
    withMock({ undici, cache: true }, function* (session, mock) {
      counting(mock, "/x", { "cache-control": "private, max-age=60" });
      const jars: CookieJar[] = [];
      for (const user of ["ann", "bob"]) {
        const jar = yield* CookieJar.open();
        jar.take("https://api.test/", `user=${user}`);
        jars.push(jar);
      }
      const users: RequestOptions[] = [
        ...jars.map((cookies) => ({ cookies })),
        { headers: { cookie: "user=cyd" } },
        { auth: basicAuth("dan", "pw") },
        { headers: { host: "tenant.test" } },
        {},
      ];
      for (const [i, options] of users.entries()) {
        expect(yield* look(session.get("x", options))).toMatchObject({ text: `body ${i + 1}`, cached: false });
      }
      for (const [i, options] of users.entries()) {
        expect(yield* look(session.get("x", options))).toMatchObject({ text: `body ${i + 1}`, cached: true });
      }
    }));

  test("an answer of the cache sets no cookie again, a 304 does", () =>
    withMock({ undici, cache: true, cookies: true }, function* (session, mock) {
      mock.on("GET", "/x").reply((call) => {
        const isAsked = call.headers["if-none-match"] !== undefined;
        const headers = { etag: '"e"', "cache-control": "max-age=60", "set-cookie": `n=${isAsked ? 3 : 1}; Path=/who` };
        return { status: isAsked ? 304 : 200, headers, ...(isAsked ? {} : { text: "x" }) };
      });
      mock.on("GET", "/login").reply({ headers: { "set-cookie": "n=2; Path=/who" } });
      mock.on("GET", "/who").reply((call) => ({ text: String(call.headers["cookie"]) }));
      yield* look(session.get("x"));
      yield* look(session.get("login"));
      expect(yield* look(session.get("x"))).toMatchObject({ text: "x", cached: true });
      expect(yield* look(session.get("who"))).toMatchObject({ text: "n=2" });
      pass(61);
      expect(yield* look(session.get("x"))).toMatchObject({ text: "x", cached: true });
      expect(yield* look(session.get("who"))).toMatchObject({ text: "n=3" });
    }));

  test("bytes that were asked for as they are do not answer a request that wants them unpacked", async () => {
    await using server = await startHttpServer((_request, response) => {
      response.sendDate = false; // that would be the real one
      response.writeHead(200, { "content-encoding": "gzip", "cache-control": "max-age=60" });
      response.end(gzipSync("hello"));
    });
    await withSession(undici, { cache: true, baseUrl: `${server.origin}/` }, function* (session) {
      for (const headers of [{}, { "accept-encoding": "gzip" }]) {
        for (let i = 0; i < 2; i++) {
          const raw = yield* session.get("x", { decompress: false, headers });
          expect(yield* raw.bytes()).toEqual(new Uint8Array(gzipSync("hello")));
          expect(yield* look(session.get("x", { headers }))).toMatchObject({ text: "hello", cached: i === 1 });
        }
      }
    });
  });

  test("a shared one keeps nothing private and no answer to credentials", () =>
    withMock({ undici, cache: { type: "shared" } }, function* (session, mock) {
      counting(mock, "/private", { "cache-control": "private, max-age=60" });
      counting(mock, "/x", { "cache-control": "max-age=60" });
      for (let i = 0; i < 2; i++) expect(yield* look(session.get("private"))).toMatchObject({ cached: false });
      const options = { headers: { authorization: "a" } };
      for (let i = 0; i < 2; i++) expect(yield* look(session.get("x", options))).toMatchObject({ cached: false });
    }));

  test("a request that changes something takes the old answer out", () =>
    withMock({ undici, cache: true }, function* (session, mock) {
      counting(mock, "/x", { "cache-control": "max-age=60" });
      mock.on("PUT", "/x").reply({ status: 204 });
      yield* look(session.get("x"));
      yield* session.put("x", { body: "new" });
      expect(yield* look(session.get("x"))).toMatchObject({ text: "body 2", cached: false });
    }));

  test("an answer that breaks, is not read to its end, or is too large is not kept", () =>
    withMock({ undici, cache: { maxEntryBytes: 100 } }, function* (session, mock) {
      const headers = { "cache-control": "max-age=60" };
      mock
        .on("GET", "/broken")
        .fail("reset-in-body", { text: "0123456789", headers })
        .reply({ text: "whole", headers });
      counting(mock, "/part", headers, { chunkBytes: 1 });
      mock.on("GET", "/large").reply({ text: "x".repeat(101), headers });
      expect(yield* failureOf(look(session.get("broken")))).toMatchObject({ problem: "reset" });
      expect(yield* look(session.get("broken"))).toMatchObject({ text: "whole", cached: false });
      const part = yield* session.get("part");
      yield* part.chunk();
      part.close();
      expect(yield* look(session.get("part"))).toMatchObject({ text: "body 2", cached: false });
      for (let i = 0; i < 2; i++) expect(yield* look(session.get("large"))).toMatchObject({ cached: false });
    }));

  test("a server that fails is covered by stale-if-error", () =>
    withMock({ undici, cache: true }, function* (session, mock) {
      const headers = { "cache-control": "max-age=10, stale-if-error=100", etag: '"e"' };
      mock.on("GET", "/x").reply({ text: "old", headers }).reply({ status: 503 }).fail("connect");
      yield* look(session.get("x"));
      pass(20);
      // Undici 7 counts an answer with 5xx only, 8 a server that cannot be reached, too.
      for (let i = 0; i < (name.startsWith("undici 7") ? 1 : 2); i++)
        expect(yield* look(session.get("x"))).toMatchObject({ text: "old", cached: true });
      pass(200);
      expect(yield* failureOf(session.get("x"))).toMatchObject({ code: "HTTP_CONNECT" });
    }));

  test("stale-while-revalidate gives the old one without asking behind the caller's back", () =>
    withMock({ undici, cache: true }, function* (session, mock) {
      counting(mock, "/x", { "cache-control": "max-age=10, stale-while-revalidate=100" });
      yield* look(session.get("x"));
      pass(20);
      expect(yield* look(session.get("x"))).toMatchObject({ text: "body 1", cached: true });
      yield* hostTurn();
      expect(mock.calls).toHaveLength(1);
      pass(100);
      expect(yield* look(session.get("x"))).toMatchObject({ text: "body 2", cached: false });
    }));

  test("redirects, errors and empty answers are kept as their headers say", () =>
    withMock({ undici, cache: true }, function* (session, mock) {
      const headers = { "cache-control": "max-age=60" };
      mock.on("GET", "/old").reply({ status: 301, headers: { ...headers, location: "/new" } });
      mock.on("GET", "/new").reply({ status: 404, text: "none", headers });
      mock.on("GET", "/empty").reply({ text: "", headers: { ...headers, "content-length": "0" } });
      for (let i = 0; i < 2; i++) expect(yield* look(session.get("old"))).toMatchObject({ status: 404, text: "none" });
      expect(mock.calls).toHaveLength(2);
      for (let i = 0; i < 2; i++)
        expect(yield* look(session.get("empty"))).toMatchObject({ text: "", cached: i === 1 });
    }));

  test.each([{ maxEntries: 10 }, { maxBytes: 10 * 2_000 }])("is bounded: %j, and the latest stay", (cache) =>
    withMock({ undici, cache }, function* (session, mock) {
      mock.on("GET", "/*").reply({ text: "x".repeat(900), headers: { "cache-control": "max-age=60" } });
      for (let i = 0; i < 30; i++) {
        yield* look(session.get("0")); // in use, so it stays
        yield* look(session.get(`${i}`));
      }
      const only = { headers: { "cache-control": "only-if-cached" } };
      const kept: number[] = [];
      for (let i = 0; i < 30; i++) if ((yield* look(session.get(`${i}`, only))).cached) kept.push(i);
      expect(kept).toEqual([0, 21, 22, 23, 24, 25, 26, 27, 28, 29]);
    }),
  );

  test("what says nothing is kept for keepByDefaultMs, and only at the origins that were named", () =>
    withMock({ undici, cache: { keepByDefaultMs: 5_000, origins: ["https://api.test"] } }, function* (session, mock) {
      counting(mock, "/x", {});
      yield* look(session.get("x"));
      pass(4);
      expect(yield* look(session.get("x"))).toMatchObject({ cached: true });
      pass(2);
      expect(yield* look(session.get("x"))).toMatchObject({ text: "body 2", cached: false });
      for (let i = 0; i < 2; i++)
        expect(yield* look(session.get("https://other.test/x"))).toMatchObject({ cached: false });
    }));

  test("what is given up is let go of: the stream into the store, and the one out of it", async () => {
    const streams: (Readable | Writable)[] = [];
    let kept: object | undefined;
    const store = {
      get: () => {
        if (kept === undefined) return undefined;
        const body = new Readable({ read: () => undefined });
        body.push("part");
        streams.push(body);
        return { ...kept, body };
      },
      createWriteStream: (_key: unknown, value: object) => {
        const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
        streams.push(stream);
        kept = value;
        return stream;
      },
      delete: () => undefined,
    };
    await withMock({ undici, cache: { store } }, function* (session, mock) {
      counting(mock, "/x", { "cache-control": "max-age=60" }, { chunkBytes: 2 });
      for (let i = 0; i < 2; i++) {
        const response = yield* session.get("x");
        expect(response.fromCache).toBe(i === 1);
        yield* response.chunk();
        response.close();
        expect(streams[i]!.destroyed).toBe(true);
      }
    });
  });

  test("parts are not the cache's affair", () =>
    withMock({ undici, cache: true }, function* (session, mock) {
      counting(mock, "/x", { "cache-control": "max-age=60" });
      yield* look(session.get("x"));
      expect(yield* look(session.get("x", { headers: { range: "bytes=0-1" } }))).toMatchObject({ text: "body 2" });
    }));

  test("limits and deadlines hold for what the cache asks", () =>
    withMock({ undici, cache: true }, function* (session, mock) {
      const headers = { "cache-control": "max-age=1", etag: '"e"' };
      mock.on("GET", "/x").reply({ text: "old", headers }).reply({ delayMs: 50_000 });
      yield* look(session.get("x"));
      pass(5);
      expect(yield* moveOnAfter(100, session.get("x"))).toBeUndefined();
      expect(yield* failureOf(session.get("x", { timeout: { totalMs: 10 } }))).toBeInstanceOf(HttpTimeoutError);
      expect(yield* failureOf(session.get("x", { timeout: { headersMs: 10 } }))).toMatchObject({ phase: "headers" });
    }));

  test("on the network a hit needs no connection, a body is unpacked once, and nothing is left open", async () => {
    vi.useRealTimers(); // the server's date has to be that of the cache
    let asked = 0;
    await using server = await startHttpServer((request, response) => {
      asked++;
      response.setHeader("cache-control", "max-age=60");
      if (request.url === "/gzip") {
        response.setHeader("content-encoding", "gzip");
        return response.end(gzipSync("unpacked"));
      }
      return response.end("x".repeat(300_000));
    });
    await withSession(undici, { cache: true, baseUrl: `${server.origin}/` }, function* (session) {
      for (let i = 0; i < 2; i++)
        expect(yield* look(session.get("gzip"))).toMatchObject({ text: "unpacked", cached: i === 1 });
      const first = yield* session.get("large");
      yield* first.chunk();
      first.close();
      for (let i = 0; i < 2; i++) expect((yield* look(session.get("large"))).text).toHaveLength(300_000);
      const unread = yield* session.get("large");
      expect(unread.fromCache).toBe(true);
      expect(asked).toBe(3);
      expect(atRest(session)).toMatchObject({ active: 0 });
    });
    await server.untilOpen(0);
  });

  test("a decompression bomb is stopped on its way into the cache, however it is read, and is not kept", async () => {
    vi.useRealTimers();
    const asked: string[] = [];
    const packed = gzipSync(Buffer.alloc(3_000_000)); // about a thousandth
    await using server = await startHttpServer((request, response) => {
      asked.push(request.url!);
      response.writeHead(200, { "cache-control": "max-age=60", "content-encoding": "gzip" }).end(packed);
    });
    await withSession(undici, { cache: true, baseUrl: `${server.origin}/` }, function* (session) {
      for (const read of ["text", "bytes", "chunk"] as const) {
        const response = yield* session.get("bomb");
        expect(response.fromCache).toBe(false);
        const whole = function* (): Coroutine<void> {
          if (read !== "chunk") yield* response[read]();
          else while ((yield* response.chunk()) !== undefined);
        };
        expect(yield* failureOf(whole())).toMatchObject({ code: "HTTP_BODY_TOO_LARGE", decoded: true });
      }
      // Whoever allows it has it kept unpacked; nothing is unpacked for those who get that, so there is nothing to limit.
      expect((yield* look(session.get("known", { maxInflation: Infinity }))).text).toHaveLength(3_000_000);
      expect(yield* look(session.get("known", { maxInflation: 1 }))).toMatchObject({ cached: true });
      expect(yield* failureOf((yield* session.get("known", { maxBodyBytes: 1_000 })).text())).toMatchObject({
        code: "HTTP_BODY_TOO_LARGE",
      });
      expect(asked).toEqual(["/bomb", "/bomb", "/bomb", "/known"]);
    });
    await server.untilOpen(0);
  });

  test("cancelling in any turn leaves nothing, on a miss, a hit and a revalidation", async () => {
    for (let turns = 0; turns < 12; turns++) {
      const mock = mockTransport();
      const headers = { "cache-control": "max-age=10", etag: '"e"' };
      mock
        .on("GET", "/x")
        .reply((call) =>
          call.headers["if-none-match"] === undefined
            ? { text: "abc", headers, chunkBytes: 1, chunkDelayMs: 1, delayMs: 1 }
            : { status: 304, headers, delayMs: 1 },
        );
      await simulate(function* () {
        const layer = cacheLayer({ cache: true, undici });
        const cached = layer.middleware({})!;
        const ask = function* (): Coroutine<string> {
          const request = HttpRequest.of("GET", "http://h.test/x");
          return yield* ((yield* cached(request, mock)) as HttpResponse).text();
        };
        for (let round = 0; round < 3; round++) {
          const task = spawn(ask);
          for (let i = 0; i < turns; i++) yield* sleep(0.25);
          yield* task.cancel();
          expect(yield* ask()).toBe("abc");
          if (round === 1) pass(15);
        }
      });
    }
  });
});

describe("a cache", () => {
  const folder = mkdtempSync(join(tmpdir(), "fibril-cache-"));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test("in a file outlives the session", async () => {
    const file = join(folder, "cache.sqlite");
    for (let run = 0; run < 2; run++) {
      await withMock({ cache: { file } }, function* (session, mock) {
        counting(mock, "/x", { "cache-control": "max-age=60" });
        expect(yield* look(session.get("x"))).toMatchObject({ text: "body 1", cached: run === 1 });
      });
    }
  });

  test("many requests at once are each answered", () =>
    withMock({ cache: true }, function* (session, mock) {
      counting(mock, "/x", { "cache-control": "max-age=60" }, { delayMs: 5 });
      const all20 = yield* all(Array.from({ length: 20 }, () => look(session.get("x"))));
      expect(all20.map((it) => it.status)).toEqual(new Array(20).fill(200));
    }));

  test("wrong settings throw when the session is opened", async () => {
    const open = (cache: unknown): Promise<unknown> => simulate(() => Session.open({ cache: cache as never }));
    await expect(open("yes")).rejects.toThrow(/must be true, false or an object/);
    await expect(open({ type: "public" })).rejects.toThrow(/cache.type/);
    await expect(open({ maxEntries: -1 })).rejects.toThrow(/cache.maxEntries/);
    await expect(open({ maxBytes: Infinity })).rejects.toThrow(/must be finite/);
    await expect(open({ file: "x", store: {} })).rejects.toThrow(/leave one out/);
    await withMock({}, function* (session) {
      yield* until(Promise.resolve());
      expect(String(yield* failureOf(session.get("x", { cache: {} })))).toMatch(/belong to the session/);
      yield* scope(function* () {
        yield* sleep(0);
      });
    });
  });
});
