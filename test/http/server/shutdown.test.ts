import { spawn as spawnProcess } from "node:child_process";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { EventLoop, Future, run, scope, sleep } from "fibril";
import type { Coroutine } from "fibril";
import { answering, serve, TestClient } from "fibril/http/server";
import { expect, test } from "vitest";
import { certificate, privateKey } from "../certificate.ts";
import { ManualTime } from "../manual-time.ts";
import { ask, eventually, RawClient, withServer } from "./harness.ts";

test("the seven steps, in their order", async () => {
  const time = new ManualTime();
  const trace: string[] = [];
  const step =
    (name: string): (() => Coroutine<void>) =>
    () =>
      ({
        *[Symbol.iterator]() {
          trace.push(name);
          yield* sleep(0);
          trace.push(`${name} done`);
        },
      }) as unknown as Coroutine<void>;
  await withServer(
    function* (request) {
      try {
        yield* sleep(request.path === "/quick" ? 10 : 1_000_000);
        trace.push(`${request.path} done`);
        return "x";
      } finally {
        yield* sleep(1);
        trace.push(`${request.path} cleaned up`);
      }
    },
    { drainMs: 100, onShutdown: [step("first"), step("second")], onCleanup: step("cleanup") },
    function* ({ port, server }) {
      const idle = new RawClient(port).send("GET /quick");
      yield* eventually(() => server.statistics().handlers === 1);
      yield* time.pass(10);
      yield* time.pass(1);
      yield* idle.until((it) => it.statuses.length === 1);
      trace.length = 0;
      const quick = new RawClient(port).send("GET /quick");
      const slow = new RawClient(port).send("GET /slow");
      yield* eventually(() => server.statistics().handlers === 2);
      const closing = server.close();
      yield* idle.rest(); // 2: idle connections are closed
      const refused = new RawClient(port); // 1: nothing is accepted
      yield* refused.rest();
      expect(refused.text).toBe("");
      yield* time.pass(0);
      yield* time.pass(0);
      yield* time.pass(10);
      yield* time.pass(1);
      expect(yield* quick.rest()).toMatch(/200 OK[\s\S]*connection: close/i);
      expect(slow.isClosed).toBe(false);
      yield* time.pass(90);
      yield* time.pass(1);
      yield* eventually(() => trace.includes("/slow cleaned up") || server.statistics().handlers === 0);
      yield* time.pass(0);
      yield* closing;
      expect(yield* slow.rest()).toMatch(/^HTTP\/1\.1 503[\s\S]*connection: close/i);
      yield* server.close();
      yield* server.closed;
    },
    { clock: time.clock, host: time.host },
  );
  expect(trace).toEqual([
    "first",
    "first done",
    "second",
    "second done",
    "/quick done",
    "/quick cleaned up",
    "/slow cleaned up",
    "cleanup",
    "cleanup done",
  ]);
});

test("while it drains, requests on connections that are open are refused, and those in work are answered", async () => {
  const gate = new Future<void>();
  await withServer(
    function* () {
      yield* gate;
      return "x";
    },
    { drainMs: 60_000 },
    function* ({ port, server, ends }) {
      let requests = 0;
      server.raw.on("request", () => requests++);
      const client = new RawClient(port).send("GET /1");
      yield* eventually(() => server.statistics().handlers === 1);
      const closing = server.close();
      yield* eventually(() => !server.raw.listening);
      client.send("GET /2"); // pipelined
      yield* eventually(() => requests === 2);
      expect(server.statistics()).toMatchObject({ active: 1, queued: 0, handlers: 1 });
      gate.resolve();
      yield* closing;
      expect(yield* client.rest()).toMatch(/^HTTP\/1\.1 200/);
      expect(ends.map((it) => `${it.path} ${it.status} ${it.outcome}`).toSorted()).toEqual([
        "/1 200 completed",
        "/2 503 rejected",
      ]);
    },
  );
});

test("while it drains, a connection is closed as soon as its response has gone, whoever wrote that", async () => {
  const gates = { "/1": new Future<void>(), "/2": new Future<void>() };
  await withServer(
    function* (request) {
      yield* gates[request.path as "/1"];
      request.response.writeHead(200, { "content-length": 1, connection: "keep-alive" }).end("x");
    },
    { drainMs: 60_000, keepAliveMs: 60_000 },
    function* ({ port, server }) {
      const first = new RawClient(port).send("GET /1");
      const second = new RawClient(port).send("GET /2");
      yield* eventually(() => server.statistics().handlers === 2);
      const closing = server.close();
      gates["/1"].resolve();
      expect(yield* first.rest()).toContain("200 OK");
      expect(second.isClosed).toBe(false);
      gates["/2"].resolve();
      yield* closing;
      expect(yield* second.rest()).toContain("200 OK");
    },
  );
});

test("a loop that is stopped under its server cancels the handlers and refuses what comes", async () => {
  const loop = new EventLoop();
  const listen = answering(
    function* () {
      yield* sleep(1_000_000);
    },
    { loop },
  );
  const server = createHttpServer(listen).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = new RawClient(port).send("GET /");
  await run(function* () {
    yield* eventually(() => listen.statistics().handlers === 1);
    void loop.root.cancel("stop");
    yield* client.until((it) => it.statuses.length === 1);
    yield* eventually(() => loop.statistics().tasks === 0);
    expect(client.statuses).toEqual([503]);
    expect(yield* ask(port, "GET /")).toMatch(/^HTTP\/1\.1 503/);
    client.destroy();
  });
  server.close();
  expect(listen.statistics()).toMatchObject({ active: 0, handlers: 0 });
});

test("a hook that fails does not keep the next step from coming; its error is thrown at the end", async () => {
  const problem = new Error("cannot say goodbye");
  let isCleanedUp = false;
  const loop = new EventLoop();
  await expect(
    run(
      function* () {
        yield* serve(function* () {}, {
          onShutdown: function* () {
            throw problem;
          },
          onCleanup: function* () {
            isCleanedUp = true;
          },
        });
      },
      { loop },
    ),
  ).rejects.toBe(problem);
  expect(isCleanedUp).toBe(true);
  expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
});

test("a cancelled scope ends its server: requests may go on for half of the time for cleanup", async () => {
  const time = new ManualTime();
  const loop = new EventLoop({ clock: time.clock, host: time.host });
  let server: { port: number; handlers: () => number } | undefined;
  let cancelledAt = -1;
  const aborting = new AbortController();
  const running = run(
    function* () {
      const opened = yield* serve(function* () {
        try {
          yield* sleep(1_000_000);
        } finally {
          cancelledAt = loop.now();
        }
      });
      server = { port: (opened.address as AddressInfo).port, handlers: () => opened.statistics().handlers };
      yield* sleep(1_000_000);
    },
    { loop, cleanupMs: 1_000, signal: aborting.signal },
  );
  running.catch(() => {}); // looked at below
  await run(function* () {
    yield* eventually(() => server !== undefined);
    const client = new RawClient(server!.port).send("GET /");
    yield* eventually(() => server!.handlers() === 1);
    const at = loop.now();
    aborting.abort("enough");
    yield* time.pass(0);
    yield* time.pass(499);
    expect(cancelledAt).toBe(-1);
    yield* time.pass(1);
    expect(cancelledAt - at).toBe(500);
    yield* client.rest();
  });
  await expect(running).rejects.toBe("enough");
  expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
});

test("a handler that does not clean up in time cannot keep the server open", async () => {
  const reports: string[] = [];
  const loop = new EventLoop({ onReport: (report) => void reports.push(report.kind) });
  await run(
    function* () {
      yield* scope(
        function* () {
          const server = yield* serve(
            function* () {
              try {
                yield* sleep(1_000_000);
              } finally {
                yield* sleep(1_000_000);
              }
            },
            { drainMs: 0 },
          );
          const client = new RawClient((server.address as AddressInfo).port).send("GET /");
          yield* eventually(() => server.statistics().handlers === 1);
          yield* server.close();
          expect(yield* client.rest()).toMatch(/^HTTP\/1\.1 503/);
        },
        { cleanupMs: 20 },
      );
    },
    { loop },
  );
  expect(reports).toEqual(["cleanup-overrun"]);
  expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
});

test("an address that is taken is the error of serve", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const loop = new EventLoop();
  await expect(run(() => serve(function* () {}, { port }), { loop })).rejects.toMatchObject({ code: "EADDRINUSE" });
  expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
  taken.close();
});

test("a Unix socket and TLS, and the URL that says so", async () => {
  const path = `/tmp/fibril-${process.pid}.sock`;
  const loop = new EventLoop();
  await run(
    function* () {
      const server = yield* serve(function* () {}, { path });
      expect([server.address, server.url]).toEqual([path, "http://localhost"]);
    },
    { loop },
  );
  expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
  await run(function* () {
    const tls = { key: privateKey, cert: certificate };
    const client = yield* TestClient.open(
      function* (request) {
        return request.url.href;
      },
      { tls, session: { tls: { ca: certificate } } },
    );
    expect(client.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const response = yield* client.get("a?b");
    expect(yield* response.text()).toBe(`${client.url}/a?b`);
  });
});

const PROGRAM = new URL("signals-program.ts", import.meta.url);

/**
 * The program serves with `signals: true` and says what happens; a request is under way when the signal comes, and ends after that, or never.
 * A second signal is sent some time after the first one was heard: the same one within 100 ms is taken for the first.
 */
async function signalled(
  ends: "then" | "never",
  ...signals: NodeJS.Signals[]
): Promise<{ output: string; code: unknown; signal: unknown }> {
  const flags = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning"];
  const child = spawnProcess(process.execPath, [...flags, PROGRAM.pathname, ends], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  let sent = 0;
  const exited = once(child, "exit");
  for await (const chunk of child.stdout) {
    output += String(chunk);
    const heard = output.includes("closing") ? 2 : output.includes("handling") ? 1 : 0;
    while (sent < Math.min(heard, signals.length)) {
      if (sent > 0) await new Promise((resolve) => setTimeout(resolve, 150));
      child.kill(signals[sent++]);
    }
  }
  const [code, signal] = (await exited) as unknown[];
  return { output, code, signal };
}

test("SIGTERM ends the server in good order: the request in work is answered", async () => {
  const { output, code } = await signalled("then", "SIGTERM");
  expect(output.trim().split("\n")).toEqual(["handling", "closing", "answered 200", "closed"]);
  expect(code).toBe(0);
});

test("a second signal ends the process at once", async () => {
  const { output, signal } = await signalled("never", "SIGTERM", "SIGTERM");
  expect(output.trim().split("\n")).toEqual(["handling", "closing"]);
  expect(signal).toBe("SIGTERM");
});

test("the test client asks the handler, and all of it ends with the scope", async () => {
  const loop = new EventLoop();
  await run(
    function* () {
      const client = yield* TestClient.open(function* (request) {
        return { method: request.method, name: request.query.get("name"), body: yield* request.text() };
      });
      const response = yield* client.post("hello?name=Ada", { body: "hi" });
      expect(yield* response.json()).toEqual({ method: "POST", name: "Ada", body: "hi" });
      expect(yield* ask((client.server.address as AddressInfo).port, "GET /")).toContain("200 OK");
    },
    { loop },
  );
  expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
});
