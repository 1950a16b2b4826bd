import { all, spawn, UsageError, until } from "fibril";
import type { Coroutine, Task } from "fibril";
import { HttpTimeoutError } from "fibril/http";
import type { Session, SessionOptions, UndiciModule } from "fibril/http";
import { describe, expect, test } from "vitest";
import { failureOf, withSession } from "./harness.ts";
import { hostTurn, ManualTime } from "./manual-time.ts";
import { startHttpServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

function onManualTime<T>(
  undici: UndiciModule,
  options: SessionOptions,
  body: (session: Session, time: ManualTime) => Coroutine<T>,
): Promise<T> {
  const time = new ManualTime();
  const { clock, host } = time;
  return withSession(undici, options, (session) => body(session, time), { clock, host });
}

function* fetchText(session: Session, url: string): Coroutine<string> {
  return yield* (yield* session.get(url)).text();
}

function* settled(): Coroutine<void> {
  for (let i = 0; i < 20; i++) yield* hostTurn();
}

describe.each(undiciVersions)("pauses and rates on %s", (_, undici) => {
  test("a paused host waits, others pass, and the reason and the statistics say so", async () => {
    await using one = await startHttpServer();
    await using two = await startHttpServer();
    await onManualTime(undici, {}, function* (session, time) {
      session.pause(one.origin, 12_000, "by Retry-After");
      const waiting = spawn(fetchText, session, `${one.origin}/waiting`);
      expect(yield* fetchText(session, `${two.origin}/other`)).toBe("GET /other");
      const host = one.origin.replace("http://", "");
      expect(waiting.waitingFor).toBe(`http GET ${host}/waiting, queued (paused for 12 s by Retry-After)`);
      expect(session.statistics()).toMatchObject({
        queued: 1,
        queuedBy: { limit: 0, limitPerHost: 0, rate: 0, ratePerHost: 0, paused: 1 },
        paused: [{ origin: one.origin, remainingMs: 12_000, cause: "by Retry-After", waiting: 1 }],
      });
      yield* time.pass(11_999);
      expect(one.log).toEqual([]);
      yield* time.pass(1);
      expect(yield* waiting).toBe("GET /waiting");
      expect(session.statistics()).toMatchObject({ queued: 0, paused: [] });
    });
  });

  test("resume ends a pause, and a pause of a host that nobody asks for is forgotten with its time", async () => {
    await using server = await startHttpServer();
    await onManualTime(undici, { baseUrl: server.origin }, function* (session, time) {
      session.pause("/", Infinity, "by hand");
      const waiting = spawn(fetchText, session, "/");
      yield* hostTurn();
      expect(waiting.waitingFor).toContain(", queued (paused by hand)");
      session.resume(server.origin);
      expect(yield* waiting).toBe("GET /");
      for (let i = 0; i < 1_000; i++) session.pause(`http://host${i}.test`, 10);
      expect(session.statistics().paused.length).toBe(1_000);
      yield* time.pass(10);
      for (let i = 0; i < 2_000; i++) session.pause(`http://next${i}.test`, 10);
      expect(session.statistics().hosts).toBeLessThan(2_300);
    });
  });

  test("a rate spaces the requests of the session, that of a host those of the host; cancelled ones take none", async () => {
    await using one = await startHttpServer();
    await using two = await startHttpServer();
    const options: SessionOptions = {
      rate: { requests: 2, perMs: 1_000, burst: 2 },
      ratePerHost: { requests: 1, perMs: 1_000 },
    };
    await onManualTime(undici, options, function* (session, time) {
      const begin = (url: string): Task<string> => spawn(fetchText, session, url);
      const tasks = [
        begin(`${one.origin}/1`),
        begin(`${one.origin}/2`),
        begin(`${one.origin}/3`),
        begin(`${two.origin}/4`),
        begin(`${two.origin}/5`),
      ];
      yield* until(one.until(() => one.log.length === 1));
      yield* until(two.until(() => two.log.length === 1));
      yield* settled();
      expect([one.log, two.log]).toEqual([["GET /1"], ["GET /4"]]);
      expect(tasks[1]!.waitingFor).toContain(`, queued (rate of ${one.origin.replace("http://", "")})`);
      tasks[1]!.cancel();
      yield* time.pass(999);
      yield* settled();
      expect([one.log, two.log]).toEqual([["GET /1"], ["GET /4"]]);
      yield* time.pass(1);
      yield* all([tasks[2]!, tasks[4]!]);
      expect([one.log, two.log]).toEqual([
        ["GET /1", "GET /3"],
        ["GET /4", "GET /5"],
      ]);
      const sixth = begin("http://127.0.0.1:1/");
      yield* hostTurn();
      expect(sixth.waitingFor).toContain("queued (rate of the session)");
      sixth.cancel();
    });
  });

  test("setLimits lets in more at once, ends nobody, and closes idle connections that are too many", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, function* (session) {
      const tasks = [1, 2, 3, 4].map((it) => spawn(fetchText, session, `/hold/${it}`));
      yield* until(server.until(() => server.held.length === 1));
      session.setLimits({ limit: 4, limitPerHost: 3 });
      yield* until(server.until(() => server.held.length === 3));
      yield* settled();
      expect(tasks[3]!.waitingFor).toContain(`queued (limit of ${server.origin.replace("http://", "")})`);
      expect(session.statistics()).toMatchObject({
        active: 3,
        queued: 1,
        limit: 4,
        limitPerHost: 3,
        queuedBy: { limitPerHost: 1 },
      });
      session.setLimits({ limit: 1 });
      for (const { response } of server.held) response.end("ok");
      yield* until(server.until(() => server.held.length === 4));
      server.held[3]!.response.end("ok");
      expect(yield* all(tasks)).toEqual(["ok", "ok", "ok", "ok"]);
      yield* until(server.untilOpen(1));
      expect(session.statistics()).toMatchObject({ limit: 1, limitPerHost: 3, idle: 1 });
    });
  });

  test("a wait for a rate counts as waiting in line, and not as connecting", async () => {
    await using server = await startHttpServer();
    const options = {
      baseUrl: server.origin,
      ratePerHost: { requests: 1, perMs: 5_000 },
      timeout: { connectMs: 100, queueMs: 6_000 },
    };
    await onManualTime(undici, options, function* (session, time) {
      yield* fetchText(session, "/");
      const second = spawn(function* () {
        const response = yield* session.get("/second");
        yield* response.text();
        return response.timings;
      });
      const third = spawn(failureOf, session.get("/third"));
      yield* hostTurn();
      yield* time.pass(5_000);
      expect(yield* second).toMatchObject({ queueMs: 5_000, connectMs: 0 });
      yield* time.pass(1_000);
      const error = yield* third;
      expect(error).toBeInstanceOf(HttpTimeoutError);
      expect(error).toMatchObject({ phase: "queue", limitMs: 6_000 });
    });
  });

  test("closing the session ends those who wait for time, and leaves no timer", async () => {
    await using server = await startHttpServer();
    await onManualTime(undici, { baseUrl: server.origin }, function* (session) {
      session.pause("/", 60_000);
      const waiting = spawn(failureOf, session.get("/"));
      yield* hostTurn();
      yield* session.close();
      expect(yield* waiting).toMatchObject({ code: "HTTP_SESSION_CLOSED" });
    });
  });

  test("wrong limits are refused, and change nothing", async () => {
    await withSession(undici, {}, function* (session): Coroutine<void> {
      const wrong: unknown[] = [
        { limit: 0 },
        { limitPerHost: 1.5 },
        { rate: { requests: 0 } },
        { rate: 3 },
        { ratePerHost: { requests: 1, burst: 0.5 } },
        { rate: { requests: 1, perMs: NaN } },
      ];
      for (const limits of wrong) expect(() => session.setLimits(limits as SessionOptions)).toThrow(UsageError);
      for (const ms of [-1, NaN, "3"]) expect(() => session.pause("http://h/", ms as number)).toThrow(UsageError);
      expect(session.statistics()).toMatchObject({ limit: 100, limitPerHost: Infinity });
    });
    for (const options of [{ rate: { requests: -1 } }, { limit: NaN }] as SessionOptions[]) {
      await expect(withSession(undici, options, function* (): Coroutine<void> {})).rejects.toThrow(UsageError);
    }
  });
});
