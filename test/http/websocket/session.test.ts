import { createServer } from "node:https";
import { Cancelled, scope, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import { CertificatePinError, SessionClosedError, WebSocketHandshakeError } from "fibril/http";
import type { Session } from "fibril/http";
import * as undici from "undici";
import { WebSocketServer } from "ws";
import { describe, expect, test } from "vitest";
import { certificate, privateKey } from "../certificate.ts";
import { startHttpProxy, startSocksProxy } from "../connect/proxy-servers.ts";
import { failureOf, withSession } from "../harness.ts";
import { hostTurn } from "../manual-time.ts";
import { closedOrigin, listening, startSocketServer } from "../servers.ts";
import { startWebSocketServer } from "./servers.ts";

function* echoed(session: Session, url: string): Coroutine<unknown> {
  return yield* scope(function* () {
    const socket = yield* session.webSocket(url);
    yield* socket.send("hello");
    return yield* socket.messages.receive();
  });
}

const echo: Parameters<typeof startWebSocketServer>[0] = (client) => {
  client.on("message", (data) => client.send(String(data as Buffer)));
};

describe("a session's WebSocket", () => {
  test("uses base URL and headers, and takes no place within the limit", async () => {
    await using server = await startWebSocketServer(echo);
    const baseUrl = `http://127.0.0.1:${server.port}/api/`;
    await withSession(undici, { baseUrl, headers: { "x-own": "1" }, limit: 1 }, function* (session) {
      const sockets = [yield* session.webSocket("feed?a=1"), yield* session.webSocket("/top")];
      expect(session.statistics()).toMatchObject({ active: 0, queued: 0 });
      expect(server.requests.map((request) => request.url)).toEqual(["/api/feed?a=1", "/top"]);
      expect(server.requests[0]!.headers["x-own"]).toBe("1");
      for (const socket of sockets) yield* socket.close();
    });
    await server.untilOpen(0);
  });

  test("goes through an HTTP proxy by a tunnel, and through SOCKS", async () => {
    await using server = await startWebSocketServer(echo);
    await using proxy = await startHttpProxy();
    await using socks = await startSocksProxy();
    for (const url of [proxy.origin, socks.origin.replace("http", "socks5")]) {
      await withSession(undici, { proxy: url }, function* (session) {
        expect(yield* echoed(session, server.url)).toBe("hello");
      });
    }
    expect(proxy.log).toEqual([`CONNECT 127.0.0.1:${server.port}`]);
    expect(socks.accepted).toBe(1);
    await server.untilOpen(0);
    await proxy.untilOpen(0);
    await socks.untilOpen(0);
  });

  test("uses the session's TLS options and pins", async () => {
    const https = createServer({ cert: certificate, key: privateKey });
    const sockets = new WebSocketServer({ server: https });
    sockets.on("connection", (client) => client.on("message", (data) => client.send(String(data as Buffer))));
    await using server = await listening(https);
    const url = `wss://localhost:${server.port}/`;
    await withSession(undici, { tls: { ca: certificate } }, function* (session) {
      expect(yield* echoed(session, url)).toBe("hello");
    });
    await withSession(undici, {}, function* (session) {
      const error = yield* failureOf(session.webSocket(url));
      expect(error).toBeInstanceOf(WebSocketHandshakeError);
      expect((error as Error).cause).toMatchObject({ code: expect.stringMatching(/CERT|SIGN/) as string });
    });
    const pin = [`sha256/${Buffer.alloc(32).toString("base64")}`];
    await withSession(undici, { tls: { ca: certificate }, pin }, function* (session) {
      const error = (yield* failureOf(session.webSocket(url))) as Error;
      expect([error, error.cause].some((it) => it instanceof CertificatePinError || /pin/i.test(String(it)))).toBe(
        true,
      );
    });
    await server.untilOpen(0);
  });

  test("a server that is not there, and a session that is closed, are clear errors", async () => {
    const origin = closedOrigin();
    await withSession(undici, {}, function* (session) {
      const error = yield* failureOf(session.webSocket(origin));
      expect(error).toBeInstanceOf(WebSocketHandshakeError);
      expect((error as Error).cause).toMatchObject({ code: "ECONNREFUSED" });
      yield* session.close();
      expect(yield* failureOf(session.webSocket(origin))).toBeInstanceOf(SessionClosedError);
    });
  });

  test("the end of the session ends those that are open, with 1001, and those that are being opened", async () => {
    await using server = await startWebSocketServer(echo);
    await using silent = await startSocketServer((socket) => void socket.resume());
    await withSession(undici, {}, function* (session) {
      const open = yield* session.webSocket(server.url);
      const again = yield* session.webSocket(server.url);
      yield* again.close();
      const opening = ["ws", "wss"].map((scheme) =>
        spawn(failureOf, session.webSocket(silent.origin.replace("http", scheme))),
      );
      yield* until(silent.untilOpen(2));
      const never = session.webSocket(server.url);
      yield* session.close();
      expect(open.closeStatus).toMatchObject({ code: 1001, wasClean: true });
      for (const task of opening) expect(yield* task).toBeInstanceOf(SessionClosedError);
      expect(yield* failureOf(never)).toBeInstanceOf(SessionClosedError);
      yield* until(silent.untilOpen(0));
      expect(server.closeCodes).toEqual([1000, 1001]);
    });
    await server.untilOpen(0);
  });

  test("the end of the session reaches one in every moment of its opening", async () => {
    await using server = await startWebSocketServer(echo);
    const outcomes = new Set<string>();
    for (let turns = 0; turns < 12 || (outcomes.size < 2 && turns < 500); turns++) {
      await withSession(undici, {}, function* (session) {
        const task = spawn(function* () {
          try {
            const socket = yield* session.webSocket(server.url);
            return yield* socket.closed;
          } catch (error) {
            if (error instanceof SessionClosedError) return error.code;
            throw error;
          }
        });
        for (let i = 0; i < turns; i++) yield* hostTurn();
        yield* session.close();
        const outcome = yield* task;
        outcomes.add(typeof outcome === "string" ? outcome : String(outcome.code));
      });
      await server.untilOpen(0);
    }
    expect([...outcomes].sort()).toEqual(["1001", "HTTP_SESSION_CLOSED"]);
  });

  test("cancelling leaves nothing, in whatever moment it comes: connection, proxy, TLS, handshake", async () => {
    await using server = await startWebSocketServer(echo);
    await using proxy = await startHttpProxy();
    await using silent = await startSocketServer((socket) => void socket.resume());
    for (let turns = 0; turns < 16; turns++) {
      await withSession(undici, { proxy: proxy.origin }, function* (session) {
        const task = spawn(() => echoed(session, server.url));
        for (let i = 0; i < turns; i++) yield* hostTurn();
        yield* task.cancel();
      });
      await server.untilOpen(0);
      await proxy.untilOpen(0);
    }
    for (const scheme of ["ws", "wss"]) {
      await withSession(undici, {}, function* (session) {
        const task = spawn(function* () {
          try {
            return yield* session.webSocket(silent.origin.replace("http", scheme));
          } catch (error) {
            expect(error).toBeInstanceOf(Cancelled);
            throw error;
          }
        });
        yield* until(silent.untilOpen(1));
        yield* task.cancel();
        yield* until(silent.untilOpen(0));
      });
    }
  });
});
