/**
 * The pipeline: middlewares, transports, limits and signals around whatever is sent.
 */
import { all, EventLoop, moveOnAfter, scope, sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import { HttpRequest, HttpResponse, HttpTimeoutError, RequestAbortedError, ResponseError } from "fibril/http";
import type { Middleware, Session, Transport } from "fibril/http";
import { describe, expect, test } from "vitest";
import { atRest, failureOf, NOTHING, withSession } from "./harness.ts";
import { hostTurn, ManualTime } from "./manual-time.ts";
import { undiciVersions } from "./undici-versions.ts";
import { bodyOf, startHttpServer } from "./servers.ts";
import type { HttpTestServer } from "./servers.ts";

const undici = undiciVersions[0]![1]; // what the pipeline adds has nothing to do with versions of undici

/** Says which way a request goes. */
function noting(log: string[], name: string): Middleware {
  return function* (request, next) {
    log.push(`${name} ${request.method} ${new URL(request.url).pathname}`);
    const response = yield* next(request);
    log.push(`${name} ${response.status}`);
    return response;
  };
}

/** Answers with what it was asked. */
function* echo(request: HttpRequest): Coroutine<HttpResponse> {
  const { method, url, attempt, redirects, hasBody, isReplayable } = request;
  const seen = { method, url, attempt, redirects, hasBody, isReplayable, token: request.header("x-token") };
  return HttpResponse.of(request, { body: JSON.stringify(seen) });
}

function startEcho(): Promise<HttpTestServer> {
  return startHttpServer((request, response) => {
    void bodyOf(request).then((body) => {
      const { method, url, headers } = request;
      if (url === "/moved") response.writeHead(302, { location: "/end" }).end();
      else if (url === "/large") response.writeHead(200).write(Buffer.alloc(1_000_000));
      else if (url === "/broken") response.writeHead(500).end("it is broken");
      else response.end(JSON.stringify({ method, url, headers, body }));
    });
  });
}

const through: Middleware = (request, next) => next(request);

describe("middlewares", () => {
  test("stand in their order around the request, those of the request inside those of the session", async () => {
    await using server = await startEcho();
    const log: string[] = [];
    const middleware = [noting(log, "a"), noting(log, "b")];
    await withSession(undici, { baseUrl: server.origin, middleware }, function* (session) {
      yield* (yield* session.get("/x", { middleware: noting(log, "c") })).discard();
      expect(log).toEqual(["a GET /x", "b GET /x", "c GET /x", "c 200", "b 200", "a 200"]);
      log.length = 0;
      yield* (yield* session.get("/y")).discard();
      expect(log).toEqual(["a GET /y", "b GET /y", "b 200", "a 200"]);
    });
  });

  test("of a single request need none of the session", async () => {
    await using server = await startEcho();
    const log: string[] = [];
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      expect((yield* session.post("/x", { json: 1, middleware: [noting(log, "a")] })).status).toBe(200);
      expect(log).toEqual(["a POST /x", "a 200"]);
      yield* session.get("/y");
      expect(log).toHaveLength(2);
    });
  });

  test("run again for each redirect, on the request as it was before them", async () => {
    await using server = await startEcho();
    const seen: (string | undefined)[] = [];
    const middleware: Middleware = (request, next) => {
      seen.push(`${request.url.slice(server.origin.length)} ${request.redirects.length} ${request.header("x-sign")}`);
      return next(request.with({ headers: { "x-sign": `for ${request.url}` } }));
    };
    await withSession(undici, { baseUrl: server.origin, middleware }, function* (session) {
      const response = yield* session.get("/moved");
      const { headers } = yield* response.json<{ headers: Record<string, string> }>();
      expect(headers["x-sign"]).toBe(`for ${server.origin}/end`);
      expect(seen).toEqual(["/moved 0 undefined", "/end 1 undefined"]);
      expect(response.redirects).toEqual([
        { status: 302, url: `${server.origin}/moved`, location: `${server.origin}/end` },
      ]);
    });
  });

  test("may change everything about a request", async () => {
    await using server = await startEcho();
    await using other = await startEcho();
    const middleware: Middleware = (request, next) =>
      next(
        request.with({ method: "PUT", url: `${other.origin}/moved-by-hand?x`, headers: { "x-a": "b" }, body: "new" }),
      );
    const headers = { authorization: "Bearer secret", "x-kept": "1" };
    await withSession(undici, { baseUrl: server.origin, middleware, headers }, function* (session) {
      const response = yield* session.post("/x", { json: { old: true } });
      const seen = yield* response.json<{ headers: Record<string, string>; body: string }>();
      expect(seen).toMatchObject({ method: "PUT", url: "/moved-by-hand?x", body: "new" });
      expect(seen.headers).toMatchObject({ "x-a": "b", "x-kept": "1", "content-type": "text/plain;charset=UTF-8" });
      expect(seen.headers).not.toHaveProperty("authorization");
      expect(response.url).toBe(`${other.origin}/moved-by-hand?x`);
      expect(server.log).toEqual([]);
    });
  });

  test("may answer by themselves", async () => {
    const middleware: Middleware = function* (request) {
      return HttpResponse.of(request, { status: 203, body: `no ${request.method}` });
    };
    await withSession(undici, { baseUrl: "http://nowhere.invalid/", middleware }, function* (session) {
      const response = yield* session.delete("x");
      expect([response.status, response.url, yield* response.text()]).toEqual([
        203,
        "http://nowhere.invalid/x",
        "no DELETE",
      ]);
    });
  });

  test("may ask several times; what they drop is closed when the request ends", async () => {
    await using server = await startEcho();
    const middleware: Middleware = function* (request, next) {
      const large = yield* all([1, 2, 3].map(() => next(request.with({ url: "/large" }))));
      expect(large.map((response) => response.isComplete)).toEqual([false, false, false]);
      return yield* next(request);
    };
    await withSession(undici, { baseUrl: server.origin, middleware }, function* (session) {
      const response = yield* session.get("/x");
      yield* response.text();
      expect(atRest(session)).toEqual({ ...NOTHING, idle: 1 });
      yield* until(server.untilOpen(1));
    });
  });

  test("may take one answer of several and look into its body", async () => {
    await using server = await startEcho();
    const middleware: Middleware = function* (request, next) {
      const [first] = yield* all([next(request.with({ url: "/large" })), next(request.with({ url: "/large" }))]);
      return first.with({ headers: { "x-seen": "1" }, body: counting(first) });
    };
    await withSession(undici, { baseUrl: server.origin, middleware }, function* (session) {
      const response = yield* session.get("/x");
      expect(response.headers.get("x-seen")).toBe("1");
      expect(yield* response.chunk()).toBeInstanceOf(Uint8Array);
      expect(atRest(session).active).toBe(1);
      response.close();
      expect(atRest(session)).toEqual(NOTHING);
      yield* until(server.untilOpen(0));
    });
  });

  test("free the connection of a response when the scope that asked for it fails", async () => {
    await using server = await startEcho();
    const middleware: Middleware = function* (request, next) {
      const failing = scope(function* () {
        yield* next(request.with({ url: "/large" }));
        throw new Error("no use");
      });
      yield* failureOf(failing);
      return yield* next(request);
    };
    await withSession(undici, { baseUrl: server.origin, middleware, limit: 1 }, function* (session) {
      expect((yield* session.get("/x")).status).toBe(200);
    });
  });

  test("leave nothing when they throw", async () => {
    await using server = await startEcho();
    const broken = new Error("broken");
    const middleware: Middleware = function* (request, next) {
      yield* next(request.with({ url: "/large" }));
      throw broken;
    };
    await withSession(undici, { baseUrl: server.origin, middleware }, function* (session) {
      expect(yield* failureOf(session.get("/x"))).toBe(broken);
      expect(atRest(session)).toEqual(NOTHING);
    });
  });

  test("that are no coroutines, or give no response, are told so", async () => {
    const wrong: readonly unknown[] = [async () => await Promise.resolve(), () => undefined, function* () {}];
    await withSession(undici, { baseUrl: "http://h/" }, function* (session) {
      const texts: string[] = [];
      for (const middleware of wrong) {
        const error = yield* failureOf(session.get("/", { middleware: [middleware as Middleware] }));
        texts.push((error as Error).message);
      }
      expect(texts).toEqual([
        expect.stringContaining("but gave a promise; wrap promises in until()"),
        expect.stringContaining("but gave undefined"),
        expect.stringContaining("must return an HttpResponse, got undefined"),
      ]);
      for (const middleware of [null, 1, [through, "no"]] as never[]) {
        expect(yield* failureOf(session.get("/", { middleware }))).toMatchObject({ code: "USAGE" });
        expect(() => session.with({ middleware })).toThrow(/middleware/);
      }
    });
  });
});

describe("a request of the pipeline", () => {
  test("knows what it is, and does not change", async () => {
    await withSession(undici, { baseUrl: "http://me:pw@h/base/", transport: echo }, function* (session) {
      const seen: HttpRequest[] = [];
      const middleware: Middleware = (request, next) => {
        seen.push(request);
        return next(request.with({ headers: { "X-Token": "t" } }));
      };
      const response = yield* session.post("x#part", { query: { q: 1 }, json: [], middleware });
      expect(yield* response.json()).toEqual({
        method: "POST",
        url: "http://h/base/x?q=1",
        attempt: 1,
        redirects: [],
        hasBody: true,
        isReplayable: true,
        token: "t",
      });
      const [request] = seen as [HttpRequest];
      expect(request.header("X-Token")).toBeUndefined();
      expect(request.header("Content-Type")).toBe("application/json");
      expect([request.origin, request.options.json, request.remainingMs()]).toEqual(["http://h", [], Infinity]);
      expect(request.with({ body: undefined })).toMatchObject({ hasBody: false });
      expect(request.with({ body: undefined }).header("content-type")).toBeUndefined();
      expect(request.with({ url: "../y" }).url).toBe("http://h/y");
      async function* once(): AsyncGenerator<string> {}
      expect(request.with({ body: once() })).toMatchObject({ hasBody: true, isReplayable: false });
      expect(request.with({ body: ["a"] }).isReplayable).toBe(true);
    });
  });

  test("keeps its credentials to its origin unless they are given anew", async () => {
    await withSession(undici, {}, function* () {
      const request = HttpRequest.of("GET", "http://u:p@a/x", { headers: { cookie: "c=1", "x-a": "1" } });
      expect(request.header("authorization")).toBe("Basic dTpw");
      const moved = request.with({ url: "http://b/", headers: { cookie: "d=2" } });
      expect([moved.header("authorization"), moved.header("cookie"), moved.header("x-a")]).toEqual([
        undefined,
        "d=2",
        "1",
      ]);
      expect(request.with({ url: "/y" }).header("authorization")).toBe("Basic dTpw");
      expect(request.with({ url: "http://v:q@a/" }).header("authorization")).toBe("Basic djpx");
    });
  });

  test("takes no place in line from those before it, and says what it waits for", async () => {
    await using server = await startEcho();
    await withSession(undici, { baseUrl: server.origin, limit: 1, middleware: through }, function* (session) {
      const holder = spawn(textOf, session, "/hold");
      const waiting = spawn(textOf, session, "/x");
      yield* until(server.until(() => server.held.length === 1));
      expect(holder.waitingFor).toBe(`http GET 127.0.0.1:${server.port}/hold, headers`);
      expect(waiting.waitingFor).toContain("/x, queued");
      yield* waiting.cancel();
      expect(atRest(session)).toEqual({ ...NOTHING, active: 1 });
      server.held[0]!.response.end("held");
      expect(yield* holder).toBe("held");
    });
  });

  test("that was sent on is as old as before: it goes next, not last", async () => {
    await using target = await startHttpServer();
    await using server = await startHttpServer((_request, response) => {
      response.writeHead(302, { location: `${target.origin}/target` }).end();
    });
    const order: string[] = [];
    await withSession(undici, { limit: 1, middleware: through }, function* (session) {
      for (const url of [`${server.origin}/go`, ...[1, 2, 3].map((i) => `${target.origin}/${i}`)]) {
        spawn(function* () {
          order.push(yield* textOf(session, url));
        });
      }
    });
    expect(order).toEqual(["GET /1", "GET /target", "GET /2", "GET /3"]);
  });

  test("throws for statuses, after all redirects and middlewares", async () => {
    await using server = await startEcho();
    const options = { baseUrl: server.origin, middleware: through, raiseForStatus: true };
    await withSession(undici, options, function* (session) {
      const error = (yield* failureOf(session.get("/broken"))) as ResponseError;
      expect(error).toBeInstanceOf(ResponseError);
      expect([error.status, error.excerpt]).toEqual([500, "it is broken"]);
      const mended: Middleware = function* (request, next) {
        return (yield* next(request)).with({ status: 200 });
      };
      expect((yield* session.get("/broken", { middleware: mended })).ok).toBe(true);
    });
  });

  test("the total limit goes over middlewares, redirects, the line and the body", async () => {
    await using server = await startHttpServer((request, response) => {
      if (request.url === "/moved") response.writeHead(302, { location: "/hold" }).end();
      else response.write("x");
    });
    const time = new ManualTime();
    const timeout = { totalMs: 100, headersMs: Infinity, idleMs: Infinity };
    let delayMs = 60;
    const middleware: Middleware = function* (request, next) {
      yield* sleep(delayMs);
      return yield* next(request);
    };
    const options = { baseUrl: server.origin, timeout, middleware };
    const main = function* (session: Session): Coroutine<void> {
      const inMiddleware = spawn(() => failureOf(session.get("/moved")));
      yield* time.pass(0);
      yield* time.pass(60);
      yield* until(server.until(() => server.log.length === 1));
      while (inMiddleware.waitingFor !== "sleep 60 ms") yield* hostTurn();
      yield* time.pass(39);
      expect(inMiddleware.outcome).toBeUndefined();
      yield* time.pass(1);
      const first = yield* inMiddleware;
      expect(first).toBeInstanceOf(HttpTimeoutError);
      expect(first).toMatchObject({ phase: "total", limitMs: 100, waitedFor: "sleep 60 ms" });
      delayMs = 0;
      const inHeaders = spawn(() => failureOf(session.get("/hold")));
      yield* time.pass(0);
      yield* until(server.until(() => server.held.length === 1));
      yield* time.pass(100);
      expect(yield* inHeaders).toMatchObject({ phase: "total", limitMs: 100 });
      const got = spawn(() => session.get("/endless"));
      yield* time.pass(0);
      const response = yield* got;
      const inBody = spawn(() => failureOf(response.text()));
      yield* time.pass(100);
      expect(yield* inBody).toMatchObject({ phase: "total", limitMs: 100 });
      expect(atRest(session)).toEqual(NOTHING);
    };
    await withSession(undici, options, main, { clock: time.clock, host: time.host });
  });

  test("shows middlewares how much of the total limit is left", async () => {
    const time = new ManualTime();
    const left: number[] = [];
    const transport: Transport = function* (request) {
      left.push(request.remainingMs());
      yield* sleep(30);
      left.push(request.remainingMs());
      return HttpResponse.of(request);
    };
    const main = function* (session: Session): Coroutine<void> {
      const task = spawn(() => session.get("http://h/"));
      yield* time.pass(0);
      yield* time.pass(30);
      yield* task;
      expect(left).toEqual([100, 70]);
    };
    await withSession(undici, { transport, timeout: { totalMs: 100 } }, main, { clock: time.clock, host: time.host });
  });

  test("belongs to the scope that asked: a response that was not read is closed when that fails", async () => {
    await using server = await startEcho();
    await withSession(undici, { baseUrl: server.origin, middleware: through }, function* (session) {
      const kept = yield* scope(function* () {
        return yield* session.get("/large");
      });
      expect(atRest(session).active).toBe(1);
      yield* failureOf(
        scope(function* () {
          yield* session.get("/large");
          throw new Error("no");
        }),
      );
      expect(atRest(session).active).toBe(1);
      kept.close();
      expect(atRest(session)).toEqual(NOTHING);
      const passed = (yield* moveOnAfter(60_000, session.get("/large")))!;
      expect(passed.isComplete).toBe(false);
      passed.close();
    });
  });
});

describe("a transport", () => {
  test("answers in place of the network; redirects are followed all the same", async () => {
    const transport: Transport = function* (request) {
      yield* sleep(0);
      if (request.url.endsWith("/end")) return HttpResponse.of(request, { body: `${request.method} ${request.url}` });
      return HttpResponse.of(request, { status: 303, headers: { location: "end" }, body: ["not", "read"] });
    };
    await withSession(undici, { transport, baseUrl: "http://h/a/" }, function* (session) {
      const response = yield* session.post("go", { json: 1 });
      expect(yield* response.text()).toBe("GET http://h/a/end");
      expect(response.redirects).toHaveLength(1);
    });
  });

  test("that is no function is refused when the session opens", async () => {
    const transport = {} as Transport;
    await expect(withSession(undici, { transport }, function* () {})).rejects.toMatchObject({ code: "USAGE" });
  });
});

describe("a signal", () => {
  test("that has aborted already: nothing is sent, and the error has its reason", async () => {
    await using server = await startEcho();
    const reason = new Error("changed my mind");
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const error = (yield* failureOf(session.get("/x", { signal: AbortSignal.abort(reason) }))) as RequestAbortedError;
      expect(error).toBeInstanceOf(RequestAbortedError);
      expect(error).toMatchObject({ code: "HTTP_ABORTED", reason, cause: reason, method: "GET" });
      expect(error.message).toMatch(/was aborted by its signal: changed my mind$/);
      expect(server.log).toEqual([]);
      expect(yield* failureOf(session.get("/x", { signal: {} as AbortSignal }))).toMatchObject({ code: "USAGE" });
    });
  });

  test("ends the request wherever it is, and has no listener afterwards", async () => {
    await using server = await startEcho();
    const places: Record<string, (session: Session, signal: AbortSignal) => Coroutine<unknown>> = {
      *line(session, signal) {
        const holder = spawn(textOf, session, "/hold");
        yield* until(server.until(() => server.held.length > 0));
        const error = yield* aborting(signal, session.get("/x", { signal }));
        yield* holder.cancel();
        return error;
      },
      *headers(session, signal) {
        return yield* aborting(signal, session.get("/hold", { signal }));
      },
      *middleware(session, signal) {
        const middleware: Middleware = function* (request, next) {
          yield* sleep(60_000);
          return yield* next(request);
        };
        return yield* aborting(signal, session.get("/x", { signal, middleware }));
      },
      *body(session, signal) {
        const response = yield* session.get("/large", { signal });
        return yield* aborting(signal, response.text());
      },
      *unreadBody(session, signal) {
        const response = yield* session.get("/large", { signal });
        controllers.get(signal)!.abort("over");
        expect(atRest(session)).toEqual(NOTHING);
        return yield* failureOf(readAll(response));
      },
    };
    for (const [place, use] of Object.entries(places)) {
      const signal = listenedTo();
      await withSession(undici, { baseUrl: server.origin, limit: 1 }, function* (session) {
        const error = yield* use(session, signal);
        expect(error, place).toBeInstanceOf(RequestAbortedError);
        expect(error).toMatchObject({ reason: "over" });
        expect(atRest(session), place).toEqual(NOTHING);
      });
      expect(listeners.get(signal), place).toBe(0);
      server.held.length = 0;
    }
  });

  test("that never aborts has no listener when the body has ended, or the request has failed or was cancelled", async () => {
    await using server = await startEcho();
    const signal = listenedTo();
    await withSession(undici, { baseUrl: server.origin, signal }, function* (session) {
      const response = yield* session.get("/large");
      const second = yield* session.get("/large");
      expect(listeners.get(signal)).toBe(1);
      response.close();
      expect(listeners.get(signal)).toBe(1);
      second.close();
      expect(listeners.get(signal)).toBe(0);
      yield* (yield* session.get("/x")).text();
      expect(listeners.get(signal)).toBe(0);
      yield* failureOf(session.get("/broken", { raiseForStatus: true }));
      yield* moveOnAfter(5, session.get("/hold"));
      expect(listeners.get(signal)).toBe(0);
      const made = yield* session.get("/x", { middleware: (request) => made2(request) });
      expect(listeners.get(signal)).toBe(1);
      expect(yield* made.text()).toBe("ab");
      expect(listeners.get(signal)).toBe(0);
    });
  });

  test("of the session and of the request both count", async () => {
    const ofSession = new AbortController();
    const ofRequest = new AbortController();
    const transport: Transport = function* (request) {
      yield* sleep(60_000);
      return HttpResponse.of(request);
    };
    const options = { baseUrl: "http://h/", transport, signal: ofSession.signal };
    await withSession(undici, options, function* (session) {
      const task = spawn(() => failureOf(session.get("/a", { signal: ofRequest.signal })));
      const other = spawn(() => failureOf(session.get("/b")));
      yield* sleep(1);
      ofRequest.abort("request");
      expect(yield* task).toMatchObject({ reason: "request" });
      ofSession.abort("session");
      expect(yield* other).toMatchObject({ reason: "session" });
      expect(yield* failureOf(session.get("/c"))).toMatchObject({ reason: "session" });
    });
  });
});

describe("a view of a session", () => {
  test("has other defaults on the same connections", async () => {
    await using server = await startEcho();
    const options = { baseUrl: server.origin, headers: { "x-a": "1", "x-b": "1" }, timeout: { totalMs: 60_000 } };
    await withSession(undici, options, function* (session) {
      const api = session.with({ baseUrl: "/api/", headers: { "x-b": "2" }, middleware: through });
      const seen = yield* (yield* api.get("users")).json<{ url: string; headers: Record<string, string> }>();
      expect(seen.url).toBe("/api/users");
      expect(seen.headers).toMatchObject({ "x-a": "1", "x-b": "2", "user-agent": "fibril" });
      yield* (yield* session.get("/x")).text();
      expect(server.accepted).toBe(1);
      expect(api.statistics()).toEqual(session.statistics());
      const deeper = api.with({ baseUrl: "v2/", headers: { "x-a": undefined }, raiseForStatus: true });
      const again = yield* (yield* deeper.get("y")).json<{ url: string; headers: Record<string, string> }>();
      expect(again.url).toBe("/api/v2/y");
      expect(again.headers).not.toHaveProperty("x-a");
      expect(yield* failureOf(deeper.get("/broken"))).toBeInstanceOf(ResponseError);
      expect(() => session.with({ maxRedirects: -1 })).toThrow(/maxRedirects/);
      expect(() => session.with({ timeout: { totalMs: Number.NaN } })).toThrow(/totalMs/);
    });
  });

  test("ends with its session, whichever of them is closed", async () => {
    await using server = await startEcho();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const view = session.with({ middleware: through });
      yield* view.close();
      expect([session.isClosed, view.isClosed]).toEqual([true, true]);
      expect(yield* failureOf(session.get("/"))).toMatchObject({ code: "HTTP_SESSION_CLOSED" });
      expect(yield* failureOf(view.get("/"))).toMatchObject({ code: "HTTP_SESSION_CLOSED" });
    });
  });

  test("another loop cannot use the pipeline either", async () => {
    await withSession(undici, { middleware: through }, function* (session) {
      const other = new EventLoop({ name: "other" });
      const error = yield* until(other.spawn(() => failureOf(session.get("http://h/"))).then((value) => value));
      expect(error).toMatchObject({ code: "USAGE" });
    });
  });
});

function* textOf(session: Session, url: string): Coroutine<string> {
  return yield* (yield* session.get(url)).text();
}

function* readAll(response: HttpResponse): Coroutine<void> {
  while ((yield* response.chunk()) !== undefined);
}

function* made2(request: HttpRequest): Coroutine<HttpResponse> {
  return HttpResponse.of(request, { body: ["a", "b"] });
}

/** Hands a body on. */
function counting(response: HttpResponse): { next(): Coroutine<IteratorResult<Uint8Array, undefined>> } {
  return {
    *next() {
      const value = yield* response.chunk();
      return value === undefined ? { done: true, value } : { done: false, value };
    },
  };
}

const controllers = new WeakMap<AbortSignal, AbortController>();
const listeners = new WeakMap<AbortSignal, number>();

/** A signal whose listeners are counted. */
function listenedTo(): AbortSignal {
  const controller = new AbortController();
  const { signal } = controller;
  controllers.set(signal, controller);
  listeners.set(signal, 0);
  const { addEventListener, removeEventListener } = signal;
  const count = (change: number): void => void listeners.set(signal, listeners.get(signal)! + change);
  signal.addEventListener = function (this: AbortSignal, ...args: Parameters<typeof addEventListener>) {
    count(1);
    addEventListener.apply(this, args);
  } as typeof addEventListener;
  signal.removeEventListener = function (this: AbortSignal, ...args: Parameters<typeof removeEventListener>) {
    count(-1);
    removeEventListener.apply(this, args);
  } as typeof removeEventListener;
  signal.addEventListener("abort", () => void (listeners.get(signal)! > 0 && count(-1)), { once: true });
  count(-1);
  return signal;
}

/** What the operation throws when the signal aborts while it waits. */
function* aborting(signal: AbortSignal, operation: Iterable<unknown>): Coroutine<unknown> {
  const task = spawn(() => failureOf(operation));
  for (let i = 0; i < 10; i++) yield* hostTurn();
  expect(task.outcome).toBeUndefined();
  controllers.get(signal)!.abort("over");
  return yield* task;
}
