import { EventLoop, run, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import type { Session } from "fibril/http";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createSecureServer as createHttp2Server } from "node:http2";
import { createServer as createTlsServer } from "node:https";
import type { Server } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Dialer } from "../../../src/http/connect/dialer.ts";
import type { ConnectionFacts, Dial } from "../../../src/http/connect/dial.ts";
import { checkConnectOptions } from "../../../src/http/connect/options.ts";
import type { ConnectOptions } from "../../../src/http/connect/options.ts";
import { certificate, privateKey } from "../certificate.ts";
import { failureOf, withSession } from "../harness.ts";
import { hostTurn } from "../manual-time.ts";
import { listening, startSocketServer } from "../servers.ts";
import { undiciVersions } from "../undici-versions.ts";

describe.each(undiciVersions)("sockets on %s", (_, undici) => {
  test("a session talks to a Unix socket, whatever the URL's host is, with TLS and without", async () => {
    await withUnixServer(
      createHttpServer((request, response) => response.end(request.headers.host)),
      async (path) => {
        await withSession(undici, { socketPath: path }, function* (session) {
          expect(yield* fetchText(session, "http://docker/info")).toBe("docker");
          expect(yield* fetchText(session, "http://docker/info")).toBe("docker");
          expect(session.statistics().idle).toBe(1);
        });
      },
    );
    const secure = createTlsServer({ cert: certificate, key: privateKey }, (request, response) =>
      response.end("secure"),
    );
    await withUnixServer(secure, async (path) => {
      await withSession(undici, { socketPath: path, tls: { ca: certificate } }, function* (session) {
        expect(yield* fetchText(session, "https://localhost/")).toBe("secure");
        const error = yield* failureOf(session.get("https://example.org/"));
        expect(error).toMatchObject({ code: "HTTP_CONNECT", systemCode: "ERR_TLS_CERT_ALTNAME_INVALID" });
      });
    });
  });

  test("a Unix socket that is not there is a ConnectError", async () => {
    await withSession(undici, { socketPath: "/nonexistent/socket" }, function* (session) {
      expect(yield* failureOf(session.get("http://localhost/"))).toMatchObject({
        code: "HTTP_CONNECT",
        systemCode: "ENOENT",
      });
    });
  });

  test("closing a session waits until the last socket is gone, also of connections that are being made", async () => {
    await using silent = await startSocketServer((socket) => void socket.resume());
    const served = createHttp2Server({ cert: certificate, key: privateKey, allowHTTP1: true }, (request, response) => {
      if (request.url === "/") response.end();
    });
    await using server = await listening(served);
    const before = openSockets();
    for (const http2 of [false, true]) {
      await withSession(undici, { http2, tls: { ca: certificate } }, function* (session) {
        const urls = [`https://localhost:${silent.port}/`, `https://localhost:${server.port}/hold`];
        for (const url of urls) spawn(failureOf, session.get(url));
        yield* fetchText(session, `https://127.0.0.1:${server.port}/`);
        yield* until(silent.untilOpen(1));
        yield* until(server.untilOpen(2));
        yield* session.close();
        expect(openSockets() - before).toBeLessThanOrEqual(silent.sockets.size + server.sockets.size);
      });
      await silent.untilOpen(0);
      await server.untilOpen(0);
    }
  });

  test("the host header of a request is the name that TLS asks for, as everywhere", async () => {
    const server = createTlsServer({ cert: certificate, key: privateKey }, (request, response) => {
      response.end((request.socket as { servername?: string }).servername || "none");
    });
    await using test = await listening(server);
    const tls = { ca: certificate, checkServerIdentity: () => undefined };
    await withSession(undici, { tls }, function* (session) {
      const url = `https://127.0.0.1:${test.port}/`;
      expect(yield* fetchText(session, url)).toBe("none");
      const response = yield* session.get(url, { headers: { host: "example.org" } });
      expect(yield* response.text()).toBe("example.org");
    });
    await withSession(undici, { tls: { ...tls, servername: "localhost" } }, function* (session) {
      expect(yield* fetchText(session, `https://127.0.0.1:${test.port}/`)).toBe("localhost");
    });
  });
});

test("a new connection tells its address, its protocol, and what took how long", async () => {
  await using plain = await startSocketServer(() => undefined);
  const facts = await dialled(plain.port, false);
  expect(facts).toMatchObject({
    address: "127.0.0.1",
    port: plain.port,
    protocol: "http/1.1",
    isEncrypted: false,
    proxy: undefined,
    proxyMs: 0,
    tlsMs: 0,
  });
  expect(facts.tcpMs).toBeGreaterThan(0);
  await using secure = await listening(createTlsServer({ cert: certificate, key: privateKey }));
  const encrypted = await dialled(secure.port, true, { tls: { ca: certificate } });
  expect(encrypted).toMatchObject({ isEncrypted: true, protocol: "http/1.1" });
  expect(encrypted.dnsMs).toBeGreaterThan(0);
  expect(encrypted.tlsMs).toBeGreaterThan(0);
});

test("a connection that is being made can be given up at any moment, and nothing is left of it", async () => {
  await using plain = await startSocketServer(() => undefined);
  await using secure = await listening(createTlsServer({ cert: certificate, key: privateKey }));
  for (let turns = 0; turns < 8; turns++) {
    for (const server of [plain, secure]) {
      await run(function* () {
        const outcomes: unknown[] = [];
        const dial = begin(server.port, server === secure, {}, (error, socket) => {
          outcomes.push(error);
          socket?.destroy();
        });
        for (let i = 0; i < turns; i++) yield* hostTurn();
        const before = outcomes.length;
        yield* until(dial.cancel());
        for (let i = 0; i < 5; i++) yield* hostTurn();
        expect(outcomes.length).toBe(before);
        yield* until(server.untilOpen(0));
      });
    }
  }
});

test("an attempt that is given up between its failure and the report of it tells nothing more", async () => {
  await run(function* () {
    let calls = 0;
    const dial = begin(1, true, { tls: { minVersion: "TLSv9" } }, () => calls++);
    yield* until(dial.cancel());
    for (let i = 0; i < 3; i++) yield* hostTurn();
    expect(calls).toBe(0);
  });
});

function begin(
  port: number,
  isEncrypted: boolean,
  options: ConnectOptions,
  done: (error: Error | null, socket: Socket | null, facts: ConnectionFacts | null) => void,
): Dial {
  const dialer = new Dialer(EventLoop.current(), checkConnectOptions(options));
  const target = { isEncrypted, hostname: isEncrypted ? "localhost" : "127.0.0.1", port };
  return dialer.dial({ target, servername: null, offersHttp2: false }, done);
}

function dialled(port: number, isEncrypted: boolean, options: ConnectOptions = {}): Promise<ConnectionFacts> {
  return run(function* () {
    const made = new Promise<ConnectionFacts>((resolve, reject) => {
      begin(port, isEncrypted, { ...options, dns: { family: 4 } }, (error, socket, facts) => {
        socket?.destroy();
        if (facts === null) reject(error!);
        else resolve(facts);
      });
    });
    return yield* until(made);
  });
}

/** Sockets of this process, at both ends, that are not closed to the last. */
function openSockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === "TCPSocketWrap").length;
}

async function withUnixServer(server: Server, body: (path: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "fibril-"));
  const path = join(folder, "socket");
  try {
    await new Promise<void>((resolve) => void server.listen(path, resolve));
    await body(path);
  } finally {
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true });
  }
}

function* fetchText(session: Session, url: string): Coroutine<string> {
  const response = yield* session.get(url);
  return yield* response.text();
}
