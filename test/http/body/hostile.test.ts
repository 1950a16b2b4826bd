/**
 * What an unfriendly server, disk or program does to bodies: each claim here was once false, or nobody had looked.
 */
import { run, sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import { BodyTooLarge, DecodeError, download, eventSource, resumable } from "fibril/http";
import type { HttpResponse, RequestOptions } from "fibril/http";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import zlib from "node:zlib";
import fc from "fast-check";
import * as undici from "undici";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DecodedBody } from "../../../src/http/body/decoded.ts";
import { encodingsOf } from "../../../src/http/body/encodings.ts";
import { IncomingBody } from "../../../src/http/body/incoming.ts";
import { encodeMultipart } from "../../../src/http/body/multipart.ts";
import { rangeHeader } from "../../../src/http/body/ranges.ts";
import { EventStreamDecoder } from "../../../src/http/body/server-sent-events.ts";
import { failureOf, withSession } from "../harness.ts";
import { startHttpServer } from "../servers.ts";

const subject = { method: "GET", url: "http://h/" };
const flow = { subject, pause() {}, resume() {}, fail() {} };

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

async function asked<T>(
  answer: Answer,
  read: (response: HttpResponse) => Coroutine<T>,
  options: RequestOptions = {},
): Promise<T> {
  await using server = await startHttpServer(answer);
  return await withSession(undici, {}, function* (session) {
    return yield* read(yield* session.get(server.origin, options));
  });
}

describe("buffers", () => {
  test("pieces that were taken are let go, although the buffer never runs empty", async () => {
    const taken: WeakRef<Uint8Array>[] = [];
    const body = new IncomingBody(flow, -1, Infinity);
    body.push(Buffer.alloc(10));
    for (let i = 0; i < 200; i++) {
      body.push(new Uint8Array(1000));
      taken.push(new WeakRef(body.take()!));
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await collected();
    expect(taken.filter((it) => it.deref() !== undefined).length).toBeLessThan(10);
    expect(body.take()).toBeDefined();
  });

  test("decoded pieces that were taken are let go, although the buffer never runs empty", async () => {
    const plain = zlib.gzipSync(Buffer.alloc(12 * 1024 * 1024, "a fairly long and dull text"), { level: 1 });
    const taken: WeakRef<Uint8Array>[] = [];
    await run(function* () {
      const { running } = yield* until(import("../../../src/lowlevel.ts"));
      const incoming = new IncomingBody(flow, -1, Infinity);
      const decoding = { limitBytes: Infinity, maxInflation: Infinity };
      const body = new DecodedBody(subject, incoming, { cancel() {} }, encodingsOf("gzip")!, decoding, running.loop!);
      for (let at = 0; at < plain.length; at += 65_536) incoming.push(plain.subarray(at, at + 65_536));
      incoming.ended();
      let idle = 0;
      while (body.state === "open" && idle < 20_000) {
        const chunk = body.take();
        if (chunk === undefined) idle++;
        else taken.push(new WeakRef(chunk));
        yield* sleep(0.3); // slower than the decoder
      }
      expect(taken.length).toBeGreaterThan(100);
      yield* until(collected());
      const alive = taken.filter((it) => it.deref() !== undefined).length;
      expect(alive).toBeLessThan(20);
      body.drop();
    });
  });

  test("taking tiny pieces one by one takes time in proportion to their number", () => {
    const body = new IncomingBody(flow, -1, Infinity);
    const one = Uint8Array.of(1);
    body.collect(Infinity);
    for (let i = 0; i < 300_000; i++) body.push(one);
    body.stopCollecting();
    const start = process.cpuUsage().user;
    while (body.take() !== undefined);
    expect((process.cpuUsage().user - start) / 1000).toBeLessThan(2_000);
  });
});

async function collected(): Promise<void> {
  const { setFlagsFromString } = await import("node:v8");
  const { runInNewContext } = await import("node:vm");
  setFlagsFromString("--expose-gc");
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    (runInNewContext("gc") as () => void)();
  }
}

describe("encodings", () => {
  const TEXT = Buffer.from("a short text, which is long enough to be compressed ".repeat(3));
  const encoded = {
    gzip: zlib.gzipSync(TEXT),
    deflate: zlib.deflateSync(TEXT),
    br: zlib.brotliCompressSync(TEXT),
    ...(typeof zlib.zstdCompressSync === "function" ? { zstd: zlib.zstdCompressSync(TEXT) } : {}),
    "gzip, br": zlib.brotliCompressSync(zlib.gzipSync(TEXT)),
  };

  test.each(Object.entries(encoded))("%s, cut anywhere, is never taken for whole", async (name, bytes) => {
    await using server = await startHttpServer((request, response) => {
      const [, size] = request.url!.split("/");
      response.writeHead(200, { "content-encoding": name, "content-length": Number(size) });
      response.end(bytes.subarray(0, Number(size)));
    });
    await withSession(undici, {}, function* (session) {
      for (let size = 1; size < bytes.length; size++) {
        const whole = yield* session.get(`${server.origin}/${size}`);
        expect(yield* failureOf(whole.text()), `${size} as a whole`).toBeInstanceOf(DecodeError);
        if (size % 7 !== 0) continue;
        const pieces = yield* session.get(`${server.origin}/${size}`);
        const failure = yield* failureOf(
          (function* () {
            while ((yield* pieces.chunk()) !== undefined);
          })(),
        );
        expect(failure, `${size} in pieces`).toBeInstanceOf(DecodeError);
      }
    });
  });

  test("a bomb is stopped in every way to read", async () => {
    const bomb = zlib.gzipSync(zlib.gzipSync(Buffer.alloc(64 * 1024 * 1024)));
    const answer: Answer = (_, response) =>
      response.writeHead(200, { "content-encoding": "gzip, gzip", "content-type": "text/event-stream" }).end(bomb);
    const ways: ((response: HttpResponse) => Coroutine<unknown>)[] = [
      (response) => response.text() as Coroutine<unknown>,
      (response) => response.json() as Coroutine<unknown>,
      (response) => response.bytes() as Coroutine<unknown>,
      function* (response) {
        while ((yield* response.chunk()) !== undefined);
      },
      function* (response) {
        return yield* response.lines({ maxLineBytes: Infinity }).next();
      },
      function* (response) {
        return yield* response.ndjson({ maxLineBytes: Infinity }).next();
      },
      function* (response) {
        return yield* response.events({ maxEventBytes: Infinity }).next();
      },
      function* (response) {
        return yield* until(
          (async () => {
            for await (const _ of response) continue;
          })(),
        );
      },
    ];
    for (const [index, way] of ways.entries()) {
      const failure = await asked(answer, (response) => failureOf(way(response)), { maxBodyBytes: 4 * 1024 * 1024 });
      expect(failure, `way ${index}`).toBeInstanceOf(BodyTooLarge);
    }
  });

  test.each([
    ["GZip", true],
    [" gzip ,", true],
    [",,identity, gzip", true],
    ["gzip;q=1", false],
    ["gzip gzip", false],
    ["constructor", false],
    ["__proto__", false],
  ])("the header %j", async (header, isDecoded) => {
    const bytes = await asked(
      (_, response) => response.writeHead(200, { "content-encoding": header }).end(encoded.gzip),
      (response) => response.bytes() as Coroutine<Uint8Array>,
    );
    expect(Buffer.from(bytes).equals(isDecoded ? TEXT : encoded.gzip)).toBe(true);
  });
});

/** The rules of the standard, read aloud: the whole text at once, without any thought of speed. */
function naiveEvents(bytes: Buffer): { data: string; event: string; id: string }[] {
  const text = new TextDecoder().decode(bytes); // drops one byte order mark
  const lines = text.split(/\r\n|\n|\r/);
  lines.pop(); // what has no line break behind it is no line
  const events: { data: string; event: string; id: string }[] = [];
  let data = "";
  let type = "";
  let id = "";
  for (const line of lines) {
    if (line === "") {
      if (data !== "") events.push({ data: data.slice(0, -1), event: type === "" ? "message" : type, id });
      data = "";
      type = "";
      continue;
    }
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const name = colon === -1 ? line : line.slice(0, colon);
    let value = colon === -1 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (name === "data") data += `${value}\n`;
    else if (name === "event") type = value;
    else if (name === "id" && !value.includes("\0")) id = value;
  }
  return events;
}

describe("server-sent events", () => {
  test("random streams, cut at random, give what the rules of the standard give", () => {
    const bits = [
      "data",
      "event",
      "id",
      "retry",
      ":",
      ": ",
      " ",
      "\n",
      "\r",
      "\r\n",
      "\n\n",
      "x",
      "é",
      "𝄞",
      "\0",
      "\ufeff",
      "7",
    ];
    const piece = fc.oneof(
      fc.constantFrom(...bits).map((it) => Buffer.from(it)),
      fc.constantFrom(Buffer.from([0xc3]), Buffer.from([0xff])),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), fc.array(fc.nat(80), { maxLength: 8 }), (parts, cuts) => {
        const bytes = Buffer.concat(parts);
        const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
        const decoder = new EventStreamDecoder();
        const events = at.slice(1).flatMap((end, i) => [...decoder.push(bytes.subarray(at[i], end))]);
        expect(events.map(({ data, event, id }) => ({ data, event, id }))).toEqual(naiveEvents(bytes));
      }),
      { numRuns: 3_000 },
    );
  });

  test("a retry that is no time, and an id that no header can carry, do not end the source", async () => {
    const ids: unknown[] = [];
    await using server = await startHttpServer((request, response) => {
      ids.push(request.headers["last-event-id"]);
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(`retry: ${"9".repeat(400)}\nid: a\u0001b\ndata: ${ids.length}\n\n`);
    });
    await withSession(undici, {}, function* (session) {
      const events = eventSource(session, server.origin, { retryMs: 1 });
      expect((yield* events.next()).value!.data).toBe("1");
      expect((yield* events.next()).value!.data).toBe("2");
      events.close();
    });
    expect(ids).toEqual([undefined, undefined]);
  });
});

describe("parts", () => {
  test("a range is of numbers that HTTP can write", () => {
    expect(() => rangeHeader({ start: 1e21 })).toThrow(/range/);
    expect(() => rangeHeader({ start: 0, end: 1e21 })).toThrow(/range/);
    expect(() => rangeHeader({ start: -1e21 })).toThrow(/range/);
    expect(rangeHeader({ start: 5, end: 5 })).toBe("bytes=5-5");
  });

  test("a server that sends less than was asked for is asked for the rest", async () => {
    const content = Buffer.from("0123456789".repeat(10));
    let breaks = 1;
    await using server = await startHttpServer((request, response) => {
      response.setHeader("etag", '"v"');
      const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? -1);
      if (start === -1) {
        response.writeHead(200, { "content-length": content.length });
        if (breaks-- > 0) return void response.write(content.subarray(0, 10), () => response.socket!.end());
        return void response.end(content);
      }
      const end = Math.min(start + 7, content.length);
      const size = `bytes ${start}-${end - 1}/${content.length}`;
      response.writeHead(206, { "content-range": size, "content-length": end - start });
      response.end(content.subarray(start, end));
    });
    await withSession(undici, {}, function* (session) {
      const body = yield* resumable(session, server.origin, { baseMs: 1 });
      const pieces: Uint8Array[] = [];
      for (let it = yield* body.chunk(); it !== undefined; it = yield* body.chunk()) pieces.push(it);
      expect(Buffer.concat(pieces).toString()).toBe(content.toString());
    });
  });

  test("a part without bytes is an error, not the end, and not asked for again for ever", async () => {
    let requests = 0;
    await using server = await startHttpServer((_request, response) => {
      response.setHeader("etag", '"v"');
      if (requests++ === 0) {
        response.writeHead(200, { "content-length": 100 });
        return void response.write("0123456789", () => response.socket!.end());
      }
      response.writeHead(206, { "content-range": "bytes 10-19/100", "content-length": 0 }).end();
    });
    await withSession(undici, {}, function* (session) {
      const body = yield* resumable(session, server.origin, { baseMs: 1 });
      yield* body.chunk();
      expect(yield* failureOf(body.chunk())).toMatchObject({ code: "HTTP_RANGE_MISMATCH" });
    });
    expect(requests).toBe(2);
  });

  test("a boundary cannot be computed from those before, which come from a predictable source", async () => {
    const random = Math.random;
    Math.random = () => 0.5;
    try {
      const [one, two] = await run(function* () {
        return [encodeMultipart({ a: "1" }, subject), encodeMultipart({ a: "1" }, subject)] as const;
      });
      expect(one.contentType).not.toContain("i00000");
      expect(two.contentType).toMatch(/boundary=----fibril[0-9a-f]{24}$/);
    } finally {
      Math.random = random;
    }
  });
});

describe("download", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "fibril-hostile-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  test("two downloads to one path: the second is refused, the first is right; afterwards the path is free", async () => {
    await using server = await startHttpServer((request, response) => {
      response.setHeader("etag", '"v"');
      const text = request.url!.slice(1).repeat(50_000);
      response.write(text.slice(0, 100));
      if (request.url === "/a") finishFirst = () => void response.end(text.slice(100));
      else response.end(text.slice(100));
    });
    let finishFirst = (): void => {};
    await withSession(undici, {}, function* (session) {
      const path = join(folder, "file");
      const first = spawn(() => download(session, `${server.origin}/a`, path));
      yield* until(server.until(() => server.log.length === 1));
      const refused = yield* failureOf(download(session, `${server.origin}/b`, join(folder, "x", "..", "file")));
      expect(refused).toMatchObject({ code: "DOWNLOAD_BUSY" });
      finishFirst();
      yield* first;
      expect(String(yield* until(readFile(path)))).toBe("a".repeat(50_000));
      yield* download(session, `${server.origin}/b`, path);
      expect(String(yield* until(readFile(path)))).toBe("b".repeat(50_000));
      expect(yield* until(readdir(folder))).toEqual(["file"]);
    });
  });

  test("cancelled, failed or finished, a path is free again", async () => {
    await using server = await startHttpServer((request, response) => {
      if (request.url === "/404") return void response.writeHead(404).end();
      response.write("x");
    });
    await withSession(undici, {}, function* (session) {
      const path = join(folder, "file");
      for (let i = 0; i < 3; i++) {
        const task = spawn(() => download(session, `${server.origin}/slow`, path, { keepPart: false }));
        yield* sleep(i * 5);
        yield* task.cancel();
        yield* failureOf(download(session, `${server.origin}/404`, path));
      }
      expect(yield* until(readdir(folder))).toEqual([]);
    });
  });

  test("an empty path is refused before anything is asked for", async () => {
    await withSession(undici, {}, function* (session) {
      expect(yield* failureOf(download(session, "http://127.0.0.1:1/", ""))).toMatchObject({ name: "UsageError" });
    });
  });
});
