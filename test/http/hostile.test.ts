/**
 * Peers that do not keep to the rules, where more than one typed error has to be seen: what is replaced, cut off, not taken for an answer.
 * What each single misbehaviour gets is a table, see hostile-table.test.ts.
 */
import { sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import { BodyTooLarge, ConnectError, ProtocolError } from "fibril/http";
import type { HttpResponse, RequestEvent, Session, UndiciModule } from "fibril/http";
import type { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { atRest, failureOf, withSession } from "./harness.ts";
import { closedOrigin, startHttpServer, startRawServer, startSocketServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

const OK = "HTTP/1.1 200 OK\r\n";

describe.each(undiciVersions)("hostile peers on %s", (_, undici) => {
  test("a peer that closes every connection at once, before anything was sent", async () => {
    await using server = await startSocketServer((socket) => socket.destroy());
    await withSession(undici, { limit: 2 }, function* (session) {
      const tasks = Array.from({ length: 50 }, () => spawn(failureOf, session.get(server.origin)));
      for (const task of tasks) expect(yield* task).toBeInstanceOf(ProtocolError);
      expect(atRest(session)).toEqual({ active: 0, queued: 0, connecting: 0, idle: 0 });
    });
  });

  test("a port where nobody listens, a name that does not exist, a certificate that nobody signed", async () => {
    const origin = closedOrigin();
    await using plain = await startHttpServer();
    await withSession(undici, { limit: 1 }, function* (session) {
      const refused = (yield* failureOf(session.get(`${origin}/path?secret`))) as ConnectError;
      expect(refused).toBeInstanceOf(ConnectError);
      expect(refused).toMatchObject({ code: "HTTP_CONNECT", systemCode: "ECONNREFUSED", cause: expect.any(Error) });
      expect(refused.message).toMatch(
        /^http GET 127\.0\.0\.1:\d+\/path could not connect to http:\/\/127\.0\.0\.1:\d+: connect ECONNREFUSED/,
      );
      const unknown = (yield* failureOf(session.get("http://no-such-host.invalid/"))) as ConnectError;
      expect(unknown).toBeInstanceOf(ConnectError);
      expect(["ENOTFOUND", "EAI_AGAIN"]).toContain(unknown.systemCode);
      const noTls = yield* failureOf(session.get(plain.origin.replace("http:", "https:")));
      expect(noTls).toBeInstanceOf(ConnectError);
      expect(atRest(session)).toEqual({ active: 0, queued: 0, connecting: 0, idle: 0 });
    });
  });

  test("a body longer than announced is cut there, and the connection is not used again", async () => {
    await using server = await startRawServer((socket) => socket.write(`${OK}content-length: 5\r\n\r\nhello and more`));
    await withSession(undici, { limit: 1 }, function* (session) {
      for (let i = 0; i < 3; i++) expect(yield* fetchText(session, server.origin)).toBe("hello");
      expect(server.accepted).toBe(3);
    });
  });

  test("a second response that nobody asked for is not taken for the next answer", async () => {
    const answer = (text: string): string => `${OK}content-length: ${text.length}\r\n\r\n${text}`;
    await using server = await startRawServer((socket, count) =>
      socket.write(answer(`true ${count}`) + answer("smuggled")),
    );
    await withSession(undici, { limit: 1 }, function* (session) {
      for (let i = 0; i < 5; i++) expect(yield* fetchText(session, server.origin)).toBe("true 1");
    });
  });

  test("a connection that the server closed while it was idle is replaced", async () => {
    await using server = await startRawServer((socket) => {
      socket.write(`${OK}content-length: 2\r\n\r\nok`);
      setTimeout(() => socket.destroy(), 10);
    });
    await withSession(undici, { limit: 1 }, function* (session) {
      expect(yield* fetchText(session, server.origin)).toBe("ok");
      while (session.statistics().idle > 0) yield* sleep(1);
      expect(yield* fetchText(session, server.origin)).toBe("ok");
      expect(server.accepted).toBe(2);
    });
  });

  describe("an idle connection breaks", () => {
    test("before the next request is written: it is replaced, unseen", async () => {
      await using server = await startRawServer((socket) => socket.write(`${OK}content-length: 2\r\n\r\nok`));
      const breaking = new BreakingUndici(undici);
      await withSession(breaking, { limit: 1, baseUrl: server.origin }, function* (session) {
        expect(yield* fetchText(session, "/")).toBe("ok");
        breaking.before = (socket) => socket.destroy(systemError("read", "ECONNRESET"));
        expect(yield* (yield* session.post("/", { body: "x" })).text()).toBe("ok");
        expect([server.accepted, breaking.broken]).toEqual([2, 1]);
      });
    });

    test.each(["ECONNRESET", "EPIPE"])("in the write itself, with %s: it is replaced, unseen", async (code) => {
      const heads: string[] = [];
      await using server = await startRawServer((socket, _count, head) => {
        heads.push(head);
        socket.write(`${OK}content-length: 2\r\n\r\nok`);
      });
      const breaking = new BreakingUndici(undici);
      const kinds: string[] = [];
      const observer = { event: (event: RequestEvent) => void kinds.push(event.kind) };
      await withSession(breaking, { limit: 1, baseUrl: server.origin }, function* (session) {
        expect(yield* fetchText(session, "/1")).toBe("ok");
        breaking.inWrite = (socket) => socket.destroy(systemError("write", code));
        const response = yield* session.delete("/2", { observer });
        expect(yield* response.text()).toBe("ok");
        expect([server.accepted, breaking.broken]).toEqual([2, 1]);
        expect(kinds).toEqual(["queued", "reused", "sent", "connected", "sent", "headers", "chunk", "end"]);
      });
      expect(heads.map((head) => head.split(" HTTP")[0])).toEqual(["GET /1", "DELETE /2"]);
    });

    test("in the write of a request with a body: nobody knows how much has gone, and the caller is told", async () => {
      await using server = await startRawServer((socket) => socket.write(`${OK}content-length: 2\r\n\r\nok`));
      const breaking = new BreakingUndici(undici);
      await withSession(breaking, { limit: 1, baseUrl: server.origin }, function* (session) {
        expect(yield* fetchText(session, "/")).toBe("ok");
        breaking.inWrite = (socket) => socket.destroy(systemError("write", "EPIPE"));
        const error = yield* failureOf(session.put("/", { body: "x" }));
        expect(error).toMatchObject({ problem: "reset", reusedConnection: true, afterHeaders: false });
        expect(breaking.broken).toBe(1);
      });
    });

    test("after the write: the server may have acted, and the caller is told", async () => {
      await using server = await startRawServer((socket, count) => {
        if (count === 1) socket.write(`${OK}content-length: 2\r\n\r\nok`);
        else socket.resetAndDestroy();
      });
      await withSession(undici, { limit: 1, baseUrl: server.origin }, function* (session) {
        expect(yield* fetchText(session, "/")).toBe("ok");
        const error = yield* failureOf(session.get("/"));
        expect(error).toMatchObject({ problem: "reset", reusedConnection: true, afterHeaders: false });
        expect(server.accepted).toBe(1);
      });
    });

    test("a new connection that breaks in the write is an error, and nothing is repeated", async () => {
      await using server = await startRawServer((socket) => socket.write(`${OK}content-length: 2\r\n\r\nok`));
      const breaking = new BreakingUndici(undici);
      await withSession(breaking, { limit: 1, baseUrl: server.origin }, function* (session) {
        breaking.inWrite = (socket) => socket.destroy(systemError("write", "EPIPE"));
        const error = yield* failureOf(session.get("/"));
        expect(error).toMatchObject({ code: "HTTP_PROTOCOL", reusedConnection: false });
        expect(server.accepted).toBe(1);
      });
    });
  });

  test("a reused connection that dies with the request on it says that a retry is safe to consider", async () => {
    await using server = await startRawServer((socket, count) => {
      if (count === 1) socket.write(`${OK}content-length: 2\r\n\r\nok`);
      else socket.destroy();
    });
    await withSession(undici, { limit: 1 }, function* (session) {
      expect(yield* fetchText(session, server.origin)).toBe("ok");
      const error = (yield* failureOf(session.get(server.origin))) as ProtocolError;
      expect(error).toMatchObject({ reusedConnection: true, afterHeaders: false });
      expect(error.message).toMatch(/can simply be tried again/);
    });
  });

  test("an error of the caller's own body stream comes back as it is, and the connection is closed", async () => {
    await using server = await startHttpServer();
    const own = new RangeError("mine");
    async function* failing(): AsyncGenerator<string> {
      yield "a";
      throw own;
    }
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, function* (session) {
      expect(yield* failureOf(session.post("/hold", { body: failing() }))).toBe(own);
      yield* until(server.until(() => server.inFlight === 0));
      const wrongLength = session.post("/", { body: ["abc"], headers: { "content-length": 2 } });
      expect(yield* failureOf(wrongLength)).toMatchObject({ code: "HTTP_INVALID_REQUEST" });
      expect(yield* fetchText(session, `${server.origin}/after`)).toBe("GET /after");
    });
  });

  test("an answer that comes before the upload has ended is taken, and the upload is stopped", async () => {
    let stopped = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield new Uint8Array(64 * 1024);
      } finally {
        stopped = true;
      }
    }
    await using server = await startHttpServer((__, response) => {
      response.writeHead(413, { connection: "close" }).end("too much");
    });
    await withSession(undici, { baseUrl: server.origin, limit: 1 }, function* (session) {
      const response = yield* session.post("/", { body: endless() });
      expect([response.status, yield* response.text()]).toEqual([413, "too much"]);
      yield* until(server.untilOpen(0));
      for (let i = 0; i < 1_000 && !stopped; i++) yield* sleep(1);
      expect(stopped).toBe(true);
    });
  });

  test("maxBodyBytes bounds pieces as well when it is set, and closes the connection", async () => {
    await using server = await startHttpServer((__, response) => response.end("x".repeat(300_000)));
    await withSession(undici, { baseUrl: server.origin, maxBodyBytes: 200_000 }, function* (session) {
      const response = yield* session.get("/");
      expect(yield* failureOf(drain(response))).toBeInstanceOf(BodyTooLarge);
      expect((yield* (yield* session.get("/", { maxBodyBytes: 300_000 })).text()).length).toBe(300_000);
    });
  });
});

/** An undici whose connections break at a chosen moment, once. */
class BreakingUndici {
  /** Called when a request was given to a connection that stands, and before it is written. */
  before: ((socket: Socket) => void) | null = null;
  /** Called in place of the next write. */
  inWrite: ((socket: Socket) => void) | null = null;
  broken = 0;
  readonly Client: UndiciModule["Client"];

  constructor(undici: UndiciModule) {
    // eslint-disable-next-line typescript/no-this-alias
    const owner = this;
    type Callback = (error: Error | null, socket: Socket | null) => void;
    interface Options {
      readonly connect: (request: unknown, callback: Callback) => void;
    }
    const Client = undici.Client as unknown as new (
      origin: string,
      options: Options,
    ) => { dispatch(...args: unknown[]): boolean };
    this.Client = class extends Client {
      #sockets: Socket[];
      constructor(origin: string, options: Options) {
        const sockets: Socket[] = [];
        super(origin, {
          ...options,
          connect: (request, callback) =>
            options.connect(request, (error, socket) => {
              if (socket !== null) sockets.push(watched(socket, owner));
              callback(error, socket);
            }),
        });
        this.#sockets = sockets;
      }
      override dispatch(...args: unknown[]): boolean {
        const result = super.dispatch(...args);
        const socket = this.#sockets.at(-1);
        if (socket !== undefined && owner.before !== null) owner.use("before", socket);
        return result;
      }
    } as unknown as UndiciModule["Client"];
  }

  use(moment: "before" | "inWrite", socket: Socket): void {
    const breakIt = this[moment]!;
    this[moment] = null;
    this.broken++;
    breakIt(socket);
  }
}

function watched(socket: Socket, owner: BreakingUndici): Socket {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  socket.write = ((...args: unknown[]) => {
    if (owner.inWrite === null) return write(...args);
    owner.use("inWrite", socket);
    return false;
  }) as Socket["write"];
  return socket;
}

function systemError(syscall: string, code: string): Error {
  return Object.assign(new Error(`${syscall} ${code}`), { syscall, code });
}

function* fetchText(session: Session, url: string): Coroutine<string> {
  const response = yield* session.get(url);
  return yield* response.text();
}

function* drain(response: HttpResponse): Coroutine<void> {
  while ((yield* response.chunk()) !== undefined);
}
