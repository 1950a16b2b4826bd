import { spawn, timeout, TimeoutError, until } from "fibril";
import type { Coroutine, Task } from "fibril";
import { HttpError, HttpTimeoutError } from "fibril/http";
import type { HttpResponse, RequestOptions, Session, SessionOptions, UndiciModule } from "fibril/http";
import { describe, expect, test } from "vitest";
import { atRest, failureOf, NOTHING, withSession } from "./harness.ts";
import { hostTurn, ManualTime, untilHeldBack } from "./manual-time.ts";
import { startHttpServer, startRawServer, startSocketServer } from "./servers.ts";
import type { HttpTestServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

const LIMIT_MS = 1_000;

describe.each(undiciVersions)("timeouts on %s", (_, undici) => {
  test("a request that is not answered fails in phase headers, at the limit, and its connection is closed", async () => {
    await using server = await startHttpServer();
    await onManualTime(undici, { baseUrl: server.origin, timeout: { headersMs: LIMIT_MS } }, function* (session, time) {
      const request = spawn(failureOf, session.get("/hold?secret"));
      yield* until(server.until(() => server.held.length === 1));
      yield* failsAt(request, time, LIMIT_MS);
      const error = (yield* request) as HttpTimeoutError;
      expect(error).toBeInstanceOf(HttpTimeoutError);
      expect(error).toBeInstanceOf(TimeoutError);
      expect(error).toBeInstanceOf(HttpError);
      expect(error).toMatchObject({ code: "HTTP_TIMEOUT", phase: "headers", limitMs: LIMIT_MS, method: "GET" });
      expect(error.message).toBe(
        `http GET 127.0.0.1:${server.port}/hold: the wait for the response headers did not end within ${LIMIT_MS} ms; ` +
          "if that is too strict, raise timeout.headersMs",
      );
      yield* until(server.untilOpen(0));
      expect(atRest(session)).toEqual(NOTHING);
    });
  });

  test("a connection that TLS never completes on fails in phase connect", async () => {
    await using server = await startSocketServer((socket) => void socket.resume());
    await onManualTime(undici, { timeout: { connectMs: LIMIT_MS } }, function* (session, time) {
      const request = spawn(failureOf, session.get(server.origin.replace("http:", "https:")));
      yield* until(server.untilOpen(1));
      yield* failsAt(request, time, LIMIT_MS);
      expect(yield* request).toMatchObject({ phase: "connect", limitMs: LIMIT_MS });
      yield* until(server.untilOpen(0));
      expect(atRest(session)).toEqual(NOTHING);
    });
  });

  test("a wait in line that is too long fails in phase queue and leaves the line", async () => {
    await using server = await startHttpServer();
    await onManualTime(undici, { baseUrl: server.origin, limit: 1 }, function* (session, time) {
      const holder = spawn(fetchText, session, "/hold");
      yield* until(server.until(() => server.held.length === 1));
      const request = spawn(failureOf, session.get("/", { timeout: { queueMs: LIMIT_MS } }));
      yield* hostTurn();
      yield* failsAt(request, time, LIMIT_MS);
      expect(yield* request).toMatchObject({ phase: "queue", limitMs: LIMIT_MS });
      expect(atRest(session)).toEqual({ ...NOTHING, active: 1 });
      server.held[0]!.response.end("late");
      expect(yield* holder).toBe("late");
    });
  });

  test("a body fails in phase body when it falls silent for too long, however slow it was before", async () => {
    await using server = await startHttpServer();
    await onManualTime(undici, { baseUrl: server.origin, timeout: { idleMs: LIMIT_MS } }, function* (session, time) {
      const response = yield* begunResponse(server, session);
      for (let i = 0; i < 5; i++) {
        yield* time.pass(LIMIT_MS - 1);
        server.held[0]!.response.write("more");
        yield* response.chunk();
      }
      const read = spawn(failureOf, response.chunk());
      yield* hostTurn();
      yield* failsAt(read, time, LIMIT_MS);
      expect(yield* read).toMatchObject({ phase: "body", limitMs: LIMIT_MS });
      expect(yield* failureOf(response.chunk())).toMatchObject({ phase: "body" });
      yield* until(server.until(() => server.inFlight === 0));
    });
  });

  test("what arrived before a body failed can still be read in pieces", async () => {
    await using server = await startHttpServer();
    await onManualTime(undici, { baseUrl: server.origin, timeout: { idleMs: LIMIT_MS } }, function* (session, time) {
      const response = yield* begunResponse(server, session, "unread");
      yield* time.pass(LIMIT_MS);
      yield* until(server.until(() => server.inFlight === 0));
      expect(Buffer.from((yield* response.chunk())!).toString()).toBe("begin");
      expect(yield* failureOf(response.chunk())).toMatchObject({ phase: "body" });
    });
  });

  test("nobody who takes his time with a large body is taken for a silent peer", async () => {
    await using server = await startHttpServer((__, response) => response.end("x".repeat(2_000_000)));
    await onManualTime(undici, { baseUrl: server.origin, timeout: { idleMs: LIMIT_MS } }, function* (session, time) {
      const response = yield* session.get("/");
      yield* untilHeldBack();
      yield* time.pass(LIMIT_MS * 100);
      expect((yield* response.text()).length).toBe(2_000_000);
    });
  });

  test("the total covers the wait in line, redirects and the body", async () => {
    await using server = await startHttpServer((__, response) => response.writeHead(302, { location: "/hold" }).end());
    const total = { timeout: { totalMs: LIMIT_MS } };
    await onManualTime(undici, { baseUrl: server.origin, limit: 1 }, function* (session, time) {
      const holder = spawn(fetchText, session, "/hold/first");
      yield* until(server.until(() => server.held.length === 1));
      const inLine = spawn(failureOf, session.get("/never", total));
      const redirected = spawn(function* () {
        const response = yield* session.get("/redirected", { timeout: { totalMs: LIMIT_MS * 2 } });
        return yield* failureOf(response.text());
      });
      yield* hostTurn();
      yield* failsAt(inLine, time, LIMIT_MS);
      expect(yield* inLine).toMatchObject({ phase: "total", limitMs: LIMIT_MS });
      server.held[0]!.response.end();
      yield* holder;
      yield* until(server.until(() => server.held.length === 2));
      server.held[1]!.response.write("begin");
      yield* untilWaitsFor(redirected, "body");
      yield* failsAt(redirected, time, LIMIT_MS);
      expect(yield* redirected).toMatchObject({ phase: "total", limitMs: LIMIT_MS * 2 });
      expect(server.log).toEqual(["GET /hold/first", "GET /redirected", "GET /hold"]);
    });
  });

  test("the time that the caller's stream takes does not count; that of a server that does not read it does", async () => {
    await using server = await startHttpServer((request, response) => {
      request.resume().on("end", () => response.end("got it"));
    });
    await onManualTime(undici, { baseUrl: server.origin, timeout: { headersMs: LIMIT_MS } }, function* (session, time) {
      let give = (): void => undefined;
      async function* slow(): AsyncGenerator<string> {
        for (let i = 0; i < 3; i++) {
          await new Promise<void>((resolve) => {
            give = resolve;
          });
          yield "x";
        }
      }
      const upload = spawn(fetchText, session, "/", { method: "POST", body: slow() });
      for (let i = 0; i < 3; i++) {
        yield* time.pass(LIMIT_MS * 10);
        give();
      }
      expect(yield* upload).toBe("got it");

      let given = 0;
      async function* endless(): AsyncGenerator<Uint8Array> {
        for (;;) {
          given++;
          yield new Uint8Array(64 * 1024);
        }
      }
      const refused = spawn(failureOf, session.post("/hold", { body: endless() }));
      for (let before = -1; given !== before;) {
        before = given;
        // On the real clock: the system may take a while to move what its buffers hold.
        yield* until(new Promise((resolve) => setTimeout(resolve, 50)));
        for (let i = 0; i < 50; i++) yield* hostTurn();
      }
      yield* failsAt(refused, time, LIMIT_MS);
      expect(yield* refused).toMatchObject({ phase: "headers" });
    });
  });

  test("limits of a request go over those of the session, one by one; none is rounded, and zero is a limit", async () => {
    await using server = await startRawServer(() => undefined);
    await onManualTime(
      undici,
      { baseUrl: server.origin, timeout: { headersMs: 1, totalMs: 100 } },
      function* (session, time) {
        const request = spawn(failureOf, session.get("/", { timeout: { headersMs: 10.5 } }));
        yield* untilWaitsFor(request, "headers");
        yield* failsAt(request, time, 10.5);
        expect(yield* request).toMatchObject({ phase: "headers", limitMs: 10.5 });
        expect(yield* failureOf(session.get("/", { timeout: { totalMs: 0 } }))).toMatchObject({
          phase: "total",
          limitMs: 0,
        });
      },
    );
  });

  test("the deadline of a scope works without any of these, and the connection is closed at once", async () => {
    await using server = await startHttpServer();
    await onManualTime(undici, { baseUrl: server.origin }, function* (session, time) {
      const request = spawn(failureOf, timeout(LIMIT_MS, session.get("/hold")));
      yield* until(server.until(() => server.held.length === 1));
      yield* failsAt(request, time, LIMIT_MS);
      const error = yield* request;
      expect(error).toBeInstanceOf(TimeoutError);
      expect(error).not.toBeInstanceOf(HttpTimeoutError);
      yield* until(server.untilOpen(0));
    });
  });

  test("on the real clock, too", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const before = performance.now();
      expect(yield* failureOf(session.get("/hold", { timeout: { headersMs: 30 } }))).toMatchObject({
        phase: "headers",
      });
      expect(performance.now() - before).toBeGreaterThanOrEqual(29);
    });
  });
});

function onManualTime(
  undici: UndiciModule,
  options: SessionOptions,
  body: (session: Session, time: ManualTime) => Coroutine<void>,
): Promise<void> {
  const time = new ManualTime();
  return withSession(undici, options, (session) => body(session, time), { clock: time.clock, host: time.host });
}

/** Checks that the task ends when `ms` have passed, and not before. */
function* failsAt(task: Task<unknown>, time: ManualTime, ms: number): Coroutine<void> {
  yield* time.pass(ms - 0.5);
  expect(task.isSettled).toBe(false);
  yield* time.pass(0.5);
  expect(task.isSettled).toBe(true);
}

function* untilWaitsFor(task: Task<unknown>, phase: string): Coroutine<void> {
  while (task.waitingFor?.endsWith(`, ${phase}`) !== true) yield* hostTurn();
}

/** A response whose body has begun; the test writes the rest. */
function* begunResponse(server: HttpTestServer, session: Session, read?: "unread"): Coroutine<HttpResponse> {
  const task = spawn(() => session.get("/hold"));
  yield* until(server.until(() => server.held.length === 1));
  server.held[0]!.response.write("begin");
  const response = yield* task;
  if (read !== "unread") yield* response.chunk();
  for (let i = 0; i < 5; i++) yield* hostTurn();
  return response;
}

function* fetchText(
  session: Session,
  url: string,
  options: RequestOptions & { method?: string } = {},
): Coroutine<string> {
  const { method = "GET", ...rest } = options;
  const response = yield* session.request(method, url, rest);
  return yield* response.text();
}
