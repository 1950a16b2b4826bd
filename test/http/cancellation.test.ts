/**
 * Cancelling in every phase, seen from both sides: the connection is gone at the server, and the session has all its
 * places back.
 */
import { all, CancelledError, EventLoop, moveOnAfter, race, run, scope, sleep, spawn, until, use } from "fibril";
import type { Coroutine, Task } from "fibril";
import { Session } from "fibril/http";
import type { UndiciModule } from "fibril/http";
import { describe, expect, test } from "vitest";
import { atRest, failureOf, NOTHING, withSession } from "./harness.ts";
import { startHttpServer, startSocketServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

describe.each(undiciVersions)("cancelling on %s", (_, undici) => {
  test("in line: gives up the place, sends nothing, and holds nobody up", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, function* (session) {
      const holder = spawn(fetchText, session, "/hold");
      const cancelled = spawn(fetchText, session, "/cancelled");
      const next = spawn(fetchText, session, "/next");
      yield* until(server.until(() => server.held.length === 1));
      yield* cancelled.cancel();
      expect(atRest(session)).toEqual({ ...NOTHING, active: 1, queued: 1 });
      server.held[0]!.response.end("held");
      expect([yield* holder, yield* next]).toEqual(["held", "GET /next"]);
      expect(server.log).toEqual(["GET /hold", "GET /next"]);
    });
  });

  test("while connecting: the socket is closed, the place is free", async () => {
    await using server = await startSocketServer((socket) => void socket.resume());
    await withSession(undici, { limit: 1 }, function* (session) {
      const task = spawn(fetchText, session, server.origin.replace("http:", "https:"));
      yield* until(server.untilOpen(1));
      expect(task.waitingFor).toMatch(/, connecting$/);
      yield* task.cancel();
      expect(atRest(session)).toEqual(NOTHING);
      yield* until(server.untilOpen(0));
    });
  });

  test("in the step that made the request: nothing stays", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, function* (session) {
      const task = spawn(fetchText, session, "/hold");
      yield* sleep(0);
      yield* task.cancel();
      expect(atRest(session)).toEqual(NOTHING);
      expect(yield* fetchText(session, "/after")).toBe("GET /after");
      yield* until(server.untilOpen(1));
    });
  });

  test("while waiting for headers: the connection is closed, the place is free for the next", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, function* (session) {
      const task = spawn(fetchText, session, "/hold");
      yield* until(server.until(() => server.held.length === 1));
      yield* task.cancel();
      expect(atRest(session)).toEqual(NOTHING);
      yield* until(server.until(() => server.inFlight === 0));
      expect(yield* fetchText(session, "/after")).toBe("GET /after");
    });
  });

  test("while reading the body: the connection is closed, the place is free for the next", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, function* (session) {
      const task = spawn(fetchText, session, "/hold");
      yield* until(server.until(() => server.held.length === 1));
      server.held[0]!.response.write("the beginning");
      while (task.waitingFor?.endsWith(", body") !== true) yield* sleep(1);
      yield* task.cancel();
      expect(atRest(session)).toEqual(NOTHING);
      yield* until(server.until(() => server.inFlight === 0));
      expect(yield* fetchText(session, "/after")).toBe("GET /after");
    });
  });

  test("while reading the body: the connection is closed before the task's own cleanup, however long that takes", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      let afterwards: unknown;
      const task = spawn(function* () {
        const response = yield* session.get("/hold");
        try {
          yield* response.text();
        } finally {
          yield* until(server.until(() => server.inFlight === 0));
          afterwards = yield* failureOf(response.text());
        }
      });
      yield* until(server.until(() => server.held.length === 1));
      server.held[0]!.response.write("the beginning");
      while (task.waitingFor?.endsWith(", body") !== true) yield* sleep(1);
      yield* task.cancel();
      expect(afterwards).toMatchObject({ code: "HTTP_RESPONSE_CLOSED" });
    });
  });

  test("between headers and body, at a wait that has nothing to do with it: the connection is closed", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, function* (session) {
      const task = spawn(function* () {
        yield* session.get("/hold");
        yield* until(new Promise<void>(() => undefined));
      });
      yield* until(server.until(() => server.held.length === 1));
      server.held[0]!.response.write("the beginning");
      while (task.waitingFor !== "promise") yield* sleep(1);
      yield* task.cancel();
      expect(atRest(session)).toEqual(NOTHING);
      yield* until(server.until(() => server.inFlight === 0));
    });
  });

  test("while uploading: the stream is closed, even when it hangs", async () => {
    await using server = await startHttpServer();
    let closed = 0;
    async function* hanging(): AsyncGenerator<string> {
      try {
        yield "a";
        await new Promise((resolve) => setTimeout(resolve, 30));
        yield "b";
      } finally {
        closed++;
      }
    }
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, function* (session) {
      const task = spawn(function* () {
        yield* session.post("/hold", { body: hanging() });
      });
      yield* until(server.until(() => server.held.length === 1));
      yield* task.cancel();
      expect(atRest(session)).toEqual(NOTHING);
      yield* until(server.until(() => server.inFlight === 0));
      while (closed === 0) yield* sleep(1);
    });
  });

  test("reading a piece takes nothing when it is cancelled: the next attempt gets it", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const task = spawn(session.get.bind(session), "/hold");
      yield* until(server.until(() => server.held.length === 1));
      server.held[0]!.response.write("one");
      const response = yield* task;
      expect(text(yield* response.chunk())).toBe("one");
      expect(yield* moveOnAfter(5, response.chunk())).toBeUndefined();
      server.held[0]!.response.end("two");
      expect(text(yield* response.chunk())).toBe("two");
      expect(yield* response.chunk()).toBeUndefined();
    });
  });

  test("a text that was cancelled half-way can be read again, whole", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const task = spawn(session.get.bind(session), "/hold");
      yield* until(server.until(() => server.held.length === 1));
      server.held[0]!.response.write("x".repeat(300_000));
      const response = yield* task;
      expect(yield* moveOnAfter(20, response.text())).toBeUndefined();
      server.held[0]!.response.end("end");
      expect((yield* response.text()).length).toBe(300_003);
    });
  });

  test("the loser of a race is closed, the winner's response can be read", async () => {
    await using server = await startHttpServer((request, response) => {
      response.write("x".repeat(300_000));
      if (request.url === "/fast") response.end();
    });
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const winner = yield* race([
        session.get("/fast"),
        function* () {
          const slow = yield* session.get("/slow");
          yield* slow.text();
          return slow;
        },
      ]);
      expect(winner.url).toBe(`${server.origin}/fast`);
      expect((yield* winner.text()).length).toBe(300_000);
      yield* until(server.until(() => server.inFlight === 0));
      expect(atRest(session)).toMatchObject({ active: 0 });
    });
  });

  test("a failing sibling closes the connections of all the others", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const failing = all([
        ...Array.from({ length: 20 }, (__, i) => session.get(`/hold${i}`)),
        function* () {
          yield* until(server.until(() => server.held.length === 20));
          throw new Error("a sibling");
        },
      ]);
      expect(yield* failureOf(failing)).toMatchObject({ message: "a sibling" });
      expect(atRest(session)).toEqual(NOTHING);
      yield* until(server.untilOpen(0));
    });
  });

  test("a thousand requests are cancelled together: nothing is left, and the session works", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin, limit: 50 }, function* (session) {
      for (let round = 0; round < 3; round++) {
        const before = server.held.length;
        yield* moveOnAfter(
          50_000,
          race([
            all(Array.from({ length: 1000 }, () => session.get("/hold"))),
            until(server.until(() => server.held.length === before + 50)),
          ]),
        );
        expect(atRest(session)).toEqual(NOTHING);
        yield* until(server.untilOpen(0));
      }
      expect(yield* fetchText(session, "/after")).toBe("GET /after");
      expect(server.held.length).toBe(150);
      expect(server.accepted).toBe(151); // nobody who was cancelled in line was let in before
    });
  });

  test("the end of the session ends what is under way, wherever it runs", async () => {
    await using server = await startHttpServer();
    const outside = run(function* () {
      let inLine: unknown;
      let waiting: unknown;
      let reading: unknown;
      let afterwards: unknown;
      yield* scope(function* (outer) {
        yield* scope(function* () {
          const session = yield* Session.open({ undici, baseUrl: server.origin, limit: 2, name: "short" });
          outer.spawn(function* () {
            waiting = yield* failureOf(session.get("/hold/1"));
          });
          const reader = outer.spawn(function* () {
            const response = yield* session.get("/hold/2");
            reading = yield* failureOf(response.text());
            afterwards = yield* failureOf(session.get("/"));
          });
          outer.spawn(function* () {
            inLine = yield* failureOf(session.get("/hold/3"));
          });
          yield* until(server.until(() => server.held.length === 2));
          server.held.find(({ request }) => request.url === "/hold/2")!.response.write("x");
          while (reader.waitingFor?.endsWith(", body") !== true) yield* sleep(1);
        });
      });
      return [waiting, reading, inLine, afterwards];
    });
    for (const error of await outside) {
      expect(error).toMatchObject({
        code: "HTTP_SESSION_CLOSED",
        message: expect.stringContaining('session "short" is closed'),
      });
    }
    await server.untilOpen(0);
  });

  test("closing twice, and closing while closing, is the same as closing once", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      yield* fetchText(session, "/");
      yield* all([session.close(), session.close()]);
      yield* session.close();
      expect(session.isClosed).toBe(true);
      yield* until(server.untilOpen(0));
    });
  });

  test("sweep over steps: cancelled after any step of any task, the program leaves nothing and the session works on", async () => {
    const steps = await sweep(undici, (task, reached) => {
      let steps = 0;
      const detach = EventLoop.current().addProbe({
        afterStep: () => {
          if (++steps === reached) task.cancel();
        },
      });
      return { detach };
    });
    expect(steps).toBeGreaterThan(15);
  });

  test("sweep over turns of the host: cancelled whatever the sockets are just doing, the program leaves nothing", async () => {
    const turns = await sweep(undici, (task, reached) => {
      let turns = 0;
      const turn = (): void => {
        if (++turns >= reached) task.cancel();
        else immediate = setImmediate(turn);
      };
      let immediate = setImmediate(turn);
      return { detach: () => clearImmediate(immediate) };
    });
    expect(turns).toBeGreaterThan(10);
  });
});

/** Cancels `task` after a while that `reached` gives. */
type Canceller = (task: Task<unknown>, reached: number) => { detach(): void };

/** Cancels a program with redirect, upload, pieces and unread body a bit later each time, until it gets through. */
async function sweep(undici: UndiciModule, canceller: Canceller): Promise<number> {
  const large = Buffer.alloc(300_000, "x"); // a string would be encoded for each of a thousand answers
  await using server = await startHttpServer((request, response) => {
    if (request.url === "/redirect") response.writeHead(307, { location: "/large" }).end("moved");
    else if (request.url === "/large") response.end(large);
    else response.end("small");
  });
  let gotThrough = 0;
  for (let reached = 1; ; reached++) {
    let finished = false;
    let cleaned = 0;
    await withSession(undici, { baseUrl: server.origin, limit: 2 }, function* (session) {
      const task = spawn(function* () {
        try {
          finished = yield* everything(session);
        } finally {
          cleaned++;
        }
      });
      const { detach } = canceller(task, reached);
      try {
        yield* task;
      } catch (error) {
        expect(error).toBeInstanceOf(CancelledError);
      }
      detach();
      expect(atRest(session)).toMatchObject({ active: 0, queued: 0, connecting: 0 });
      expect(cleaned).toBeLessThanOrEqual(1);
      expect(yield* fetchText(session, "/after")).toBe("small");
    });
    await server.untilOpen(0);
    expect(server.inFlight).toBe(0);
    if (finished && ++gotThrough === 5) return reached;
    if (reached > 2_000) throw new Error("the program does not end");
  }
}

function* everything(session: Session): Coroutine<boolean> {
  yield* fetchText(session, "/small");
  const redirected = yield* session.post("/redirect", { body: ["a", "b"] });
  for (let chunk = yield* redirected.chunk(); chunk !== undefined;) chunk = yield* redirected.chunk();
  yield* all([fetchText(session, "/large"), fetchText(session, "/large"), fetchText(session, "/small")]);
  const unread = yield* session.get("/large");
  yield* sleep(1);
  yield* unread.discard();
  yield* use(session.get("/large"));
  return true;
}

function* fetchText(session: Session, url: string): Coroutine<string> {
  const response = yield* session.get(url);
  return yield* response.text();
}

function text(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes!).toString();
}
