import { all, EventLoop, run, sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import type { DnsOptions, ResolvedAddress, Session } from "fibril/http";
import type { VirtualClock } from "fibril/testing";
import { once } from "node:events";
import { connect } from "node:net";
import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import { Resolver } from "../../../src/http/connect/resolver.ts";
import type { AddressWaiter } from "../../../src/http/connect/resolver.ts";
import { atRest, failureOf, NOTHING, withSession } from "../harness.ts";
import { hostTurn, ManualTime } from "../manual-time.ts";
import { closedOrigin, startHttpServer } from "../servers.ts";
import { undiciVersions } from "../undici-versions.ts";

const LOOPBACK: ResolvedAddress = { address: "127.0.0.1", family: 4 };

describe.each(undiciVersions)("name look-ups on %s", (_, undici) => {
  test("requests for one name share one look-up, and its answer for ttlMs", async () => {
    await using server = await startHttpServer();
    const names = new Names();
    const time = new ManualTime();
    await withSession(
      undici,
      { dns: { lookup: names.lookup, ttlMs: 1000 }, keepAliveMs: 0 },
      function* (session) {
        const url = `http://fibril.test:${server.port}/`;
        const tasks = Array.from({ length: 10 }, () => spawn(fetchText, session, url));
        while (names.asked.length === 0) yield* hostTurn();
        expect(session.statistics()).toMatchObject({ connecting: 10 });
        names.answer([LOOPBACK]);
        expect(yield* all(tasks)).toEqual(Array.from({ length: 10 }, () => "GET /"));
        yield* time.pass(999);
        yield* fetchText(session, url);
        expect(names.asked).toEqual(["fibril.test"]);
        yield* time.pass(1);
        const later = spawn(fetchText, session, url);
        while (names.asked.length === 1) yield* hostTurn();
        names.answer([LOOPBACK]);
        yield* later;
        expect(names.asked).toEqual(["fibril.test", "fibril.test"]);
      },
      { clock: time.clock, host: time.host },
    );
  });

  test("cancelling one of those who wait for a look-up leaves it to the others; the last one ends it", async () => {
    await using server = await startHttpServer();
    const names = new Names();
    await withSession(undici, { dns: { lookup: names.lookup } }, function* (session) {
      const url = `http://fibril.test:${server.port}/`;
      const tasks = Array.from({ length: 3 }, () => spawn(fetchText, session, url));
      while (names.asked.length === 0) yield* hostTurn();
      yield* tasks[0]!.cancel();
      yield* tasks[1]!.cancel();
      expect(names.signals[0]!.aborted).toBe(false);
      expect(atRest(session)).toEqual({ ...NOTHING, active: 1, connecting: 1 });
      yield* tasks[2]!.cancel();
      expect(names.signals[0]!.aborted).toBe(true);
      expect(atRest(session)).toEqual(NOTHING);

      // A look-up that was given up does not answer for the next one, even if it ends first.
      const next = spawn(fetchText, session, url);
      while (names.asked.length === 1) yield* hostTurn();
      names.answer([{ address: "127.0.0.9", family: 4 }], 0);
      yield* hostTurn();
      const joined = spawn(fetchText, session, url);
      yield* hostTurn();
      names.answer([LOOPBACK], 1);
      expect(yield* all([next, joined])).toEqual(["GET /", "GET /"]);
      expect(names.asked).toHaveLength(2);
    });
  });

  test("the end of the session does not wait for a look-up", async () => {
    const names = new Names();
    await withSession(undici, { dns: { lookup: names.lookup } }, function* (session) {
      const request = spawn(failureOf, session.get("http://fibril.test/"));
      while (names.asked.length === 0) yield* hostTurn();
      yield* session.close();
      expect(yield* request).toMatchObject({ code: "HTTP_SESSION_CLOSED" });
      expect(names.signals[0]!.aborted).toBe(true);
    });
  });

  test("a look-up that fails is a ConnectError for all who wait, and the next request asks again", async () => {
    await using server = await startHttpServer();
    const names = new Names();
    await withSession(undici, { dns: { lookup: names.lookup } }, function* (session) {
      const url = `http://fibril.test:${server.port}/`;
      const tasks = Array.from({ length: 3 }, () => spawn(failureOf, session.get(url)));
      while (names.asked.length === 0) yield* hostTurn();
      names.fail(Object.assign(new Error("no such name"), { code: "ENOTFOUND" }));
      for (const error of yield* all(tasks))
        expect(error).toMatchObject({ code: "HTTP_CONNECT", systemCode: "ENOTFOUND" });
      const next = spawn(fetchText, session, url);
      while (names.asked.length === 1) yield* hostTurn();
      names.answer([LOOPBACK]);
      expect(yield* next).toBe("GET /");
    });
  });

  test("answers that are none are ConnectErrors that say so", async () => {
    const answers: [DnsOptions["lookup"], string][] = [
      [() => Promise.resolve([]), "no address for fibril.test"],
      [() => Promise.resolve("127.0.0.1" as never), "a list of { address, family }"],
      [() => Promise.resolve([null] as never), "a list of { address, family }"],
      // Not an address: Node would ask the system about it.
      [() => Promise.resolve([{ address: "localhost", family: 4 }]), "a list of { address, family }"],
      [
        () => {
          throw new Error("thrown at once");
        },
        "thrown at once",
      ],
    ];
    for (const [lookup, message] of answers) {
      await withSession(undici, { dns: { lookup: lookup! } }, function* (session) {
        const error = (yield* failureOf(session.get("http://fibril.test/"))) as Error;
        expect(error).toMatchObject({ code: "HTTP_CONNECT" });
        expect(error.message).toContain(message);
      });
    }
  });

  test("with a family, only its addresses are used", async () => {
    await using server = await startHttpServer();
    const lookup: DnsOptions["lookup"] = (__, { family }) =>
      Promise.resolve([
        { address: "::ffff:127.0.0.77", family: 6 },
        { ...LOOPBACK, family: family as 4 },
      ]);
    await withSession(undici, { dns: { lookup, family: 4 } }, function* (session) {
      expect(yield* fetchText(session, `http://fibril.test:${server.port}/`)).toBe("GET /");
    });
  });

  test("when one address cannot be reached, the next one is tried", async () => {
    await using server = await startHttpServer(); // on 127.0.0.1 only
    const lookup: DnsOptions["lookup"] = () => Promise.resolve([{ address: "127.0.0.2", family: 4 }, LOOPBACK]);
    await withSession(undici, { dns: { lookup, attemptTimeoutMs: 20 } }, function* (session) {
      expect(yield* fetchText(session, `http://fibril.test:${server.port}/`)).toBe("GET /");
    });
  });

  // Elsewhere there is no second address on loopback, or another way to be full.
  test.runIf(process.platform === "linux")(
    "attemptTimeoutMs is how long a silent address holds the others up",
    async () => {
      await using server = await startHttpServer();
      await using _deaf = await startDeafServer("127.0.0.2", server.port);
      const lookup: DnsOptions["lookup"] = () => Promise.resolve([{ address: "127.0.0.2", family: 4 }, LOOPBACK]);
      const url = `http://fibril.test:${server.port}/`;
      await withSession(undici, { dns: { lookup, attemptTimeoutMs: 20 } }, function* (session) {
        expect(yield* fetchText(session, url)).toBe("GET /");
      });
      const patient = { dns: { lookup, attemptTimeoutMs: 60_000 }, timeout: { connectMs: 500 } };
      await withSession(undici, patient, function* (session) {
        expect(yield* failureOf(session.get(url))).toMatchObject({ code: "HTTP_TIMEOUT", phase: "connect" });
      });
    },
  );

  test("addresses of which none can be reached are not kept", async () => {
    await using server = await startHttpServer();
    const port = Number(new URL(closedOrigin()).port);
    const names = new Names();
    await withSession(undici, { dns: { lookup: names.lookup } }, function* (session) {
      const request = spawn(failureOf, session.get(`http://fibril.test:${port}/`));
      while (names.asked.length === 0) yield* hostTurn();
      names.answer([LOOPBACK]);
      expect(yield* request).toMatchObject({ systemCode: "ECONNREFUSED" });
      const next = spawn(fetchText, session, `http://fibril.test:${server.port}/`);
      while (names.asked.length === 1) yield* hostTurn();
      names.answer([LOOPBACK]);
      yield* next;
    });
  });

  test("the system's own look-up is cached and shared, too", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { keepAliveMs: 0 }, function* (session) {
      const url = `http://localhost:${server.port}/`;
      expect(yield* all([1, 2, 3].map(() => () => fetchText(session, url)))).toHaveLength(3);
    });
  });

  test("a look-up of the system's that everybody has left is joined by who asks next", async () => {
    await using server = await startHttpServer();
    await withSession(undici, {}, function* (session) {
      const url = `http://localhost:${server.port}/`;
      const cancelled = spawn(fetchText, session, url);
      yield* sleep(0); // it has begun
      yield* cancelled.cancel();
      expect(atRest(session)).toEqual(NOTHING);
      expect(yield* fetchText(session, url)).toBe("GET /");
    });
  });
});

describe("the resolver's cache", () => {
  test("keeps at most maxEntries names, the newest", async () => {
    await withResolver({ maxEntries: 2 }, function* (resolver, asked) {
      for (const name of ["a", "b", "c"]) yield* resolve(resolver, name);
      for (const name of ["c", "b", "a"]) yield* resolve(resolver, name);
      expect(asked).toEqual(["a", "b", "c", "a"]);
    });
  });

  test("keeps nothing with ttlMs 0", async () => {
    await withResolver({ ttlMs: 0 }, function* (resolver, asked) {
      yield* resolve(resolver, "a");
      yield* resolve(resolver, "a");
      expect(asked).toEqual(["a", "a"]);
    });
  });

  test("keeps an answer for 10 s unless told otherwise", async () => {
    await withResolver({}, function* (resolver, asked, clock) {
      yield* resolve(resolver, "a");
      clock.advanceTo(clock.now() + 9_999);
      yield* resolve(resolver, "a");
      expect(asked).toEqual(["a"]);
      clock.advanceTo(clock.now() + 1);
      yield* resolve(resolver, "a");
      expect(asked).toEqual(["a", "a"]);
    });
  });

  test("whoever leaves is not called, and may leave again", async () => {
    await withResolver({}, function* (resolver) {
      const calls: string[] = [];
      const waiter = (name: string): AddressWaiter => ({
        resolved: () => void calls.push(name),
        notResolved: () => void calls.push(`${name} failed`),
      });
      const [first, second] = [waiter("first"), waiter("second")];
      expect(resolver.resolve("a", first)).toBeNull();
      expect(resolver.resolve("a", second)).toBeNull();
      resolver.leave("a", first);
      resolver.leave("a", first);
      resolver.leave("b", first);
      yield* hostTurn();
      expect(calls).toEqual(["second"]);
    });
  });
});

/** Its queue of connections is full and nobody takes them, so the system drops what comes: it neither accepts nor refuses. */
async function startDeafServer(host: string, port: number): Promise<AsyncDisposable> {
  const code = `
    const { createServer } = require("node:net");
    const { parentPort, workerData: { host, port } } = require("node:worker_threads");
    createServer().listen({ host, port, backlog: 1 }, () => {
      parentPort.postMessage("full soon");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20_000);
    });`;
  const worker = new Worker(code, { eval: true, workerData: { host, port } });
  await once(worker, "message");
  const fillers = Array.from({ length: 4 }, () => connect({ host, port }).on("error", () => undefined));
  await Promise.all(fillers.slice(0, 2).map((socket) => once(socket, "connect")));
  return {
    async [Symbol.asyncDispose](): Promise<void> {
      for (const socket of fillers) socket.destroy();
      await worker.terminate();
    },
  };
}

interface Pending {
  readonly resolve: (addresses: readonly ResolvedAddress[]) => void;
  readonly reject: (error: Error) => void;
}

/** A look-up that the test answers. */
class Names {
  readonly asked: string[] = [];
  readonly signals: AbortSignal[] = [];
  readonly #pending: Pending[] = [];

  readonly lookup = (hostname: string, { signal }: { signal: AbortSignal }): Promise<readonly ResolvedAddress[]> => {
    this.asked.push(hostname);
    this.signals.push(signal);
    return new Promise((resolve, reject) => void this.#pending.push({ resolve, reject }));
  };

  answer(addresses: readonly ResolvedAddress[], index = this.#pending.length - 1): void {
    this.#pending[index]!.resolve(addresses);
  }

  fail(error: Error): void {
    this.#pending.at(-1)!.reject(error);
  }
}

function withResolver(
  options: DnsOptions,
  body: (resolver: Resolver, asked: string[], clock: VirtualClock) => Coroutine<void>,
): Promise<void> {
  const time = new ManualTime();
  const asked: string[] = [];
  const lookup = (hostname: string): Promise<readonly ResolvedAddress[]> => {
    asked.push(hostname);
    return Promise.resolve([LOOPBACK]);
  };
  const loop = new EventLoop({ clock: time.clock, host: time.host });
  return run(() => body(new Resolver(loop, { lookup, ...options }), asked, time.clock), { loop });
}

function* resolve(resolver: Resolver, name: string): Coroutine<readonly ResolvedAddress[]> {
  const answered = new Promise<readonly ResolvedAddress[]>((resolved, notResolved) => {
    const known = resolver.resolve(name, { resolved, notResolved });
    if (known !== null) resolved(known);
  });
  return yield* until(answered);
}

function* fetchText(session: Session, url: string): Coroutine<string> {
  const response = yield* session.get(url);
  return yield* response.text();
}
