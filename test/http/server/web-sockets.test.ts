import { Future, race, run, sleep, until } from "fibril";
import type { Coroutine, EventLoopOptions } from "fibril";
import { serve } from "fibril/http/server";
import type { ServeOptions, WebSocketHandler } from "fibril/http/server";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { ManualTime } from "../manual-time.ts";
import { eventually, RawClient, withServer } from "./harness.ts";

function withSockets(
  handler: WebSocketHandler,
  options: ServeOptions,
  body: Parameters<typeof withServer>[2],
  loopOptions: EventLoopOptions = {},
): Promise<unknown> {
  return withServer(
    function* () {
      return "http";
    },
    { webSockets: { "/chat": handler }, ...options },
    body,
    loopOptions,
  );
}

/** A client of the package `ws`, open, with what it was told. */
function* opened(
  port: number,
  path = "/chat",
  protocols: string[] = [],
): Coroutine<{ readonly ws: WebSocket; readonly got: string[]; readonly closed: Future<number> }> {
  const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols);
  const got: string[] = [];
  const closed = new Future<number>({ external: true });
  ws.on("message", (data: Buffer) => void got.push(data.toString()));
  ws.on("close", (code) => void closed.tryResolve(code));
  ws.on("error", () => undefined);
  yield* until(new Promise((resolve) => ws.once("open", resolve)));
  return { ws, got, closed };
}

const echo: WebSocketHandler = function* (socket) {
  for (;;) {
    const { done, value } = yield* socket.messages.next();
    if (done === true) return;
    yield* socket.send(`echo ${String(value)}`);
  }
};

test("a ping is answered; of many at once the last one certainly, and not more than came", async () => {
  await withSockets(echo, {}, function* ({ port }) {
    const { ws, closed } = yield* opened(port);
    const pongs: string[] = [];
    ws.on("pong", (data: Buffer) => void pongs.push(data.toString()));
    for (let i = 1; i <= 50; i++) ws.ping(String(i));
    yield* eventually(() => pongs.at(-1) === "50");
    expect(new Set(pongs).size).toBe(pongs.length);
    ws.close();
    yield* closed;
  });
});

test("a handler talks with one client until that closes", async () => {
  await withSockets(echo, {}, function* ({ port, server, ends }) {
    const { ws, got, closed } = yield* opened(port, "/chat?room=1");
    expect(server.statistics()).toMatchObject({ webSockets: 1, active: 1 });
    ws.send("a");
    ws.send("b");
    yield* eventually(() => got.length === 2);
    expect(got).toEqual(["echo a", "echo b"]);
    ws.close(1000);
    expect(yield* closed).toBe(1000);
    yield* eventually(() => ends.length === 1);
    expect(ends).toMatchObject([{ path: "/chat", status: 101, outcome: "completed" }]);
  });
});

test("a handler that returns closes with 1000", async () => {
  await withSockets(
    function* (socket) {
      yield* socket.send("bye");
    },
    {},
    function* ({ port, ends }) {
      const { got, closed } = yield* opened(port);
      expect(yield* closed).toBe(1000);
      expect(got).toEqual(["bye"]);
      yield* eventually(() => ends.length === 1);
    },
  );
});

test("a handler that throws closes the socket, and onError hears of it", async () => {
  const problem = new Error("mine");
  await withSockets(
    function* () {
      throw problem;
    },
    {},
    function* ({ port, errors, ends }) {
      const { closed } = yield* opened(port);
      expect(yield* closed).toBe(1011);
      yield* eventually(() => ends.length === 1);
      expect(errors).toEqual([problem]);
      expect(ends).toMatchObject([{ outcome: "failed" }]);
    },
  );
});

test("a connection that breaks cancels the handler", async () => {
  let isCancelled = false;
  await withSockets(
    function* () {
      try {
        yield* sleep(1_000_000);
      } finally {
        isCancelled = true;
      }
    },
    {},
    function* ({ port, ends }) {
      const { ws } = yield* opened(port);
      ws.terminate();
      yield* eventually(() => ends.length === 1);
      expect(isCancelled).toBe(true);
    },
  );
});

test("the end of the server: clients are told 1001, handlers may say goodbye, then they are cancelled", async () => {
  const time = new ManualTime();
  const trace: string[] = [];
  await withSockets(
    function* (socket) {
      try {
        yield* race([socket.messages.next(), sleep(1_000_000)]);
        trace.push("end of messages");
        yield* sleep(1_000_000);
      } finally {
        trace.push("cleanup");
      }
    },
    { drainMs: 20 },
    function* ({ port, server }) {
      const { closed } = yield* opened(port);
      const closing = server.close();
      expect(yield* closed).toBe(1001);
      yield* eventually(() => trace.length > 0);
      yield* time.pass(19);
      expect(trace).toEqual(["end of messages"]);
      yield* time.pass(1);
      yield* closing;
      expect(trace).toEqual(["end of messages", "cleanup"]);
    },
    { clock: time.clock, host: time.host },
  );
});

test("limits and protocols: too large a message ends the connection, the best common protocol is agreed on", async () => {
  await withSockets(
    echo,
    { webSocketLimits: { maxMessageBytes: 10, protocols: ["v2", "v1"] } },
    function* ({ port, ends }) {
      const { ws, closed } = yield* opened(port, "/chat", ["v1", "v2"]);
      expect(ws.protocol).toBe("v2");
      ws.send("x".repeat(11));
      expect(yield* closed).toBe(1009);
      yield* eventually(() => ends.length === 1);
    },
  );
});

test("what is no proper handshake, or has no handler, or no room, is refused in HTTP", async () => {
  await withSockets(echo, { limit: 1, queueLimit: 0 }, function* ({ port, server, ends }) {
    const upgrade = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13" };
    const key = { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" };
    expect(yield* new RawClient(port).send("GET /nowhere", { ...upgrade, ...key }).rest()).toMatch(/^HTTP\/1\.1 404/);
    expect(yield* new RawClient(port).send("GET /chat", upgrade).rest()).toMatch(/^HTTP\/1\.1 400/);
    yield* eventually(() => server.statistics().active === 0);
    const { ws } = yield* opened(port);
    expect(yield* new RawClient(port).send("GET /chat", { ...upgrade, ...key }).rest()).toMatch(
      /^HTTP\/1\.1 503[\s\S]*retry-after: 1/,
    );
    ws.close();
    yield* eventually(() => ends.length === 3);
    expect(ends.map((it) => it.status)).toEqual([400, 503, 101]);
  });
});

/** The status that a handshake gets: 101 when it opens. */
function* statusFor(port: number, headers: Record<string, string>): Coroutine<number> {
  const ws = new WebSocket(`ws://127.0.0.1:${port}/chat`, { headers });
  const status = yield* until(
    new Promise<number>((resolve) => {
      ws.on("error", () => undefined);
      ws.once("open", () => resolve(101));
      ws.once("unexpected-response", (_request, response: { statusCode: number }) => resolve(response.statusCode));
    }),
  );
  ws.terminate();
  return status;
}

test("only pages of the listed origins may connect, and clients that are no browser", async () => {
  const options = { webSocketLimits: { origins: ["https://app.example.org"] } };
  await withSockets(echo, options, function* ({ port, server }) {
    expect(yield* statusFor(port, { origin: "https://app.example.org" })).toBe(101);
    expect(yield* statusFor(port, {})).toBe(101);
    for (const origin of ["https://evil.example", "http://app.example.org", "https://app.example.org:8443", "null"]) {
      expect(yield* statusFor(port, { origin })).toBe(403);
    }
    yield* eventually(() => server.statistics().webSockets === 0 && server.statistics().active === 0);
  });
});

test("without a list every page may connect", async () => {
  await withSockets(echo, {}, function* ({ port }) {
    expect(yield* statusFor(port, { origin: "https://evil.example" })).toBe(101);
  });
});

test("an origin that could never fit is refused at once", async () => {
  for (const origins of [
    ["https://app.example.org/"],
    ["app.example.org"],
    ["*"],
    ["https://app.example.org:443"],
    "x",
  ]) {
    const webSocketLimits = { origins: origins as string[] };
    const opened = run(() =>
      serve(function* () {}, { host: "127.0.0.1", webSockets: { "/chat": echo }, webSocketLimits }),
    );
    await expect(opened).rejects.toThrow(/origins must/);
  }
});
