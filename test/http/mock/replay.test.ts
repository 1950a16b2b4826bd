import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Coroutine } from "fibril";
import { run, scope } from "fibril";
import { Session } from "fibril/http";
import * as undici from "undici";
import { afterAll, describe, expect, test } from "vitest";
import {
  mockTransport,
  recordTransport,
  ReplayFileError,
  ReplayMissError,
  replayTransport,
} from "../../../src/http/mock/index.ts";
import { withSession } from "../harness.ts";
import { bodyOf, startHttpServer } from "../servers.ts";
import { failureOf, withMock } from "./sessions.ts";

const folder = mkdtempSync(join(tmpdir(), "fibril-replay-"));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const newFile = (): string => join(folder, `${++files}.json`);

/** Records what `body` asks a server for, then runs `body` again on the recording. Returns both results. */
async function twice<T>(body: (session: Session) => Coroutine<T>): Promise<{ first: T; second: T; file: string }> {
  const file = newFile();
  let origin = "";
  let first: T | undefined;
  {
    await using server = await startHttpServer((request, response) => {
      void bodyOf(request).then((text) => {
        response.setHeader("set-cookie", ["secret=1", "secret=2"]);
        if (request.url === "/gzip") {
          response.setHeader("content-encoding", "gzip");
          return response.end(gzipSync("unpacked"));
        }
        if (request.url === "/bytes") return response.end(Buffer.from([0, 255, 254]));
        if (request.url === "/moved") return response.writeHead(302, { location: "/target" }).end();
        response.statusCode = request.url === "/missing" ? 404 : 200;
        return response.end(`${request.method} ${request.url} ${text}`);
      });
    });
    origin = server.origin;
    await withSession(undici, {}, function* (network) {
      const transport = yield* recordTransport(network, file);
      yield* scope(function* () {
        first = yield* body(yield* Session.open({ undici, baseUrl: `${origin}/`, transport }));
      });
    });
  }
  let second: T | undefined;
  await withSession(undici, { baseUrl: `${origin}/`, transport: replayTransport(file) }, function* (session) {
    second = yield* body(session);
  });
  return { first: first!, second: second!, file };
}

describe("a recording", () => {
  test("a run that fails leaves an earlier recording as it is, and its own beside it", async () => {
    const file = newFile();
    const record = (body: string, failure: Error | null): Promise<void> =>
      run(function* () {
        const mock = mockTransport();
        mock.on("GET", "http://h/a").reply({ text: body });
        const session = yield* Session.open({ undici, transport: yield* recordTransport(mock, file) });
        yield* (yield* session.get("http://h/a")).text();
        if (failure !== null) throw failure;
      });
    await expect(record("cut short", new Error("boom"))).rejects.toThrow("boom");
    expect(readFileSync(file, "utf8")).toContain("cut short"); // there was none that it could replace
    await record("good", null);
    await expect(record("cut short", new Error("boom"))).rejects.toThrow("boom");
    expect(readFileSync(file, "utf8")).toContain("good");
    expect(readFileSync(`${file}.new`, "utf8")).toContain("cut short");
    await record("better", null);
    expect(readFileSync(file, "utf8")).toContain("better");
    expect(existsSync(`${file}.new`)).toBe(false);
  });

  test("answers as the server did, without it", async () => {
    const { first, second } = await twice(function* (session) {
      const results: unknown[] = [];
      for (const path of ["a?x=1", "missing", "gzip", "bytes", "moved"]) {
        const response = yield* session.get(path);
        results.push([response.status, [...(yield* response.bytes())]]);
      }
      const stream = (function* () {
        yield "one ";
        yield "two";
      })();
      for (const body of ["text", stream]) results.push(yield* (yield* session.post("b", { body })).text());
      results.push(yield* (yield* session.post("b", { json: { a: 1 } })).text());
      return results;
    });
    expect(second).toEqual(first);
    expect(first).toContainEqual([200, [...Buffer.from("unpacked")]]);
    expect(first).toContain("POST /b one two");
    expect(first.at(-1)).toBe('POST /b {"a":1}');
  });

  test("has no secrets in it", async () => {
    const { file } = await twice(function* (session) {
      const headers = {
        authorization: "Bearer secret",
        cookie: "secret=3",
        "X-API-Key": "secret",
        "x-auth-token": "secret",
        "x-harmless": "kept",
      };
      return yield* (yield* session.get("a", { headers })).text();
    });
    const text = readFileSync(file, "utf8");
    expect(text).not.toContain("secret");
    expect(text).toContain("[redacted]");
    expect(text).toContain("kept");
  });

  test("can redact more, be edited, and leave things out", async () => {
    const file = newFile();
    const mock = mockTransport();
    mock.on("GET", "/*").reply((call) => ({ text: call.url, headers: { "x-token": "t" } }));
    await withMock({}, function* () {
      const transport = yield* recordTransport(mock, file, {
        redact: ["X-Token"],
        edit: (exchange) =>
          exchange.request.url.endsWith("/out")
            ? null
            : { ...exchange, request: { ...exchange.request, url: exchange.request.url.replace(/key=\w+/, "key=K") } },
      });
      const session = yield* Session.open({ undici, baseUrl: "http://h.test/", transport });
      const response = yield* session.get("in?key=verysecret");
      expect(response.headers.get("x-token")).toBe("t"); // only the file is redacted
      yield* session.get("out");
    });
    const text = readFileSync(file, "utf8");
    expect(text).toContain("key=K");
    expect(text).not.toMatch(/"t"|\/out/);
  });

  test("is written although the scope fails", async () => {
    const file = newFile();
    const mock = mockTransport();
    mock.on("GET", "/x");
    await withMock({}, function* () {
      const failing = scope(function* () {
        const session = yield* Session.open({ undici, transport: yield* recordTransport(mock, file) });
        yield* session.get("http://h.test/x");
        throw new Error("mine");
      });
      yield* failureOf(failing);
    });
    expect(replayTransport(file).unused).toEqual(["GET http://h.test/x"]);
  });
});

describe("replaying", () => {
  function recording(...requests: readonly (readonly [string, string, string])[]): string {
    const file = newFile();
    const exchanges = requests.map(([method, url, answer]) => ({
      request: { method, url, headers: {}, body: null },
      response: {
        status: 200,
        headers: [
          ["x-a", "1"],
          ["set-cookie", "[redacted]"],
        ],
        body: { text: answer },
      },
    }));
    writeFileSync(file, JSON.stringify({ fibrilRecording: 1, exchanges }));
    return file;
  }

  test("strict: each record answers once, in order; what is left can be seen", async () => {
    const file = recording(["GET", "http://h/a", "1"], ["GET", "http://h/a", "2"], ["GET", "http://h/b?x=1&y=2", "3"]);
    const transport = replayTransport(file);
    await withMock({ transport }, function* (session) {
      expect(yield* (yield* session.get("http://h/a")).text()).toBe("1");
      const second = yield* session.get("http://h/a");
      expect([yield* second.text(), second.headers.has("set-cookie")]).toEqual(["2", false]);
      const used = yield* failureOf(session.get("http://h/a"));
      expect(used).toBeInstanceOf(ReplayMissError);
      expect(String(used)).toContain("GET http://h/a: used already");
      expect(String(yield* failureOf(session.get("http://h/b?y=2&x=1")))).toContain("another query");
      expect(String(yield* failureOf(session.post("http://h/b?x=1&y=2", { body: "" })))).toContain("another method");
      expect(String(yield* failureOf(session.get("http://h/c")))).toContain("nothing like it");
      expect(transport.unused).toEqual(["GET http://h/b?x=1&y=2"]);
    });
  });

  test("strict: the body counts", async () => {
    const file = recording(["POST", "http://h/a", "1"]);
    await withMock({ transport: replayTransport(file) }, function* (session) {
      expect(String(yield* failureOf(session.post("http://h/a", { body: "b" })))).toContain("another body");
      expect(yield* (yield* session.post("http://h/a")).text()).toBe("1");
    });
  });

  test("loose: body and order of the query do not matter, and the last answer stays", async () => {
    const file = recording(["POST", "http://h/a?x=1&y=2", "1"], ["POST", "http://h/a?y=2&x=1", "2"]);
    await withMock({ transport: replayTransport(file, { mode: "loose" }) }, function* (session) {
      for (const answer of ["1", "2", "2", "2"]) {
        expect(yield* (yield* session.post("http://h/a?y=2&x=1", { body: answer })).text()).toBe(answer);
      }
    });
  });

  test("a file that is missing or something else is a clear error", () => {
    expect(() => replayTransport(join(folder, "none.json"))).toThrow(ReplayFileError);
    const other = newFile();
    writeFileSync(other, "[]");
    expect(() => replayTransport(other)).toThrow(/it is no recording/);
    writeFileSync(other, "{");
    expect(() => replayTransport(other)).toThrow(/cannot replay/);
    expect(() => replayTransport(other, { mode: "lax" as never })).toThrow(/strict/);
  });
});
