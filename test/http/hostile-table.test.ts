/**
 * Peers that do not keep to the rules: a table of what they do and the typed error that the caller gets.
 *
 * Every row runs on the plain path and through the whole pipeline, on both versions of undici. Sockets, requests, tasks, timers and holds
 * are counted before and after. The table is also printed in docs/guide/http-errors.md, and the page has to be the same.
 */
import { readFile } from "node:fs/promises";
import { createSecureServer } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { until } from "fibril";
import type { Coroutine } from "fibril";
import { basicAuth, HttpError } from "fibril/http";
import type { Middleware, RequestOptions, Session, SessionOptions } from "fibril/http";
import { describe, expect, test } from "vitest";
import { certificate, privateKey } from "./certificate.ts";
import { atRest, failureOf, NOTHING, withSession } from "./harness.ts";
import { closedOrigin, listening, startHttpServer, startRawServer, startSocketServer } from "./servers.ts";
import type { TestServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

type Facts = Readonly<Record<string, unknown>>;

interface HostilePeer {
  /** Completes "a server that …". */
  readonly does: string;
  /** What it does once a request has come; or the server itself. */
  readonly peer: ((socket: Socket) => void) | { readonly start: () => Promise<{ server: TestServer; url: string }> };
  readonly session?: SessionOptions;
  readonly method?: string;
  readonly options?: () => RequestOptions;
  /** With a cache the body comes in pieces, and nobody looks at what was announced. */
  readonly isPlainOnly?: boolean;
  /** Default: as a whole. */
  readonly isReadInPieces?: boolean;
  readonly error: string;
  readonly code: string;
  /** Told in the table. */
  readonly shown?: Facts;
  /** Checked only. */
  readonly facts?: Facts;
}

const OK = "HTTP/1.1 200 OK\r\n";
const EMPTY = "content-length: 0\r\n\r\n";
const MIB = 1024 * 1024;

/** Answers with a body that was encoded. */
function encoded(encoding: string, body: Uint8Array): (socket: Socket) => void {
  return (socket) => {
    socket.write(`${OK}content-encoding: ${encoding}\r\ncontent-length: ${body.byteLength}\r\n\r\n`);
    socket.write(body);
  };
}

const zeros = new Uint8Array(16 * MIB);
const bomb = gzipSync(zeros);

const protocol = (problem: string, afterHeaders: boolean): Pick<HostilePeer, "error" | "code" | "shown"> => ({
  error: "ProtocolError",
  code: "HTTP_PROTOCOL",
  shown: { problem, afterHeaders },
});
const silence = (phase: string): Pick<HostilePeer, "error" | "code" | "shown"> => ({
  error: "HttpTimeoutError",
  code: "HTTP_TIMEOUT",
  shown: { phase },
});
const undecodable = { error: "DecodeError", code: "HTTP_DECODE" };
const badUrl = { error: "InvalidUrlError", code: "HTTP_INVALID_URL" };
const tooLarge = { error: "BodyTooLarge", code: "HTTP_BODY_TOO_LARGE" };
const noConnection = { error: "ConnectError", code: "HTTP_CONNECT" };

const redirect =
  (location: string): ((socket: Socket) => void) =>
  (socket) =>
    socket.write(`HTTP/1.1 302 Found\r\n${location}${EMPTY}`);
const limits = (timeout: RequestOptions["timeout"]) => (): RequestOptions => ({ timeout: timeout! });

const secure = { tls: { ca: certificate } };

/** Speaks HTTP/2, and does this with a request. */
function http2(answer: (stream: ServerHttp2Stream) => void): HostilePeer["peer"] {
  return {
    start: async () => {
      const server = createSecureServer({ cert: certificate, key: privateKey });
      server.on("sessionError", () => undefined);
      server.on("stream", (stream) => {
        stream.on("error", () => undefined);
        answer(stream);
      });
      return urlOf(await listening(server as never));
    },
  };
}

const urlOf = (server: TestServer): { server: TestServer; url: string } => ({
  server,
  url: `https://localhost:${server.port}/`,
});

const peers: readonly HostilePeer[] = [
  // Before an answer
  {
    does: "is not there",
    peer: { start: async () => ({ server: await startHttpServer(), url: closedOrigin() }) },
    ...noConnection,
    shown: { systemCode: "ECONNREFUSED" },
  },
  {
    does: "has a certificate that nobody signed",
    peer: { start: async () => urlOf(await listening(createTlsServer({ cert: certificate, key: privateKey }))) },
    ...noConnection,
    shown: { systemCode: "DEPTH_ZERO_SELF_SIGNED_CERT" },
  },
  {
    does: "speaks no TLS where TLS is expected",
    peer: {
      start: async () => urlOf(await startSocketServer((socket) => socket.resume().end("HTTP/1.1 400 Bad\r\n\r\n"))),
    },
    ...noConnection,
  },
  {
    does: "says nothing in the TLS handshake",
    peer: { start: async () => urlOf(await startSocketServer((socket) => socket.resume())) },
    options: limits({ connectMs: 40 }),
    ...silence("connect"),
  },
  {
    does: "closes every connection at once",
    peer: { start: async () => fromOrigin(await startSocketServer((socket) => socket.destroy())) },
    error: "ProtocolError",
    code: "HTTP_PROTOCOL",
    shown: { afterHeaders: false },
  },
  { does: "closes instead of answering", peer: (socket) => socket.end(), ...protocol("closed", false) },
  { does: "resets instead of answering", peer: (socket) => socket.resetAndDestroy(), ...protocol("reset", false) },
  { does: "never answers", peer: () => undefined, options: limits({ headersMs: 30 }), ...silence("headers") },
  // The head of the answer
  { does: "sends no HTTP", peer: (socket) => socket.end("SSH-2.0-OpenSSH\r\n"), ...protocol("malformed", false) },
  {
    does: "sends an impossible version",
    peer: (socket) => socket.end("HTTP/9.9 200 OK\r\n\r\n"),
    ...protocol("malformed", false),
  },
  {
    does: "sends an impossible status",
    peer: (socket) => socket.end("HTTP/1.1 abc\r\n\r\n"),
    ...protocol("malformed", false),
  },
  {
    does: "sends a header with a forbidden character",
    peer: (socket) => socket.end(`${OK}a b: c\r\n${EMPTY}`),
    ...protocol("malformed", false),
  },
  { does: "closes inside the headers", peer: (socket) => socket.end(`${OK}content-le`), ...protocol("closed", false) },
  {
    does: "falls silent inside the headers",
    peer: (socket) => socket.write(`${OK}content-`),
    options: limits({ headersMs: 30 }),
    ...silence("headers"),
  },
  {
    does: "drips its headers for ever",
    peer: (socket) => drip(socket, OK, "x: y\r\n"),
    options: limits({ headersMs: 40 }),
    ...silence("headers"),
  },
  {
    does: "sends endless headers",
    peer: (socket) => flood(socket, OK, `x-${"y".repeat(1000)}: z\r\n`),
    ...protocol("headers-too-large", false),
  },
  {
    does: "floods with 100 Continue",
    peer: (socket) => flood(socket, "", "HTTP/1.1 100 Continue\r\n\r\n".repeat(100)),
    error: "ProtocolError",
    code: "HTTP_PROTOCOL",
    shown: { afterHeaders: false },
  },
  {
    does: "drips 103 Early Hints for ever",
    peer: (socket) => drip(socket, "", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    options: limits({ headersMs: 50_000 }), // only ends what hangs
    ...protocol("headers-too-large", false),
  },
  {
    does: "switches the protocol unasked",
    peer: (socket) => socket.write("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
    ...protocol("closed", false),
  },
  {
    does: "announces both a length and chunks",
    peer: (socket) => socket.end(`${OK}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`),
    ...protocol("wrong-length", false),
  },
  {
    does: "announces two different lengths",
    peer: (socket) => socket.end(`${OK}content-length: 5\r\ncontent-length: 6\r\n\r\nhello`),
    ...protocol("wrong-length", false),
  },
  {
    does: "announces a length that is none",
    peer: (socket) => socket.end(`${OK}content-length: -5\r\n\r\nhello`),
    ...protocol("malformed", false),
  },
  // The body
  {
    does: "announces more than is allowed",
    peer: (socket) => socket.write(`${OK}content-length: 99999999999\r\n\r\nx`),
    isPlainOnly: true,
    ...tooLarge,
    facts: { limitBytes: 64 * MIB },
  },
  {
    does: "sends a body that never ends",
    peer: (socket) => flood(socket, `${OK}transfer-encoding: chunked\r\n\r\n`, `400\r\n${"x".repeat(1024)}\r\n`),
    options: () => ({ maxBodyBytes: 1_000_000 }),
    ...tooLarge,
    facts: { limitBytes: 1_000_000 },
  },
  {
    does: "closes inside a body of known length",
    peer: (socket) => socket.end(`${OK}content-length: 10\r\n\r\nhello`),
    ...protocol("closed", true),
  },
  {
    does: "resets inside a body",
    peer: (socket) => {
      socket.write(`${OK}content-length: 10\r\n\r\nhello`, () => setTimeout(() => socket.resetAndDestroy(), 5));
    },
    ...protocol("reset", true),
  },
  {
    does: "falls silent inside a body",
    peer: (socket) => socket.write(`${OK}content-length: 10\r\n\r\nhello`),
    options: limits({ idleMs: 30 }),
    ...silence("body"),
  },
  {
    does: "drips a body for ever",
    peer: (socket) => drip(socket, `${OK}transfer-encoding: chunked\r\n\r\n`, "1\r\nx\r\n"),
    options: limits({ totalMs: 60 }),
    ...silence("total"),
  },
  {
    does: "closes inside a chunk",
    peer: (socket) => socket.end(`${OK}transfer-encoding: chunked\r\n\r\nff\r\nhello`),
    ...protocol("closed", true),
  },
  {
    does: "closes before the last chunk",
    peer: (socket) => socket.end(`${OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n`),
    ...protocol("closed", true),
  },
  {
    does: "sends a chunk size that is none",
    peer: (socket) => socket.end(`${OK}transfer-encoding: chunked\r\n\r\nxyz\r\nhello\r\n`),
    ...protocol("malformed", true),
  },
  {
    does: "sends a chunk size beyond 64 bits",
    peer: (socket) => socket.end(`${OK}transfer-encoding: chunked\r\n\r\n${"f".repeat(20)}\r\nhello\r\n`),
    ...protocol("malformed", true),
  },
  {
    does: "sends an endless chunk extension",
    peer: (socket) => flood(socket, `${OK}transfer-encoding: chunked\r\n\r\n5;`, "x".repeat(16_384)),
    options: limits({ idleMs: 100 }),
    ...silence("body"),
  },
  {
    does: "sends endless trailers",
    peer: (socket) => flood(socket, `${OK}transfer-encoding: chunked\r\n\r\n0\r\n`, `x-${"y".repeat(1000)}: z\r\n`),
    ...protocol("headers-too-large", true),
  },
  // Encodings
  ...(
    [
      ["gzip", bomb],
      ["br", brotliCompressSync(zeros)],
      ["zstd", zstdCompressSync(zeros)],
      ["deflate", deflateSync(zeros)],
      ["gzip, gzip", gzipSync(bomb)],
    ] as const
  ).flatMap(([encoding, body]): HostilePeer[] => [
    {
      does: `sends a bomb of ${encoding}, read as a whole`,
      peer: encoded(encoding, body),
      options: () => ({ maxBodyBytes: 4 * MIB }),
      ...tooLarge,
      shown: { decoded: true },
    },
    {
      does: `sends a bomb of ${encoding}, read in pieces`,
      peer: encoded(encoding, body),
      isReadInPieces: true,
      ...tooLarge,
      shown: { decoded: true },
    },
  ]),
  { does: "says gzip and sends text", peer: encoded("gzip", Buffer.from("hello")), ...undecodable },
  { does: "sends gzip that is cut short", peer: encoded("gzip", bomb.subarray(0, 500)), ...undecodable },
  {
    does: "sends gzip with flipped bits",
    peer: encoded("gzip", flipped(gzipSync("hello".repeat(100)))),
    ...undecodable,
  },
  { does: "sends br that is corrupt", peer: encoded("br", Buffer.from("hello")), ...undecodable },
  {
    does: "sends a second zstd frame of nonsense",
    peer: encoded("zstd", Buffer.concat([zstdCompressSync("a"), Buffer.from("hello")])),
    ...undecodable,
  },
  { does: "encodes six times", peer: encoded(Array<string>(6).fill("gzip").join(","), bomb), ...undecodable },
  {
    does: "closes inside a gzip body",
    peer: (socket) => {
      socket.write(`${OK}content-encoding: gzip\r\ncontent-length: ${bomb.byteLength}\r\n\r\n`);
      socket.end(bomb.subarray(0, 500));
    },
    ...protocol("closed", true),
  },
  // Redirects
  {
    does: "redirects in a circle",
    peer: redirect("location: /\r\n"),
    error: "TooManyRedirects",
    code: "HTTP_TOO_MANY_REDIRECTS",
  },
  {
    does: "redirects to what is no URL",
    peer: redirect("location: http://[\r\n"),
    ...badUrl,
    facts: { url: "http://[" },
  },
  {
    does: "redirects to ftp:",
    peer: redirect("location: ftp://127.0.0.1/x\r\n"),
    ...badUrl,
    facts: { url: "ftp://127.0.0.1/x" },
  },
  {
    does: "redirects to file:",
    peer: redirect("location: file:///etc/passwd\r\n"),
    ...badUrl,
    facts: { url: "file:///etc/passwd" },
  },
  {
    does: "redirects to javascript:",
    peer: redirect("location: javascript:alert(1)\r\n"),
    ...badUrl,
    facts: { url: "javascript:alert(1)" },
  },
  {
    does: "redirects to a port where nobody listens",
    peer: redirect("location: http://127.0.0.1:1/\r\n"),
    ...noConnection,
    shown: { systemCode: "ECONNREFUSED" },
    facts: { url: "http://127.0.0.1:1/" },
  },
  {
    does: "asks for a stream again (307)",
    peer: (socket) => socket.write(`HTTP/1.1 307 Again\r\nlocation: /2\r\n${EMPTY}`),
    method: "POST",
    options: () => ({ body: onlyOnce() }),
    error: "BodyConsumedError",
    code: "HTTP_BODY_CONSUMED",
  },
  // HTTP/2
  {
    does: "resets an HTTP/2 stream",
    peer: http2((stream) => stream.close(2)),
    session: { ...secure, http2: true },
    ...protocol("closed", false),
  },
  {
    does: "resets an HTTP/2 stream inside the body",
    peer: http2((stream) => {
      stream.respond({ ":status": 200 });
      stream.write("hello");
      setImmediate(() => stream.destroy(new Error("cut")));
    }),
    session: { ...secure, http2: true },
    ...protocol("closed", true),
  },
  {
    does: "refuses an HTTP/2 stream again and again",
    peer: http2((stream) => stream.close(7)),
    session: { ...secure, http2: true },
    error: "ProtocolError",
    code: "HTTP_PROTOCOL",
    shown: { afterHeaders: false },
  },
  {
    does: "leaves with GOAWAY instead of answering",
    peer: http2((stream) => {
      stream.session!.goaway(2, 0);
      stream.session!.destroy();
    }),
    session: { ...secure, http2: true },
    error: "ProtocolError",
    code: "HTTP_PROTOCOL",
    shown: { afterHeaders: false },
  },
  {
    does: "leaves an HTTP/2 stream unanswered",
    peer: http2(() => undefined),
    session: { ...secure, http2: true },
    options: limits({ headersMs: 60 }),
    ...silence("headers"),
  },
];

const passOn: Middleware = (request, next) => next(request);

/** Everything on, and nothing of it hides what has happened. */
const EVERYTHING: SessionOptions = {
  retry: { shouldRetry: () => false },
  middleware: passOn,
  cookies: true,
  auth: basicAuth("ada", "secret"),
  cache: true,
  circuitBreaker: true,
  ratePerHost: { requests: 1_000 },
  observer: { event: () => undefined },
};

const paths = [
  ["plain", {}],
  ["composed", EVERYTHING],
] as const;

describe.each(undiciVersions)("hostile peers on %s", (_, undici) => {
  describe.each(paths)("%s", (path, features) => {
    const rows = path === "plain" ? peers : peers.filter(({ isPlainOnly }) => isPlainOnly !== true);
    test.each(rows)("a server that $does", async (row) => {
      await using good = await startHttpServer();
      const { server, url } = await startPeer(row.peer);
      await using _server = server;
      await withSession(undici, { limit: 1, ...features, ...row.session }, function* (session) {
        const error = yield* failureOf(fetchBody(session, url, row));
        expect(error).toBeInstanceOf(HttpError);
        expect((error as Error).constructor.name).toBe(row.error);
        expect(error).toMatchObject({ code: row.code, ...row.shown, ...row.facts });
        if (row.facts?.["url"] === undefined)
          expect((error as HttpError).url).toBe(new URL(url).href.replace(/2$/, ""));
        expect(atRest(session)).toEqual({ ...NOTHING, idle: expect.any(Number) as number });
        expect(yield* textOf(session, good.origin)).toBe("GET /");
        // Whatever is still open is idle, and was counted.
        yield* until(server.until(() => server.sockets.size + good.sockets.size === session.statistics().idle));
      });
      await server.untilOpen(0);
    });
  });
});

test("the page in the guide has the same table", async () => {
  const page = await readFile(new URL("../../docs/guide/http-errors.md", import.meta.url), "utf8");
  const rows = page.split("\n").filter((line) => line.startsWith("| "));
  expect(rows.slice(2)).toEqual(peers.map(rowOf));
});

function rowOf({ does, error, code, shown = {} }: HostilePeer): string {
  const facts = Object.entries(shown).map(
    ([name, value]) => `\`${name}: ${JSON.stringify(value).replaceAll('"', "")}\``,
  );
  return `| ${does} | \`${error}\` | \`${code}\` | ${facts.join(", ")}${facts.length > 0 ? " " : ""}|`;
}

async function startPeer(peer: HostilePeer["peer"]): Promise<{ server: TestServer; url: string }> {
  return typeof peer === "function" ? fromOrigin(await startRawServer(peer)) : peer.start();
}

function fromOrigin(server: TestServer): { server: TestServer; url: string } {
  return { server, url: `${server.origin}/` };
}

function* fetchBody(
  session: Session,
  url: string,
  { method = "GET", options, isReadInPieces }: HostilePeer,
): Coroutine<void> {
  const response = yield* session.request(method, url, options?.());
  if (isReadInPieces === true) while ((yield* response.chunk()) !== undefined);
  else yield* response.text();
}

function* textOf(session: Session, url: string): Coroutine<string> {
  return yield* (yield* session.get(url)).text();
}

async function* onlyOnce(): AsyncGenerator<string> {
  yield "once";
}

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let i = 12; i < 20; i++) copy[i]! ^= 0xff;
  return copy;
}

/** Writes as fast as the socket takes it. */
function flood(socket: Socket, head: string, piece: string): void {
  const more = (): void => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.write(head);
  socket.on("drain", more);
  more();
}

/** Writes a little now and then. */
function drip(socket: Socket, head: string, piece: string): void {
  socket.write(head);
  const timer = setInterval(() => socket.write(piece), 5);
  socket.on("close", () => clearInterval(timer));
}
