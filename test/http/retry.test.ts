import { RetryBudget, sleep, spawn, timeout, TimeoutError, UsageError, until } from "fibril";
import type { Coroutine } from "fibril";
import {
  ConnectError,
  failedAttempts,
  HttpRequest,
  HttpResponse,
  HttpTimeoutError,
  ProtocolError,
  Session,
} from "fibril/http";
import type { RequestEvent, RequestOptions, RetryPolicy, SessionOptions } from "fibril/http";
import { cancelSweep, simulate } from "fibril/testing";
import * as undici from "undici";
import { describe, expect, test } from "vitest";
import { retryLayer } from "../../src/http/middleware/retry.ts";
import { failureOf, NOTHING, withSession } from "./harness.ts";
import { hostTurn, ManualTime } from "./manual-time.ts";
import { closedOrigin, startHttpServer, startRawServer } from "./servers.ts";

type Answer =
  | number
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }
  | Error;

interface Scripted {
  readonly session: Session;
  readonly requests: HttpRequest[];
  /** When each request was sent, on the loop's clock. */
  readonly times: number[];
  readonly events: RequestEvent[];
}

/** A session whose network answers by a script; the last answer is repeated. */
function* scripted(answers: readonly Answer[], options: SessionOptions = {}): Coroutine<Scripted> {
  const requests: HttpRequest[] = [];
  const times: number[] = [];
  const events: RequestEvent[] = [];
  function* transport(request: HttpRequest): Coroutine<HttpResponse> {
    const answer = answers[Math.min(requests.length, answers.length - 1)]!;
    requests.push(request);
    times.push(request.call.loop.now());
    yield* sleep(1);
    if (answer instanceof Error) throw answer;
    if (typeof answer === "number")
      return HttpResponse.of(request, { status: answer, body: `answer ${requests.length}` });
    return HttpResponse.of(request, answer);
  }
  const observer = { event: (event: RequestEvent) => void events.push(event) };
  const session = yield* Session.open({ undici, transport, observer, baseUrl: "http://h/", ...options });
  return { session, requests, times, events };
}

const subject = { method: "GET", url: "http://h/" };
const refused = (code: string): ConnectError =>
  new ConnectError(subject, "http://h", Object.assign(new Error(code), { code }));
const broken = (problem: "closed" | "reset" | "malformed", reusedConnection = false): ProtocolError =>
  new ProtocolError(subject, problem, { afterHeaders: false, reusedConnection, cause: undefined });

/** Runs it in virtual time. */
async function simulated<T>(body: () => Coroutine<T>): Promise<T> {
  return await simulate(body);
}

describe("retries", () => {
  test("are off unless asked for, and a request can go without", () =>
    simulated(function* () {
      const plain = yield* scripted([503, 200]);
      expect((yield* plain.session.get("/")).status).toBe(503);
      const retrying = yield* scripted([503, 200], { retry: 2 });
      expect((yield* retrying.session.get("/", { retry: false })).status).toBe(503);
      expect((yield* retrying.session.get("/")).attempts).toBe(1);
    }));

  test("statuses and errors of a bad moment are tried again, and the response tells how often and why", () =>
    simulated(function* () {
      const { session, requests, events } = yield* scripted([503, refused("ECONNREFUSED"), 200], { retry: 5 });
      const response = yield* session.get("/a?token=1");
      expect(yield* response.text()).toBe("answer 3");
      expect(response.attempts).toBe(3);
      expect(response.failedAttempts).toMatchObject([
        { attempt: 1, method: "GET", status: 503, error: undefined },
        { attempt: 2, status: undefined, error: { code: "HTTP_CONNECT" } },
      ]);
      expect(requests.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
      const retries = events.filter(({ kind }) => kind === "retry");
      expect(retries).toMatchObject([
        { attempt: 1, status: 503, error: undefined, method: "GET", url: "http://h/a?token=1" },
        { attempt: 2, status: undefined, error: { code: "HTTP_CONNECT" } },
      ]);
      expect(retries.map((event) => event.kind === "retry" && event.delayMs)).toEqual(
        response.failedAttempts.map(({ delayMs }) => delayMs),
      );
    }));

  test("the last response is returned, the last error thrown; the attempts before are at hand", () =>
    simulated(function* () {
      const statuses = yield* scripted([500, 502, 503], { retry: 2 });
      const response = yield* statuses.session.get("/");
      expect([response.status, response.attempts, yield* response.text()]).toEqual([503, 3, "answer 3"]);
      const last = broken("reset");
      const errors = yield* scripted([500, refused("EHOSTUNREACH"), last], { retry: { attempts: 3 } });
      const thrown = yield* failureOf(errors.session.get("/"));
      expect(thrown).toBe(last);
      expect(failedAttempts(thrown)).toMatchObject([{ status: 500 }, { error: { systemCode: "EHOSTUNREACH" } }]);
      expect(failedAttempts(new Error("another"))).toEqual([]);
      const raised = yield* failureOf(statuses.session.get("/", { raiseForStatus: true }));
      expect(raised).toMatchObject({ code: "HTTP_STATUS", status: 503 });
    }));

  test.each<[string, Answer, boolean]>([
    ["400", 400, false],
    ["404", 404, false],
    ["408", 408, true],
    ["425", 425, true],
    ["429", 429, true],
    ["500", 500, true],
    ["501", 501, false],
    ["504", 504, true],
    ["a refused connection", refused("ECONNREFUSED"), true],
    ["a name server that is busy", refused("EAI_AGAIN"), true],
    ["an unknown host", refused("ENOTFOUND"), false],
    ["a wrong certificate", refused("DEPTH_ZERO_SELF_SIGNED_CERT"), false],
    ["a certificate for another host", refused("ERR_TLS_CERT_ALTNAME_INVALID"), false],
    ["a closed connection", broken("closed"), true],
    ["a reset connection", broken("reset"), true],
    ["what is not HTTP", broken("malformed"), false],
    ["a timeout of connecting", new HttpTimeoutError(subject, "connect", 1), true],
    ["a timeout of headers", new HttpTimeoutError(subject, "headers", 1), true],
    ["a timeout in line", new HttpTimeoutError(subject, "queue", 1), false],
    ["the total timeout", new HttpTimeoutError(subject, "total", 1), false],
    ["any other error", new TypeError("of a middleware"), false],
  ])("%s: %j is tried again: %s", (_, answer, isRetried) =>
    simulated(function* () {
      const { session, requests } = yield* scripted([answer, 200], { retry: 1 });
      if (answer instanceof Error && !isRetried) expect(yield* failureOf(session.get("/"))).toBe(answer);
      else yield* session.get("/");
      expect(requests.length).toBe(isRetried ? 2 : 1);
    }),
  );

  test("only idempotent methods, unless the policy names others, and only bodies that can be sent again", () =>
    simulated(function* () {
      const attempts = function* (method: string, options: RequestOptions = {}): Coroutine<number> {
        const { session, requests } = yield* scripted([503], { retry: 1 });
        yield* session.request(method, "/", options);
        return requests.length;
      };
      for (const method of ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
        expect([method, yield* attempts(method)]).toEqual([method, 2]);
      for (const method of ["POST", "PATCH", "PURGE"]) expect([method, yield* attempts(method)]).toEqual([method, 1]);
      expect(yield* attempts("POST", { retry: { methods: ["post"] }, json: {} })).toBe(3);
      const once = (function* () {
        yield "x";
      })();
      expect(yield* attempts("PUT", { body: once })).toBe(1);
      expect(yield* attempts("PUT", { body: ["x", "y"] })).toBe(2);
    }));

  test("delays grow with full jitter by the loop's random numbers, up to the most", () =>
    simulated(function* () {
      const policy: RetryPolicy = { attempts: 8, baseMs: 100, maxDelayMs: 1_000, budget: false };
      const { session } = yield* scripted([503], { retry: policy });
      const ceilings = [100, 200, 400, 800, 1_000, 1_000, 1_000];
      const delays = (yield* session.get("/")).failedAttempts.map(({ delayMs }) => delayMs);
      for (const [i, delay] of delays.entries()) expect(delay).toBeLessThanOrEqual(ceilings[i]!);
      expect(new Set(delays).size).toBe(7);
      const even = yield* scripted([503], { retry: { ...policy, jitter: "none" } });
      expect((yield* even.session.get("/")).failedAttempts.map(({ delayMs }) => delayMs)).toEqual(ceilings);
      expect(even.times.map((time, i) => (i === 0 ? 0 : Math.round(time - even.times[i - 1]! - 1)))).toEqual([
        0,
        ...ceilings,
      ]);
    }));

  test("a kept connection that broke is replaced at once, one time, without the budget", () =>
    simulated(function* () {
      const stale = broken("closed", true);
      const policy = { attempts: 5, baseMs: 100, jitter: "none", budget: { ratio: 0, reserve: 0 } } as const;
      const { session, times } = yield* scripted([stale, 200], { retry: policy });
      expect((yield* session.get("/")).failedAttempts).toMatchObject([{ delayMs: 0 }]);
      expect(times[1]! - times[0]!).toBe(1);
      const twice = yield* scripted([stale, stale, 200], { retry: { ...policy, budget: false } });
      expect((yield* twice.session.get("/")).failedAttempts).toMatchObject([{ delayMs: 0 }, { delayMs: 200 }]);
    }));

  test("Retry-After in seconds or as a date is waited for, and one that asks too much ends it", () =>
    simulated(function* () {
      const date = "Sun, 06 Nov 1994 08:49:37 GMT";
      const cases: [Record<string, string>, number | null][] = [
        [{ "retry-after": "7" }, 7_000],
        [{ "retry-after": "Sun, 06 Nov 1994 08:49:47 GMT", date }, 10_000],
        [{ "retry-after": "Sun, 06 Nov 1994 08:49:27 GMT", date }, 1],
        [{ "retry-after": "Sun, 06 Nov 1994 08:49:47 GMT" }, 1],
        [{ "retry-after": "soon" }, 1],
        [{ "retry-after": "-3" }, 1],
        [{ "retry-after": "61" }, null],
        [{ "retry-after": "9".repeat(400) }, null],
      ];
      for (const [headers, delayMs] of cases) {
        const policy: RetryPolicy = { baseMs: 1, jitter: "none" };
        const { session } = yield* scripted([{ status: 503, headers }, 200], { retry: policy });
        const response = yield* session.get("/");
        expect([headers, response.status]).toEqual([headers, delayMs === null ? 503 : 200]);
        expect(response.failedAttempts.map((it) => it.delayMs)).toEqual(delayMs === null ? [] : [delayMs]);
      }
    }));

  test("Retry-After holds back the whole host, at most for the cap, and never others", () =>
    simulated(function* () {
      const paused = function* (policy: RetryPolicy, seconds: string): Coroutine<unknown[]> {
        const answer = { status: 429, headers: { "retry-after": seconds } };
        const { session } = yield* scripted([answer], { retry: { attempts: 2, ...policy } });
        const request = spawn(() => session.get("/"));
        yield* sleep(2);
        const { paused: hosts } = session.statistics();
        request.cancel();
        return hosts.map(({ origin, remainingMs, cause }) => [origin, Math.round(remainingMs), cause]);
      };
      expect(yield* paused({}, "5")).toEqual([["http://h", 4_999, "by Retry-After"]]);
      expect(yield* paused({ maxRetryAfterMs: 3_000 }, "5")).toEqual([["http://h", 2_999, "by Retry-After"]]);
      expect(yield* paused({ pauseHost: false }, "5")).toEqual([]);
      expect(yield* paused({ statuses: [503] }, "5")).toEqual([]);
    }));

  test("the budget of an origin is shared by its requests, and only by them", () =>
    simulated(function* () {
      const { session, requests } = yield* scripted([503], {
        retry: { attempts: 10, baseMs: 1, budget: { ratio: 0.5, reserve: 3 } },
      });
      yield* session.get("/");
      expect(requests.length).toBe(4);
      yield* session.get("/");
      yield* session.get("/");
      expect(requests.length).toBe(7); // two requests have paid for one retry
      yield* session.get("http://other/");
      expect(requests.length).toBe(11);
      const budget = new RetryBudget({ ratio: 0, reserve: 1 });
      const shared = yield* scripted([503], { retry: { attempts: 10, budget } });
      yield* shared.session.get("/");
      yield* shared.session.get("http://other/");
      expect([shared.requests.length, budget.statistics().retries]).toEqual([3, 1]);
    }));

  test("a wait that cannot end in time is not begun: the total limit and the deadlines of scopes", () =>
    simulated(function* () {
      const policy: RetryPolicy = { attempts: 10, baseMs: 400, factor: 2, jitter: "none" };
      const { session, times } = yield* scripted([503], { retry: policy });
      const response = yield* session.get("/", { timeout: { totalMs: 1_210 } });
      expect([response.status, response.attempts]).toEqual([503, 3]);
      expect(times.at(-1)! - times[0]!).toBe(1_202);
      const inScope = yield* scripted([503], { retry: policy });
      expect((yield* timeout(1_000, inScope.session.get("/"))).attempts).toBe(2);
    }));

  test("the total limit goes over all attempts, and names its phase", () =>
    simulated(function* () {
      const { session } = yield* scripted([503], { retry: { attempts: 10, baseMs: 400, jitter: "none" } });
      function* slow(request: HttpRequest, next: (request: HttpRequest) => Iterable<unknown>): Coroutine<HttpResponse> {
        yield* sleep(1_000);
        return yield* next(request) as Coroutine<HttpResponse>;
      }
      const error = yield* failureOf(session.get("/", { timeout: { totalMs: 1_500 }, middleware: slow as never }));
      expect(error).toBeInstanceOf(HttpTimeoutError);
      expect(error).toBeInstanceOf(TimeoutError);
      expect(error).toMatchObject({ phase: "total", limitMs: 1_500 });
    }));

  test("shouldRetry has the last word on what, not on how often; undefined leaves it to the rules", () =>
    simulated(function* () {
      const seen: unknown[] = [];
      const shouldRetry: RetryPolicy["shouldRetry"] = ({ attempt, response, error, request }) => {
        seen.push([attempt, response?.status, error, request.method]);
        return response?.status === 404 ? true : response?.status === 503 ? false : undefined;
      };
      const { session, requests } = yield* scripted([404, 500, 503], { retry: { attempts: 5, shouldRetry } });
      expect((yield* session.get("/")).status).toBe(503);
      expect(seen).toEqual([
        [1, 404, undefined, "GET"],
        [2, 500, undefined, "GET"],
        [3, 503, undefined, "GET"],
      ]);
      expect((yield* session.post("/", { retry: { attempts: 2, shouldRetry: () => true } })).attempts).toBe(2);
      expect(requests.length).toBe(5);
      const mine = new Error("mine");
      const throwing = (): boolean => {
        throw mine;
      };
      expect(yield* failureOf(session.get("/", { retry: { shouldRetry: throwing } }))).toBe(mine);
    }));

  test("middlewares run again for each attempt", () =>
    simulated(function* () {
      const seen: number[] = [];
      const { session } = yield* scripted([503, 503, 200], {
        retry: 5,
        middleware: (request, next) => {
          seen.push(request.attempt);
          return next(request);
        },
      });
      yield* session.get("/");
      expect(seen).toEqual([1, 2, 3]);
    }));

  test("the wait says which retry it is, of what, and why", () =>
    simulated(function* () {
      const { session } = yield* scripted([503], { retry: { attempts: 3, baseMs: 250, jitter: "none" } });
      const task = spawn(() => session.get("/a?secret"));
      yield* sleep(2);
      expect(task.waitingFor).toBe("http GET h/a, retry 1 of 2 in 250 ms after status 503");
      task.cancel();
    }));

  test("wrong policies are refused where they are written", () =>
    simulated(function* () {
      const { session } = yield* scripted([200]);
      const wrong: unknown[] = [
        ...[-1, 1.5, NaN, "3", null, { attempts: 0 }, { baseMs: -1 }, { jitter: "some" }],
        ...[{ maxRetryAfterMs: NaN }, { budget: { ratio: 2 } }],
      ];
      for (const retry of wrong) {
        expect(yield* failureOf(scripted([200], { retry: retry as number }))).toBeInstanceOf(UsageError);
        expect(yield* failureOf(session.get("/", { retry: retry as number }))).toBeInstanceOf(UsageError);
      }
    }));

  test("a failure and a cancellation of the same turn end as a cancellation where the failure would have been retried", () =>
    simulated(function* () {
      const delivered: string[] = [];
      for (const [retry, end] of [
        [2, "cancelled"],
        [0, "reset"],
      ] as const) {
        function* transport(): Coroutine<HttpResponse> {
          yield* sleep(1);
          task.cancel();
          throw broken("reset");
        }
        const session = yield* Session.open({ undici, transport, baseUrl: "http://h/", retry });
        const task = spawn(function* () {
          try {
            yield* session.get("/");
          } catch (error) {
            delivered.push(error instanceof ProtocolError ? error.problem : "cancelled");
            if (error instanceof ProtocolError) return;
            throw error;
          }
        });
        yield* sleep(10_000);
        expect(delivered.at(-1)).toBe(end);
      }
    }));

  test("nothing is retried when the cleanup of a cancelled attempt fails", () =>
    simulated(function* () {
      let calls = 0;
      const breakDown = (): void => {
        throw broken("closed", true); // would be repeated at once
      };
      const { middleware } = retryLayer({ retry: 5 });
      function* next(sent: HttpRequest): Coroutine<HttpResponse> {
        calls++;
        try {
          yield* sleep(10);
          return HttpResponse.of(sent);
        } finally {
          breakDown();
        }
      }
      const request = HttpRequest.of("GET", "http://h/");
      expect(yield* failureOf(timeout(1, () => middleware({})!(request, next)))).toBeInstanceOf(Error);
      yield* sleep(1_000);
      expect([calls, request.call.failedAttempts]).toEqual([1, []]);
    }));

  test.each(["main", "stepped"] as const)("cancelled at any step (%s), nothing of it is left", (target) => {
    const sweep = cancelSweep(
      () => ({
        *main() {
          const { middleware } = retryLayer({ retry: { attempts: 5, baseMs: 10 } });
          const answers = [503, refused("ECONNREFUSED"), 200];
          function* next(request: HttpRequest): Coroutine<HttpResponse> {
            const answer = answers[request.attempt - 1]!;
            yield* sleep(1);
            if (typeof answer === "number") return HttpResponse.of(request, { status: answer, body: "x".repeat(10) });
            throw answer;
          }
          const response = yield* middleware({})!(HttpRequest.of("GET", "http://h/"), next);
          expect([response.status, response.attempts]).toEqual([200, 3]);
        },
      }),
      { target },
    );
    expect(sweep.cancelled).toBeGreaterThan(5);
  });
});

describe("retries over the network", () => {
  test("drain what failed, so that its connection serves the next attempt", async () => {
    let count = 0;
    await using server = await startHttpServer((_, response) => {
      count++;
      response.writeHead(count < 3 ? 503 : 200).end("x".repeat(20_000));
    });
    await withSession(undici, { baseUrl: server.origin, limit: 1, retry: { baseMs: 1 } }, function* (session) {
      const response = yield* session.get("/");
      expect([response.status, response.attempts]).toEqual([200, 3]);
      expect((yield* response.text()).length).toBe(20_000);
    });
    expect(server.accepted).toBe(1);
  });

  test("a body that is too long to drain is closed, and no attempt leaks a connection", async () => {
    await using server = await startHttpServer((_, response) => {
      response.writeHead(503);
      response.write("x".repeat(500_000));
    });
    await withSession(undici, { baseUrl: server.origin, limit: 1, retry: { baseMs: 1 } }, function* (session) {
      const response = yield* session.get("/");
      expect(response.attempts).toBe(3);
      yield* until(server.untilOpen(1));
      response.close();
      yield* until(server.untilOpen(0));
      expect(session.statistics()).toMatchObject(NOTHING);
    });
  });

  test("a replayable body is sent again whole; a server that cuts off twice is survived", async () => {
    const bodies: string[] = [];
    await using server = await startHttpServer((request, response) => {
      let text = "";
      request.on("data", (data: Buffer) => (text += data.toString()));
      request.on("end", () => {
        bodies.push(text);
        if (bodies.length < 3) request.socket.destroy();
        else response.end("stored");
      });
    });
    await withSession(undici, { baseUrl: server.origin, retry: { attempts: 4, baseMs: 1 } }, function* (session) {
      const response = yield* session.put("/", { body: ["one ", "two"] });
      expect(yield* response.text()).toBe("stored");
      expect(response.failedAttempts).toMatchObject([
        { error: { code: "HTTP_PROTOCOL" } },
        { error: { code: "HTTP_PROTOCOL" } },
      ]);
    });
    expect(bodies).toEqual(["one two", "one two", "one two"]);
  });

  test("a kept connection that the server closes as it is used is replaced", async () => {
    await using server = await startRawServer((socket, count) => {
      if (count === 1) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
      else socket.destroy();
    });
    await withSession(undici, { retry: 1 }, function* (session) {
      yield* session.get(server.origin);
      const response = yield* session.get(server.origin);
      expect(response.failedAttempts).toMatchObject([{ delayMs: 0, error: { reusedConnection: true } }]);
    });
    expect(server.accepted).toBe(2);
  });

  test("each exchange is told with its attempt", async () => {
    let count = 0;
    await using server = await startHttpServer((_, response) => response.writeHead(++count < 2 ? 503 : 200).end("x"));
    const nobody = closedOrigin();
    const events: RequestEvent[] = [];
    const observer = { event: (event: RequestEvent) => void events.push(event) };
    await withSession(undici, { retry: { attempts: 2, baseMs: 1 }, observer }, function* (session) {
      yield* (yield* session.get(server.origin)).text();
      expect(
        events.filter(({ kind }) => kind !== "chunk").map((it) => `${it.kind} ${it.exchange}/${it.attempt}`),
      ).toEqual([
        ...["queued 1/1", "connected 1/1", "sent 1/1", "headers 1/1", "end 1/1", "retry 1/1"],
        ...["queued 2/2", "reused 2/2", "sent 2/2", "headers 2/2", "end 2/2"],
      ]);
      events.length = 0;
      yield* failureOf(session.get(nobody));
      expect(events.map((it) => `${it.kind} ${it.exchange}/${it.attempt}`)).toEqual([
        ...["queued 1/1", "error 1/1", "retry 1/1", "queued 2/2", "error 2/2"],
      ]);
    });
  });

  test("the limits of a phase are those of each attempt, typed and not rounded; the queue's is not the connection's", async () => {
    await using server = await startHttpServer();
    const time = new ManualTime();
    const options: SessionOptions = {
      baseUrl: server.origin,
      limit: 1,
      timeout: { headersMs: 100.25, connectMs: 50, queueMs: 500 },
      retry: { attempts: 2, baseMs: 1_000, jitter: "none" },
    };
    const body = function* (session: Session): Coroutine<void> {
      const request = spawn(failureOf, session.get("/hold/1"));
      for (let attempt = 1; attempt <= 2; attempt++) {
        yield* until(server.until(() => server.held.length === attempt));
        yield* time.pass(100);
        expect(request.waitingFor).toContain("headers");
        yield* time.pass(0.25);
        if (attempt === 1) yield* time.pass(1_000);
      }
      expect(yield* request).toMatchObject({ code: "HTTP_TIMEOUT", phase: "headers", limitMs: 100.25 });
      expect(failedAttempts(yield* request)).toMatchObject([
        { attempt: 1, delayMs: 1_000, error: { phase: "headers" } },
      ]);
      const holder = spawn(failureOf, session.get("/hold/3", { timeout: { headersMs: Infinity } }));
      yield* until(server.until(() => server.held.length === 3));
      const waiting = spawn(failureOf, session.get("/4"));
      yield* hostTurn();
      yield* time.pass(499.5);
      expect(waiting.waitingFor).toContain("queued");
      yield* time.pass(0.5);
      expect(yield* waiting).toMatchObject({ phase: "queue", limitMs: 500 });
      holder.cancel();
    };
    await withSession(undici, options, body, { clock: time.clock, host: time.host });
  });

  test("a request with redirect, retries, a rate and a large body leaves nothing, whenever it is cancelled", async () => {
    const counts = new Map<string, number>();
    await using server = await startHttpServer((request, response) => {
      const url = request.url!;
      const count = (counts.get(url) ?? 0) + 1;
      counts.set(url, count);
      if (url.startsWith("/from")) response.writeHead(302, { location: url.replace("from", "to") }).end("moved");
      else if (count === 1) response.writeHead(503).end("x".repeat(100_000));
      else if (count === 2) request.socket.destroy();
      else response.end("x".repeat(400_000));
    });
    let ended = 0;
    for (let turns = 0; turns < 80; turns++) {
      const options: SessionOptions = {
        baseUrl: server.origin,
        limit: 1,
        ratePerHost: { requests: 1, perMs: 0.5, burst: 1 },
        retry: { attempts: 5, baseMs: 0.5, jitter: "none" },
        circuitBreaker: true,
      };
      const open = new Set<string>();
      const observer = {
        event({ kind, exchange }: RequestEvent): void {
          if (kind === "queued") open.add(String(exchange));
          else if (kind === "end" || kind === "error") expect(open.delete(String(exchange))).toBe(true);
        },
      };
      await withSession(undici, { ...options, observer }, function* (session) {
        const task = spawn(function* () {
          const response = yield* session.get(`/from/${turns}`);
          expect((yield* response.text()).length).toBe(400_000);
          ended++;
        });
        for (let i = 0; i < turns; i++) yield* hostTurn();
        task.cancel();
        while (session.statistics().active + session.statistics().queued > 0) yield* hostTurn();
      });
      expect(open.size).toBe(0);
    }
    expect(ended).toBeLessThan(80);
    await server.until(() => server.sockets.size === 0);
  });

  test("a cancelled delay sends nothing more and leaves nothing", async () => {
    await using server = await startHttpServer((_, response) => response.writeHead(503).end());
    await withSession(
      undici,
      { baseUrl: server.origin, retry: { baseMs: 60_000, jitter: "none" } },
      function* (session) {
        const task = spawn(() => session.get("/"));
        yield* until(server.until(() => server.log.length === 1));
        while (!task.waitingFor?.includes("retry 1")) yield* sleep(1);
        task.cancel();
      },
    );
    expect(server.log).toEqual(["GET /"]);
  });
});
