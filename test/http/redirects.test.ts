import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { BodyConsumedError, InvalidUrlError, TooManyRedirects } from "fibril/http";
import type { HttpRequest, Next, SessionOptions, UndiciModule } from "fibril/http";
import { describe, expect, test } from "vitest";
import { certificate, privateKey } from "./certificate.ts";
import { atRest, failureOf, withSession } from "./harness.ts";
import { bodyOf, listening, startHttpServer } from "./servers.ts";
import type { HttpTestServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

/** `/go/302?to=/x` redirects; everything else shows what arrived. */
function startRedirector(): Promise<HttpTestServer> {
  return startHttpServer((request, response) => {
    const url = new URL(request.url!, "http://h");
    const status = /^\/go\/(\d+)$/.exec(url.pathname)?.[1];
    if (status !== undefined) {
      response.writeHead(Number(status), { location: url.searchParams.get("to")! }).end("moved");
      return;
    }
    void bodyOf(request).then((body) => {
      response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body }));
    });
  });
}

interface Echo {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The rules are the same on the short way and through the pipeline. */
const ways: readonly (readonly [string, UndiciModule, SessionOptions])[] = undiciVersions.flatMap(([name, undici]) => [
  [name, undici, {}] as const,
  [
    `${name} through the pipeline`,
    undici,
    { middleware: (request: HttpRequest, next: Next) => next(request) },
  ] as const,
]);

describe.each(ways)("redirects on %s", (_, undici, way) => {
  test("are followed, and the response says which way it came; one connection serves all", async () => {
    await using server = await startRedirector();
    await withSession(undici, { ...way, baseUrl: server.origin }, function* (session) {
      const response = yield* session.get("/go/302?to=/go/301%3Fto%3D%2Fend");
      expect(response.url).toBe(`${server.origin}/end`);
      expect(response.redirects).toEqual([
        {
          status: 302,
          url: `${server.origin}/go/302?to=/go/301%3Fto%3D%2Fend`,
          location: `${server.origin}/go/301?to=/end`,
        },
        { status: 301, url: `${server.origin}/go/301?to=/end`, location: `${server.origin}/end` },
      ]);
      expect(yield* response.json()).toMatchObject({ url: "/end" });
      expect(server.accepted).toBe(1);
    });
  });

  test("POST becomes GET on 301, 302 and 303, without the body and what described it", async () => {
    await using server = await startRedirector();
    await withSession(undici, { ...way, baseUrl: server.origin }, function* (session) {
      for (const status of [301, 302, 303]) {
        const response = yield* session.post(`/go/${status}?to=/end`, { json: { a: 1 }, headers: { "x-kept": "1" } });
        expect(response.method).toBe("GET");
        const { method, headers, body } = yield* response.json<Echo>();
        expect([method, body, headers["x-kept"]]).toEqual(["GET", "", "1"]);
        expect(headers).not.toHaveProperty("content-type");
        expect(headers).not.toHaveProperty("content-length");
      }
    });
  });

  test("307 and 308 send method and body again", async () => {
    await using server = await startRedirector();
    await withSession(undici, { ...way, baseUrl: server.origin }, function* (session) {
      for (const status of [307, 308]) {
        const json = yield* (yield* session.put(`/go/${status}?to=/end`, { json: 1 })).json();
        expect(json).toMatchObject({ method: "PUT", body: "1", headers: { "content-type": "application/json" } });
        const list = yield* (yield* session.post(`/go/${status}?to=/end`, { body: ["a", "b"] })).json();
        expect(list).toMatchObject({ method: "POST", body: "ab" });
      }
    });
  });

  test("a stream that is used up cannot be sent again", async () => {
    await using server = await startRedirector();
    async function* once(): AsyncGenerator<string> {
      yield "a";
    }
    await withSession(undici, { ...way, baseUrl: server.origin }, function* (session) {
      const error = yield* failureOf(session.post("/go/307?to=/end", { body: once() }));
      expect(error).toBeInstanceOf(BodyConsumedError);
      expect((yield* session.post("/go/303?to=/end", { body: once() })).status).toBe(200);
    });
  });

  test("credentials stay with their origin", async () => {
    await using other = await startRedirector();
    await using server = await startRedirector();
    const headers = {
      authorization: "Bearer secret",
      cookie: "a=1",
      "proxy-authorization": "Basic eA==",
      "x-kept": "1",
    };
    await withSession(undici, { ...way, baseUrl: server.origin, headers }, function* (session) {
      const same = yield* (yield* session.get("/go/302?to=/end")).json<Echo>();
      expect(same.headers).toMatchObject(headers);
      const cross = yield* (yield* session.get(`/go/302?to=${other.origin}/end`)).json<Echo>();
      expect(cross.headers).toMatchObject({ "x-kept": "1", host: `127.0.0.1:${other.port}` });
      for (const name of ["authorization", "cookie", "proxy-authorization"])
        expect(cross.headers).not.toHaveProperty(name);
      // Neither do they come back with a redirect to where they belong: what was dropped stays dropped.
      const back = yield* (yield* session.get(
        `/go/302?to=${other.origin}/go/302%3Fto%3D${server.origin}/end`,
      )).json<Echo>();
      expect(back.headers).not.toHaveProperty("authorization");
      const inUrl = yield* (yield* session.get(
        `http://me:pw@127.0.0.1:${server.port}/go/302?to=${other.origin}/end`,
      )).json<Echo>();
      expect(inUrl.headers).not.toHaveProperty("authorization");
    });
  });

  test("more than maxRedirects are an error with the whole way", async () => {
    await using server = await startHttpServer((request, response) => {
      response.writeHead(302, { location: `/${Number(request.url!.slice(1)) + 1}` }).end();
    });
    await withSession(undici, { ...way, baseUrl: server.origin }, function* (session) {
      const error = (yield* failureOf(session.get("/0"))) as TooManyRedirects;
      expect(error).toBeInstanceOf(TooManyRedirects);
      expect(error.redirects).toHaveLength(11);
      expect(error.message).toMatch(/redirected more than 10 times, last to http:\/\/127\.0\.0\.1:\d+\/11;/);
      expect(yield* failureOf(session.get("/0", { maxRedirects: 0 }))).toMatchObject({
        code: "HTTP_TOO_MANY_REDIRECTS",
      });
      expect(server.log).toHaveLength(12);
      expect(atRest(session)).toMatchObject({ active: 0, queued: 0 });
    });
  });

  test("manual gives the redirect itself; a 3xx without Location is an answer", async () => {
    await using server = await startHttpServer((request, response) => {
      response.writeHead(302, request.url === "/bare" ? {} : { location: "/next" }).end("moved");
    });
    await withSession(undici, { ...way, baseUrl: server.origin }, function* (session) {
      const manual = yield* session.get("/", { redirect: "manual" });
      expect([manual.status, manual.headers.get("location"), yield* manual.text()]).toEqual([302, "/next", "moved"]);
      expect((yield* session.get("/bare")).status).toBe(302);
    });
  });

  test("a redirect to something that is no http URL is an error", async () => {
    await using server = await startRedirector();
    await withSession(undici, { ...way, baseUrl: server.origin }, function* (session) {
      for (const to of ["ftp://host/", "http://", "javascript:1"]) {
        expect(yield* failureOf(session.get(`/go/302?to=${encodeURIComponent(to)}`))).toBeInstanceOf(InvalidUrlError);
      }
      expect(atRest(session)).toMatchObject({ active: 0 });
    });
  });

  test("a redirect whose body is large, or never ends, is followed all the same", async () => {
    await using server = await startHttpServer((request, response) => {
      if (request.url === "/end") response.end("end");
      else {
        response.writeHead(302, {
          location: "/end",
          ...(request.url === "/large" ? { "content-length": 1_000_000 } : {}),
        });
        response.write("x");
      }
    });
    await withSession(undici, { ...way, baseUrl: server.origin, limit: 1 }, function* (session) {
      expect(yield* (yield* session.get("/large")).text()).toBe("end");
      expect(yield* (yield* session.get("/endless")).text()).toBe("end");
      expect(atRest(session)).toEqual({ active: 0, queued: 0, connecting: 0, idle: 1 });
    });
  });

  test("a step down to http is a step to another origin; what referred to the first page stays behind as well", async () => {
    await using plain = await startRedirector();
    const answer = (_request: IncomingMessage, response: ServerResponse): void =>
      void response.writeHead(307, { location: `${plain.origin}/end` }).end();
    await using secure = await listening(createSecureServer({ cert: certificate, key: privateKey }, answer));
    const headers = { authorization: "Bearer secret", referer: "https://localhost/page?secret=1", "x-kept": "1" };
    await withSession(undici, { ...way, headers, tls: { ca: certificate } }, function* (session) {
      const echo = yield* (yield* session.get(`https://localhost:${secure.port}/`)).json<Echo>();
      expect(echo.headers).toMatchObject({ "x-kept": "1" });
      expect(echo.headers).not.toHaveProperty("authorization");
      expect(echo.headers).not.toHaveProperty("referer");
    });
  });

  test("the fragment of a Location goes nowhere; spaces and UTF-8 in it are understood", async () => {
    await using server = await startRedirector();
    await withSession(undici, { ...way, baseUrl: server.origin }, function* (session) {
      const response = yield* session.get("/go/302?to=/end%23part");
      expect([response.url, (yield* response.json<Echo>()).url]).toEqual([`${server.origin}/end`, "/end"]);
      const strange = yield* session.get("/go/302?to=/a%20b");
      expect((yield* strange.json<Echo>()).url).toBe("/a%20b");
      const relative = yield* session.get("/go/302?to=..%2F.%2Fx%3Fq");
      expect((yield* relative.json<Echo>()).url).toBe("/x?q");
    });
  });

  test("timings add up over redirects", async () => {
    await using server = await startHttpServer((request, response) => {
      setTimeout(() => response.writeHead(request.url === "/end" ? 200 : 302, { location: "/end" }).end(), 20);
    });
    await withSession(undici, { ...way, baseUrl: server.origin }, function* (session) {
      const response = yield* session.get("/");
      yield* response.text();
      expect(response.timings.headersMs).toBeGreaterThanOrEqual(38);
      expect(response.timings.totalMs).toBeGreaterThanOrEqual(response.timings.headersMs);
    });
  });
});
