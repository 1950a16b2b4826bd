import { all, until, UsageError } from "fibril";
import type { Coroutine } from "fibril";
import { CookieJar, CookiePackageMissingError, Session } from "fibril/http";
import { simulate } from "fibril/testing";
import { describe, expect, test } from "vitest";
import * as undici from "undici";
import { mergeCookies } from "../../../src/http/middleware/cookies.ts";
import { importToughCookie } from "../../../src/http/middleware/cookies-package.ts";
import { formatCookiesTxt, parseCookiesTxt } from "../../../src/http/middleware/cookies-txt.ts";
import { withSession } from "../harness.ts";
import { startHttpServer } from "../servers.ts";
import { withMock } from "../mock/sessions.ts";
import type { MockTransport } from "../../../src/http/mock/index.ts";
import { startWebSocketServer } from "../websocket/servers.ts";

/** `/set?<name>=<value>` sets cookies, as headers; everything else tells what came. */
function cookieServer(mock: MockTransport): void {
  mock
    .on("GET", (url) => url.pathname === "/set")
    .reply((call) => ({
      headers: [...new URL(call.url).searchParams.values()].map((value) => ["set-cookie", value] as const),
    }));
  mock.on("*", "/*").reply((call) => ({ text: call.headers["cookie"] ?? "none" }));
}

function* seen(session: Session, url: string): Coroutine<string> {
  return yield* (yield* session.get(url)).text();
}

describe("a session with cookies", () => {
  test("sends back what was set, to the same host and path only", () =>
    withMock({ cookies: true }, function* (session, mock) {
      cookieServer(mock);
      yield* session.get("set", { query: { a: ["a=1", "deep=2; Path=/deep"] } });
      expect(yield* seen(session, "x")).toBe("a=1");
      expect(yield* seen(session, "deep/x")).toBe("deep=2; a=1");
      expect(yield* seen(session, "https://other.test/x")).toBe("none");
      expect(yield* seen(session, "https://sub.api.test/x")).toBe("none");
    }));

  test("without the option no cookie is kept; a request can leave them out or bring a jar", () =>
    withMock({}, function* (session, mock) {
      cookieServer(mock);
      yield* session.get("set", { query: { a: "a=1" } });
      expect(yield* seen(session, "x")).toBe("none");
      const keeping = session.with({ cookies: true });
      yield* keeping.get("set", { query: { a: "a=1" } });
      expect(yield* (yield* keeping.get("x", { cookies: false })).text()).toBe("none");
      const jar = yield* CookieJar.open();
      jar.take("https://api.test/", "mine=7");
      expect(yield* (yield* keeping.get("x", { cookies: jar })).text()).toBe("mine=7");
      expect(yield* seen(keeping, "x")).toBe("a=1");
      expect(yield* seen(session, "x")).toBe("none");
    }));

  test("two sessions have two jars unless they are given one", async () => {
    await withMock({ cookies: true }, function* (session, mock) {
      cookieServer(mock);
      const jar = yield* CookieJar.open();
      const others = [1, 2].map(() => Session.open({ baseUrl: "https://api.test/", transport: mock, cookies: jar }));
      yield* (yield* others[0]!).get("set", { query: { a: "shared=1" } });
      expect(yield* seen(yield* others[1]!, "x")).toBe("shared=1");
      expect(yield* seen(session, "x")).toBe("none");
    });
  });

  test("each hop of a redirect gets its own, and what a hop sets is there for the next", () =>
    withMock({ cookies: true }, function* (session, mock) {
      const hop = (location: string, cookie: string) => ({
        status: 302,
        headers: { location, "set-cookie": cookie },
      });
      mock.on("GET", "https://api.test/login").reply(hop("https://sso.test/in", "api=1"));
      mock.on("GET", "https://sso.test/in").reply(hop("https://api.test/home", "sso=2"));
      mock.on("GET", "https://api.test/home").reply(hop("/end", "api2=3"));
      mock.on("GET", "/end").reply({ text: "end" });
      expect(yield* seen(session, "login")).toBe("end");
      expect(mock.calls.map((call) => call.headers["cookie"])).toEqual([
        undefined,
        undefined,
        "api=1",
        "api=1; api2=3",
      ]);
      yield* session.get("https://sso.test/in");
      expect(mock.calls[4]!.headers["cookie"]).toBe("sso=2");
    }));

  test("cookies for other hosts, public suffixes, insecure Secure and broken prefixes are refused", () =>
    withMock({ cookies: true }, function* (session, mock) {
      cookieServer(mock);
      const bad = [
        "a=1; Domain=other.test",
        "b=1; Domain=test",
        "c=1; Domain=sub.api.test",
        "__Host-d=1; Path=/",
        "__Host-e=1; Secure; Path=/deep",
        "__Host-f=1; Secure; Path=/; Domain=api.test",
        "__Secure-g=1",
        `h=${"x".repeat(4_096)}`,
      ];
      yield* session.get("set", { query: { a: bad } });
      yield* session.get("http://api.test/set", { query: { a: ["i=1; Secure", "__Secure-j=1; Secure"] } });
      expect(yield* seen(session, "x")).toBe("none");
      yield* session.get("set", {
        query: { a: ["__Host-k=1; Secure; Path=/", "l=1; Domain=api.test", "m=1; Secure"] },
      });
      expect(yield* seen(session, "x")).toBe("__Host-k=1; l=1; m=1");
      expect(yield* seen(session, "https://sub.api.test/")).toBe("l=1");
      expect(yield* seen(session, "http://api.test/x")).toBe("l=1"); // Secure ones stay off plain http
    }));

  test("an expired one goes, and Max-Age=0 deletes", () =>
    withMock({ cookies: true }, function* (session, mock) {
      cookieServer(mock);
      yield* session.get("set", {
        query: { a: ["a=1", "b=1; Max-Age=60", "c=1; Expires=Thu, 01 Jan 1970 00:00:01 GMT"] },
      });
      expect(yield* seen(session, "x")).toBe("a=1; b=1");
      yield* session.get("set", { query: { a: "b=1; Max-Age=0" } });
      expect(yield* seen(session, "x")).toBe("a=1");
    }));

  test("a cookie header of the caller's wins, name by name", () => {
    expect(mergeCookies(undefined, "")).toBeUndefined();
    expect(mergeCookies("a=1", "")).toBe("a=1");
    expect(mergeCookies(undefined, "b=2")).toBe("b=2");
    expect(mergeCookies("a=1; b=own", "b=2; c=3")).toBe("a=1; b=own; c=3");
    return withMock({ cookies: true }, function* (session, mock) {
      cookieServer(mock);
      yield* session.get("set", { query: { a: ["a=1", "b=2"] } });
      expect(yield* (yield* session.get("x", { headers: { cookie: "a=own" } })).text()).toBe("a=own; b=2");
    });
  });

  test("many requests at once share one jar", () =>
    withMock({ cookies: true }, function* (session, mock) {
      cookieServer(mock);
      const settings = Array.from({ length: 40 }, (_, i) => session.get("set", { query: { a: `c${i}=1` } }));
      yield* all(settings);
      expect((yield* seen(session, "x")).split("; ")).toHaveLength(40);
    }));

  test("wrong values are refused when the session is opened", async () => {
    const opening = simulate(() => Session.open({ cookies: "jar" as never }));
    await expect(opening).rejects.toThrow(/must be true, false or a CookieJar/);
  });

  test("on the network, and in the handshake of a WebSocket", async () => {
    await using server = await startHttpServer((request, response) => {
      response.setHeader("set-cookie", ["a=1", "b=2"]);
      response.end(request.headers.cookie ?? "none");
    });
    await using sockets = await startWebSocketServer();
    await withSession(undici, { cookies: true, baseUrl: `${server.origin}/` }, function* (session) {
      expect(yield* seen(session, "x")).toBe("none");
      expect(yield* seen(session, "x")).toBe("a=1; b=2");
      const socket = yield* session.webSocket(sockets.url); // cookies do not know ports
      expect(sockets.requests[0]!.headers.cookie).toBe("a=1; b=2");
      yield* socket.close();
      yield* until(sockets.untilOpen(0));
    });
  });
});

describe("a jar", () => {
  const run = <T>(body: () => Coroutine<T>): Promise<T> => simulate(body);

  test("can be listed, changed, emptied", () =>
    run(function* () {
      const jar = yield* CookieJar.open();
      expect(jar.take("https://h.test/a/b", ["a=1; HttpOnly; Secure", "b=2; Path=/; Domain=h.test; Max-Age=100"])).toBe(
        2,
      );
      expect(jar.list()).toMatchObject([
        {
          name: "a",
          value: "1",
          domain: "h.test",
          path: "/a",
          httpOnly: true,
          secure: true,
          hostOnly: true,
          expires: null,
        },
        { name: "b", path: "/", hostOnly: false, httpOnly: false, secure: false },
      ]);
      expect(jar.list()[1]!.expires).toBeGreaterThan(0);
      expect(jar.list("https://h.test/")).toHaveLength(1);
      expect(jar.delete({ name: "a", domain: "h.test", path: "/" })).toBe(false);
      expect(jar.delete(jar.list()[0]!)).toBe(true);
      expect(jar.size).toBe(1);
      jar.clear();
      expect([jar.size, jar.header("https://h.test/")]).toEqual([0, ""]);
    }));

  test("comes back from JSON and from a cookies.txt as it was", () =>
    run(function* () {
      const jar = yield* CookieJar.open();
      jar.take("https://h.test/", ["a=1; HttpOnly; Secure", "b=x=y; Path=/p; Max-Age=1000"]);
      jar.take("https://sub.h.test/", "c=3; Domain=h.test; Max-Age=1000");
      const seconds = (list: ReturnType<CookieJar["list"]>) =>
        list
          .map((it) => ({ ...it, expires: it.expires === null ? null : Math.floor(it.expires / 1_000) }))
          .sort((x, y) => (x.name < y.name ? -1 : 1));
      for (const text of [JSON.stringify(jar), jar.toCookiesTxt()]) {
        const loaded = yield* CookieJar.load(text);
        expect(seconds(loaded.list())).toEqual(seconds(jar.list()));
        expect(loaded.header("https://sub.h.test/")).toBe("c=3");
        expect(loaded.header("http://h.test/p")).toBe("b=x=y; c=3");
      }
    }));

  test("a text that is neither is a clear error", async () => {
    await expect(run(() => CookieJar.load("{}"))).rejects.toThrow(/no saved cookie jar/);
    await expect(run(() => CookieJar.load("# ok\na b c"))).rejects.toThrow(/line 2 of the cookies.txt/);
    await expect(run(() => CookieJar.load(7 as never))).rejects.toThrow(/from a text/);
  });

  test("a server cannot fill the memory", () =>
    run(function* () {
      const jar = yield* CookieJar.open();
      for (let i = 0; i < 1_000; i++) jar.take("https://h.test/", `c${i}=1`);
      expect(jar.size).toBeLessThanOrEqual(180 + 50);
      jar.take("https://keep.test/", "kept=1");
      for (let host = 0; host < 40; host++) {
        for (let i = 0; i < 100; i++) jar.take(`https://h${host}.test/`, `c${i}=1`);
      }
      expect(jar.size).toBeLessThanOrEqual(3_000 + 50);
    }));

  test("a missing or foreign package is a clear error", async () => {
    const missing = importToughCookie(() =>
      Promise.reject(Object.assign(new Error("no"), { code: "ERR_MODULE_NOT_FOUND" })),
    );
    await expect(missing).rejects.toThrow(/npm install tough-cookie/);
    await expect(importToughCookie(() => Promise.resolve({}))).rejects.toBeInstanceOf(CookiePackageMissingError);
  });
});

describe("cookies.txt", () => {
  test("is read as curl writes it", () => {
    const text = [
      "# Netscape HTTP Cookie File",
      "# https://curl.se/docs/http-cookies.html",
      "",
      "#HttpOnly_.example.org\tTRUE\t/\tTRUE\t1893456000\tsid\tabc",
      "example.org\tFALSE\t/p\tFALSE\t0\tempty\t",
      "example.org\tFALSE\t/p\tFALSE\t0\tshort",
    ].join("\r\n");
    expect(parseCookiesTxt(text)).toEqual([
      {
        name: "sid",
        value: "abc",
        domain: "example.org",
        path: "/",
        secure: true,
        httpOnly: true,
        hostOnly: false,
        expires: 1_893_456_000_000,
      },
      {
        name: "empty",
        value: "",
        domain: "example.org",
        path: "/p",
        secure: false,
        httpOnly: false,
        hostOnly: true,
        expires: null,
      },
      {
        name: "short",
        value: "",
        domain: "example.org",
        path: "/p",
        secure: false,
        httpOnly: false,
        hostOnly: true,
        expires: null,
      },
    ]);
    expect(parseCookiesTxt(formatCookiesTxt(parseCookiesTxt(text)))).toEqual(parseCookiesTxt(text));
  });

  test.each([
    "a\tTRUE\t/\tFALSE\t0",
    "a\tTRUE\tx\tFALSE\t0\tn\tv",
    "a\tTRUE\t/\tFALSE\tsoon\tn\tv",
    "\tTRUE\t/\tFALSE\t0\tn\tv",
  ])("a line that is no cookie is named: %j", (line) => expect(() => parseCookiesTxt(`\n${line}`)).toThrow(/line 2/));
});

describe("what would break out of its place", () => {
  const cookie = {
    name: "a",
    value: "1",
    domain: "api.test",
    path: "/",
    secure: false,
    httpOnly: false,
    hostOnly: true,
    expires: null,
  };

  test("a name or value that is more than one cookie, or cannot be sent, is not put in, and not shown", async () => {
    await simulate(function* () {
      const jar = yield* CookieJar.open();
      for (const bad of [{ value: "SECRET; b=2" }, { value: "SECRET\r\nx: y" }, { name: "a=b" }, { name: "a\n" }]) {
        expect(() => jar.put({ ...cookie, ...bad })).toThrow(UsageError);
        expect(() => jar.put({ ...cookie, ...bad })).not.toThrow(/SECRET/);
      }
      expect(jar.size).toBe(0);
    });
  });

  test("a server's tab in a path forges no line of a cookies.txt", async () => {
    await simulate(function* () {
      const jar = yield* CookieJar.open();
      jar.take("https://api.test/", ["good=1", "evil=1; Path=/\tTRUE\t0\tforged\t2"]);
      expect(parseCookiesTxt(jar.toCookiesTxt()).map(({ name }) => name)).toEqual(["good"]);
    });
  });
});
