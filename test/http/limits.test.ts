import { DeadlockError, run, scope, spawn, until, yieldNow } from "fibril";
import type { Coroutine } from "fibril";
import { Session } from "fibril/http";
import { describe, expect, test } from "vitest";
import { atRest, failureOf, withSession } from "./harness.ts";
import { hostTurn, ManualTime } from "./manual-time.ts";
import { startHttpServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

describe.each(undiciVersions)("limits on %s", (_, undici) => {
  test("1000 requests with a limit of 7: never more than 7 requests or connections at the server, all answered", async () => {
    await using server = await startHttpServer((request, response) => {
      setImmediate(() => response.end(request.url));
    });
    await withSession(undici, { baseUrl: server.origin, limit: 7 }, function* (session) {
      const tasks = Array.from({ length: 1000 }, (__, i) => spawn(fetchText, session, `/${i}`));
      for (const [i, task] of tasks.entries()) expect(yield* task).toBe(`/${i}`);
      expect(server.log).toHaveLength(1000);
      expect(server.mostInFlight).toBeLessThanOrEqual(7);
      expect(server.mostOpen).toBe(7);
      expect(server.accepted).toBe(7);
      expect(atRest(session)).toEqual({ active: 0, queued: 0, connecting: 0, idle: 7 });
    });
  });

  test("requests are sent in the order in which they were made, over all hosts", async () => {
    await using one = await startHttpServer();
    await using two = await startHttpServer();
    const order: string[] = [];
    await withSession(undici, { limit: 1 }, function* (session) {
      for (let i = 0; i < 40; i++) {
        const server = i % 3 === 0 ? one : two;
        spawn(function* () {
          const response = yield* session.get(`${server.origin}/${i}`);
          order.push(yield* response.text());
        });
      }
    });
    expect(order).toEqual(Array.from({ length: 40 }, (__, i) => `GET /${i}`));
  });

  test("limitPerHost holds for each host, and whom it holds back does not hold up others", async () => {
    await using busy = await startHttpServer();
    await using free = await startHttpServer();
    await withSession(undici, { limit: 4, limitPerHost: 2 }, function* (session) {
      const held = [1, 2, 3, 4].map((i) => spawn(fetchText, session, `${busy.origin}/hold${i}`));
      yield* until(busy.until(() => busy.held.length === 2));
      expect(yield* fetchText(session, `${free.origin}/passes`)).toBe("GET /passes");
      expect(atRest(session)).toEqual({ active: 2, queued: 2, connecting: 0, idle: 1 });
      for (let i = 0; i < 4; i++) {
        yield* until(busy.until(() => busy.held.length > i));
        busy.held[i]!.response.end(`answer ${i + 1}`);
      }
      for (const [i, task] of held.entries()) expect(yield* task).toBe(`answer ${i + 1}`);
      expect(busy.mostInFlight).toBe(2);
      expect(busy.accepted).toBe(2);
    });
  });

  test("idle connections to other hosts give way to the limit, longest idle first", async () => {
    const servers = await Promise.all([startHttpServer(), startHttpServer(), startHttpServer()]);
    await withSession(undici, { limit: 2 }, function* (session) {
      for (const server of servers) yield* fetchText(session, `${server.origin}/`);
      yield* until(servers[0]!.untilOpen(0));
      expect(servers.map((server) => server.sockets.size)).toEqual([0, 1, 1]);
      expect(atRest(session)).toEqual({ active: 0, queued: 0, connecting: 0, idle: 2 });
    });
    for (const server of servers) await server[Symbol.asyncDispose]();
  });

  test("a wait shows what it waits for: queued, connecting, headers, body", async () => {
    await using server = await startHttpServer();
    const host = `127.0.0.1:${server.port}`;
    const body = function* (session: Session): Coroutine<void> {
      const first = spawn(fetchText, session, "/hold/first?secret=1");
      const second = spawn(fetchText, session, "/hold/second");
      yield* yieldNow();
      expect(first.waitingFor).toBe(`http GET ${host}/hold/first, connecting`);
      expect(second.waitingFor).toBe(`http GET ${host}/hold/second, queued`);
      yield* until(server.until(() => server.held.length === 1));
      expect(first.waitingFor).toBe(`http GET ${host}/hold/first, headers`);
      server.held[0]!.response.write("part");
      while (first.waitingFor?.endsWith(", body") !== true) yield* hostTurn();
      server.held[0]!.response.end();
      yield* until(server.until(() => server.held.length === 2));
      expect(second.waitingFor).toBe(`http GET ${host}/hold/second, headers`);
      server.held[1]!.response.end();
    };
    // While the clock stands still, the loop does not give way to the host before the first look.
    const { clock } = new ManualTime();
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, body, { clock });
  });

  test("a redirect to another host keeps its place at the front of the line", async () => {
    await using target = await startHttpServer();
    await using server = await startHttpServer((__, response) => {
      response.writeHead(302, { location: `${target.origin}/target` }).end();
    });
    const order: string[] = [];
    await withSession(undici, { limit: 1 }, function* (session) {
      for (const url of [`${server.origin}/redirect`, `${target.origin}/1`, `${target.origin}/2`]) {
        spawn(function* () {
          order.push(yield* fetchText(session, url));
        });
      }
    });
    expect(order).toEqual(["GET /target", "GET /1", "GET /2"]);
  });

  test("waiting in line for connections that only unread bodies hold is reported as a deadlock", async () => {
    await using server = await startHttpServer((__, response) => response.end("x".repeat(1_000_000)));
    const main = function* (): Coroutine<void> {
      const session = yield* Session.open({ undici, baseUrl: server.origin, limit: 1 });
      const unread = yield* session.get("/unread");
      yield* session.get("/never");
      yield* unread.text();
    };
    const failure = await run(main).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DeadlockError);
    expect((failure as Error).message).toMatch(/waits for http GET 127\.0\.0\.1:\d+\/never, queued/);
    await server.untilOpen(0);
  });

  test("small unread bodies free their connection by themselves", async () => {
    await using server = await startHttpServer((__, response) => response.end("x".repeat(60_000)));
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, function* (session) {
      for (let i = 0; i < 5; i++) yield* session.get("/unread");
      const last = yield* session.get("/read");
      expect((yield* last.text()).length).toBe(60_000);
      expect(server.accepted).toBe(1);
    });
  });

  test("a large unread body holds its place until it is discarded, closed, or its scope fails", async () => {
    await using server = await startHttpServer((__, response) => response.end("x".repeat(1_000_000)));
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, function* (session) {
      const discarded = yield* session.get("/1");
      yield* discarded.discard();
      const closed = yield* session.get("/2");
      closed.close();
      const failing = scope(function* () {
        yield* session.get("/3");
        throw new Error("after the headers");
      });
      expect(yield* failureOf(failing)).toMatchObject({ message: "after the headers" });
      expect(atRest(session)).toMatchObject({ active: 0, queued: 0 });
      expect((yield* fetchText(session, "/4")).length).toBe(1_000_000);
    });
  });
});

function* fetchText(session: Session, url: string): Coroutine<string> {
  const response = yield* session.get(url);
  return yield* response.text();
}
