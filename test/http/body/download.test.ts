import { Future, moveOnAfter, run, scope, sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import {
  ChecksumError,
  download,
  RangeMismatchError,
  RangeNotSatisfiableError,
  ResourceChangedError,
  resumable,
  ResponseError,
  validatorsOf,
} from "fibril/http";
import type { DownloadOptions, Session } from "fibril/http";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as undici from "undici";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { atRest, failureOf, NOTHING, withSession } from "../harness.ts";
import { startHttpServer } from "../servers.ts";
import type { HttpTestServer } from "../servers.ts";

const CONTENT = Buffer.from(Array.from({ length: 60_000 }, (_, i) => `${i}\n`).join(""));
const SHA = createHash("sha256").update(CONTENT).digest("hex");

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "fibril-download-"));
  path = join(folder, "file");
});
afterEach(() => rm(folder, { recursive: true }));

interface Origin {
  content: Buffer;
  etag: string | undefined;
  lastModified?: string;
  /** How many bytes to send before the connection breaks, one for each response; none left: all. */
  breaks: number[];
  ranges: (string | undefined)[];
  acceptRanges: boolean;
}

async function startOrigin(
  changes: Partial<Origin> = {},
): Promise<{ server: HttpTestServer; origin: Origin } & AsyncDisposable> {
  const origin: Origin = { content: CONTENT, etag: '"v1"', breaks: [], ranges: [], acceptRanges: true, ...changes };
  const server = await startHttpServer((request, response) => serve(origin, request, response));
  return { server, origin, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

function serve(origin: Origin, request: IncomingMessage, response: ServerResponse): void {
  const { range } = request.headers;
  origin.ranges.push(range);
  expect(request.headers["accept-encoding"]).toBe("identity");
  if (origin.etag !== undefined) response.setHeader("etag", origin.etag);
  if (origin.lastModified !== undefined) response.setHeader("last-modified", origin.lastModified);
  const { content } = origin;
  const condition = request.headers["if-range"];
  const holds = condition === undefined || condition === origin.etag || condition === origin.lastModified;
  const match = holds && origin.acceptRanges ? /^bytes=(\d+)-(\d*)$/.exec(range ?? "") : null;
  let start = 0;
  if (match !== null) {
    start = Number(match[1]);
    if (start >= content.length)
      return void response.writeHead(416, { "content-range": `bytes */${content.length}` }).end();
    response.writeHead(206, {
      "content-range": `bytes ${start}-${content.length - 1}/${content.length}`,
      "content-length": content.length - start,
    });
  } else response.writeHead(200, { "content-length": content.length });
  const limit = origin.breaks.shift();
  if (limit === undefined) return void response.end(content.subarray(start));
  response.write(content.subarray(start, start + limit), () => void response.socket!.end());
}

const files = (): Promise<string[]> => readdir(folder).then((names) => names.sort());

function* downloaded(
  session: Session,
  url: string,
  options: DownloadOptions = {},
): Coroutine<Awaited<ReturnType<typeof files>>> {
  yield* download(session, url, path, { baseMs: 1, ...options });
  expect(CONTENT.equals(yield* until(readFile(path)))).toBe(true);
  return yield* until(files());
}

describe("download", () => {
  test("gives a whole file and nothing else, tells what it did, and how far it was", async () => {
    await using it = await startOrigin();
    await withSession(undici, {}, function* (session) {
      let last = 0;
      const result = yield* download(session, it.server.origin, path, {
        checksum: { algorithm: "sha256", value: SHA.toUpperCase() },
        mode: 0o600,
        sync: true,
        onProgress: ({ receivedBytes, totalBytes }) => {
          expect(receivedBytes).toBeGreaterThan(last);
          expect(totalBytes).toBe(CONTENT.length);
          last = receivedBytes;
        },
      });
      expect(last).toBe(CONTENT.length);
      expect(result).toEqual({
        path,
        sizeBytes: CONTENT.length,
        resumedFrom: 0,
        resumptions: 0,
        url: `${it.server.origin}/`,
        validators: { etag: '"v1"' },
      });
      expect((yield* until(stat(path))).mode & 0o777).toBe(0o600);
    });
    expect(await files()).toEqual(["file"]);
    expect(CONTENT.equals(await readFile(path))).toBe(true);
  });

  test("goes on over broken connections with what is missing", async () => {
    await using it = await startOrigin({ breaks: [100_000, 0, 50_000] });
    await withSession(undici, {}, function* (session) {
      const result = yield* download(session, it.server.origin, path, {
        checksum: { algorithm: "sha256", value: SHA },
        baseMs: 1,
      });
      expect(result).toMatchObject({ sizeBytes: CONTENT.length, resumedFrom: 0, resumptions: 3 });
    });
    expect(it.origin.ranges).toEqual([undefined, "bytes=100000-", "bytes=100000-", "bytes=150000-"]);
    expect(CONTENT.equals(await readFile(path))).toBe(true);
  });

  test("attempts count in a row only: whatever comes begins the count anew", async () => {
    await using it = await startOrigin({ breaks: [10_000, 10_000, 10_000, 10_000] });
    await withSession(undici, {}, (session) => downloaded(session, it.server.origin, { attempts: 1 }));
    expect(it.origin.ranges.length).toBe(5);
  });

  test("another length under the same ETag is another version", async () => {
    await using it = await startOrigin({ breaks: [10_000] });
    await withSession(undici, {}, function* (session) {
      const body = yield* resumable(session, it.server.origin, { baseMs: 1 });
      it.origin.content = Buffer.concat([CONTENT, CONTENT]);
      const read = function* (): Coroutine<void> {
        while ((yield* body.chunk()) !== undefined);
      };
      expect(yield* failureOf(read())).toBeInstanceOf(ResourceChangedError);
    });
  });

  test("attempts are bounded; then the part stays, and the next call goes on with it", async () => {
    await using it = await startOrigin({ breaks: [100_000, 0, 0, 0] });
    await withSession(undici, {}, function* (session) {
      const error = yield* failureOf(download(session, it.server.origin, path, { attempts: 2, baseMs: 1 }));
      expect(error).toMatchObject({ code: "HTTP_PROTOCOL" });
      expect(yield* until(files())).toEqual(["file.part", "file.part.json"]);
      it.origin.breaks = [];
      const result = yield* download(session, it.server.origin, path, {
        checksum: { algorithm: "sha256", value: SHA },
      });
      expect(result).toMatchObject({ resumedFrom: 100_000, sizeBytes: CONTENT.length });
      expect(CONTENT.equals(yield* until(readFile(path)))).toBe(true);
      expect(yield* until(files())).toEqual(["file"]);
    });
    expect(it.origin.ranges).toEqual([undefined, "bytes=100000-", "bytes=100000-", "bytes=100000-"]);
  });

  test("a resource that changed between two calls is fetched anew; one that changes inside a call is an error", async () => {
    const old = Buffer.alloc(CONTENT.length + 5, "old");
    await using it = await startOrigin({ content: old, breaks: [100_000, 0] });
    await withSession(undici, {}, function* (session) {
      yield* failureOf(download(session, it.server.origin, path, { attempts: 0 }));
      it.origin.content = CONTENT;
      it.origin.etag = '"v2"';
      it.origin.breaks = [];
      expect(yield* downloaded(session, it.server.origin)).toEqual(["file"]);
      it.origin.breaks = [1000];
      const changing = spawn(() =>
        failureOf(
          download(session, it.server.origin, path, {
            onProgress: () => {
              it.origin.etag = '"v3"';
            },
          }),
        ),
      );
      expect(yield* changing).toBeInstanceOf(ResourceChangedError);
    });
  });

  test("without a strong validator nothing is put together: the part goes, and a later call begins anew", async () => {
    for (const etag of [undefined, 'W/"v1"']) {
      await using it = await startOrigin({ etag, breaks: [100_000] });
      await withSession(undici, {}, function* (session) {
        expect(yield* failureOf(download(session, it.server.origin, path))).toMatchObject({ code: "HTTP_PROTOCOL" });
        expect(yield* until(files())).toEqual([]);
        expect(yield* downloaded(session, it.server.origin)).toEqual(["file"]);
      });
      expect(it.origin.ranges).toEqual([undefined, undefined]);
      await rm(path);
    }
  });

  test("a date serves as validator, too", async () => {
    await using it = await startOrigin({
      etag: undefined,
      lastModified: "Sun, 22 Nov 2026 10:00:00 GMT",
      breaks: [100_000],
    });
    await withSession(undici, {}, (session) => downloaded(session, it.server.origin));
    expect(it.origin.ranges).toEqual([undefined, "bytes=100000-"]);
  });

  test("a server without ranges sends all again, and the file is right", async () => {
    await using it = await startOrigin({ acceptRanges: false, breaks: [100_000] });
    await withSession(undici, {}, function* (session) {
      expect(yield* failureOf(download(session, it.server.origin, path))).toBeInstanceOf(ResourceChangedError);
      expect(yield* downloaded(session, it.server.origin)).toEqual(["file"]);
    });
  });

  test("a part that is whole already only gets its name; one that is too long is thrown away", async () => {
    await using it = await startOrigin();
    const note = { url: it.server.origin, validators: { etag: '"v1"' } };
    await withSession(undici, {}, function* (session) {
      yield* until(writeFile(`${path}.part`, CONTENT));
      yield* until(writeFile(`${path}.part.json`, JSON.stringify(note)));
      const checksum = { algorithm: "sha256", value: SHA };
      expect(yield* downloaded(session, it.server.origin, { checksum })).toEqual(["file"]);
      expect(it.origin.ranges).toEqual([`bytes=${CONTENT.length}-`]);
      yield* until(writeFile(`${path}.part`, Buffer.concat([CONTENT, CONTENT])));
      yield* until(writeFile(`${path}.part.json`, JSON.stringify(note)));
      expect(yield* downloaded(session, it.server.origin, { checksum })).toEqual(["file"]);
    });
  });

  test("a part of another URL, without a note or with a broken one, is not used", async () => {
    await using it = await startOrigin();
    const notes = [
      '{"url":"http://other/","validators":{"etag":"\\"v1\\""}}',
      "{",
      "null",
      '{"validators":null}',
      undefined,
    ];
    await withSession(undici, {}, function* (session) {
      for (const note of notes) {
        yield* until(writeFile(`${path}.part`, "rubbish"));
        if (note !== undefined) yield* until(writeFile(`${path}.part.json`, note));
        expect(yield* downloaded(session, it.server.origin)).toEqual(["file"]);
      }
    });
    expect(new Set(it.origin.ranges)).toEqual(new Set([undefined]));
  });

  test("resume: false begins anew", async () => {
    await using it = await startOrigin({ breaks: [100_000] });
    await withSession(undici, {}, function* (session) {
      yield* failureOf(download(session, it.server.origin, path, { attempts: 0 }));
      expect(yield* downloaded(session, it.server.origin, { resume: false })).toEqual(["file"]);
    });
    expect(it.origin.ranges).toEqual([undefined, undefined]);
  });

  test("a wrong checksum deletes what came and leaves the file that was there", async () => {
    await using it = await startOrigin();
    await writeFile(path, "before");
    await withSession(undici, {}, function* (session) {
      const checksum = { algorithm: "sha256", value: "0".repeat(64) };
      const error = yield* failureOf(download(session, it.server.origin, path, { checksum }));
      expect(error).toBeInstanceOf(ChecksumError);
      expect(error).toMatchObject({ actual: SHA });
    });
    expect(await files()).toEqual(["file"]);
    expect(await readFile(path, "utf8")).toBe("before");
  });

  test("a status that is no success is an error, and no file is made", async () => {
    for (const status of [404, 304, 204, 500]) {
      await using server = await startHttpServer((_request, response) => void response.writeHead(status).end());
      await withSession(undici, {}, function* (session) {
        expect(yield* failureOf(download(session, server.origin, path))).toBeInstanceOf(ResponseError);
      });
    }
    expect(await files()).toEqual([]);
  });

  test("an error of the file system comes as it is, and closes the connection", async () => {
    await using it = await startOrigin();
    await withSession(undici, {}, function* (session) {
      const error = yield* failureOf(download(session, it.server.origin, join(folder, "no/such/folder")));
      expect(error).toMatchObject({ code: "ENOENT" });
      expect(session.statistics().active).toBe(0);
    });
  });

  test("wrong options are told before anything is sent", async () => {
    await using it = await startOrigin();
    await withSession(undici, {}, function* (session) {
      const failure = (options: DownloadOptions): Coroutine<unknown> =>
        failureOf(download(session, it.server.origin, path, options));
      expect(yield* failure({ checksum: { algorithm: "sha1", value: SHA } })).toMatchObject({
        message: expect.stringContaining("40 hexadecimal") as string,
      });
      expect(yield* failure({ checksum: { algorithm: "none", value: SHA } })).toMatchObject({
        message: expect.stringContaining("no checksum algorithm") as string,
      });
      expect(yield* failure({ attempts: -1 })).toMatchObject({
        message: expect.stringContaining("attempts") as string,
      });
    });
    expect(it.origin.ranges).toEqual([]);
  });

  test("cancelled at any moment, it leaves no descriptor and no connection, and either nothing or a part that can be gone on with", async () => {
    await using it = await startOrigin();
    let delay = 0;
    const server = it.server;
    const descriptors = (): Promise<number> => readdir("/proc/self/fd").then((names) => names.length);
    await withSession(undici, {}, function* (session) {
      const before = yield* until(descriptors());
      for (; delay < 14; delay++) {
        const sockets = server.sockets.size;
        const task = spawn(() => download(session, server.origin, path, { sync: true }));
        for (let i = 0; i < delay * 2; i++) yield* sleep(0);
        yield* task.cancel();
        expect(atRest(session)).toMatchObject({ ...NOTHING, idle: expect.any(Number) as number });
        yield* until(server.until(() => server.sockets.size <= Math.max(1, sockets)));
        const left = yield* until(files());
        if (left.includes("file")) expect(left).toEqual(["file"]);
        else if (left.includes("file.part")) expect(left).toEqual(["file.part", "file.part.json"]);
        const resumed = yield* download(session, server.origin, path);
        expect(resumed.sizeBytes).toBe(CONTENT.length);
        expect(CONTENT.equals(yield* until(readFile(path)))).toBe(true);
        yield* until(rm(path));
      }
      // A socket and its other end may have come, and what others have left may go meanwhile.
      for (let i = 0; i < 100 && (yield* until(descriptors())) > before + 3; i++) yield* sleep(5);
      expect(yield* until(descriptors())).toBeLessThanOrEqual(before + 3);
    });
  });

  test("with keepPart: false a cancelled download leaves nothing", async () => {
    await using server = await startHttpServer((_request, response) => {
      response.writeHead(200, { etag: '"1"', "content-length": 100 });
      response.write("begin");
    });
    for (const keepPart of [false, true]) {
      await withSession(undici, {}, function* (session) {
        // Cancelled when what the server has sent is in the part, and waits for more.
        const written = new Future<void>();
        const options = { keepPart, onProgress: () => written.resolve() };
        const task = spawn(() => download(session, server.origin, path, options));
        yield* written;
        yield* task.cancel();
        expect(atRest(session)).toEqual(NOTHING);
      });
      expect(await files()).toEqual(keepPart ? ["file.part", "file.part.json"] : []);
    }
    expect(await readFile(`${path}.part`, "utf8")).toBe("begin");
  });
});

describe("resumable", () => {
  test("a cancelled chunk takes nothing, also when the connection breaks meanwhile", async () => {
    await using it = await startOrigin({ breaks: [70_000, 70_000, 70_000, 70_000] });
    const read = await withSession(undici, {}, function* (session) {
      const body = yield* resumable(session, it.server.origin, { baseMs: 1 });
      const pieces: Uint8Array[] = [];
      for (let i = 0; ; i++) {
        // Longer each time: a machine on which nothing is ready within 2 ms gets there as well.
        const got = yield* moveOnAfter((i % 3) * (1 + i / 100), one(body));
        if (got === undefined) continue;
        if (got.chunk === undefined) break;
        pieces.push(got.chunk);
      }
      return Buffer.concat(pieces);
    });
    expect(CONTENT.equals(read)).toBe(true);
  });

  function* one(body: { chunk(): Coroutine<Uint8Array | undefined> }): Coroutine<{ chunk: Uint8Array | undefined }> {
    return { chunk: yield* body.chunk() };
  }

  test("closing it ends it", async () => {
    await using it = await startOrigin();
    await withSession(undici, {}, function* (session) {
      const body = yield* resumable(session, it.server.origin);
      body.close();
      expect(yield* body.chunk()).toBe(undefined);
      expect(session.statistics().active).toBe(0);
      expect(yield* failureOf(resumable(session, it.server.origin, { start: 5 }))).toMatchObject({
        message: expect.stringContaining("ifUnchanged") as string,
      });
    });
  });

  test("the scope that asked ends it", async () => {
    await using server = await startHttpServer((_request, response) => {
      response.writeHead(200, { etag: '"1"' });
      response.write("begin");
    });
    await withSession(undici, {}, function* (session) {
      yield* failureOf(
        scope(function* () {
          const body = yield* resumable(session, server.origin);
          yield* body.chunk();
          throw new Error("failed");
        }),
      );
      expect(atRest(session)).toEqual(NOTHING);
    });
  });
});

describe("ranges", () => {
  const answering = (status: number, headers: Record<string, string>, seen: (string | undefined)[][] = []) =>
    startHttpServer((request, response) => {
      seen.push([
        request.headers.range,
        String(request.headers["if-range"]),
        String(request.headers["accept-encoding"]),
      ]);
      response.writeHead(status, headers).end(status === 416 ? "" : "x");
    });

  test("the part that was asked for is told; the request asks for it uncompressed", async () => {
    const seen: (string | undefined)[][] = [];
    await using server = await answering(206, { "content-range": "bytes 5-9/100" }, seen);
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const response = yield* session.get("/", { range: { start: 5, end: 9, ifUnchanged: { etag: '"e"' } } });
      expect(response.contentRange).toEqual({ start: 5, end: 9, sizeBytes: 100 });
      const open = yield* session.get("/", { range: { start: 5 }, headers: { "accept-encoding": "br" } });
      expect(open.status).toBe(206);
    });
    expect(seen).toEqual([
      ["bytes=5-9", '"e"', "identity"],
      ["bytes=5-", "undefined", "identity"],
    ]);
  });

  test.each([
    ["another start", { start: 0, end: 9 }, "bytes 5-9/100"],
    ["more than was asked for", { start: 5, end: 8 }, "bytes 5-9/100"],
    ["a part that is none", { start: 5 }, "bytes 9-5/100"],
    ["an end behind the end", { start: 5 }, "bytes 5-100/100"],
    ["no part at all", { start: 5 }, undefined],
    ["another number of bytes from the end", { start: -5 }, "bytes 90-99/100"],
  ])("%s is a RangeMismatchError, on both ways through the session", async (_, range, contentRange) => {
    await using server = await answering(206, contentRange === undefined ? {} : { "content-range": contentRange });
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      expect(yield* failureOf(session.get("/", { range }))).toBeInstanceOf(RangeMismatchError);
      const composed = session.with({ middleware: [(request, next) => next(request)] });
      expect(yield* failureOf(composed.get("/", { range }))).toBeInstanceOf(RangeMismatchError);
      expect(session.statistics().active).toBe(0);
    });
  });

  test("the end of a resource, and less than was asked for, are right", async () => {
    await using server = await answering(206, { "content-range": "bytes 95-99/100" });
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      for (const range of [{ start: -5 }, { start: 95, end: 200 }, { start: 95 }]) {
        expect((yield* session.get("/", { range })).contentRange).toMatchObject({ start: 95, end: 99 });
      }
    });
  });

  test("416 says how long the resource is; 200 is the whole", async () => {
    await using short = await answering(416, { "content-range": "bytes */3" });
    await using whole = await answering(200, {});
    await withSession(undici, {}, function* (session) {
      const error = yield* failureOf(session.get(short.origin, { range: { start: 5 } }));
      expect(error).toBeInstanceOf(RangeNotSatisfiableError);
      expect(error).toMatchObject({ sizeBytes: 3 });
      const response = yield* session.get(whole.origin, { range: { start: 5 } });
      expect([response.status, response.contentRange]).toEqual([200, undefined]);
    });
  });

  test("ranges that cannot be are refused", async () => {
    await withSession(undici, { baseUrl: "http://127.0.0.1:1/" }, function* (session) {
      for (const range of [
        { start: 5, end: 4 },
        { start: 0.5 },
        { start: -5, end: 1 },
        { start: Number.NaN },
        { start: 1, ifUnchanged: { etag: 'W/"weak"' } },
      ]) {
        expect(yield* failureOf(session.get("/", { range }))).toMatchObject({ name: "UsageError" });
      }
    });
  });
});

describe("conditional requests", () => {
  test("ask with what an earlier response had, and tell that nothing has changed", async () => {
    await using server = await startHttpServer((request, response) => {
      response.setHeader("etag", 'W/"7"').setHeader("last-modified", "Sun, 22 Nov 2026 10:00:00 GMT");
      if (request.headers["if-none-match"] === 'W/"7"' && request.headers["if-modified-since"] !== undefined)
        response.writeHead(304);
      response.end();
    });
    await withSession(undici, { baseUrl: server.origin, raiseForStatus: true }, function* (session) {
      const first = yield* session.get("/");
      const validators = validatorsOf(first);
      expect([first.notModified, validators]).toEqual([
        false,
        { etag: 'W/"7"', lastModified: "Sun, 22 Nov 2026 10:00:00 GMT" },
      ]);
      expect((yield* session.get("/", { unlessChanged: validators })).notModified).toBe(true);
      expect((yield* session.get("/", { unlessChanged: { etag: '"8"' } })).notModified).toBe(false);
      expect((yield* session.get("/", { unlessChanged: {} })).notModified).toBe(false);
      expect(yield* failureOf(session.get("/", { unlessChanged: { etag: "8" } }))).toMatchObject({
        name: "UsageError",
      });
    });
    await run(function* () {});
  });
});
