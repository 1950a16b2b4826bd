/**
 * What is left when it is over: nothing. Counted at the process, the server, the session and the loop.
 */
import { EventLoop, run, scope, sleep, spawn, timeout, until, use } from "fibril";
import type { Coroutine } from "fibril";
import { Session } from "fibril/http";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { importUndici } from "../../src/http/connect/undici.ts";
import { failureOf, NOTHING, withSession } from "./harness.ts";
import { startHttpServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

describe.each(undiciVersions)("the life of a session on %s", (_, undici) => {
  test("leaves no socket and no timer in the process, however its requests ended", async () => {
    const before = activeResources();
    {
      await using server = await startHttpServer((request, response) => {
        response.write("x".repeat(request.url === "/large" ? 500_000 : 10));
        if (request.url !== "/endless") response.end();
      });
      for (let round = 0; round < 20; round++) {
        await withSession(undici, { baseUrl: server.origin, limit: 5 }, function* (session) {
          const tasks = ["/small", "/large", "/endless", "/hold", "/small", "/hold"].map((url) =>
            spawn(function* () {
              const response = yield* session.get(url);
              yield* response.text();
            }),
          );
          yield* session.get("/large");
          yield* tasks[0]!;
          for (const task of tasks) yield* task.cancel();
        });
        await server.untilOpen(0);
      }
    }
    await eventually(() => activeResources() <= before);
  });

  test("a response is used up to the end of the scope that uses it", async () => {
    await using server = await startHttpServer((request, response) => void response.write("x".repeat(500_000)));
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const response = yield* scope(function* () {
        const inner = yield* use(session.get("/"));
        expect(session.statistics().active).toBe(1);
        return inner;
      });
      expect(session.statistics()).toMatchObject(NOTHING);
      expect(yield* failureOf(response.chunk())).toMatchObject({ code: "BODY_USED" });
      yield* until(server.untilOpen(0));
    });
  });

  test("a response that leaves a scope belongs to its task next, be that a task of the loop itself", async () => {
    await using server = await startHttpServer((request, response) => void response.end("x".repeat(500_000)));
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const tasks = [{}, { signal: new AbortController().signal }].map((options) =>
        EventLoop.current().spawn(function* () {
          const response = yield* timeout(60_000, session.get("/", options));
          return (yield* response.bytes()).length;
        }),
      );
      for (const task of tasks) expect(yield* task).toBe(500_000);
      const failing = EventLoop.current().spawn(function* () {
        yield* timeout(60_000, session.get("/"));
        throw new Error("no");
      });
      yield* failureOf(failing);
      expect(session.statistics().active).toBe(0);
    });
  });

  test("a response whose task failed is closed, and whoever still reads it is told", async () => {
    await using server = await startHttpServer((request, response) => void response.write("x"));
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      let reader: Iterable<unknown> | undefined;

      const failing = scope(function* () {
        const response = yield* session.get("/");
        reader = response.text();
        throw new Error("after the headers");
      });
      yield* failureOf(failing);
      const heard = yield* failureOf(reader!);
      expect(heard).toMatchObject({ code: "HTTP_RESPONSE_CLOSED" });
      expect(session.statistics()).toMatchObject(NOTHING);
    });
  });

  test("a large response that was simply forgotten is closed when the garbage collector finds it", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    await using server = await startHttpServer((request, response) => response.end("x".repeat(1_000_000)));
    await withSession(undici, { baseUrl: server.origin, limit: 2 }, function* (session) {
      for (let i = 0; i < 2; i++) yield* forget(session);
      while (session.statistics().active > 0) {
        collect();
        yield* sleep(5);
      }
      yield* until(server.untilOpen(0));
    });
  });

  test("hosts that nothing is left of are forgotten", async () => {
    await withSession(undici, { limit: 3, timeout: { connectMs: 5_000 } }, function* (session) {
      for (let i = 0; i < 100; i++) spawn(failureOf, session.get(`http://127.0.0.${(i % 200) + 1}:1/`));
      yield* sleep(0);
      while (session.statistics().active + session.statistics().queued > 0) yield* sleep(5);
      expect(session.statistics().hosts).toBe(0);
    });
  });

  test("an idle connection does not keep the program alive, and one that the server closes is dropped", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      yield* (yield* session.get("/")).text();
      expect(session.statistics()).toMatchObject({ idle: 1, hosts: 1 });
      for (const socket of server.sockets) socket.destroy();
      while (session.statistics().idle > 0) yield* sleep(1);
      expect(session.statistics()).toMatchObject({ ...NOTHING, hosts: 0 });
    });
  });
});

test("without undici, the error says what to install", async () => {
  const missing = Object.assign(new Error("Cannot find package 'undici'"), { code: "ERR_MODULE_NOT_FOUND" });
  await expect(importUndici(() => Promise.reject(missing))).rejects.toMatchObject({
    code: "HTTP_UNDICI_MISSING",
    message: expect.stringContaining('run "npm install undici"') as string,
    cause: missing,
  });
});

test("with an undici that does not load, as 8 on Node 20, the error says which one to install", async () => {
  const broken = new TypeError("Cannot read properties of undefined (reading 'bind')");
  await expect(importUndici(() => Promise.reject(broken))).rejects.toMatchObject({
    code: "HTTP_UNDICI_MISSING",
    message: expect.stringContaining('"npm install undici@7"') as string,
    cause: broken,
  });
});

test("the end of a run closes a session that was opened in it", async () => {
  await using server = await startHttpServer();
  await run(function* () {
    const session = yield* Session.open({ baseUrl: server.origin });
    yield* (yield* session.get("/")).text();
  });
  await server.untilOpen(0);
});

function* forget(session: Session): Coroutine<void> {
  const response = yield* session.get("/");
  yield* response.chunk();
  while (session.statistics().connecting > 0) yield* sleep(1);
  yield* sleep(20);
}

/** Sockets and timers of this process that keep it alive. */
function activeResources(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind.startsWith("TCP") || kind === "Timeout").length;
}

async function eventually(condition: () => boolean): Promise<void> {
  const until = performance.now() + 20_000; // a timer of vitest's own may be among what is counted
  while (!condition() && performance.now() < until) await new Promise((resolve) => setImmediate(resolve));
  expect(condition()).toBe(true);
}
