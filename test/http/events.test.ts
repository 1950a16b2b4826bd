import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { run, spawn, until } from "fibril";
import { REQUEST_CHANNEL, Session } from "fibril/http";
import type { RequestEvent, RequestObserver } from "fibril/http";
import { describe, expect, test } from "vitest";
import { failureOf, withSession } from "./harness.ts";
import { hostTurn, ManualTime } from "./manual-time.ts";
import { closedOrigin, startHttpServer, startRawServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

class Recorder implements RequestObserver {
  readonly events: RequestEvent[] = [];

  #first = 0;

  event(event: RequestEvent): void {
    this.#first ||= event.requestId; // they count over all sessions
    this.events.push({ ...event, requestId: event.requestId - this.#first + 1 });
  }

  /** `exchange kind` of each one; many chunks in a row are one. */
  get story(): string[] {
    const lines = this.events.map(({ exchange, kind }) => `${exchange} ${kind}`);
    return lines.filter((line, index) => !(line.endsWith("chunk") && line === lines[index - 1]));
  }

  of<Kind extends RequestEvent["kind"]>(kind: Kind): Extract<RequestEvent, { kind: Kind }>[] {
    return this.events.filter((event) => event.kind === kind) as Extract<RequestEvent, { kind: Kind }>[];
  }
}

describe.each(undiciVersions)("events on %s", (_, undici) => {
  test("tell a request from the line to the end of its body, and the next one that its connection is reused", async () => {
    await using server = await startHttpServer();
    const recorder = new Recorder();
    await withSession(undici, { baseUrl: server.origin, observer: recorder }, function* (session) {
      yield* (yield* session.get("/a?b=c")).text();
      yield* (yield* session.post("/d", { body: "xy" })).text();
    });
    expect(recorder.story).toEqual([
      ...["queued", "connected", "sent", "headers", "chunk", "end"].map((kind) => `1 ${kind}`),
      ...["queued", "reused", "sent", "headers", "chunk", "end"].map((kind) => `1 ${kind}`),
    ]);
    const [first] = recorder.events;
    const common = { requestId: 1, exchange: 1, attempt: 1, method: "GET", url: `${server.origin}/a?b=c` };
    expect(first).toEqual({ kind: "queued", ...common, at: first!.at, waits: false });
    for (const event of recorder.events.slice(0, 6)) expect(event).toMatchObject(common);
    expect(recorder.of("sent").map(({ hasBody }) => hasBody)).toEqual([false, true]);
    expect(recorder.of("headers")[0]).toMatchObject({ status: 200, headers: { "content-length": "10" } });
    expect(recorder.of("chunk")[0]).toMatchObject({ bytes: 10 });
    expect(recorder.of("reused")[0]).toMatchObject({ requestId: 2, served: 1 });
    const end = recorder.of("end")[0]!;
    expect(end).toMatchObject({ status: 200, receivedBytes: 10, isComplete: true });
    expect(recorder.events.map(({ at }) => at)).toEqual(recorder.events.map(({ at }) => at).sort((a, b) => a - b));
  });

  test("the times of an exchange are those of its phases", async () => {
    await using server = await startHttpServer();
    const recorder = new Recorder();
    const time = new ManualTime();
    const options = { baseUrl: server.origin, observer: recorder };
    await withSession(
      undici,
      options,
      function* (session) {
        session.pause("/", 30);
        const task = spawn(function* () {
          return yield* (yield* session.get("/hold")).text();
        });
        yield* hostTurn();
        yield* time.pass(30);
        yield* until(server.until(() => server.held.length === 1));
        yield* time.pass(40.5);
        server.held[0]!.response.write("be");
        while (recorder.of("chunk").length === 0) yield* hostTurn();
        yield* time.pass(5);
        server.held[0]!.response.end("gin");
        expect(yield* task).toBe("begin");
      },
      { clock: time.clock, host: time.host },
    );
    expect(recorder.of("queued")).toMatchObject([{ at: 0, waits: true }]);
    expect(recorder.of("connected")).toMatchObject([{ at: 30, queueMs: 30, connection: { protocol: "http/1.1" } }]);
    expect(recorder.of("headers")).toMatchObject([{ at: 70.5, headersMs: 40.5 }]);
    expect(recorder.of("end")).toMatchObject([{ at: 75.5, queueMs: 30, connectMs: 0, headersMs: 40.5, bodyMs: 5 }]);
  });

  test("a redirect is told with where it leads, and its exchanges are counted", async () => {
    await using server = await startHttpServer((request, response) => {
      if (request.url === "/from") response.writeHead(302, { location: "/to" }).end("gone");
      else response.end();
    });
    const recorder = new Recorder();
    await withSession(undici, { observer: recorder }, function* (session) {
      yield* (yield* session.get(`${server.origin.replace("//", "//user:secret@")}/from`)).text();
    });
    const [redirect] = recorder.of("redirect");
    expect(redirect).toMatchObject({
      exchange: 1,
      status: 302,
      url: `${server.origin}/from`,
      location: `${server.origin}/to`,
    });
    expect(recorder.of("queued").map(({ exchange, url }) => [exchange, url])).toEqual([
      [1, `${server.origin}/from`],
      [2, `${server.origin}/to`],
    ]);
    expect(
      recorder
        .of("end")
        .map(({ exchange }) => exchange)
        .sort((a, b) => a - b),
    ).toEqual([1, 2]);
    expect(JSON.stringify(recorder.events)).not.toContain("secret");
  });

  test("every exchange ends with exactly one end or error, whatever becomes of it", async () => {
    await using server = await startHttpServer((request, response) => {
      if (request.url === "/large") response.end("x".repeat(1_000_000));
      else response.end();
    });
    await using broken = await startRawServer((socket) => socket.destroy());
    const nobody = closedOrigin();
    const recorder = new Recorder();
    await withSession(undici, { limit: 2, observer: recorder, baseUrl: server.origin }, function* (session) {
      yield* failureOf(session.get(nobody));
      yield* failureOf(session.get(broken.origin));
      yield* failureOf(session.get("/hold", { timeout: { headersMs: 1 } }));
      (yield* session.get("/large")).close();
      const holders = [spawn(failureOf, session.get("/hold/1")), spawn(failureOf, session.get("/hold/2"))];
      yield* until(server.until(() => server.log.filter((line) => line.includes("/hold/")).length === 2));
      const waiting = spawn(failureOf, session.get("/"));
      for (let i = 0; i < 100 && recorder.of("queued").length < 7; i++) yield* hostTurn();
      expect(recorder.of("queued").at(-1)).toMatchObject({ requestId: 7, waits: true });
      waiting.cancel();
      for (const holder of holders) holder.cancel();
    });
    const endings = recorder.events.filter(({ kind }) => kind === "end" || kind === "error");
    expect(endings.map(({ requestId }) => requestId).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(recorder.of("end")).toMatchObject([{ requestId: 4, isComplete: false, status: 200 }]);
    const errors = new Map(recorder.of("error").map((event) => [event.requestId, event]));
    expect(errors.get(1)).toMatchObject({ phase: "connecting", isCancelled: false, error: { code: "HTTP_CONNECT" } });
    expect(errors.get(2)).toMatchObject({ phase: "headers", error: { code: "HTTP_PROTOCOL" } });
    expect(errors.get(3)).toMatchObject({ phase: "headers", error: { code: "HTTP_TIMEOUT" } });
    expect(errors.get(5)).toMatchObject({ phase: "headers", isCancelled: true, error: undefined });
    expect(errors.get(6)).toMatchObject({ phase: "headers", isCancelled: true });
    expect(errors.get(7)).toMatchObject({ phase: "queued", isCancelled: true });
  });

  test("an observer that throws is detached and reported, and harms nothing", async () => {
    await using server = await startHttpServer((request, response) => {
      if (request.url === "/from") response.writeHead(302, { location: "/1" }).end();
      else response.end(`${request.method} ${request.url}`);
    });
    const seen: string[] = [];
    const bad: RequestObserver = {
      event({ kind }) {
        seen.push(kind);
        if (kind === "sent") throw new Error("from the observer");
      },
    };
    let asked = 0;
    const badHeaders: RequestObserver = {
      event: () => undefined,
      headersFor: () => (++asked, { "x-bad": "a\r\nb" }),
    };
    const good = new Recorder();
    const reports: unknown[] = [];
    const { EventLoop } = await import("fibril");
    const loop = new EventLoop({ onReport: (report) => void reports.push(report) });
    await run(
      function* () {
        const session = yield* Session.open({ undici, baseUrl: server.origin, observer: [bad, badHeaders, good] });
        expect(yield* (yield* session.get("/from")).text()).toBe("GET /1");
        expect(yield* (yield* session.get("/2", { observer: bad })).text()).toBe("GET /2");
      },
      { loop },
    );
    expect(seen).toEqual(["queued", "connected", "sent"]);
    expect([asked, good.of("end").length]).toEqual([1, 3]);
    expect(reports).toMatchObject([
      { kind: "probe-failed", message: "a request observer threw in headersFor and was detached" },
      { kind: "probe-failed", message: 'a request observer threw on "sent" and was detached' },
    ]);
  });

  test("headers that observers add are sent, but never in place of the caller's", async () => {
    const seen: unknown[] = [];
    await using server = await startHttpServer((request, response) => {
      seen.push([request.headers["x-trace"], request.headers["x-own"]]);
      response.end();
    });
    const observer: RequestObserver = {
      event: () => undefined,
      headersFor: ({ method, exchange }) => ({ "X-Trace": `${method}.${exchange}`, "x-own": "observer" }),
    };
    await withSession(undici, { baseUrl: server.origin, observer }, function* (session) {
      yield* session.get("/", { headers: { "x-own": "caller" } });
      yield* session.get("/");
    });
    expect(seen).toEqual([
      ["GET.1", "caller"],
      ["GET.1", "observer"],
    ]);
  });

  test("session.observe listens until it is taken out, and an observer of a request sees that one only", async () => {
    await using server = await startHttpServer();
    const [ofSession, ofRequest] = [new Recorder(), new Recorder()];
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      yield* session.get("/1");
      const stop = session.observe(ofSession);
      yield* (yield* session.get("/2", { observer: ofRequest })).text();
      stop();
      yield* (yield* session.get("/3")).text();
    });
    expect(ofSession.story).toEqual(ofRequest.story);
    expect(ofSession.of("end").map(({ url }) => url)).toEqual([`${server.origin}/2`]);
  });

  test("diagnostics_channel carries the same events while somebody has subscribed", async () => {
    await using server = await startHttpServer();
    const messages: RequestEvent[] = [];
    const recorder = new Recorder();
    const listener = (message: unknown): void => void messages.push(message as RequestEvent);
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      yield* (yield* session.get("/unseen")).text();
      subscribe(REQUEST_CHANNEL, listener);
      try {
        yield* (yield* session.get("/seen", { observer: recorder })).text();
      } finally {
        unsubscribe(REQUEST_CHANNEL, listener);
      }
      yield* (yield* session.get("/unseen")).text();
    });
    expect(messages.map((event) => ({ ...event, requestId: 1 }))).toEqual(recorder.events);
    expect(messages.length).toBeGreaterThanOrEqual(6);
  });
});
