/**
 * Peers that do not keep to the rules, and the typed error that each of them gets. Nothing of them may stay: every case
 * ends with no request under way and no socket open, and the session answers the next request.
 */
import { sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import { BodyTooLarge, ConnectError, HttpError, ProtocolError } from "fibril/http";
import type { HttpResponse, RequestOptions, Session } from "fibril/http";
import type { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { atRest, failureOf, withSession } from "./harness.ts";
import { closedOrigin, startHttpServer, startRawServer, startSocketServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

interface HostilePeer {
  readonly does: string;
  /** What it does once a request has come. */
  readonly answer: (socket: Socket) => void;
  readonly options?: RequestOptions;
  readonly expected: Readonly<Record<string, unknown>>;
}

const OK = "HTTP/1.1 200 OK\r\n";

const closedEarly = { code: "HTTP_PROTOCOL", problem: "closed", afterHeaders: false };
const closedMidway = { code: "HTTP_PROTOCOL", problem: "closed", afterHeaders: true };
const malformed = { code: "HTTP_PROTOCOL", problem: "malformed" };
const silent = { code: "HTTP_TIMEOUT" };

const peers: readonly HostilePeer[] = [
  { does: "closes instead of answering", answer: (socket) => socket.end(), expected: closedEarly },
  { does: "resets instead of answering", answer: (socket) => socket.resetAndDestroy(), expected: { problem: "reset" } },
  {
    does: "closes in the middle of the headers",
    answer: (socket) => socket.end(`${OK}content-le`),
    expected: { code: "HTTP_PROTOCOL", afterHeaders: false },
  },
  { does: "sends no HTTP", answer: (socket) => socket.end("SSH-2.0-OpenSSH\r\n"), expected: malformed },
  {
    does: "sends an impossible version",
    answer: (socket) => socket.end("HTTP/9.9 200 OK\r\n\r\n"),
    expected: malformed,
  },
  { does: "sends an impossible status", answer: (socket) => socket.end("HTTP/1.1 abc\r\n\r\n"), expected: malformed },
  {
    does: "sends a header with a forbidden character",
    answer: (socket) => socket.end(`${OK}a b: c\r\ncontent-length: 0\r\n\r\n`),
    expected: malformed,
  },
  {
    does: "sends both a length and chunks",
    answer: (socket) =>
      socket.end(`${OK}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`),
    expected: { code: "HTTP_PROTOCOL", problem: "wrong-length" },
  },
  {
    does: "sends two different lengths",
    answer: (socket) => socket.end(`${OK}content-length: 5\r\ncontent-length: 6\r\n\r\nhello`),
    expected: { code: "HTTP_PROTOCOL", problem: "wrong-length" },
  },
  {
    does: "sends endless headers",
    answer: (socket) => {
      socket.write(OK);
      const more = (): void => {
        while (!socket.destroyed && socket.write(`x-${"y".repeat(1000)}: z\r\n`));
      };
      socket.on("drain", more);
      more();
    },
    expected: { code: "HTTP_PROTOCOL", problem: "headers-too-large" },
  },
  {
    does: "closes in the middle of a body of known length",
    answer: (socket) => socket.end(`${OK}content-length: 10\r\n\r\nhello`),
    expected: { code: "HTTP_PROTOCOL", afterHeaders: true },
  },
  {
    does: "resets in the middle of a body",
    answer: (socket) => {
      socket.write(`${OK}content-length: 10\r\n\r\nhello`, () => setTimeout(() => socket.resetAndDestroy(), 5));
    },
    expected: { problem: "reset", afterHeaders: true },
  },
  {
    does: "closes in the middle of a chunk",
    answer: (socket) => socket.end(`${OK}transfer-encoding: chunked\r\n\r\nff\r\nhello`),
    expected: closedMidway,
  },
  {
    does: "closes before the last chunk",
    answer: (socket) => socket.end(`${OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n`),
    expected: closedMidway,
  },
  {
    does: "sends a chunk size that is none",
    answer: (socket) => socket.end(`${OK}transfer-encoding: chunked\r\n\r\nxyz\r\nhello\r\n`),
    expected: { ...malformed, afterHeaders: true },
  },
  {
    does: "never answers",
    answer: () => undefined,
    options: { timeout: { headersMs: 30 } },
    expected: { ...silent, phase: "headers" },
  },
  {
    does: "falls silent in the headers",
    answer: (socket) => socket.write(`${OK}content-`),
    options: { timeout: { headersMs: 30 } },
    expected: { ...silent, phase: "headers" },
  },
  {
    does: "falls silent in the body",
    answer: (socket) => socket.write(`${OK}content-length: 10\r\n\r\nhello`),
    options: { timeout: { idleMs: 30 } },
    expected: { ...silent, phase: "body" },
  },
  {
    does: "drips its headers for ever",
    answer: (socket) => {
      socket.write(OK);
      const timer = setInterval(() => socket.write("x: y\r\n"), 5);
      socket.on("close", () => clearInterval(timer));
    },
    options: { timeout: { headersMs: 40 } },
    expected: { ...silent, phase: "headers" },
  },
  {
    does: "sends a body that never ends",
    answer: (socket) => flood(socket, `${OK}transfer-encoding: chunked\r\n\r\n`, `400\r\n${"x".repeat(1024)}\r\n`),
    options: { maxBodyBytes: 1_000_000 },
    expected: { code: "HTTP_BODY_TOO_LARGE", limitBytes: 1_000_000 },
  },
  {
    does: "announces more than is allowed",
    answer: (socket) => socket.write(`${OK}content-length: 99999999999\r\n\r\nx`),
    expected: { code: "HTTP_BODY_TOO_LARGE", limitBytes: 64 * 1024 * 1024 },
  },
  {
    does: "redirects in a circle",
    answer: (socket) => socket.write("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"),
    expected: { code: "HTTP_TOO_MANY_REDIRECTS" },
  },
  {
    does: "answers with 100 Continue for ever",
    answer: (socket) => flood(socket, "", "HTTP/1.1 100 Continue\r\n\r\n"),
    expected: { code: "HTTP_PROTOCOL" },
  },
  {
    does: "switches the protocol unasked",
    answer: (socket) => socket.write("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
    expected: { code: "HTTP_PROTOCOL" },
  },
];

describe.each(undiciVersions)("hostile peers on %s", (_, undici) => {
  test.each(peers)("a peer that $does", async ({ answer, options, expected }) => {
    await using server = await startRawServer(answer);
    await using good = await startHttpServer();
    await withSession(undici, { limit: 1 }, function* (session) {
      const error = yield* failureOf(fetchText(session, server.origin, options));
      expect(error).toBeInstanceOf(HttpError);
      expect(error).toMatchObject({ url: `${server.origin}/`, ...expected });
      expect(atRest(session)).toEqual({
        active: 0,
        queued: 0,
        connecting: 0,
        idle: expected["phase"] === undefined ? expect.any(Number) : 0,
      });
      if (expected["code"] !== "HTTP_TOO_MANY_REDIRECTS") yield* until(server.untilOpen(0));
      expect(yield* fetchText(session, good.origin)).toBe("GET /");
    });
    await server.untilOpen(0);
  });

  test("a peer that closes every connection at once, before anything was sent", async () => {
    await using server = await startSocketServer((socket) => socket.destroy());
    await withSession(undici, { limit: 2 }, function* (session) {
      const tasks = Array.from({ length: 50 }, () => spawn(failureOf, session.get(server.origin)));
      for (const task of tasks) expect(yield* task).toBeInstanceOf(ProtocolError);
      expect(atRest(session)).toEqual({ active: 0, queued: 0, connecting: 0, idle: 0 });
    });
  });

  test("a port where nobody listens, a name that does not exist, a certificate that nobody signed", async () => {
    const origin = await closedOrigin();
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

  test("an idle connection that breaks before the next request was written to it is replaced, unseen", async () => {
    await using server = await startRawServer((socket) => socket.write(`${OK}content-length: 2\r\n\r\nok`));
    await withSession(undici, { limit: 1 }, function* (session) {
      for (let i = 1; i <= 3; i++) {
        expect(yield* fetchText(session, server.origin)).toBe("ok");
        expect(server.accepted).toBe(i);
        yield* sleep(2); // the timers' phase of the host: sockets come next, then undici writes
        for (const socket of server.sockets) socket.resetAndDestroy();
      }
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

/** Writes as fast as the socket takes it. */
function flood(socket: Socket, head: string, piece: string): void {
  const more = (): void => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.write(head);
  socket.on("drain", more);
  more();
}

function* fetchText(session: Session, url: string, options?: RequestOptions): Coroutine<string> {
  const response = yield* session.get(url, options);
  return yield* response.text();
}

function* drain(response: HttpResponse): Coroutine<void> {
  while ((yield* response.chunk()) !== undefined);
}
