import { CircuitOpenError, sleep, spawn, UsageError } from "fibril";
import type { Coroutine } from "fibril";
import {
  CircuitBreakers,
  ConnectError,
  HttpCircuitOpenError,
  HttpError,
  HttpResponse,
  HttpTimeoutError,
  Session,
} from "fibril/http";
import type { CircuitBreakersOptions, HttpRequest, SessionOptions } from "fibril/http";
import { simulate } from "fibril/testing";
import * as undici from "undici";
import { describe, expect, test } from "vitest";
import { failureOf } from "./harness.ts";

type Answer = number | Error;

interface Scripted {
  readonly session: Session;
  readonly answers: Answer[];
  readonly urls: string[];
}

/** A session whose network gives `answers[0]`, which the test changes. */
function* scripted(first: Answer, options: SessionOptions): Coroutine<Scripted> {
  const answers = [first];
  const urls: string[] = [];
  function* transport(request: HttpRequest): Coroutine<HttpResponse> {
    urls.push(request.url);
    yield* sleep(1);
    const answer = answers[0]!;
    if (typeof answer !== "number") throw answer;
    return HttpResponse.of(request, { status: answer, body: "text" });
  }
  return { session: yield* Session.open({ undici, transport, ...options }), answers, urls };
}

const subject = { method: "GET", url: "http://h/" };
const down = new ConnectError(subject, "http://h", Object.assign(new Error("no"), { code: "ECONNREFUSED" }));
const QUICK: CircuitBreakersOptions = { failures: 2, ratio: 0, openMs: 1_000 };

describe("the circuit breaker of a session", () => {
  test("opens for an origin that fails, refuses with a typed error, and lets one through when its time has come", () =>
    simulate(function* () {
      const breakers = new CircuitBreakers(QUICK);
      const { session, answers, urls } = yield* scripted(down, { circuitBreaker: breakers });
      for (let i = 0; i < 2; i++) expect(yield* failureOf(session.get("http://h/a"))).toBe(down);
      const refused = (yield* failureOf(session.get("http://h/a?secret"))) as HttpCircuitOpenError;
      expect(refused).toBeInstanceOf(HttpCircuitOpenError);
      expect(refused).toBeInstanceOf(HttpError);
      expect(refused.cause).toBeInstanceOf(CircuitOpenError);
      expect(refused).toMatchObject({
        code: "HTTP_CIRCUIT_OPEN",
        origin: "http://h",
        retryAfterMs: 1_000,
        method: "GET",
      });
      expect(refused.message).toBe(
        "http GET h/a was not sent: requests to http://h have failed too often; the next one is tried in 1000 ms",
      );
      answers[0] = 200;
      expect((yield* session.get("http://other/")).status).toBe(200);
      expect(urls.length).toBe(3);
      yield* sleep(1_000);
      const trial = spawn(() => session.get("http://h/"));
      yield* sleep(0);
      expect((yield* failureOf(session.get("http://h/"))) as Error).toMatchObject({ retryAfterMs: 0 });
      expect((yield* trial).status).toBe(200);
      expect((yield* session.get("http://h/")).status).toBe(200);
      expect(breakers.statistics()).toMatchObject([
        { origin: "http://other", state: "closed", succeeded: 1 },
        { origin: "http://h", state: "closed", failed: 2, refused: 2, opened: 1, succeeded: 2 },
      ]);
    }));

  test.each<[string, Answer, "failed" | "succeeded" | "cancelled"]>([
    ["200", 200, "succeeded"],
    ["404", 404, "succeeded"],
    ["429", 429, "succeeded"],
    ["500", 500, "failed"],
    ["503", 503, "failed"],
    ["no connection", down, "failed"],
    ["headers that do not come", new HttpTimeoutError(subject, "headers", 1), "failed"],
    ["the total limit", new HttpTimeoutError(subject, "total", 1), "failed"],
    ["a wait in line", new HttpTimeoutError(subject, "queue", 1), "cancelled"],
    ["an error of the caller's", new TypeError("mine"), "cancelled"],
  ])("%s counts as %s: %s", (_, answer, verdict) =>
    simulate(function* () {
      const breakers = new CircuitBreakers();
      const { session } = yield* scripted(answer, { circuitBreaker: breakers });
      if (typeof answer === "number") {
        const response = yield* session.get("http://h/");
        expect([response.status, yield* response.text()]).toEqual([answer, "text"]);
      } else expect(yield* failureOf(session.get("http://h/"))).toBe(answer);
      const counts = { succeeded: 0, failed: 0, cancelled: 0, [verdict]: 1 };
      expect(breakers.statistics()).toMatchObject([counts]);
    }),
  );

  test("a cancelled request has no verdict", () =>
    simulate(function* () {
      const asked: unknown[] = [];
      const isFailure: CircuitBreakersOptions["isFailure"] = (outcome) => void asked.push(outcome);
      const breakers = new CircuitBreakers({ ...QUICK, isFailure });
      const { session } = yield* scripted(200, { circuitBreaker: breakers });
      const request = spawn(() => session.get("http://h/"));
      yield* sleep(0);
      request.cancel();
      yield* sleep(5);
      expect(breakers.statistics()).toMatchObject([{ cancelled: 1, failed: 0, succeeded: 0 }]);
      expect(asked).toEqual([]);
    }));

  test("each retry counts, and a refusal is not retried", () =>
    simulate(function* () {
      const { session, urls } = yield* scripted(503, { circuitBreaker: QUICK, retry: { attempts: 10, baseMs: 1 } });
      const error = yield* failureOf(session.get("http://h/"));
      expect(error).toBeInstanceOf(HttpCircuitOpenError);
      expect(urls.length).toBe(2);
    }));

  test("isFailure and onStateChange are asked with the exchange and the origin", () =>
    simulate(function* () {
      const changes: unknown[] = [];
      const { session } = yield* scripted(404, {
        circuitBreaker: {
          ...QUICK,
          isFailure: ({ response, request }) =>
            request.url.endsWith("/strict") ? response?.status === 404 : undefined,
          onStateChange: ({ origin, from, to }) => void changes.push([origin, from, to]),
        },
      });
      for (let i = 0; i < 5; i++) yield* session.get("http://h/");
      expect(changes).toEqual([]);
      for (let i = 0; i < 2; i++) yield* session.get("http://h/strict");
      expect(changes).toEqual([["http://h", "closed", "open"]]);
      const errors = new CircuitBreakers({ isFailure: ({ error }) => error !== down });
      const other = yield* scripted(down, { circuitBreaker: errors });
      yield* failureOf(other.session.get("http://h/"));
      expect(errors.statistics()).toMatchObject([{ succeeded: 1, failed: 0 }]);
      const mine = new Error("mine");
      const throwing: CircuitBreakersOptions["isFailure"] = () => {
        throw mine;
      };
      expect(yield* failureOf(other.session.get("http://h/", { circuitBreaker: { isFailure: throwing } }))).toBe(mine);
    }));

  test("a request can go without, and one alone can ask for it", () =>
    simulate(function* () {
      const { session } = yield* scripted(down, { circuitBreaker: QUICK });
      for (let i = 0; i < 5; i++)
        expect(yield* failureOf(session.get("http://h/", { circuitBreaker: false }))).toBe(down);
      const plain = yield* scripted(down, {});
      for (let i = 0; i < 5; i++) yield* failureOf(plain.session.get("http://h/", { circuitBreaker: true }));
      expect(yield* failureOf(plain.session.get("http://h/", { circuitBreaker: true }))).toBeInstanceOf(
        HttpCircuitOpenError,
      );
      expect(yield* failureOf(plain.session.get("http://h/"))).toBe(down);
    }));

  test("the number of origins is bounded: who was not asked for longest is forgotten", () =>
    simulate(function* () {
      const breakers = new CircuitBreakers({ ...QUICK, maxOrigins: 2 });
      const { session } = yield* scripted(200, { circuitBreaker: breakers });
      for (const host of ["a", "b", "a", "c"]) yield* session.get(`http://${host}/`);
      expect(breakers.statistics().map(({ origin }) => origin)).toEqual(["http://a", "http://c"]);
      breakers.of("http://a").trip(Infinity);
      expect((yield* failureOf(session.get("http://a/"))) as Error).toMatchObject({ retryAfterMs: Infinity });
      breakers.of("http://a").reset();
      expect((yield* session.get("http://a/")).status).toBe(200);
    }));

  test("wrong options are refused at once", () => {
    const wrong: unknown[] = [{ failures: 0 }, { maxOrigins: 0 }, { openMs: -1 }];
    for (const options of wrong)
      expect(() => new CircuitBreakers(options as CircuitBreakersOptions)).toThrow(UsageError);
  });
});
