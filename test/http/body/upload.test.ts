import { run, sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import { filePart, InvalidRequestError } from "fibril/http";
import type { RequestOptions, Session, UploadProgress } from "fibril/http";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import * as undici from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isReplayable } from "../../../src/http/body/sources.ts";
import { encodeMultipart } from "../../../src/http/body/multipart.ts";
import { atRest, failureOf, NOTHING, withSession } from "../harness.ts";
import { startHttpServer } from "../servers.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fibril-upload-"));
});
afterAll(() => rm(folder, { recursive: true }));

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** What a server gets. */
async function sent(options: RequestOptions): Promise<Received> {
  let received!: Received;
  await using server = await startHttpServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      received = { headers: request.headers, text: Buffer.concat(chunks).toString("utf8") };
      response.end();
    });
  });
  await withSession(undici, {}, function* (session) {
    yield* (yield* session.post(server.origin, options)).text();
  });
  return received;
}

/** The boundary taken out, so that bodies can be compared. */
function plain({ headers, text }: Received): string {
  const boundary = /boundary=(\S+)$/.exec(headers["content-type"]!)![1]!;
  expect(boundary).toMatch(/^----fibril[0-9a-z]{24}$/);
  return text.replaceAll(boundary, "B");
}

/** Read back by the platform's own parser. */
async function parsed({ headers, text }: Received): Promise<[string, unknown][]> {
  const data = await new Response(text, { headers: { "content-type": headers["content-type"]! } }).formData();
  const entries: [string, unknown][] = [];
  for (const [name, value] of data) {
    entries.push([name, typeof value === "string" ? value : [value.name, value.type, await value.text()]]);
  }
  return entries;
}

describe("multipart", () => {
  test("fields and files have the form that browsers give them", async () => {
    const received = await sent({
      multipart: {
        title: "a\nb",
        count: 3,
        tags: ["x", "y"],
        none: undefined,
        bytes: new TextEncoder().encode("bytes"),
        file: new File(["content"], "naïve.txt", { type: "text/plain" }),
      },
    });
    expect(plain(received)).toBe(
      [
        '--B\r\nContent-Disposition: form-data; name="title"\r\n\r\na\r\nb',
        '--B\r\nContent-Disposition: form-data; name="count"\r\n\r\n3',
        '--B\r\nContent-Disposition: form-data; name="tags"\r\n\r\nx',
        '--B\r\nContent-Disposition: form-data; name="tags"\r\n\r\ny',
        '--B\r\nContent-Disposition: form-data; name="bytes"; filename="blob"\r\nContent-Type: application/octet-stream\r\n\r\nbytes',
        '--B\r\nContent-Disposition: form-data; name="file"; filename="naïve.txt"\r\nContent-Type: text/plain\r\n\r\ncontent',
        "--B--\r\n",
      ].join("\r\n"),
    );
    expect(received.headers["content-length"]).toBe(String(Buffer.byteLength(received.text)));
    expect(await parsed(received)).toEqual([
      ["title", "a\r\nb"],
      ["count", "3"],
      ["tags", "x"],
      ["tags", "y"],
      ["bytes", ["blob", "application/octet-stream", "bytes"]],
      ["file", ["naïve.txt", "text/plain", "content"]],
    ]);
  });

  test("names cannot break out of their quotes or lines", async () => {
    const evil = 'a"; filename="x"\r\nX: y';
    const received = await sent({ multipart: [[evil, { body: "v", filename: evil, type: "text/plain" }]] });
    expect(plain(received)).toBe(
      '--B\r\nContent-Disposition: form-data; name="a%22; filename=%22x%22%0D%0AX: y"; filename="a%22; filename=%22x%22%0D%0AX: y"\r\n' +
        "Content-Type: text/plain\r\n\r\nv\r\n--B--\r\n",
    );
    const error = await sentFailure({ multipart: { a: { body: "b", type: "text/plain\r\nX: y" } } });
    expect(error).toBeInstanceOf(InvalidRequestError);
  });

  test("streams of known length give a content-length, others go in chunks", async () => {
    const known = await sent({
      multipart: { a: { body: ["12", "345"], filename: "n", sizeBytes: 5 }, b: new Blob(["blob"]) },
    });
    expect(known.headers["content-length"]).toBe(String(Buffer.byteLength(known.text)));
    expect(await parsed(known)).toEqual([
      ["a", ["n", "application/octet-stream", "12345"]],
      ["b", ["blob", "application/octet-stream", "blob"]],
    ]);
    const unknown = await sent({
      multipart: {
        a: {
          body: (async function* () {
            yield "1";
            yield "2";
          })(),
          filename: "n",
        },
      },
    });
    expect(unknown.headers["transfer-encoding"]).toBe("chunked");
    expect(await parsed(unknown)).toEqual([["a", ["n", "application/octet-stream", "12"]]]);
  });

  test("a stream that is not as long as it was said to be ends the request, before the server takes it for whole", async () => {
    for (const body of [["1234"], ["123456"]]) {
      const error = await sentFailure({ multipart: { a: { body, sizeBytes: 5 } } });
      expect(error).toBeInstanceOf(InvalidRequestError);
      expect((error as Error).message).toContain("sizeBytes is 5");
    }
  });

  test("files of the disk: by filePart with size and name, and again; as stream of Node with its name", async () => {
    const path = join(folder, "cat.txt");
    await writeFile(path, "meow".repeat(50_000));
    await withFilePart(path, function* (session, origin) {
      const part = yield* filePart(path, { type: "text/plain" });
      expect(isReplayable(part.body as Iterable<string>)).toBe(true);
      for (const multipart of [{ part }, { part }]) {
        expect(yield* (yield* session.post(origin, { multipart })).json()).toEqual({
          length: expect.any(String) as string,
          size: 200_000,
        });
      }
    });
    const streamed = await sent({ multipart: { f: createReadStream(path) } });
    expect((await parsed(streamed))[0]).toEqual(["f", ["cat.txt", "application/octet-stream", "meow".repeat(50_000)]]);
    await run(function* () {
      expect(yield* failureOf(filePart(folder))).toMatchObject({
        message: expect.stringContaining("is not a file") as string,
      });
      expect(yield* failureOf(filePart(join(folder, "none")))).toMatchObject({ code: "ENOENT" });
    });
  });

  async function withFilePart(
    _path: string,
    body: (session: Session, origin: string) => Coroutine<void>,
  ): Promise<void> {
    await using server = await startHttpServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const size = Buffer.concat(chunks).toString().split("meow").length - 1;
        response.end(JSON.stringify({ length: request.headers["content-length"], size: size * 4 }));
      });
    });
    await withSession(undici, {}, (session) => body(session, server.origin));
  }

  test("can be sent again after a redirect exactly when its parts can", async () => {
    await using server = await startHttpServer((request, response) => {
      request.resume();
      request.on("end", () => {
        if (request.url === "/from") response.writeHead(307, { location: "/to" }).end();
        else response.end(request.headers["content-length"] ?? "chunked");
      });
    });
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const large = new Blob(["x".repeat(400_000)]);
      expect(Number(yield* (yield* session.post("/from", { multipart: { large } })).text())).toBeGreaterThan(400_000);
      const once = { body: Readable.from(["a"]), filename: "f" };
      expect(yield* failureOf(session.post("/from", { multipart: { once } }))).toMatchObject({
        code: "HTTP_BODY_CONSUMED",
      });
    });
  });

  test("a part that is nothing is refused before anything is sent", async () => {
    for (const part of [{}, { body: {} }, { body: new Date() }, Symbol("s"), null]) {
      expect(await sentFailure({ multipart: { part: part as never } })).toBeInstanceOf(InvalidRequestError);
    }
    expect(await sentFailure({ multipart: "text" as never })).toBeInstanceOf(InvalidRequestError);
    expect(await sentFailure({ multipart: {}, json: 1 })).toBeInstanceOf(InvalidRequestError);
  });

  test("boundaries are those of the loop's chance", async () => {
    const subject = { method: "POST", url: "http://h/" };
    const [first, second] = await run(function* () {
      return [encodeMultipart({ a: "1" }, subject), encodeMultipart({ a: "1" }, subject)] as const;
    });
    expect(first.contentType).not.toBe(second.contentType);
  });
});

async function sentFailure(options: RequestOptions): Promise<unknown> {
  await using server = await startHttpServer((request, response) => {
    request.resume();
    request.on("end", () => response.end());
  });
  return await withSession(undici, {}, function* (session) {
    const error = yield* failureOf(session.post(server.origin, options));
    expect(session.statistics().active).toBe(0);
    return error;
  });
}

describe("standard bodies", () => {
  test("FormData, URLSearchParams, Blob and web streams", async () => {
    const form = new FormData();
    form.append("a", "1");
    form.append("f", new File(["f"], "f.txt", { type: "text/plain" }));
    expect(await parsed(await sent({ body: form }))).toEqual([
      ["a", "1"],
      ["f", ["f.txt", "text/plain", "f"]],
    ]);
    const query = await sent({ body: new URLSearchParams({ a: "ü", b: "1" }) });
    expect([query.headers["content-type"], query.text]).toEqual(["application/x-www-form-urlencoded", "a=%C3%BC&b=1"]);
    const blob = await sent({ body: new Blob(["blob"], { type: "text/x" }) });
    expect([blob.headers["content-type"], blob.headers["content-length"], blob.text]).toEqual(["text/x", "4", "blob"]);
    const untyped = await sent({ body: new Blob(["blob"]) });
    expect(untyped.headers["content-type"]).toBe(undefined);
    const web = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("web"));
        controller.close();
      },
    });
    expect(isReplayable(web as AsyncIterable<Uint8Array>)).toBe(false);
    expect((await sent({ body: web as AsyncIterable<Uint8Array> })).text).toBe("web");
  });
});

describe("upload progress", () => {
  test.each([
    ["a string", { body: "x".repeat(200_000) }, 200_000],
    ["json", { json: "x".repeat(199_998) }, 200_000],
    ["a blob", { body: new Blob(["x".repeat(200_000)]) }, 200_000],
    [
      "a stream of unknown length",
      {
        body: (function* () {
          yield "x".repeat(100_000);
          yield "é".repeat(50_000);
        })(),
      },
      undefined,
    ],
    [
      "a stream with a content-length",
      { body: ["x".repeat(200_000)], headers: { "content-length": 200_000 } },
      200_000,
    ],
  ])("%s", async (_, options, totalBytes) => {
    const seen: UploadProgress[] = [];
    const { headers, text } = await sent({
      ...(options as RequestOptions),
      onUploadProgress: (progress) => void seen.push(progress),
    });
    expect(Buffer.byteLength(text)).toBe(200_000);
    expect(headers["content-length"]).toBe(totalBytes === undefined ? undefined : "200000");
    expect(seen.at(-1)).toEqual({ sentBytes: 200_000, totalBytes });
    expect(seen.length).toBeGreaterThanOrEqual(1);
    for (let i = 1; i < seen.length; i++) expect(seen[i]!.sentBytes).toBeGreaterThan(seen[i - 1]!.sentBytes);
  });

  test("it follows the server, not the source", async () => {
    let seen = 0;
    await using server = await startHttpServer(() => {}); // reads nothing
    await withSession(undici, {}, function* (session) {
      const task = spawn(() =>
        session.post(server.origin, {
          body: "x".repeat(50_000_000),
          onUploadProgress: ({ sentBytes }) => void (seen = sentBytes),
        }),
      );
      yield* until(server.untilOpen(1));
      while (seen === 0) yield* sleep(1);
      yield* sleep(100);
      expect(seen).toBeLessThan(20_000_000);
      yield* task.cancel();
      expect(atRest(session)).toEqual(NOTHING);
    });
  });

  test("an error of the callback ends the request with it", async () => {
    const bad = new Error("bad callback");
    const onUploadProgress = (): void => {
      throw bad;
    };
    expect(await sentFailure({ body: "x".repeat(200_000), onUploadProgress })).toBe(bad);
  });
});

test("a cancelled upload closes the parts that are open and those whose turn does not come", async () => {
  const path = join(folder, "large.bin");
  await writeFile(path, Buffer.alloc(30_000_000));
  await using server = await startHttpServer(() => {});
  await withSession(undici, {}, function* (session) {
    for (const hangs of [false, true]) {
      const streams = [createReadStream(path), createReadStream(path)];
      let hasBegun = false;
      let isClosed = false;
      const silent = {
        async *[Symbol.asyncIterator](): AsyncGenerator<string> {
          try {
            hasBegun = true;
            yield "begin";
            if (hangs) await new Promise(() => {});
          } finally {
            isClosed = true;
          }
        },
      };
      const multipart = { silent: { body: silent }, a: { body: streams[0]! }, b: { body: streams[1]! } };
      const task = spawn(() => session.post(server.origin, { multipart }));
      const before = server.accepted;
      yield* until(server.until(() => server.accepted > before || server.sockets.size > 0));
      // The part that hangs has begun; the one that does not is over, and the next one is being read.
      while (hangs ? !hasBegun : streams[0]!.bytesRead === 0) yield* sleep(1);
      yield* sleep(20);
      yield* task.cancel();
      const isOver = (): boolean => streams.every(({ destroyed }) => destroyed) && isClosed === !hangs;
      for (let i = 0; i < 1_000 && !isOver(); i++) yield* sleep(1);
      for (const stream of streams) expect(stream.destroyed).toBe(true);
      expect(isClosed).toBe(!hangs); // a generator that hangs cannot be ended by anybody
      expect(atRest(session)).toEqual(NOTHING);
    }
  });
});
