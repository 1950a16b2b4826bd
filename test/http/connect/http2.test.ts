import { all, sleep, spawn, until } from "fibril";
import type { Coroutine, Task } from "fibril";
import { HttpTimeoutError, ProtocolError } from "fibril/http";
import type { Session, SessionOptions } from "fibril/http";
import { constants, createSecureServer } from "node:http2";
import type { Http2SecureServer, SecureServerOptions, ServerHttp2Stream } from "node:http2";
import { createServer as createTlsServer } from "node:https";
import { connect } from "node:net";
import type { TLSSocket } from "node:tls";
import { describe, expect, test } from "vitest";
import { certificate, privateKey } from "../certificate.ts";
import { atRest, failureOf, NOTHING, withSession } from "../harness.ts";
import { hostTurn, ManualTime } from "../manual-time.ts";
import { listening, startHttpServer, startSocketServer, TestServer } from "../servers.ts";
import { undiciVersions } from "../undici-versions.ts";
import { startHttpProxy } from "./proxy-servers.ts";

const tls = { ca: certificate };

describe.each(undiciVersions)("HTTP/2 on %s", (_, undici) => {
  const open = <T>(server: TestServer, body: (session: Session) => Coroutine<T>, options: SessionOptions = {}) =>
    withSession(undici, { baseUrl: secureOrigin(server), http2: true, tls, ...options }, body);

  test("all requests to a host share one connection, those that came before it stood as well", async () => {
    await using server = await startHttp2Server();
    await open(server, function* (session) {
      const texts = yield* all(Array.from({ length: 50 }, (__, i) => () => fetchText(session, `/${i}`)));
      expect(texts).toEqual(Array.from({ length: 50 }, (__, i) => `GET /${i}`));
      expect(yield* fetchText(session, "/later")).toBe("GET /later");
      expect(server.accepted).toBe(1);
      expect(session.statistics()).toMatchObject({ ...NOTHING, idle: 1, hosts: 1 });
    });
    await server.untilOpen(0);
  });

  test("it is off unless asked for, and for http: always", async () => {
    await using server = await startHttp2Server();
    await using plain = await startHttpServer((request, response) => response.end(request.httpVersion));
    await open(plain, function* (session) {
      expect(yield* fetchText(session, plain.origin)).toBe("1.1");
    });
    await open(
      server,
      function* (session) {
        const response = yield* session.get("/version");
        expect(yield* response.text()).toBe("1.1");
      },
      { http2: false },
    );
    await open(server, function* (session) {
      const response = yield* session.get("/version");
      expect(yield* response.text()).toBe("2.0");
    });
  });

  test("a server that speaks HTTP/1.1 only gets a connection for each request, and the first one is not wasted", async () => {
    await using server = await listening(
      createTlsServer({ cert: certificate, key: privateKey }, (request, response) => response.end(request.httpVersion)),
    );
    await open(server, function* (session) {
      expect(yield* all([1, 2, 3].map(() => () => fetchText(session, "/")))).toEqual(["1.1", "1.1", "1.1"]);
      expect(server.accepted).toBe(3);
      expect(session.statistics()).toMatchObject({ ...NOTHING, idle: 3 });
      yield* fetchText(session, "/");
      expect(server.accepted).toBe(3);
      const response = yield* session.get("/", { headers: { host: "localhost" } }); // undici connects anew for that name
      expect(yield* response.text()).toBe("1.1");
    });
    await server.untilOpen(0);
  });

  test("headers, bodies and answers are those of HTTP/1.1", async () => {
    await using server = await startHttp2Server();
    await open(server, function* (session) {
      const response = yield* session.post("/echo", {
        json: { a: 1 },
        headers: { "x-list": ["1", "2"], connection: "close", host: "example.org" },
      });
      expect(response.headers.get("x-authority")).toBe("example.org");
      expect(response.headers.get("x-list")).toBe("1, 2");
      expect(response.headers.get("x-length")).toBe("7");
      expect([...response.headers].some(([name]) => name.startsWith(":"))).toBe(false);
      expect(yield* response.json()).toEqual({ a: 1 });
      async function* pieces(): AsyncGenerator<string> {
        for (let i = 0; i < 100; i++) yield "x".repeat(10_000);
      }
      const streamed = yield* session.post("/echo", { body: pieces() });
      expect((yield* streamed.text()).length).toBe(1_000_000);
      const head = yield* session.head("/large");
      expect(head.headers.get("content-length")).toBe("2000000");
      expect(yield* head.text()).toBe("");
      const empty = yield* session.get("/204");
      expect(empty.status).toBe(204);
      expect(yield* empty.text()).toBe("");
      const hinted = yield* session.get("/hints");
      expect(yield* hinted.text()).toBe("after 103");
      expect(server.accepted).toBe(1);
    });
  });

  test("a redirect to a path goes over the same connection", async () => {
    await using server = await startHttp2Server();
    await open(server, function* (session) {
      expect(yield* fetchText(session, "/redirect")).toBe("GET /end");
      expect(server.accepted).toBe(1);
    });
  });

  test("a large body is held back while nobody reads it, and the others go on", async () => {
    await using server = await startHttp2Server();
    await open(server, function* (session) {
      const large = yield* session.get("/large");
      for (let i = 0; i < 20; i++) yield* fetchText(session, `/${i}`);
      expect(large.isComplete).toBe(false);
      expect((yield* large.text()).length).toBe(2_000_000);
      expect(large.isComplete).toBe(true);
      expect(server.accepted).toBe(1);
    });
  });

  test.each(["waiting for headers", "reading the body", "sending the body"])(
    "cancelling one request %s leaves the others and the connection alone",
    async (phase) => {
      await using server = await startHttp2Server();
      await open(server, function* (session) {
        const others = [1, 2, 3].map((i) => spawn(fetchText, session, `/hold/${i}`));
        yield* until(server.until(() => server.held.length === 3));
        let cancelled: Task<unknown>;
        if (phase === "reading the body") {
          cancelled = spawn(function* () {
            const response = yield* session.get("/large");
            yield* response.chunk();
            yield* sleep(Infinity);
          });
          yield* until(server.until(() => server.streams === 4));
          for (let i = 0; i < 20; i++) yield* hostTurn();
          yield* cancelled.cancel();
        } else {
          let given = 0;
          async function* endless(): AsyncGenerator<Uint8Array> {
            for (;;) {
              given++;
              yield new Uint8Array(64 * 1024);
            }
          }
          const sends = phase === "sending the body";
          cancelled = spawn(() => (sends ? session.post("/hold/x", { body: endless() }) : session.get("/hold/x")));
          yield* until(server.until(() => server.held.length === 4));
          while (sends && given === 0) yield* hostTurn();
          for (let i = 0; i < 20; i++) yield* hostTurn();
          expect(given > 0).toBe(sends);
          yield* cancelled.cancel();
        }
        yield* until(server.until(() => server.streams === 3));
        expect(session.statistics()).toMatchObject({ active: 3, connecting: 0 });
        for (const stream of server.held.slice(0, 3)) stream.respond({ ":status": 200 });
        for (const stream of server.held.slice(0, 3)) stream.end("answered");
        expect(yield* all(others)).toEqual(["answered", "answered", "answered"]);
        expect(server.accepted).toBe(1);
        expect(atRest(session)).toEqual({ ...NOTHING, idle: 1 });
      });
      await server.untilOpen(0);
    },
  );

  test("limit counts requests, and a request that waits can be cancelled at once", async () => {
    await using server = await startHttp2Server();
    await open(
      server,
      function* (session) {
        const tasks = Array.from({ length: 5 }, (__, i) => spawn(fetchText, session, `/hold/${i}`));
        yield* until(server.until(() => server.held.length === 2));
        expect(session.statistics()).toMatchObject({ active: 2, queued: 3 });
        yield* tasks[4]!.cancel();
        for (let i = 0; i < 4; i++) {
          yield* until(server.until(() => server.held.length > i));
          const stream = server.held[i]!;
          stream.respond({ ":status": 200 });
          stream.end();
        }
        yield* all(tasks.slice(0, 4));
        expect(server.mostStreams).toBe(2);
        expect(server.accepted).toBe(1);
      },
      { limit: 2 },
    );
  });

  test.each([
    ["the server allows", { settings: { maxConcurrentStreams: 3 } }, {}],
    ["the session allows", {}, { maxConcurrentStreams: 3 }],
  ])("a connection takes as many requests as %s; then there is a further one", async (__, server2, options) => {
    await using server = await startHttp2Server(server2);
    await open(
      server,
      function* (session) {
        const tasks = Array.from({ length: 7 }, (_each, i) => spawn(fetchText, session, `/hold/${i}`));
        yield* until(server.until(() => server.held.length === 7));
        expect(server.accepted).toBe(3);
        expect(server.mostStreamsOfOne).toBe(3);
        for (const stream of server.held) stream.respond({ ":status": 200 });
        for (const stream of server.held) stream.end("done");
        yield* all(tasks);
        expect(session.statistics()).toMatchObject({ ...NOTHING, idle: 3 });
      },
      options,
    );
    await server.untilOpen(0);
  });

  test("who waits for a further connection takes what gets free on the first one, and the attempt is given up", async () => {
    await using server = await startHttp2Server();
    await using relay = await startSocketServer((socket) => {
      if (relay.accepted > 1) return void socket.resume();
      const onward = connect({ port: server.port, host: "127.0.0.1" });
      socket.pipe(onward).pipe(socket);
      socket.on("close", () => onward.destroy());
    });
    await open(
      relay,
      function* (session) {
        const first = spawn(fetchText, session, "/hold/first");
        yield* until(server.until(() => server.held.length === 1));
        const second = spawn(fetchText, session, "/second");
        const third = spawn(fetchText, session, "/third");
        yield* until(relay.untilOpen(2));
        expect(session.statistics()).toMatchObject({ active: 3, connecting: 2 });
        reply(server.held[0]!, "first");
        expect(yield* all([first, second, third])).toEqual(["first", "GET /second", "GET /third"]);
        yield* until(relay.untilOpen(1));
        expect(atRest(session)).toEqual({ ...NOTHING, idle: 1 });
      },
      { maxConcurrentStreams: 1 },
    );
    await relay.untilOpen(0);
  });

  test("who waits for the first connection may leave; the last one ends the attempt", async () => {
    await using silent = await startSocketServer((socket) => void socket.resume());
    await open(silent, function* (session) {
      const tasks = [1, 2, 3].map(() => spawn(failureOf, session.get("/")));
      yield* until(silent.untilOpen(1));
      expect(session.statistics()).toMatchObject({ active: 3, connecting: 3, idle: 0 });
      yield* tasks[0]!.cancel();
      yield* tasks[2]!.cancel();
      for (let i = 0; i < 5; i++) yield* hostTurn();
      expect(silent.sockets.size).toBe(1);
      yield* tasks[1]!.cancel();
      yield* until(silent.untilOpen(0));
      expect(atRest(session)).toEqual(NOTHING);

      const last = spawn(failureOf, session.get("/"));
      yield* until(silent.untilOpen(1));
      yield* session.close();
      expect(yield* last).toMatchObject({ code: "HTTP_SESSION_CLOSED" });
    });
    await silent.untilOpen(0);
  });

  test("when the first connection fails, all who wait for it get the error, and the next request tries again", async () => {
    let isBroken = true;
    await using server = await startHttp2Server({
      ALPNCallback: () => (isBroken ? undefined : "h2"),
      ALPNProtocols: undefined as never,
    });
    await open(server, function* (session) {
      const errors = yield* all([1, 2, 3].map(() => () => failureOf(session.get("/"))));
      for (const error of errors) expect(error).toMatchObject({ code: "HTTP_CONNECT" });
      expect(server.accepted).toBe(1);
      expect(atRest(session)).toEqual(NOTHING);
      isBroken = false;
      expect(yield* fetchText(session, "/again")).toBe("GET /again");
    });
  });

  test("a server that says nothing after TLS is a timeout in phase connect", async () => {
    await using server = await listening(createMuteServer());
    const time = new ManualTime();
    await withSession(
      undici,
      { http2: true, tls, timeout: { connectMs: 1000 } },
      function* (session) {
        const tasks = [1, 2].map(() => spawn(failureOf, session.get(secureOrigin(server))));
        yield* until(server.untilOpen(1));
        for (let i = 0; i < 20; i++) yield* hostTurn();
        yield* time.pass(1000);
        for (const error of yield* all(tasks)) expect(error).toMatchObject({ code: "HTTP_TIMEOUT", phase: "connect" });
        yield* until(server.untilOpen(0));
      },
      { clock: time.clock, host: time.host },
    );
  });

  test("a request that is not answered in time ends alone", async () => {
    await using server = await startHttp2Server();
    const time = new ManualTime();
    await withSession(
      undici,
      { baseUrl: secureOrigin(server), http2: true, tls },
      function* (session) {
        const late = spawn(failureOf, session.get("/hold/late", { timeout: { headersMs: 1000 } }));
        const other = spawn(fetchText, session, "/hold/other");
        yield* until(server.until(() => server.held.length === 2));
        yield* time.pass(1000);
        expect(yield* late).toBeInstanceOf(HttpTimeoutError);
        yield* until(server.until(() => server.streams === 1));
        const stream = server.held.find((each) => !each.destroyed)!;
        stream.respond({ ":status": 200 });
        stream.end("in time");
        expect(yield* other).toBe("in time");
      },
      { clock: time.clock, host: time.host },
    );
  });

  test("a connection whose server is silently gone is not used for further requests", async () => {
    await using server = await startHttp2Server();
    await using proxy = await startHttpProxy();
    const time = new ManualTime();
    await withSession(
      undici,
      { baseUrl: secureOrigin(server), http2: true, tls, proxy: proxy.origin },
      function* (session) {
        const late = spawn(failureOf, session.get("/hold/late", { timeout: { headersMs: 1000 } }));
        yield* until(server.until(() => server.held.length === 1));
        for (const socket of proxy.sockets) socket.pause(); // passes nothing on any more
        yield* time.pass(1000);
        yield* late;
        const later = spawn(failureOf, session.get("/first", { timeout: { headersMs: 1000 } })); // nobody can know yet
        yield* hostTurn();
        yield* time.pass(1000);
        expect(yield* later).toBeInstanceOf(HttpTimeoutError);
        expect(yield* fetchText(session, "/next")).toBe("GET /next");
        expect(server.accepted).toBe(2);
      },
      { clock: time.clock, host: time.host },
    );
  });

  test("a lost connection fails what was in flight, typed, and the next request has a new one", async () => {
    await using server = await startHttp2Server();
    await open(server, function* (session) {
      const waiting = [1, 2].map((i) => spawn(failureOf, session.get(`/hold/${i}`)));
      const response = yield* session.get("/large");
      yield* until(server.until(() => server.held.length === 2));
      for (const socket of server.sockets) socket.destroy();
      for (const error of yield* all(waiting)) {
        expect(error).toBeInstanceOf(ProtocolError);
        expect(error).toMatchObject({ problem: "closed", afterHeaders: false });
      }
      expect(yield* failureOf(response.text())).toMatchObject({ code: "HTTP_PROTOCOL", afterHeaders: true });
      expect(atRest(session)).toEqual(NOTHING);
      expect(yield* fetchText(session, "/new")).toBe("GET /new");
      expect(server.accepted).toBe(2);
    });
  });

  test("after GOAWAY what the server has taken goes on, and the next request has a new connection", async () => {
    await using server = await startHttp2Server();
    await open(server, function* (session) {
      const taken = spawn(fetchText, session, "/hold/taken");
      yield* until(server.until(() => server.held.length === 1));
      server.held[0]!.session!.goaway();
      // Until the GOAWAY has come, requests are sent on the old connection; the server refuses them, and they move.
      for (let i = 0; i < 5; i++) expect(yield* fetchText(session, "/next")).toBe("GET /next");
      expect(server.accepted).toBe(2);
      server.held[0]!.respond({ ":status": 200 });
      server.held[0]!.end("done");
      expect(yield* taken).toBe("done");
      yield* until(server.untilOpen(1));
      expect(session.statistics()).toMatchObject({ active: 0, idle: 1 });
    });
  });

  test("a request that the server has refused is sent again once, and fails if it is refused again", async () => {
    await using server = await startHttp2Server();
    await open(server, function* (session) {
      expect(yield* fetchText(session, "/refuse-once")).toBe("GET /refuse-once");
      const error = yield* failureOf(session.get("/refuse-always"));
      expect(error).toMatchObject({ code: "HTTP_PROTOCOL", problem: "closed" });
      expect(server.log.filter((line) => line.includes("refuse"))).toHaveLength(4);
      async function* body(): AsyncGenerator<string> {
        yield "once";
      }
      expect(yield* failureOf(session.post("/refuse-once/2", { body: body() }))).toMatchObject({
        code: "HTTP_PROTOCOL",
      });
    });
  });

  test("a stream that breaks is an error of its request alone", async () => {
    await using server = await startHttp2Server();
    await open(server, function* (session) {
      expect(yield* failureOf(session.get("/reset"))).toMatchObject({ code: "HTTP_PROTOCOL", afterHeaders: false });
      const cut = yield* session.get("/cut");
      expect(yield* failureOf(cut.text())).toMatchObject({ code: "HTTP_PROTOCOL", afterHeaders: true });
      const short = yield* failureOf(bodyOf(session, "/short"));
      expect(short).toMatchObject({ code: "HTTP_PROTOCOL", afterHeaders: true, problem: "wrong-length" });
      expect(yield* fetchText(session, "/fine")).toBe("GET /fine");
      expect(server.accepted).toBe(1);
      expect(atRest(session)).toEqual({ ...NOTHING, idle: 1 });
    });
  });

  test("an answer that comes before the upload has ended ends the upload", async () => {
    await using server = await startHttp2Server();
    await open(server, function* (session) {
      let isClosed = false;
      async function* endless(): AsyncGenerator<Uint8Array> {
        try {
          for (;;) yield new Uint8Array(16 * 1024);
        } finally {
          isClosed = true;
        }
      }
      const response = yield* session.post("/early", { body: endless() });
      expect(response.status).toBe(413);
      yield* response.text();
      while (!isClosed) yield* hostTurn();
      yield* until(server.until(() => server.streams === 0));
      expect(yield* fetchText(session, "/fine")).toBe("GET /fine");
      expect(server.accepted).toBe(1);
    });
  });

  test("an error of the caller's stream comes back as it is", async () => {
    await using server = await startHttp2Server();
    await open(server, function* (session) {
      const mine = new Error("mine");
      async function* failing(): AsyncGenerator<string> {
        yield "begin";
        throw mine;
      }
      expect(yield* failureOf(session.post("/echo", { body: failing() }))).toBe(mine);
      expect(yield* fetchText(session, "/fine")).toBe("GET /fine");
      expect(server.accepted).toBe(1);
    });
  });

  test("the end of the session ends its streams and its connections", async () => {
    await using server = await startHttp2Server();
    await open(server, function* (session) {
      const tasks = [1, 2].map((i) => spawn(failureOf, session.get(`/hold/${i}`)));
      const response = yield* session.get("/large");
      yield* until(server.until(() => server.held.length === 2));
      yield* session.close();
      for (const error of yield* all(tasks)) expect(error).toMatchObject({ code: "HTTP_SESSION_CLOSED" });
      expect(yield* failureOf(response.text())).toMatchObject({ code: "HTTP_SESSION_CLOSED" });
    });
    await server.untilOpen(0);
  });

  test("an idle connection is closed after keepAliveMs, and not while it is used", async () => {
    await using server = await startHttp2Server();
    await open(
      server,
      function* (session) {
        yield* fetchText(session, "/first"); // the time begins to run
        const held = spawn(fetchText, session, "/hold/1");
        yield* until(server.until(() => server.held.length === 1));
        const { accepted } = server; // another one when the time was over before the request came
        yield* sleep(60);
        expect(yield* fetchText(session, "/meanwhile")).toBe("GET /meanwhile");
        expect(server.accepted).toBe(accepted);
        server.held[0]!.respond({ ":status": 200 });
        server.held[0]!.end("held");
        expect(yield* held).toBe("held");
        yield* until(server.untilOpen(0));
        while (session.statistics().idle > 0) yield* sleep(1);
        expect(session.statistics()).toMatchObject({ ...NOTHING, hosts: 0 });
        expect(yield* fetchText(session, "/again")).toBe("GET /again");
      },
      { keepAliveMs: 20 },
    );
  });

  test("one that was idle for too long serves nobody any more, also while its server does not close its side", async () => {
    await using server = await startHttp2Server();
    await using proxy = await startHttpProxy();
    await open(
      server,
      function* (session) {
        yield* fetchText(session, "/first");
        for (const socket of proxy.sockets) socket.pause(); // passes nothing on any more
        while (session.statistics().idle > 0) yield* sleep(1);
        expect(session.statistics()).toMatchObject({ ...NOTHING, hosts: 0 });
        expect(yield* fetchText(session, "/next")).toBe("GET /next");
        expect(server.accepted).toBe(2);
      },
      { keepAliveMs: 20, proxy: proxy.origin },
    );
  });

  test("limits of idle connections and of requests for each hold here, too", async () => {
    await using server = await startHttp2Server();
    await open(
      server,
      function* (session) {
        for (let i = 0; i < 5; i++) expect(yield* fetchText(session, `/${i}`)).toBe(`GET /${i}`);
        expect(server.accepted).toBe(3);
        yield* until(server.untilOpen(1));
      },
      { maxRequestsPerConnection: 2 },
    );
    await open(
      server,
      function* (session) {
        yield* fetchText(session, "/");
        expect(atRest(session)).toEqual(NOTHING);
      },
      { maxIdle: 0 },
    );
    await server.untilOpen(0);
  });

  test("it works through a proxy", async () => {
    await using server = await startHttp2Server();
    await using proxy = await startHttpProxy();
    await open(
      server,
      function* (session) {
        const texts = yield* all([1, 2, 3].map((i) => () => fetchText(session, `/${i}`)));
        expect(texts).toEqual(["GET /1", "GET /2", "GET /3"]);
        expect(proxy.log).toEqual([`CONNECT localhost:${server.port}`]);
      },
      { proxy: proxy.origin },
    );
    await proxy.untilOpen(0);
  });

  test("a header that HTTP/2 cannot send is an InvalidRequestError, and nothing is left of the request", async () => {
    await using server = await startHttp2Server();
    await open(server, function* (session) {
      for (const headers of [{ "x-bad": "a\nb" }, { host: "a\r\nx: y" }, { host: ["a", "b"] }, { ":path": "/other" }]) {
        const error = yield* failureOf(session.get("/", { headers: headers as Record<string, string> }));
        expect(error).toMatchObject({ code: "HTTP_INVALID_REQUEST" });
      }
      expect(yield* fetchText(session, "/fine")).toBe("GET /fine");
      expect(atRest(session)).toEqual({ ...NOTHING, idle: 1 });
    });
  });
});

class Http2TestServer extends TestServer {
  readonly log: string[] = [];
  /** Streams of paths that start with `/hold`: answered by the test. */
  readonly held: ServerHttp2Stream[] = [];
  streams = 0;
  mostStreams = 0;
  mostStreamsOfOne = 0;
}

async function startHttp2Server(options: SecureServerOptions = {}): Promise<Http2TestServer> {
  const server: Http2SecureServer = createSecureServer({
    cert: certificate,
    key: privateKey,
    allowHTTP1: true,
    ...options,
  });
  const test = new Http2TestServer(server);
  const bySession = new Map<object, number>();
  server.on("sessionError", () => undefined);
  server.on("request", (request, response) => {
    if (request.httpVersion.startsWith("1")) response.end(request.httpVersion);
  });
  server.on("stream", (stream, headers) => {
    const session = stream.session!;
    const ofThis = (bySession.get(session) ?? 0) + 1;
    bySession.set(session, ofThis);
    test.streams++;
    test.mostStreams = Math.max(test.mostStreams, test.streams);
    test.mostStreamsOfOne = Math.max(test.mostStreamsOfOne, ofThis);
    stream.on("error", () => undefined);
    stream.on("close", () => {
      test.streams--;
      bySession.set(session, bySession.get(session)! - 1);
      test.changed();
    });
    answer(test, stream, String(headers[":method"]), String(headers[":path"]), headers);
    test.changed();
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return test;
}

function answer(
  server: Http2TestServer,
  stream: ServerHttp2Stream,
  method: string,
  path: string,
  headers: Readonly<Record<string, string | string[] | undefined>>,
): void {
  const line = `${method} ${path}`;
  const isFirst = !server.log.includes(line);
  server.log.push(line);
  if (path.startsWith("/hold")) server.held.push(stream);
  else if (path === "/version") reply(stream, "2.0");
  else if (path === "/redirect") {
    stream.respond({ ":status": 302, location: "/end" });
    stream.end();
  } else if (path === "/echo") {
    const { "x-list": list, "content-length": length = "none" } = headers;
    stream.respond({ ":status": 200, "x-authority": headers[":authority"], "x-list": list ?? "", "x-length": length });
    stream.pipe(stream);
  } else if (path === "/large") {
    stream.respond({ ":status": 200, "content-length": 2_000_000 });
    if (method === "HEAD") stream.end();
    else stream.end("x".repeat(2_000_000));
  } else if (path === "/204") {
    stream.respond({ ":status": 204 }, { endStream: true });
  } else if (path === "/hints") {
    stream.additionalHeaders({ ":status": 103, link: "</a>" });
    reply(stream, "after 103");
  } else if (path.startsWith("/refuse")) {
    if (path.includes("once") && !isFirst) reply(stream, line);
    else stream.close(constants.NGHTTP2_REFUSED_STREAM);
  } else if (path === "/reset") stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else if (path === "/cut" || path === "/short") {
    stream.respond({ ":status": 200, ...(path === "/short" ? { "content-length": 10 } : {}) });
    stream.write("begin");
    setImmediate(() => (path === "/short" ? stream.end() : stream.destroy(new Error("cut"))));
  } else if (path === "/early") {
    stream.respond({ ":status": 413 });
    stream.end("too much");
    stream.resume(); // and would go on reading for ever
  } else reply(stream, line);
}

function reply(stream: ServerHttp2Stream, text: string): void {
  stream.respond({ ":status": 200 });
  stream.end(text);
}

/** Agrees to HTTP/2 and then says nothing. */
function createMuteServer(): ReturnType<typeof createTlsServer> {
  const server = createTlsServer({ cert: certificate, key: privateKey, ALPNProtocols: ["h2"] });
  server.removeAllListeners("secureConnection");
  server.on("secureConnection", (socket: TLSSocket) => void socket.on("error", () => undefined).resume());
  return server;
}

function secureOrigin(server: TestServer): string {
  return `https://localhost:${server.port}/`;
}

function* bodyOf(session: Session, url: string): Coroutine<string> {
  const response = yield* session.get(url);
  return yield* response.text();
}

const fetchText = bodyOf;
