import { sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import { ConnectError } from "fibril/http";
import type { Session } from "fibril/http";
import { createServer } from "node:https";
import type { TLSSocket } from "node:tls";
import { describe, expect, test } from "vitest";
import { certificate, privateKey } from "./certificate.ts";
import { atRest, failureOf, NOTHING, withSession } from "./harness.ts";
import { listening } from "./servers.ts";
import type { TestServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

let reused = 0;

function startTlsServer(): Promise<TestServer> {
  reused = 0;
  const server = createServer({ cert: certificate, key: privateKey }, (request, response) => {
    if ((request.socket as TLSSocket).isSessionReused()) reused++;
    if (request.url !== "/hold")
      response.end(`${request.method} ${request.url}`, () => request.url === "/last" && request.socket.destroy());
  });
  return listening(server);
}

describe.each(undiciVersions)("TLS on %s", (_, undici) => {
  test("options for Node's tls reach it; connections are kept, and later ones resume the TLS session", async () => {
    await using server = await startTlsServer();
    const baseUrl = `https://localhost:${server.port}/`;
    await withSession(undici, { baseUrl, tls: { ca: certificate } }, function* (session) {
      for (let i = 0; i < 3; i++) expect(yield* fetchText(session, `/${i}`)).toBe(`GET /${i}`);
      expect(server.accepted).toBe(1);
      // undici keeps the TLS session weakly: when the garbage collector has just taken it, the next connection has it again.
      for (let attempt = 0; attempt < 20 && reused === 0; attempt++) {
        yield* fetchText(session, "/last");
        while (session.statistics().idle > 0) yield* sleep(1);
        expect(yield* fetchText(session, "/again")).toBe("GET /again");
      }
      expect(reused).toBeGreaterThan(0);
    });
  });

  test("a certificate that is not trusted, or for another name, is a ConnectError", async () => {
    await using server = await startTlsServer();
    await withSession(undici, {}, function* (session) {
      const error = (yield* failureOf(session.get(`https://localhost:${server.port}/`))) as ConnectError;
      expect(error).toBeInstanceOf(ConnectError);
      expect(error.systemCode).toBe("DEPTH_ZERO_SELF_SIGNED_CERT");
    });
    const servername = "example.org";
    await withSession(undici, { tls: { ca: certificate, servername } }, function* (session) {
      const error = (yield* failureOf(session.get(`https://127.0.0.1:${server.port}/`))) as ConnectError;
      expect(error.systemCode).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
      expect(atRest(session)).toEqual(NOTHING);
    });
  });

  test("TLS options that Node refuses are a ConnectError, too", async () => {
    await withSession(undici, { tls: { ca: certificate, minVersion: "TLSv9" } }, function* (session) {
      expect(yield* failureOf(session.get("https://127.0.0.1:1/"))).toMatchObject({
        code: "HTTP_CONNECT",
        systemCode: "ERR_TLS_INVALID_PROTOCOL_VERSION",
      });
    });
  });

  test("cancelling closes an encrypted connection at once", async () => {
    await using server = await startTlsServer();
    const baseUrl = `https://127.0.0.1:${server.port}/`;
    await withSession(undici, { baseUrl, tls: { ca: certificate }, limit: 1 }, function* (session) {
      const task = spawn(fetchText, session, "/hold");
      yield* until(server.untilOpen(1));
      while (task.waitingFor?.endsWith(", headers") !== true)
        yield* until(new Promise((resolve) => setImmediate(resolve)));
      yield* task.cancel();
      expect(atRest(session)).toEqual(NOTHING);
      yield* until(server.untilOpen(0));
      expect(yield* fetchText(session, "/after")).toBe("GET /after");
    });
  });
});

function* fetchText(session: Session, url: string): Coroutine<string> {
  const response = yield* session.get(url);
  return yield* response.text();
}
