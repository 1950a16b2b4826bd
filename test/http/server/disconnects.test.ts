import type { Socket } from "node:net";
import { Cancelled, Future, shield, sleep } from "fibril";
import { readText } from "fibril/http/server";
import type { Handler, HttpServer } from "fibril/http/server";
import { expect, test } from "vitest";
import { ask, eventually, RawClient, withServer } from "./harness.ts";

test("a client that leaves cancels the handler; nothing is written, the log says 499", async () => {
  const trace: unknown[] = [];
  await withServer(
    function* () {
      try {
        yield* sleep(1_000_000);
      } catch (error) {
        trace.push(error instanceof Cancelled && error.reason);
        yield* sleep(1); // cleanup may wait
        trace.push("cleaned up");
        throw error;
      }
    },
    {},
    function* ({ port, server, ends }) {
      const client = new RawClient(port).send("GET /slow");
      yield* eventually(() => server.statistics().handlers === 1);
      client.destroy();
      yield* eventually(() => ends.length === 1);
      expect(trace).toEqual(["the client has closed the connection", "cleaned up"]);
      expect(ends).toMatchObject([{ path: "/slow", status: 499, bytes: 0, outcome: "disconnected" }]);
    },
  );
});

test("a client that leaves after a whole POST cancels the handler; having read the body does not", async () => {
  let reads = 0;
  await withServer(
    function* (request) {
      yield* request.text();
      reads++;
      yield* sleep(request.path === "/quick" ? 5 : 1_000_000);
      return "done";
    },
    {},
    function* ({ port, server, ends }) {
      expect(yield* ask(port, "POST /quick", { "content-length": "3" }, "abc")).toContain("done");
      const client = new RawClient(port).send("POST /slow", { "content-length": "3" }, "abc");
      yield* eventually(() => reads === 2 && server.statistics().handlers === 1);
      client.destroy();
      yield* eventually(() => ends.length === 2);
      expect(ends).toMatchObject([{ outcome: "completed" }, { outcome: "disconnected" }]);
    },
  );
});

test("a client that leaves in the middle of its body ends the read, and that is no news for onError", async () => {
  await withServer(
    function* (request) {
      return yield* request.text();
    },
    { onDisconnect: "ignore" },
    function* ({ port, server, ends, errors }) {
      const client = new RawClient(port).send("POST /", { "content-length": "10" }, "abc");
      yield* eventually(() => server.statistics().handlers === 1);
      client.destroy();
      yield* eventually(() => ends.length === 1);
      expect(ends).toMatchObject([{ status: 499, outcome: "disconnected" }]);
      expect(errors).toEqual([]);
    },
  );
});

test("many requests on one connection: the end of one does not cancel the next", async () => {
  let served = 0;
  await withServer(
    function* () {
      yield* sleep(1);
      served++;
      return "x";
    },
    {},
    function* ({ port, server }) {
      const client = new RawClient(port);
      for (let i = 1; i <= 20; i++) {
        client.send("GET /");
        yield* client.until((it) => it.statuses.length === i);
      }
      client.send("GET /").send("GET /").send("GET /"); // pipelined
      yield* client.until((it) => it.statuses.length === 23);
      expect(client.statuses.every((it) => it === 200)).toBe(true);
      expect(served).toBe(23);
      expect(server.statistics().handlers).toBe(0);
      client.destroy();
    },
  );
});

test("a client that leaves with pipelined requests cancels all of them", async () => {
  let cancelled = 0;
  await withServer(
    function* () {
      try {
        yield* sleep(1_000_000);
      } finally {
        cancelled++;
      }
    },
    {},
    function* ({ port, server, ends }) {
      const client = new RawClient(port).send("GET /1").send("GET /2").send("GET /3");
      yield* eventually(() => server.statistics().handlers === 3);
      client.destroy();
      yield* eventually(() => ends.length === 3);
      expect(cancelled).toBe(3);
    },
  );
});

test("a client that leaves in the middle of a pipelined body cancels who reads it, and does the process no harm", async () => {
  let cancelled = 0;
  await withServer(
    function* (request) {
      try {
        if (request.path === "/first") yield* sleep(1_000_000);
        return yield* request.text();
      } finally {
        cancelled++;
      }
    },
    {},
    function* ({ port, server, ends }) {
      const client = new RawClient(port).send("GET /first").send("POST /second", { "content-length": "60" }, "begun");
      yield* eventually(() => server.statistics().handlers === 2);
      client.destroy();
      yield* eventually(() => ends.length === 2);
      expect(cancelled).toBe(2);
      expect(ends).toMatchObject([{ outcome: "disconnected" }, { outcome: "disconnected" }]);
    },
  );
});

test("what a client leaves untaken of one answer is not taken off the bytes of the next one", async () => {
  await withServer(
    function* (request) {
      if (request.path === "/next") return yield* sleep(1_000_000);
      request.response.write("x".repeat(10_000_000)); // Node writes it
      yield* sleep(1);
      request.response.end("x".repeat(1_000)); // and keeps this until it has
    },
    {},
    function* ({ port, server, ends }) {
      const client = new RawClient(port);
      client.socket.pause();
      client.send("GET /big");
      yield* eventually(() => server.statistics().active === 1 && server.statistics().handlers === 0);
      client.send("GET /next");
      yield* eventually(() => server.statistics().handlers === 1);
      client.destroy();
      yield* eventually(() => ends.length === 2);
      expect(ends.find(({ path }) => path === "/next")).toMatchObject({ outcome: "disconnected", bytes: 0 });
    },
  );
});

test("work that goes on after the response was sent is not cancelled", async () => {
  const gate = new Future<void>();
  let isDone = false;
  await withServer(
    function* (request) {
      request.response.end("x");
      yield* gate;
      for (let i = 0; i < 5; i++) yield* sleep(1);
      isDone = true;
    },
    {},
    function* ({ port, server, ends }) {
      expect(yield* ask(port, "GET /")).toContain("200 OK");
      expect(server.statistics()).toMatchObject({ active: 1, handlers: 1 });
      gate.resolve();
      yield* eventually(() => ends.length === 1);
      expect(isDone).toBe(true);
      expect(ends).toMatchObject([{ status: 200, outcome: "completed" }]);
    },
  );
});

/** Whether a connection has closed at the server since this was called. */
function connectionGone({ raw }: HttpServer): () => boolean {
  let isGone = false;
  raw.on("connection", (socket: Socket) => void socket.once("close", () => (isGone = true)));
  return () => isGone;
}

const holding =
  (gate: Future<void>, onEnd: () => void): Handler =>
  () => ({
    *[Symbol.iterator]() {
      yield* gate;
      onEnd();
      return "late";
    },
  });

test("detach: the handler runs on, the request is over and its place is free", async () => {
  const gate = new Future<void>();
  let isDone = false;
  await withServer(
    holding(gate, () => (isDone = true)),
    { onDisconnect: "detach", limit: 1 },
    function* ({ port, server, ends }) {
      const client = new RawClient(port).send("GET /");
      yield* eventually(() => server.statistics().handlers === 1);
      client.destroy();
      yield* eventually(() => ends.length === 1);
      expect(ends).toMatchObject([{ status: 499, outcome: "disconnected" }]);
      expect(server.statistics()).toMatchObject({ active: 0, handlers: 1 });
      gate.resolve();
      yield* eventually(() => server.statistics().handlers === 0);
      expect(isDone).toBe(true);
      expect(ends).toHaveLength(1);
    },
  );
});

test("ignore: the handler runs on and keeps its place", async () => {
  const gate = new Future<void>();
  let isDone = false;
  await withServer(
    holding(gate, () => (isDone = true)),
    { onDisconnect: "ignore" },
    function* ({ port, server, ends }) {
      const isGone = connectionGone(server);
      const client = new RawClient(port).send("GET /");
      yield* eventually(() => server.statistics().handlers === 1);
      client.destroy();
      yield* eventually(isGone);
      for (let i = 0; i < 10; i++) yield* sleep(1);
      expect(server.statistics()).toMatchObject({ active: 1, handlers: 1 });
      expect(ends).toEqual([]);
      gate.resolve();
      yield* eventually(() => ends.length === 1);
      expect(isDone).toBe(true);
    },
  );
});

test("one handler may decide for itself, and shield what must not be torn", async () => {
  const trace: string[] = [];
  const gate = new Future<void>();
  await withServer(
    function* () {
      yield* shield(function* () {
        yield* gate;
        trace.push("written");
      });
      yield* sleep(0);
      trace.push("went on");
    },
    {},
    function* ({ port, server, ends }) {
      const isGone = connectionGone(server);
      const client = new RawClient(port).send("GET /");
      yield* eventually(() => server.statistics().handlers === 1);
      client.destroy();
      yield* eventually(isGone);
      gate.resolve();
      yield* eventually(() => ends.length === 1);
      expect(trace).toEqual(["written"]);
    },
  );
});

test("a request that waits has one listener more than node's own", async () => {
  const counts: number[] = [];
  await withServer(
    function* (request) {
      const { response } = request;
      yield* sleep(1);
      counts.push(response.eventNames().reduce((sum, event) => sum + response.listenerCount(event), 0));
      counts.push(request.raw.eventNames().length);
      yield* readText(request.raw);
      counts.push(request.raw.listenerCount("data") + request.raw.listenerCount("readable"));
      return "x";
    },
    {},
    function* ({ port }) {
      yield* ask(port, "POST /", { "content-length": "3" }, "abc");
      expect(counts).toEqual([2, 0, 0]); // node's "finish", our "close"; a body that is there needs none
    },
  );
});

const CLIENTS = process.env["FIBRIL_LONG"] === undefined ? 400 : 10_000;

test(
  `${CLIENTS} clients that leave: every handler is cancelled, and nothing is left`,
  { timeout: 120_000 },
  async () => {
    let begun = 0;
    let cancelled = 0;
    await withServer(
      function* () {
        begun++;
        try {
          yield* sleep(1_000_000);
        } finally {
          cancelled++;
        }
      },
      {},
      function* ({ port, server, ends }) {
        let sockets = 0;
        server.raw.on("connection", (socket) => {
          sockets++;
          socket.on("close", () => sockets--);
        });
        for (let sent = 0; sent < CLIENTS; sent += 100) {
          const clients = Array.from({ length: 100 }, () => new RawClient(port).send("GET /"));
          yield* eventually(() => begun === sent + 100);
          for (const client of clients) client.destroy();
        }
        yield* eventually(() => ends.length === CLIENTS && sockets === 0);
        expect(cancelled).toBe(CLIENTS);
        expect(ends.every((end) => end.status === 499 && end.bytes === 0)).toBe(true);
        expect(server.statistics()).toMatchObject({ active: 0, handlers: 0, queued: 0 });
      },
    );
  },
);
