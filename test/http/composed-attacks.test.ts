/**
 * Attacks on the pipeline from the caller's side: middlewares and observers that misbehave, everything switched on at once and cancelled at
 * any step, thousands of requests with random ends. Nothing may stay, and every error has to say whose mistake it was.
 */
import { run, scope, sleep, spawn } from "fibril";
import type { Coroutine, Operation, Task } from "fibril";
import { basicAuth, Session } from "fibril/http";
import type { Middleware, RequestEvent, RequestObserver, SessionOptions, Transport } from "fibril/http";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { atRest, failureOf, NOTHING, withSession } from "./harness.ts";
import { startHttpServer } from "./servers.ts";
import type { HttpTestServer } from "./servers.ts";
import { socketSweep } from "./sweep.ts";
import { undiciVersions } from "./undici-versions.ts";

const [, undici] = undiciVersions[0]!;

const passOn: Middleware = function* (request, next) {
  return yield* next(request);
};

const EVERYTHING: SessionOptions = {
  undici,
  retry: { attempts: 3, baseMs: 1, budget: false },
  middleware: passOn,
  cookies: true,
  auth: basicAuth("ada", "secret"),
  cache: true,
  circuitBreaker: { failures: 1_000_000 },
  ratePerHost: { requests: 1_000_000 },
  observer: { event: () => undefined },
};

describe("a middleware or transport that forgets to return is named, whatever stands around it", () => {
  const forgetful = function* forgetful(request: never, next: never): Coroutine<void> {
    yield* (next as (request: never) => Operation<unknown>)(request);
  } as never as Middleware;
  const empty = function* empty(): Coroutine<void> {} as never as Transport;

  test.each<[string, SessionOptions]>([
    ["nothing", {}],
    ["retries", { retry: 2 }],
    ["cookies", { cookies: true }],
    ["auth", { auth: basicAuth("ada", "secret") }],
    ["cache", { cache: true }],
    ["a breaker", { circuitBreaker: true }],
    ["another middleware", { middleware: passOn }],
  ])("%s", async (_, around) => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin, limit: 1, ...around }, function* (session) {
      const ofMiddleware = yield* failureOf(session.get("/", { middleware: forgetful }));
      expect(ofMiddleware).toMatchObject({
        code: "USAGE",
        message: expect.stringContaining('middleware "forgetful"') as string,
      });
      expect(atRest(session)).toMatchObject({ active: 0, queued: 0 });
    });
    await withSession(undici, { baseUrl: server.origin, ...around, transport: empty }, function* (session) {
      const error = yield* failureOf(session.get("/"));
      expect(error).toMatchObject({ code: "USAGE", message: expect.stringContaining('transport "empty"') as string });
    });
  });
});

test("a request is an operation that can be run again, with and without the pipeline", async () => {
  await using server = await startHttpServer();
  await withSession(undici, { baseUrl: server.origin }, function* (session) {
    for (const options of [{}, { middleware: passOn }]) {
      const request = session.get("/again", options);
      expect(yield* (yield* request).text()).toBe("GET /again");
      expect(yield* (yield* request).text()).toBe("GET /again");
    }
    expect(server.log).toHaveLength(4);
  });
});

test("what is no observer is refused where it is given, and no place is lost", async () => {
  await using server = await startHttpServer();
  for (const wrong of [null, {}, "log", () => undefined, [null]] as never[]) {
    await expect(run(() => Session.open({ undici, observer: wrong }))).rejects.toMatchObject({ code: "USAGE" });
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, function* (session) {
      expect(() => session.observe(wrong)).toThrow(/observer/);
      expect(yield* failureOf(session.get("/", { observer: wrong }))).toMatchObject({ code: "USAGE" });
      expect(yield* failureOf(session.get("/", { observer: wrong, retry: 1 }))).toMatchObject({ code: "USAGE" });
      expect(atRest(session)).toEqual(NOTHING);
      expect((yield* session.get("/")).status).toBe(200);
    });
  }
});

describe("an observer that ends what it observes breaks nothing", () => {
  const moments: readonly RequestEvent["kind"][] = ["queued", "connected", "sent", "headers", "chunk", "end"];
  const cases = moments.flatMap((moment) => [
    [moment, "plain", {}] as const,
    [moment, "composed", { middleware: passOn }] as const,
  ]);

  /** Acts once, at the moment. */
  const at = (moment: string, act: () => void): RequestObserver => ({
    event: ({ kind }) => (kind === moment ? act() : undefined),
  });

  test.each(cases)("at %s, %s: by closing the session", async (moment, _, options) => {
    await using server = await startHttpServer((__, response) => response.end(Buffer.alloc(300_000)));
    await withSession(undici, { baseUrl: server.origin, ...options }, function* (session) {
      const observer = at(moment, () => void session.close());
      const outcome = yield* outcomeOf(sizeOf(session, observer));
      expect(outcome).toBe(moment === "end" ? 300_000 : "HTTP_SESSION_CLOSED");
    });
  });

  test.each(cases)("at %s, %s: by aborting the signal", async (moment, _, options) => {
    await using server = await startHttpServer((__, response) => response.end(Buffer.alloc(300_000)));
    const controller = new AbortController();
    await withSession(undici, { baseUrl: server.origin, ...options }, function* (session) {
      const observer = at(moment, () => controller.abort());
      const outcome = yield* outcomeOf(sizeOf(session, observer, controller.signal));
      expect(outcome).toBe(moment === "end" ? 300_000 : "HTTP_ABORTED");
      expect(atRest(session)).toMatchObject({ active: 0, connecting: 0 });
    });
  });

  test.each(cases)("at %s, %s: by cancelling the task", async (moment, _, options) => {
    await using server = await startHttpServer((__, response) => response.end(Buffer.alloc(300_000)));
    await withSession(
      undici,
      { baseUrl: server.origin, ...options, timeout: { totalMs: 60_000 } },
      function* (session) {
        const observer = at(moment, () => void task.cancel("enough"));
        const task: Task<number> = spawn(() => sizeOf(session, observer));
        expect(yield* failureOf(task)).toMatchObject({ code: "CANCELLED" });
        expect(atRest(session)).toMatchObject({ active: 0, connecting: 0 });
      },
    );
  });
});

test("everything at once, cancelled at any step, leaves nothing", async () => {
  let asked = 0;
  await using server = await startHttpServer((request, response) => {
    if (request.url === "/moved") response.writeHead(307, { location: "/shaky", "set-cookie": "hop=1" }).end();
    else if (asked++ === 0) response.writeHead(503, { "retry-after": "0" }).end("not now");
    else response.writeHead(200, { "content-encoding": "gzip", "cache-control": "max-age=60" }).end(gzipSync(noise()));
  });
  const controller = new AbortController();
  function* work(session: Session): Coroutine<void> {
    const response = yield* session.put("/moved", { body: ["a", "b"], signal: controller.signal });
    let size = 0;
    for (let chunk = yield* response.chunk(); chunk !== undefined; chunk = yield* response.chunk())
      size += chunk.byteLength;
    expect([size, response.attempts, response.redirects.length]).toEqual([400_000, 2, 1]);
    expect((yield* (yield* session.get("/shaky")).bytes()).byteLength).toBe(400_000);
  }
  const options = { ...EVERYTHING, baseUrl: server.origin, limit: 1, timeout: { totalMs: 20_000 } };
  const sweep = await socketSweep(server, options, work, () => {
    asked = 0;
  });
  expect(sweep.cancelled).toBeGreaterThanOrEqual(5); // some waits end at once
});

test("a thousand requests with random ends leave nothing", async () => {
  const random = seeded(7);
  await using server = await startRandomServer(random);
  const outcomes = new Map<unknown, number>();
  await withSession(undici, { ...EVERYTHING, baseUrl: server.origin, limit: 20 }, function* (session) {
    yield* scope(function* (workers) {
      for (let worker = 0; worker < 40; worker++) {
        workers.spawn(function* () {
          for (let i = 0; i < 25; i++) {
            const outcome = yield* oneOf(session, random, `/${worker}/${i}`);
            outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
          }
        });
      }
    });
    expect(session.statistics()).toMatchObject({ queued: 0, connecting: 0 });
  });
  await server.untilOpen(0);
  expect([...outcomes.keys()]).toEqual(
    expect.arrayContaining(["CANCELLED", "HTTP_ABORTED", "read", "unread"]) as unknown[],
  );
  for (const outcome of outcomes.keys())
    expect(outcome).toMatch(/^(?:CANCELLED|HTTP_ABORTED|HTTP_PROTOCOL|read|unread)$/);
});

function* oneOf(session: Session, random: () => number, path: string): Coroutine<unknown> {
  const controller = new AbortController();
  const isRead = random() < 0.8;
  const task = spawn(
    toOutcome(function* () {
      const response = yield* session.get(path, { signal: controller.signal });
      if (isRead) yield* response.bytes();
      else if (random() < 0.5) response.close();
      else yield* response.discard(); // what nobody reads would hold its place
      return isRead ? "read" : "unread";
    }),
  );
  if (random() < 0.4) {
    if (random() < 0.7) yield* sleep(random() * 6);
    if (random() < 0.5) controller.abort();
    else void task.cancel("random");
  }
  return yield* outcomeOf(task);
}

/** An error must not end the workers beside it. */
function toOutcome(body: () => Coroutine<unknown>): () => Coroutine<unknown> {
  return function* () {
    try {
      return yield* body();
    } catch (error) {
      if (error instanceof Error) return (error as { readonly code?: unknown }).code;
      throw error;
    }
  };
}

function* outcomeOf(operation: Operation<unknown>): Coroutine<unknown> {
  try {
    return yield* operation;
  } catch (error) {
    return (error as { readonly code?: unknown }).code ?? error;
  }
}

function* sizeOf(session: Session, observer: RequestObserver, signal?: AbortSignal): Coroutine<number> {
  const response = yield* session.get("/", { observer, ...(signal === undefined ? {} : { signal }) });
  return (yield* response.bytes()).byteLength;
}

function startRandomServer(random: () => number): Promise<HttpTestServer> {
  return startHttpServer((request, response) => {
    const chance = random();
    if (chance < 0.1) response.writeHead(503).end("no");
    else if (chance < 0.15) request.socket.destroy();
    else if (chance < 0.2) response.writeHead(302, { location: "/moved" }).end();
    else if (chance < 0.25) setTimeout(() => response.end("slow"), 10);
    else response.end(Buffer.alloc(chance < 0.35 ? 300_000 : 10));
  });
}

function seeded(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 1_103_515_245 + 12_345) & 0x7fffffff) / 0x7fffffff;
}

/** What gzip cannot make much smaller. */
function noise(): Uint8Array {
  const random = seeded(3);
  return Uint8Array.from({ length: 400_000 }, () => random() * 256);
}
