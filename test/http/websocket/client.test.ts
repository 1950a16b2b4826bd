import { createServer } from "node:net";
import type { Socket } from "node:net";
import { CancelledError, currentTask, moveOnAfter, scope, select, sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import { describe, expect, test } from "vitest";
import { Pongs } from "../../../src/http/websocket/pongs.ts";
import type { RawWebSocket } from "../../../src/http/websocket/raw.ts";
import {
  WebSocketClosedError,
  WebSocketHandshakeError,
  WebSocketPackageMissingError,
  WebSocketTimeoutError,
} from "../../../src/http/websocket/errors.ts";
import { importWs } from "../../../src/http/websocket/package.ts";
import { failureOf } from "../harness.ts";
import { hostTurn, ManualTime } from "../manual-time.ts";
import { closedOrigin, listening, startSocketServer } from "../servers.ts";
import { connect, runClean, startWebSocketServer } from "./servers.ts";
import type { SocketTestServer } from "./servers.ts";

const echo: Parameters<typeof startWebSocketServer>[0] = (client) => {
  client.on("message", (data, isBinary) => client.send(data as Buffer, { binary: isBinary }));
};

/** Reads nothing of what the client says, not even that it closes. */
const deaf: Parameters<typeof startWebSocketServer>[0] = (_client, { socket }) => {
  socket.removeAllListeners("data");
  socket.resume();
};

/** Runs a client against a server; afterwards the server has no socket left. */
async function against<T>(
  server: SocketTestServer,
  body: () => Coroutine<T>,
  loopOptions: Parameters<typeof runClean>[1] = {},
): Promise<T> {
  const value = await runClean(body, loopOptions);
  await server.untilOpen(0);
  return value;
}

describe("messages", () => {
  test("text comes back as text and bytes as bytes, in order", async () => {
    await using server = await startWebSocketServer(echo);
    await against(server, function* () {
      const socket = yield* connect(server.url);
      yield* socket.send("größe");
      yield* socket.send(new Uint8Array([1, 2, 3]));
      yield* socket.send("");
      expect(yield* socket.messages.receive()).toBe("größe");
      expect([...((yield* socket.messages.receive()) as Uint8Array)]).toEqual([1, 2, 3]);
      expect(yield* socket.messages.receive()).toBe("");
      expect(socket.statistics()).toMatchObject({ state: "open", sent: 3, received: 3, buffered: 0 });
    });
  });

  test("what the server sends together with its answer is not lost", async () => {
    await using server = await startWebSocketServer((client) => {
      for (let i = 0; i < 5; i++) client.send(`greeting ${i}`);
    });
    await against(server, function* () {
      const socket = yield* connect(server.url);
      for (let i = 0; i < 5; i++) expect(yield* socket.messages.receive()).toBe(`greeting ${i}`);
    });
  });

  test("they are a sequence that ends when the peer closes in good order, after everything that came before", async () => {
    await using server = await startWebSocketServer((client) => {
      for (let i = 0; i < 300; i++) client.send(String(i));
      client.close(1000, "done");
    });
    await against(server, function* () {
      const socket = yield* connect(server.url, { capacity: 4 });
      const values: unknown[] = [];
      for (;;) {
        const { done, value } = yield* socket.messages.next();
        if (done === true) break;
        values.push(value);
      }
      expect(values).toEqual(Array.from({ length: 300 }, (_, i) => String(i)));
      expect(yield* socket.closed).toEqual({ code: 1000, reason: "done", wasClean: true });
      const error = yield* failureOf(socket.messages.receive());
      expect(error).toBeInstanceOf(WebSocketClosedError);
      expect(error).toMatchObject({ code: "WEBSOCKET_CLOSED", closeCode: 1000, reason: "done", wasClean: true });
      expect((yield* socket.messages.next()).done).toBe(true);
    });
  });

  test("a close with another code is an error for who receives", async () => {
    await using server = await startWebSocketServer((client) => {
      client.send("last");
      client.close(4003, "kicked");
    });
    await against(server, function* () {
      const socket = yield* connect(server.url);
      expect(yield* socket.messages.receive()).toBe("last");
      expect(yield* failureOf(socket.messages.next())).toMatchObject({ closeCode: 4003, reason: "kicked" });
      expect(() => socket.messages.tryReceive()).toThrow(/4003 "kicked"/);
    });
  });

  test("a connection that breaks is an error for who receives, not an end", async () => {
    await using server = await startWebSocketServer((client) => {
      client.send("last", () => client.terminate());
    });
    await against(server, function* () {
      const socket = yield* connect(server.url);
      expect(yield* socket.messages.receive()).toBe("last");
      expect(yield* failureOf(socket.messages.next())).toMatchObject({ closeCode: 1006, wasClean: false });
      expect(yield* socket.closed).toEqual({ code: 1006, reason: "", wasClean: false });
    });
  });

  test("the peer is held back while nobody receives, and goes on when somebody does", async () => {
    const total = 400;
    const text = "x".repeat(32 * 1024);
    await using server = await startWebSocketServer((client) => {
      for (let i = 0; i < total; i++) client.send(text);
    });
    await against(server, function* () {
      const socket = yield* connect(server.url, { capacity: 8 });
      const client = server.clients[0]!;
      while (!socket.statistics().isPaused) yield* hostTurn();
      let before = -1;
      while (client.bufferedAmount !== before) {
        before = client.bufferedAmount;
        yield* sleep(20); // nothing moves any more: what the system's buffers take is full
      }
      expect(before).toBeGreaterThan(0);
      // One read of the socket brings at most 64 KiB more than the message that filled the buffer.
      expect(socket.statistics().buffered).toBeLessThanOrEqual(8 + 3);
      for (let i = 0; i < total; i++) yield* socket.messages.receive();
      expect(socket.statistics()).toMatchObject({ buffered: 0, isPaused: false, received: total });
    });
  });

  test("a cancelled receive takes no message, and those who wait are served in their order", async () => {
    await using server = await startWebSocketServer(echo);
    await against(server, function* () {
      const socket = yield* connect(server.url);
      expect(yield* moveOnAfter(5, socket.messages.receive())).toBeUndefined();
      const got: string[] = [];
      yield* scope(function* () {
        for (const name of ["first", "second"]) {
          spawn(function* () {
            got.push(`${name}: ${String(yield* socket.messages.receive())}`);
          });
        }
        yield* sleep(0);
        expect(socket.statistics().waitingReceivers).toBe(2);
        yield* socket.send("a");
        yield* socket.send("b");
      });
      expect(got).toEqual(["first: a", "second: b"]);
    });
  });

  test("a select takes exactly one of two sockets' messages", async () => {
    await using server = await startWebSocketServer(echo);
    await against(server, function* () {
      const [a, b] = [yield* connect(server.url), yield* connect(server.url)];
      yield* b.send("from b");
      const chosen = yield* select({ a: a.messages.receive(), b: b.messages.receive() });
      expect(chosen).toMatchObject({ key: "b", value: "from b" });
      yield* a.send("from a");
      expect(yield* a.messages.receive()).toBe("from a");
    });
  });

  test("a closed receiving end drops what comes and lets the connection go on", async () => {
    await using server = await startWebSocketServer(echo);
    await against(server, function* () {
      const socket = yield* connect(server.url, { capacity: 1 });
      for (let i = 0; i < 50; i++) yield* socket.send("nobody wants it");
      while (!socket.statistics().isPaused) yield* hostTurn();
      socket.messages.close();
      expect((yield* socket.messages.next()).done).toBe(true);
      while (socket.statistics().received < 50) yield* hostTurn();
      expect(socket.messages.statistics()).toMatchObject({ buffered: 0, dropped: 50, isPaused: false });
      expect(yield* socket.close()).toMatchObject({ code: 1000, wasClean: true });
    });
  });
});

describe("sending", () => {
  test("waits while more than maxBufferedBytes are not written, in order; a cancelled send sends nothing", async () => {
    await using server = await startWebSocketServer((client) => client.pause());
    await against(server, function* () {
      const socket = yield* connect(server.url, { maxBufferedBytes: 64 * 1024 });
      const piece = "x".repeat(32 * 1024);
      let sent = 0;
      for (let refused = 0; refused < 3;) {
        if (yield* sentSoon(socket.send(piece))) sent++;
        else refused++; // three times, for it may have been this process that stood still
      }
      expect(sent).toBeGreaterThan(2);
      expect(socket.statistics().bufferedBytes).toBeLessThanOrEqual(64 * 1024 + 200);
      expect(socket.trySend(piece)).toBe(false);
      expect(yield* moveOnAfter(5, socket.send("never sent".padEnd(40_000)))).toBeUndefined();
      const order: string[] = [];
      yield* scope(function* () {
        for (const name of ["first", "second"]) {
          spawn(function* () {
            yield* socket.send(name.padEnd(40_000));
            order.push(name);
          });
        }
        yield* sleep(0);
        expect(socket.statistics().waitingSenders).toBe(2);
        expect(socket.trySend("small, but not before those who wait")).toBe(false);
        const got: string[] = [];
        server.clients[0]!.on("message", (data: Buffer) => got.push(data.toString().slice(0, 6).trim()));
        server.clients[0]!.resume();
        while (!got.includes("second")) yield* hostTurn();
        expect(got.filter((it) => it !== "xxxxxx")).toEqual(["first", "second"]);
        expect(got).toHaveLength(sent + 2);
      });
      expect(order).toEqual(["first", "second"]);
    });
  });

  test("a message larger than maxBufferedBytes goes alone, also when a pong stands in the buffer", async () => {
    await using server = await startWebSocketServer((client) => {
      client.on("message", (data: Buffer) => client.send(String(data.length)));
      for (let i = 0; i < 20; i++) client.ping();
    });
    await against(server, function* () {
      const socket = yield* connect(server.url, { maxBufferedBytes: 10 });
      for (const size of [5_000, 300_000, 7]) yield* socket.send(new Uint8Array(size));
      for (const size of [5_000, 300_000, 7]) expect(yield* socket.messages.receive()).toBe(String(size));
    });
  });

  test("fails once the socket is closing or closed, also for those who wait", async () => {
    await using server = await startWebSocketServer((client) => client.pause());
    await against(server, function* () {
      const socket = yield* connect(server.url, { maxBufferedBytes: 1_000, closeMs: 20 });
      for (let refused = 0; refused < 3;) if (!(yield* sentSoon(socket.send("x".repeat(1_000_000))))) refused++;
      const waiting = spawn(() => failureOf(socket.send("waits")));
      yield* sleep(0);
      void socket.close();
      expect(socket.state).toBe("closing");
      expect(String(yield* failureOf(socket.send("late")))).toContain("cannot send while it is being closed");
      expect(yield* waiting).toMatchObject({ code: "WEBSOCKET_CLOSED" });
      expect(yield* socket.closed).toEqual({ code: 1006, reason: "", wasClean: false });
      expect(() => socket.trySend("later")).toThrow(WebSocketClosedError);
      server.clients[0]!.resume();
    });
  });

  test("is refused as soon as the peer has begun to close", async () => {
    await using server = await startWebSocketServer((client) => {
      client.on("message", () => client.close(1001, "restart"));
    });
    await against(server, function* () {
      const socket = yield* connect(server.url);
      yield* socket.send("go");
      expect((yield* socket.messages.next()).done).toBe(true);
      expect(yield* failureOf(socket.send("too late"))).toMatchObject({ closeCode: 1001, reason: "restart" });
    });
  });

  test("takes strings and bytes only", async () => {
    await using server = await startWebSocketServer();
    await against(server, function* () {
      const socket = yield* connect(server.url);
      expect(() => socket.send({ a: 1 } as never)).toThrow(/JSON.stringify/);
    });
  });

  test("compresses when both sides want it", async () => {
    await using server = await startWebSocketServer(echo, { perMessageDeflate: { threshold: 0 } });
    await against(server, function* () {
      const plain = yield* connect(server.url);
      expect(plain.extensions).toBe("");
      const socket = yield* connect(server.url, { compression: true });
      expect(socket.extensions).toBe("permessage-deflate");
      const text = "abc ".repeat(50_000);
      for (let i = 0; i < 3; i++) yield* socket.send(text);
      for (let i = 0; i < 3; i++) expect(yield* socket.messages.receive()).toBe(text);
    });
  });
});

/** Whether it was sent within 20 ms. */
function* sentSoon(sending: Iterable<unknown>): Coroutine<boolean> {
  const result = yield* moveOnAfter(20, function* (): Coroutine<string> {
    yield* sending as Coroutine<unknown>;
    return "sent";
  });
  return result === "sent";
}

describe("closing", () => {
  test("tells the peer code and reason, after everything that was sent before", async () => {
    const got: string[] = [];
    await using server = await startWebSocketServer((client) => {
      client.on("message", (data: Buffer) => got.push(data.toString()));
      client.on("close", (code, reason) => got.push(`${code} ${reason.toString()}`));
    });
    await against(server, function* () {
      const socket = yield* connect(server.url);
      for (let i = 0; i < 3; i++) yield* socket.send(`message ${i}`);
      expect(yield* socket.close(4001, "enough")).toEqual({ code: 4001, reason: "enough", wasClean: true });
      expect(socket.closeStatus).toEqual({ code: 4001, reason: "enough", wasClean: true });
      expect(yield* socket.close(1000)).toMatchObject({ code: 4001 }); // again only waits
      expect((yield* socket.messages.next()).done).toBe(true); // by us, so it is no error
    });
    await server.until(() => got.length === 4);
    expect(got).toEqual(["message 0", "message 1", "message 2", "4001 enough"]);
  });

  test("is done although the peer was being held back", async () => {
    await using server = await startWebSocketServer((client) => {
      for (let i = 0; i < 1_000; i++) client.send("x".repeat(10_000));
    });
    await against(server, function* () {
      const socket = yield* connect(server.url, { capacity: 2 });
      while (!socket.statistics().isPaused) yield* hostTurn();
      const kept = socket.statistics().buffered;
      expect(yield* socket.close()).toMatchObject({ code: 1000, wasClean: true });
      expect(socket.messages.drain()).toHaveLength(kept); // what had come can still be had
      expect(socket.messages.statistics().dropped).toBe(1_000 - kept);
    });
  });

  test("cuts the connection when the peer does not answer in time", async () => {
    const time = new ManualTime();
    await using server = await startWebSocketServer(deaf);
    await against(
      server,
      function* () {
        const socket = yield* connect(server.url, { closeMs: 5_000 });
        const closing = spawn(() => socket.close());
        yield* time.pass(4_999);
        expect(socket.state).toBe("closing");
        yield* time.pass(1);
        expect(yield* closing).toEqual({ code: 1006, reason: "", wasClean: false });
      },
      time,
    );
  });

  test("goes on when the wait for it is cancelled", async () => {
    await using server = await startWebSocketServer();
    await against(server, function* () {
      const socket = yield* connect(server.url);
      yield* moveOnAfter(0, socket.close(4000));
      expect(yield* socket.closed).toMatchObject({ code: 4000, wasClean: true });
    });
  });

  test("a wrong code or reason is refused and changes nothing", async () => {
    await using server = await startWebSocketServer(echo);
    await against(server, function* () {
      const socket = yield* connect(server.url);
      for (const code of [999, 1005, 1006, 1015, 2000, 5000, 1000.5, Number.NaN]) {
        expect(() => socket.close(code)).toThrow(/cannot be closed with code/);
      }
      expect(() => socket.close(1000, "x".repeat(124))).toThrow(/123 bytes/);
      yield* socket.send("still open");
      expect(yield* socket.messages.receive()).toBe("still open");
    });
  });

  test("cut() ends at once without a word", async () => {
    await using server = await startWebSocketServer();
    await against(server, function* () {
      const socket = yield* connect(server.url);
      socket.cut();
      expect(yield* socket.closed).toMatchObject({ code: 1006, wasClean: false });
    });
    expect(server.closeCodes).toEqual([1006]);
  });
});

describe("the scope", () => {
  test("closes with 1000 when it ends well, and waits for the peer", async () => {
    await using server = await startWebSocketServer();
    await runClean(function* () {
      yield* scope(function* () {
        yield* connect(server.url);
      });
      yield* until(server.untilOpen(0));
    });
    expect(server.closeCodes).toEqual([1000]);
  });

  test("closes with 1001 when it fails or is cancelled", async () => {
    await using server = await startWebSocketServer();
    await runClean(function* () {
      const failing = scope(function* () {
        yield* connect(server.url);
        throw new Error("mine");
      });
      expect(String(yield* failureOf(failing))).toBe("Error: mine");
      const task = spawn(function* () {
        const socket = yield* connect(server.url);
        yield* socket.messages.receive();
      });
      while (!(task.waitingFor ?? "").startsWith("receive from websocket")) yield* hostTurn();
      yield* task.cancel();
    });
    await server.untilOpen(0);
    expect(server.closeCodes).toEqual([1001, 1001]);
  });

  test("does not wait longer than closeMs for a peer that is silent", async () => {
    const time = new ManualTime();
    await using server = await startWebSocketServer(deaf);
    await against(
      server,
      function* () {
        const task = spawn(function* () {
          yield* connect(server.url, { closeMs: 100 });
        });
        yield* until(server.until(() => server.clients.length === 1));
        while (task.state !== "waiting" || !(task.waitingFor ?? "").startsWith("the end of websocket"))
          yield* hostTurn();
        yield* time.pass(99);
        expect(task.state).toBe("waiting");
        yield* time.pass(1);
        yield* task;
      },
      time,
    );
  });
});

describe("the heartbeat", () => {
  test("a peer that answers nothing is given up within two of them, with a typed error for everybody", async () => {
    const time = new ManualTime();
    await using server = await startWebSocketServer(deaf);
    await against(
      server,
      function* () {
        const socket = yield* connect(server.url, { heartbeatMs: 1_000 });
        const receiving = spawn(() => failureOf(socket.messages.receive()));
        yield* time.pass(1_000);
        yield* time.pass(999);
        expect(socket.state).toBe("open");
        yield* time.pass(1);
        const error = yield* receiving;
        expect(error).toBeInstanceOf(WebSocketTimeoutError);
        expect(error).toMatchObject({ code: "WEBSOCKET_TIMEOUT", phase: "pong", limitMs: 1_000 });
        expect(yield* failureOf(socket.send("late"))).toBe(error);
        expect(yield* socket.closed).toMatchObject({ code: 1006 });
      },
      time,
    );
  });

  test("a peer that answers stays, whatever the time", async () => {
    const time = new ManualTime();
    let pings = 0;
    await using server = await startWebSocketServer((client) => {
      client.on("ping", () => {
        pings++;
        server.changed();
      });
    });
    await against(
      server,
      function* () {
        const socket = yield* connect(server.url, { heartbeatMs: 1_000 });
        for (let i = 1; i <= 5; i++) {
          yield* time.pass(1_000);
          yield* until(server.until(() => pings >= i));
          for (let turns = 0; turns < 20; turns++) yield* hostTurn(); // the pong is on its way
        }
        expect(socket.state).toBe("open");
        expect(pings).toBe(5);
      },
      time,
    );
  });

  test("rests while the peer is held back: its pong stands behind what nobody receives", async () => {
    const time = new ManualTime();
    await using server = await startWebSocketServer((client) => {
      for (let i = 0; i < 100; i++) client.send("x".repeat(100_000));
    });
    await against(
      server,
      function* () {
        const socket = yield* connect(server.url, { heartbeatMs: 1_000, capacity: 2 });
        while (!socket.statistics().isPaused) yield* hostTurn();
        for (let i = 0; i < 10; i++) yield* time.pass(1_000);
        expect(socket.state).toBe("open");
        for (let i = 0; i < 100; i++) yield* socket.messages.receive();
        expect(socket.state).toBe("open");
      },
      time,
    );
  });

  test("a part of a message is a sign of life", async () => {
    const time = new ManualTime();
    let peer: Socket | undefined;
    await using server = await startWebSocketServer((client, request) => {
      deaf(client, request);
      peer = request.socket;
    });
    await against(
      server,
      function* () {
        const socket = yield* connect(server.url, { heartbeatMs: 1_000, closeMs: 1 });
        peer!.write(Buffer.from([0x81, 126, 0xff, 0xff])); // a text of 65,535 bytes begins
        for (let i = 0; i < 5; i++) {
          peer!.write("piece");
          for (let turns = 0; turns < 20; turns++) yield* hostTurn();
          yield* time.pass(1_000);
        }
        expect(socket.state).toBe("open");
        yield* time.pass(1_000);
        yield* time.pass(1_000);
        expect(yield* socket.closed).toMatchObject({ code: 1006 });
      },
      time,
    );
  });
});

describe("faults of the peer", () => {
  test("a message that is too large ends the connection with 1009", async () => {
    await using server = await startWebSocketServer((client) => client.send("x".repeat(1_001)));
    await against(server, function* () {
      const socket = yield* connect(server.url, { maxMessageBytes: 1_000 });
      const error = yield* failureOf(socket.messages.receive());
      expect(error).toMatchObject({ code: "WEBSOCKET_CLOSED", closeCode: 1009 });
      expect(String(error)).toContain("raise maxMessageBytes");
      expect(yield* socket.closed).toMatchObject({ code: 1009, wasClean: false });
    });
    expect(server.closeCodes).toEqual([1009]);
  });

  test("so does one that is only large when it is unpacked", async () => {
    await using server = await startWebSocketServer((client) => client.send("x".repeat(10_000_000)), {
      perMessageDeflate: { threshold: 0 },
    });
    await against(server, function* () {
      const socket = yield* connect(server.url, { maxMessageBytes: 100_000, compression: true });
      expect(yield* failureOf(socket.messages.receive())).toMatchObject({ closeCode: 1009 });
    });
  });

  const frames: readonly (readonly [string, readonly number[], number])[] = [
    ["text that is not UTF-8", [0x81, 2, 0xc3, 0x28], 1007],
    ["a reserved bit", [0xc1, 1, 0x61], 1002],
    ["an unknown opcode", [0x83, 0], 1002],
    ["a masked frame from a server", [0x81, 0x81, 1, 2, 3, 4, 0x60], 1002],
    ["a ping that is too long", [0x89, 126, 0, 126], 1002],
  ];
  test.each(frames)("%s is a typed error", async (_name, bytes, closeCode) => {
    await using server = await startWebSocketServer(
      (_client, request) => void request.socket.write(Buffer.from(bytes)),
    );
    await against(server, function* () {
      const socket = yield* connect(server.url, { closeMs: 50 });
      const error = yield* failureOf(socket.messages.receive());
      expect(error).toBeInstanceOf(WebSocketClosedError);
      expect(error).toMatchObject({ closeCode, wasClean: false });
    });
  });
});

describe("the handshake", () => {
  test("an answer other than 101 is an error with its status and headers", async () => {
    await using server = await startWebSocketServer(undefined, {
      verifyClient: (_info, done) => done(false, 401, "who are you", { "www-authenticate": "Basic" }),
    });
    await against(server, function* () {
      const error = yield* failureOf(connect(`${server.url}?token=secret`));
      expect(error).toBeInstanceOf(WebSocketHandshakeError);
      expect(error).toMatchObject({ code: "WEBSOCKET_HANDSHAKE", status: 401 });
      expect((error as WebSocketHandshakeError).headers["www-authenticate"]).toBe("Basic");
      expect(String(error)).not.toContain("secret");
    });
  });

  test("a server that is not there is an error with its cause", async () => {
    const origin = closedOrigin().replace("http", "ws");
    const error = await runClean(() => failureOf(connect(origin)));
    expect(error).toMatchObject({ code: "WEBSOCKET_HANDSHAKE", status: undefined });
    expect((error as Error).cause).toMatchObject({ code: "ECONNREFUSED" });
  });

  test("what is no WebSocket server is an error", async () => {
    const answers = [
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: chess\r\nConnection: Upgrade\r\n\r\n",
      "SSH-2.0-OpenSSH\r\n\r\n",
      "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
    ];
    for (const answer of answers) {
      await using server = await startSocketServer((socket) => void socket.once("data", () => socket.write(answer)));
      const error = await runClean(() => failureOf(connect(server.origin.replace("http", "ws"))));
      expect(error).toBeInstanceOf(WebSocketHandshakeError);
      await server.untilOpen(0);
    }
  });

  test("one that takes too long is a typed error, and its connection is gone", async () => {
    const time = new ManualTime();
    await using server = await startSocketServer((socket) => void socket.resume());
    const error = await runClean(function* () {
      const opening = spawn(() => failureOf(connect(server.origin, { handshakeMs: 700 })));
      yield* until(server.untilOpen(1));
      yield* time.pass(699);
      expect(opening.state).toBe("waiting");
      expect(opening.waitingFor).toMatch(/^websocket 127\.0\.0\.1:\d+\/, opening$/);
      yield* time.pass(1);
      return yield* opening;
    }, time);
    expect(error).toMatchObject({ code: "WEBSOCKET_TIMEOUT", phase: "handshake", limitMs: 700 });
    await server.untilOpen(0);
  });

  test("agrees on a subprotocol, and refuses an answer that does not", async () => {
    await using server = await startWebSocketServer(undefined, {
      handleProtocols: (offered) => (offered.has("v2") ? "v2" : false),
    });
    await against(server, function* () {
      expect((yield* connect(server.url, { protocols: ["v1", "v2"] })).protocol).toBe("v2");
      expect(yield* failureOf(connect(server.url, { protocols: "v1" }))).toBeInstanceOf(WebSocketHandshakeError);
      expect(yield* failureOf(connect(server.url, { protocols: ["a", "a"] }))).toBeInstanceOf(WebSocketHandshakeError);
    });
  });

  test("sends headers, query, the URL's credentials, and what policies add", async () => {
    await using server = await startWebSocketServer();
    const answers: unknown[] = [];
    const policy = {
      *headersFor(url: string): Coroutine<Record<string, string>> {
        yield* sleep(0);
        return { cookie: `for=${new URL(url).pathname}`, "x-own": "policy" };
      },
      answered: (url: string, headers: Readonly<Record<string, unknown>>) =>
        void answers.push([url.replace(/:\d+/, ""), headers["upgrade"]]),
    };
    await against(server, function* () {
      const url = server.url.replace("//", "//me:pass@");
      const socket = yield* connect(url, { headers: { "X-Own": "mine" }, query: { a: 1 } }, [policy]);
      expect(socket.url).not.toContain("pass");
      const { headers, url: path } = server.requests[0]!;
      expect(path).toBe("/feed?a=1");
      expect(headers).toMatchObject({
        "x-own": "mine",
        cookie: "for=/feed",
        authorization: `Basic ${btoa("me:pass")}`,
        "user-agent": "fibril",
      });
      expect(answers).toEqual([["http://127.0.0.1/feed?a=1", "websocket"]]);
    });
  });

  test("wrong options throw at once", () => {
    for (const options of [
      { capacity: 0 },
      { maxBufferedBytes: 0 },
      { heartbeatMs: 0 },
      { closeMs: -1 },
      { handshakeMs: Number.NaN },
      { maxMessageBytes: 1.5 },
      "v1",
    ]) {
      expect(() => connect("ws://127.0.0.1/", options as never)).toThrow(/must be|are an object/);
    }
  });

  test("a missing or foreign package is a clear error", async () => {
    const missing = importWs(() => Promise.reject(Object.assign(new Error("no"), { code: "ERR_MODULE_NOT_FOUND" })));
    await expect(missing).rejects.toThrow(/npm install ws/);
    await expect(importWs(() => Promise.resolve({}))).rejects.toBeInstanceOf(WebSocketPackageMissingError);
  });
});

describe("cancelling", () => {
  test("while connecting leaves no socket, in whatever moment it comes", async () => {
    await using server = await startWebSocketServer(echo);
    let cancelled = 0;
    for (let turns = 0; turns < 30; turns++) {
      await runClean(function* () {
        const task = spawn(function* () {
          const socket = yield* connect(server.url);
          yield* socket.send("hello");
          yield* socket.messages.receive();
          yield* socket.close();
        });
        for (let i = 0; i < turns; i++) yield* hostTurn();
        yield* task.cancel();
        if (task.outcome?.status === "cancelled") cancelled++;
      });
      await server.untilOpen(0);
    }
    expect(cancelled).toBeGreaterThan(3);
  });

  test("during TLS destroys the connection", async () => {
    // It accepts and says nothing, so TLS never comes about.
    await using server = await startSocketServer((socket) => void socket.resume());
    await runClean(function* () {
      const task = spawn(() => connect(server.origin.replace("http", "wss")));
      yield* until(server.untilOpen(1));
      yield* task.cancel();
    });
    await server.untilOpen(0);
  });

  test("in the step in which it opens closes it again", async () => {
    await using server = await startWebSocketServer();
    await expect(
      runClean(function* () {
        const main = currentTask();
        yield* connect(server.url);
        void main.cancel("enough");
        yield* sleep(1_000);
      }),
    ).rejects.toBeInstanceOf(CancelledError);
    await server.untilOpen(0);
    expect(server.closeCodes).toEqual([1001]);
  });

  test("a listener is not left on the raw socket", async () => {
    await using server = await startWebSocketServer(echo);
    const { WebSocket } = await import("ws");
    const made: InstanceType<typeof WebSocket>[] = [];
    class Watched extends WebSocket {
      constructor(...args: ConstructorParameters<typeof WebSocket>) {
        super(...args);
        made.push(this);
      }
    }
    await against(server, function* () {
      const socket = yield* connect(server.url, { ws: { WebSocket: Watched } as never });
      yield* socket.close();
    });
    const [raw] = made;
    for (const event of ["open", "message", "ping", "pong", "close", "upgrade", "unexpected-response"]) {
      expect(raw!.listenerCount(event), event).toBe(0);
    }
  });
});

test("a connection that nobody answers is listed with what it waits for", async () => {
  await using server = await listening(createServer());
  await runClean(function* () {
    const task = spawn(() => connect(`${server.origin}/secret?token=1`));
    yield* until(server.untilOpen(1));
    expect(task.waitingFor).toBe(`websocket 127.0.0.1:${server.port}/secret, opening`);
    yield* task.cancel();
  });
});

describe("pings of the peer", () => {
  test("are answered with what they bring", async () => {
    const answers: string[] = [];
    await using server = await startWebSocketServer((client) => {
      client.on("pong", (data) => {
        answers.push(String(data));
        server.changed();
      });
      client.ping("one");
    });
    await runClean(function* () {
      const socket = yield* connect(server.url);
      yield* until(server.until(() => answers.length === 1));
      server.clients[0]!.ping("two");
      yield* until(server.until(() => answers.length === 2));
      expect(answers).toEqual(["one", "two"]);
      yield* socket.close();
    });
  });

  test("that come faster than the peer reads get one answer at a time, and then the last one", () => {
    const sent: string[] = [];
    const written: (() => void)[] = [];
    const raw = {
      readyState: 1,
      pong: (data: Uint8Array, _mask: undefined, done: () => void) => {
        sent.push(String(data));
        written.push(done);
      },
    };
    const pongs = new Pongs(raw as unknown as RawWebSocket);
    for (let i = 0; i < 1_000; i++) pongs.answer(Buffer.from(`${i}`));
    expect(sent).toEqual(["0"]);
    written[0]!();
    expect(sent).toEqual(["0", "999"]);
    pongs.answer(Buffer.from("last"));
    raw.readyState = 2;
    written[1]!();
    expect(sent).toEqual(["0", "999"]);
  });
});
