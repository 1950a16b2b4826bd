import { all, sleep, spawn, UsageError, until } from "fibril";
import type { Coroutine } from "fibril";
import { ProxyError, Session } from "fibril/http";
import type { SessionOptions } from "fibril/http";
import { createServer } from "node:https";
import { inspect } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { proxyEnvironment } from "../../../src/http/connect/environment.ts";
import { parseProxy } from "../../../src/http/connect/proxy.ts";
import { importSocks } from "../../../src/http/connect/tunnel.ts";
import { certificate, privateKey } from "../certificate.ts";
import { atRest, failureOf, NOTHING, withSession } from "../harness.ts";
import { closedOrigin, listening, startHttpServer, startSocketServer } from "../servers.ts";
import type { TestServer } from "../servers.ts";
import { undiciVersions } from "../undici-versions.ts";
import { startHttpProxy, startSocksProxy } from "./proxy-servers.ts";

const tls = { ca: certificate };

describe.each(undiciVersions)("proxies on %s", (_, undici) => {
  test("http: goes to the proxy as it is, and the connection is kept", async () => {
    await using proxy = await startHttpProxy();
    await using server = await startHttpServer((request, response) => {
      response.end(`${request.url} for ${request.headers.host} ${request.headers["proxy-authorization"] ?? ""}`);
    });
    const options: SessionOptions = { proxy: { url: proxy.origin, headers: { "X-Gate": "7" } } };
    await withSession(undici, options, function* (session) {
      const url = `http://fibril.test:${server.port}/path?query=1`;
      for (let i = 0; i < 2; i++) {
        expect(yield* fetchText(session, url)).toBe(`/path?query=1 for fibril.test:${server.port} `);
      }
      expect(proxy.log).toEqual([`GET ${url}`, `GET ${url}`]);
      expect(proxy.headers[0]).toMatchObject({ "x-gate": "7" });
      expect(proxy.accepted).toBe(1);
    });
  });

  test("https: goes through a tunnel, on which TLS speaks to the server itself", async () => {
    await using proxy = await startHttpProxy();
    await using server = await startTlsServer();
    await withSession(undici, { proxy: proxy.origin, tls }, function* (session) {
      for (let i = 0; i < 2; i++)
        expect(yield* fetchText(session, `https://localhost:${server.port}/`)).toBe("secure /");
      expect(proxy.log).toEqual([`CONNECT localhost:${server.port}`]);
      expect(session.statistics()).toMatchObject({ idle: 1, hosts: 1 });
    });
    await server.untilOpen(0);
    await proxy.untilOpen(0);
  });

  test("an https: proxy is spoken to over TLS, with TLS options of its own", async () => {
    await using proxy = await startHttpProxy({ isEncrypted: true });
    await using secure = await startTlsServer();
    await using plain = await startHttpServer();
    const url = `https://localhost:${proxy.port}`;
    await withSession(undici, { proxy: { url, tls }, tls }, function* (session) {
      expect(yield* fetchText(session, `https://localhost:${secure.port}/`)).toBe("secure /");
      expect(yield* fetchText(session, `http://localhost:${plain.port}/`)).toBe("GET /");
    });
    await withSession(undici, { proxy: url, tls }, function* (session) {
      const error = yield* failureOf(session.get(`https://localhost:${secure.port}/`));
      expect(error).toMatchObject({ code: "HTTP_PROXY", phase: "connect", proxy: url });
    });
    await proxy.untilOpen(0);
  });

  test.each(["socks5h", "socks5", "socks4a", "socks4"])("%s: carries http: and https:", async (scheme) => {
    await using proxy = await startSocksProxy();
    await using secure = await startTlsServer();
    await using plain = await startHttpServer();
    const url = `${scheme}://127.0.0.1:${proxy.port}`;
    const name = scheme === "socks5h" || scheme === "socks4a" ? "localhost" : "127.0.0.1";
    await withSession(undici, { proxy: url, tls, dns: { family: 4 } }, function* (session) {
      for (let i = 0; i < 2; i++) {
        expect(yield* fetchText(session, `https://localhost:${secure.port}/`)).toBe("secure /");
        expect(yield* fetchText(session, `http://localhost:${plain.port}/`)).toBe("GET /");
      }
      expect(proxy.log).toEqual([`${name}:${secure.port}`, `${name}:${plain.port}`]);
    });
    await proxy.untilOpen(0);
  });

  test("a proxy gets user and password, and no message does", async () => {
    const credentials = "user@home:p:ss wörd";
    const inUrl = "user%40home:p%3Ass%20w%C3%B6rd";
    await using good = await startHttpProxy({ credentials });
    await using secure = await startTlsServer();
    await using plain = await startHttpServer();
    const urls = [`https://localhost:${secure.port}/`, `http://localhost:${plain.port}/`];
    await withSession(undici, { proxy: `http://${inUrl}@127.0.0.1:${good.port}`, tls }, function* (session) {
      for (const url of urls) yield* fetchText(session, url);
    });
    await withSession(undici, { proxy: `http://${inUrl}2@127.0.0.1:${good.port}`, tls }, function* (session) {
      for (const url of urls) {
        const error = (yield* failureOf(session.get(url))) as ProxyError;
        expect(error).toBeInstanceOf(ProxyError);
        expect(error).toMatchObject({ code: "HTTP_PROXY", status: 407, phase: "answer", proxy: good.origin });
        expect(error.message).toContain("check user name and password");
        expect(inspect(error, { depth: 10 })).not.toMatch(/home|w%C3|ss w|p%3A/);
      }
      expect(atRest(session)).toEqual(NOTHING);
    });
    await using socks = await startSocksProxy({ credentials });
    await withSession(undici, { proxy: `socks5h://${inUrl}@127.0.0.1:${socks.port}`, tls }, function* (session) {
      for (const url of urls) yield* fetchText(session, url);
    });
    await withSession(undici, { proxy: `socks5h://${inUrl}2@127.0.0.1:${socks.port}`, tls }, function* (session) {
      const error = yield* failureOf(session.get(urls[0]!));
      expect(error).toMatchObject({ code: "HTTP_PROXY", phase: "answer" });
      expect(inspect(error, { depth: 10 })).not.toMatch(/home|w%C3|ss w|p%3A/);
    });
  });

  test("credentials that SOCKS cannot carry are refused at once, without being shown", () => {
    for (const secret of ["p".repeat(256), "p%00p"]) {
      expect(() => parseProxy(`socks5://user:${secret}@proxy.test`)).toThrow(/^(?!.*pp)(?!.*p%00).*at most 255 bytes/);
      expect(() => parseProxy(`http://user:${secret}@proxy.test`)).not.toThrow();
    }
  });

  test("a name that SOCKS cannot carry is a ProxyError, not the end of the process", async () => {
    await using socks = await startSocksProxy();
    await withSession(undici, { proxy: `socks5h://127.0.0.1:${socks.port}` }, function* (session) {
      const error = yield* failureOf(session.get(`http://${"a".repeat(300)}.test/`));
      expect(error).toMatchObject({ code: "HTTP_PROXY" });
    });
  });

  test("a SOCKS handshake, ended or cancelled, leaves no timer, and has no limit of its own", async () => {
    const delays: (number | undefined)[] = [];
    const original = globalThis.setTimeout;
    const timers = vi.spyOn(globalThis, "setTimeout").mockImplementation(((...args: Parameters<typeof original>) => {
      if (new Error("here").stack!.includes("socksclient")) delays.push(args[1]);
      return original(...args);
    }) as typeof original);
    try {
      await using server = await startHttpServer();
      await using good = await startSocksProxy();
      await withSession(undici, { proxy: good.origin.replace("http", "socks5") }, function* (session) {
        expect(yield* fetchText(session, `${server.origin}/`)).toBe("GET /");
      });
      await using stalling = await startSocksProxy({ stalls: true });
      await withSession(undici, { proxy: stalling.origin.replace("http", "socks5") }, function* (session) {
        const task = spawn(() => session.get(`${server.origin}/`));
        yield* until(stalling.until(() => stalling.log.length === 1));
        yield* sleep(20); // longer than the timer of the package
        expect(task.state).toBe("waiting");
        task.cancel();
      });
      await stalling.untilOpen(0);
      expect(delays).toEqual([1, 1]);
    } finally {
      timers.mockRestore();
    }
  });

  test("what a proxy does wrong is a ProxyError with its phase", async () => {
    await using secure = await startTlsServer();
    await using busy = await startHttpProxy({ status: 503 });
    await using cutter = await startSocketServer((socket) => void socket.once("data", () => socket.destroy()));
    await using babbler = await startSocketServer(
      (socket) => void socket.once("data", () => socket.end("what?\r\n\r\n")),
    );
    await using refusing = await startSocksProxy({ refuses: true });
    const closed = closedOrigin();
    const cases: [proxy: string, expected: object][] = [
      [busy.origin, { phase: "answer", status: 503 }],
      [closed, { phase: "connect", proxy: closed }],
      [cutter.origin, { phase: "handshake" }],
      [babbler.origin, { phase: "handshake" }],
      [cutter.origin.replace("http", "socks5"), { phase: "handshake" }],
      [babbler.origin.replace("http", "socks5"), { phase: "handshake" }],
      [refusing.origin.replace("http", "socks5"), { phase: "answer" }],
      [refusing.origin.replace("http", "socks4"), { phase: "answer" }],
      ["http://fibril.test:1", { phase: "connect" }],
    ];
    const lookup = (): Promise<never> =>
      Promise.reject(Object.assign(new Error("no such name"), { code: "ENOTFOUND" }));
    for (const [proxy, expected] of cases) {
      const dns = proxy.includes("fibril.test") ? { lookup } : { family: 4 as const };
      await withSession(undici, { proxy, tls, dns }, function* (session) {
        const error = yield* failureOf(session.get(`https://localhost:${secure.port}/`));
        expect(error).toBeInstanceOf(ProxyError);
        expect(error).toMatchObject(expected);
        expect(atRest(session)).toEqual(NOTHING);
      });
    }
    // What goes wrong behind the proxy is not the proxy's.
    await using good = await startHttpProxy();
    await withSession(undici, { proxy: good.origin }, function* (session) {
      const error = yield* failureOf(session.get(`https://localhost:${secure.port}/`));
      expect(error).toMatchObject({ code: "HTTP_CONNECT", systemCode: "DEPTH_ZERO_SELF_SIGNED_CERT" });
    });
    await secure.untilOpen(0);
  });

  test("cancelling in each phase of a proxy closes the socket", async () => {
    await using silent = await startSocketServer((socket) => void socket.resume());
    await using stalling = await startHttpProxy({ stalls: true });
    await using socks = await startSocksProxy({ stalls: true });
    await using open = await startHttpProxy();
    const origin = silent.origin.replace("127.0.0.1", "localhost");
    const cases: [proxy: string, server: TestServer, isThere: () => boolean][] = [
      [origin.replace("http", "https"), silent, () => silent.sockets.size === 1], // TLS with the proxy
      [stalling.origin, stalling, () => stalling.log.length === 1], // CONNECT
      [socks.origin.replace("http", "socks5"), socks, () => socks.log.length === 1],
      [open.origin, silent, () => silent.sockets.size === 1], // TLS with the server
    ];
    for (const [proxy, server, isThere] of cases) {
      for (const ending of ["cancel", "close"] as const) {
        await withSession(undici, { proxy, limit: 1 }, function* (session) {
          const request = spawn(failureOf, session.get(origin.replace("http", "https")));
          yield* until(server.until(isThere));
          expect(atRest(session)).toEqual({ ...NOTHING, active: 1, connecting: 1 });
          if (ending === "cancel") yield* request.cancel();
          else yield* session.close();
          expect(atRest(session)).toEqual(NOTHING);
          yield* until(server.untilOpen(0));
        });
        for (const each of [stalling, socks]) each.log.length = 0;
      }
    }
    await open.untilOpen(0);
  });

  test("limits count by target, not by proxy", async () => {
    await using proxy = await startHttpProxy();
    await using first = await startHttpServer();
    await using second = await startHttpServer();
    await withSession(undici, { proxy: proxy.origin, limitPerHost: 1 }, function* (session) {
      const urls = [first, second].flatMap(({ origin }) => [`${origin}/hold`, `${origin}/hold`]);
      const tasks = urls.map((url) => spawn(fetchText, session, url));
      yield* until(first.until(() => first.held.length === 1));
      yield* until(second.until(() => second.held.length === 1));
      expect(session.statistics()).toMatchObject({ active: 2, queued: 2 });
      for (const server of [first, second]) {
        server.held[0]!.response.end();
        yield* until(server.until(() => server.held.length === 2));
        server.held[1]!.response.end();
      }
      yield* all(tasks);
      expect([first.mostInFlight, second.mostInFlight]).toEqual([1, 1]);
    });
  });

  test("hosts in noProxy are reached directly", async () => {
    await using server = await startHttpServer();
    const proxy = { url: closedOrigin(), noProxy: "127.0.0.0/8" };
    await withSession(undici, { proxy }, function* (session) {
      expect(yield* fetchText(session, server.origin)).toBe("GET /");
      const error = yield* failureOf(session.get(`http://localhost:${server.port}/`));
      expect(error).toBeInstanceOf(ProxyError);
    });
  });

  test("an upload and a large answer come through a tunnel whole", async () => {
    await using proxy = await startSocksProxy();
    await using server = await listening(
      createServer({ cert: certificate, key: privateKey }, (request, response) => void request.pipe(response)),
    );
    await withSession(undici, { proxy: `socks5h://127.0.0.1:${proxy.port}`, tls }, function* (session) {
      const body = "0123456789".repeat(200_000);
      const response = yield* session.post(`https://localhost:${server.port}/`, { body });
      expect((yield* response.text()) === body).toBe(true);
    });
  });
});

describe("the environment", () => {
  test("is asked for by name only, and lower case goes first", () => {
    expect(proxyEnvironment({})).toEqual({ http: undefined, https: undefined, noProxy: "" });
    const both = { http_proxy: "http://lower", HTTP_PROXY: "http://upper", NO_PROXY: "a,b", HTTPS_PROXY: "http://tls" };
    expect(proxyEnvironment(both)).toEqual({ http: "http://lower", https: "http://tls", noProxy: "a,b" });
    expect(proxyEnvironment({ ALL_PROXY: "socks5://all", https_proxy: "" })).toMatchObject({
      http: "socks5://all",
      https: "socks5://all",
    });
  });

  test("a header of a CGI request is not taken for HTTP_PROXY", () => {
    expect(proxyEnvironment({ REQUEST_METHOD: "GET", HTTP_PROXY: "http://evil" }).http).toBeUndefined();
    expect(proxyEnvironment({ REQUEST_METHOD: "GET", http_proxy: "http://own" }).http).toBe("http://own");
  });

  test("sets the proxy of a session that asks for it, and of no other", async () => {
    const [, undici] = undiciVersions[0]!;
    await using proxy = await startHttpProxy();
    await using server = await startHttpServer();
    const { http_proxy: proxyBefore, no_proxy: exceptBefore } = process.env;
    process.env["http_proxy"] = `127.0.0.1:${proxy.port}`; // without a scheme, as many write it
    process.env["no_proxy"] = "nothing.test";
    try {
      await withSession(undici, { proxy: "environment" }, function* (session) {
        expect(yield* fetchText(session, server.origin)).toBe("GET /");
      });
      expect(proxy.log).toHaveLength(1);
      await withSession(undici, {}, function* (session) {
        expect(yield* fetchText(session, server.origin)).toBe("GET /");
      });
      expect(proxy.log).toHaveLength(1);
    } finally {
      delete process.env["http_proxy"];
      delete process.env["no_proxy"];
      if (proxyBefore !== undefined) process.env["http_proxy"] = proxyBefore;
      if (exceptBefore !== undefined) process.env["no_proxy"] = exceptBefore;
    }
  });
});

test.each([
  ["example.org", "example.org", 443, true],
  ["example.org", "www.example.org", 443, true],
  ["example.org", "notexample.org", 443, false],
  [".example.org", "example.org", 80, true],
  ["*.example.org", "a.b.example.org", 80, true],
  ["Example.ORG", "example.org", 80, true],
  ["example.org:8080", "example.org", 8080, true],
  ["example.org:8080", "example.org", 80, false],
  ["a, b  example.org", "example.org", 80, true],
  ["*", "anything", 1, true],
  ["10.0.0.0/8", "10.1.2.3", 80, true],
  ["10.0.0.0/8", "11.1.2.3", 80, false],
  ["10.0.0.0/8", "10.example.org", 80, false],
  ["192.0.2.7", "192.0.2.7", 80, true],
  ["192.0.2.7:81", "192.0.2.7", 80, false],
  ["::1", "::1", 80, true],
  ["[::1]:81", "::1", 81, true],
  ["[::1]:81", "::1", 80, false],
  ["fd00::/8", "fd12::1", 80, true],
  ["10.0.0.0/99, nonsense/8", "10.0.0.1", 80, false],
  ["", "example.org", 80, false],
])("noProxy %j and host %s:%d: direct is %s", (noProxy, host, port, isDirect) => {
  const route = parseProxy({ url: "http://proxy.test", noProxy }).route("https:", host, port);
  expect(route === null).toBe(isDirect);
});

test("what cannot be a proxy is refused at once, without showing its password", async () => {
  const [, undici] = undiciVersions[0]!;
  const wrong = ["", "nothing", "ftp://host", "http://user:secret@", "http://user:secret@host:port", "http://a:%zz@b"];
  await withSession(undici, {}, function* () {
    for (const proxy of [...wrong, { url: "socks5://host", headers: { a: "b" } }]) {
      const error = (yield* failureOf(Session.open({ undici, proxy }))) as Error;
      expect(error).toBeInstanceOf(UsageError);
      expect(inspect(error)).not.toContain("secret");
    }
  });
});

test("without the package socks the error says what to install", async () => {
  const missing = new Error("Cannot find package 'socks'");
  await expect(importSocks(() => Promise.reject(missing))).rejects.toMatchObject({
    code: "HTTP_SOCKS_MISSING",
    message: expect.stringContaining('run "npm install socks"') as string,
    cause: missing,
  });
});

function startTlsServer(): Promise<TestServer> {
  return listening(
    createServer({ cert: certificate, key: privateKey }, (request, response) => response.end(`secure ${request.url}`)),
  );
}

function* fetchText(session: Session, url: string): Coroutine<string> {
  const response = yield* session.get(url);
  return yield* response.text();
}
