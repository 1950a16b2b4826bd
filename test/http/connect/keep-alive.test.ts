import { all, sleep, UsageError, until } from "fibril";
import type { Coroutine } from "fibril";
import { Session } from "fibril/http";
import type { SessionOptions } from "fibril/http";
import { describe, expect, test } from "vitest";
import { atRest, failureOf, NOTHING, withSession } from "../harness.ts";
import { ManualTime } from "../manual-time.ts";
import { startHttpServer } from "../servers.ts";
import { undiciVersions } from "../undici-versions.ts";

describe.each(undiciVersions)("how long connections are kept on %s", (_, undici) => {
  test("an idle connection is closed after keepAliveMs, whatever longer time the server offers", async () => {
    await using server = await startHttpServer(); // offers 60 s
    await withSession(undici, { baseUrl: server.origin, keepAliveMs: 20 }, function* (session) {
      const before = performance.now();
      yield* fetchText(session, "/");
      yield* until(server.untilOpen(0));
      expect(performance.now() - before).toBeGreaterThanOrEqual(19); // until then it was kept
      while (session.statistics().idle > 0) yield* sleep(1);
      expect(session.statistics()).toMatchObject({ ...NOTHING, hosts: 0 });
    });
  });

  test("a server that offers less is taken at its word", async () => {
    await using server = await startHttpServer((__, response) => {
      response.setHeader("keep-alive", "timeout=1"); // less than it takes to be sure, so not at all
      response.end("once");
    });
    await withSession(undici, { baseUrl: server.origin, keepAliveMs: 60_000 }, function* (session) {
      for (let i = 0; i < 3; i++) {
        yield* fetchText(session, "/");
        while (session.statistics().idle > 0) yield* sleep(1);
      }
      expect(server.accepted).toBe(3);
    });
  });

  test("without keep-alive each request has a connection of its own", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin, keepAliveMs: 0 }, function* (session) {
      for (let i = 0; i < 3; i++) {
        yield* fetchText(session, "/");
        expect(atRest(session)).toEqual(NOTHING);
      }
      expect(server.accepted).toBe(3);
      yield* until(server.untilOpen(0));
    });
  });

  test("no more connections than allowed are kept idle, and those that were used last", async () => {
    await using first = await startHttpServer();
    await using second = await startHttpServer();
    await withSession(undici, { maxIdle: 3, maxIdlePerHost: 2 }, function* (session) {
      yield* all(Array.from({ length: 5 }, () => () => fetchText(session, first.origin)));
      expect(session.statistics().idle).toBe(2);
      yield* until(first.untilOpen(2));
      yield* all(Array.from({ length: 5 }, () => () => fetchText(session, second.origin)));
      expect(session.statistics().idle).toBe(3);
      yield* until(second.untilOpen(2));
      yield* until(first.untilOpen(1));
    });
    await withSession(undici, { maxIdle: 0 }, function* (session) {
      yield* fetchText(session, first.origin);
      expect(session.statistics().idle).toBe(0);
    });
  });

  test("a connection serves as many requests as allowed, and then makes way for a new one", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin, maxRequestsPerConnection: 3 }, function* (session) {
      for (let i = 0; i < 7; i++) yield* fetchText(session, "/");
      expect(server.accepted).toBe(3);
    });
  });

  test("a connection that is too old serves no further request, idle or not", async () => {
    await using server = await startHttpServer();
    const time = new ManualTime();
    const options: SessionOptions = { baseUrl: server.origin, maxConnectionAgeMs: 1000 };
    const body = function* (session: Session): Coroutine<void> {
      yield* fetchText(session, "/");
      yield* time.pass(999);
      yield* fetchText(session, "/");
      expect(server.accepted).toBe(1);
      yield* time.pass(1);
      expect(session.statistics().idle).toBe(1);
      yield* fetchText(session, "/"); // it was idle when it became too old
      expect(server.accepted).toBe(2);
      const response = yield* session.get("/hold/");
      yield* time.pass(1000);
      server.held[0]!.response.end();
      yield* response.text();
      expect(session.statistics().idle).toBe(0); // it was in use
    };
    await withSession(
      undici,
      options,
      function* (session) {
        void server.until(() => server.held.length === 1).then(() => server.held[0]!.response.write("begin"));
        yield* body(session);
      },
      { clock: time.clock, host: time.host },
    );
  });

  test("a kept connection that broke before anything was written is replaced without a word", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      for (let i = 0; i < 20; i++) {
        yield* fetchText(session, "/");
        for (const socket of server.sockets) socket.destroy(); // the client may hear of it now, or with the next request
        yield* sleep(i % 3);
        const outcome = yield* outcomeOf(fetchText(session, "/"));
        // Once something was written nobody knows what the server has done with it: then it is told.
        if (outcome !== "GET /") expect(outcome).toMatchObject({ reusedConnection: true, afterHeaders: false });
      }
    });
  });
});

test("what cannot be kept so is refused at once", async () => {
  const wrong: readonly SessionOptions[] = [
    { keepAliveMs: -1 },
    { keepAliveMs: Number.NaN },
    { maxIdle: -1 },
    { maxIdlePerHost: 1.5 },
    { maxConnectionAgeMs: -1 },
    { maxRequestsPerConnection: 0 },
    { maxConcurrentStreams: 0 },
    { socketPath: "" },
    { socketPath: "/tmp/socket", proxy: "http://localhost" },
    { dns: { ttlMs: -1 } },
    { dns: { family: 5 as never } },
    { dns: { maxEntries: -1 } },
    { dns: { lookup: 1 as never } },
  ];
  for (const options of wrong) {
    const [, undici] = undiciVersions[0]!;
    await withSession(undici, {}, function* () {
      expect(yield* failureOf(Session.open({ undici, ...options }))).toBeInstanceOf(UsageError);
    });
  }
});

function* outcomeOf(operation: Coroutine<unknown>): Coroutine<unknown> {
  try {
    return yield* operation;
  } catch (error) {
    return error;
  }
}

function* fetchText(session: Session, url: string): Coroutine<string> {
  const response = yield* session.get(url);
  return yield* response.text();
}
