import { moveOnAfter, run, sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import { BodyTooLarge, DecodeError, ResponseError, Session } from "fibril/http";
import type { HttpResponse, RequestOptions, SessionOptions } from "fibril/http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Transform } from "node:stream";
import zlib from "node:zlib";
import * as undici from "undici";
import { expect, test, vi } from "vitest";
import { atRest, failureOf, NOTHING, withSession } from "../harness.ts";
import { startHttpServer } from "../servers.ts";
import type { HttpTestServer } from "../servers.ts";

const TEXT = Array.from({ length: 400 }, (_, i) => `line ${i} of a text that can be compressed\n`).join("");
// Larger than what is decoded in one call, also when it is compressed.
const LARGE = Buffer.from(
  Array.from({ length: 60_000 }, (_, i) => `${(i * 2_654_435_761) % 4_294_967_296}\n`).join(""),
);

const ENCODERS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: (bytes) => zlib.gzipSync(bytes),
  "x-gzip": (bytes) => zlib.gzipSync(bytes),
  deflate: (bytes) => zlib.deflateSync(bytes),
  "deflate raw": (bytes) => zlib.deflateRawSync(bytes),
  br: (bytes) => zlib.brotliCompressSync(bytes, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } }),
  zstd: (bytes) => zlib.zstdCompressSync(bytes),
};
const hasZstd = typeof zlib.zstdCompressSync === "function";
const names = Object.keys(ENCODERS).filter((name) => hasZstd || name !== "zstd");

type Answer = (request: IncomingMessage, response: ServerResponse, server: HttpTestServer) => void;

const sending =
  (encoding: string, bytes: Buffer, length = true): Answer =>
  (_request, response) => {
    const size = length ? { "content-length": bytes.length } : {};
    response.writeHead(200, { "content-encoding": encoding.replace(" raw", ""), ...size });
    response.end(bytes);
  };

async function asked<T>(
  answer: Answer,
  read: (response: HttpResponse, server: HttpTestServer) => Coroutine<T>,
  options: RequestOptions = {},
  sessionOptions: SessionOptions = {},
): Promise<T> {
  await using server = await startHttpServer(answer);
  return await withSession(undici, sessionOptions, function* (session) {
    const result = yield* read(yield* session.get(server.origin, options), server);
    expect(session.statistics().active).toBe(0);
    return result;
  });
}

function* inPieces(response: HttpResponse): Coroutine<Buffer> {
  const pieces: Uint8Array[] = [];
  for (let chunk = yield* response.chunk(); chunk !== undefined; chunk = yield* response.chunk()) pieces.push(chunk);
  return Buffer.concat(pieces);
}

const METHODS = [
  "createGunzip",
  "createInflate",
  "createInflateRaw",
  "createBrotliDecompress",
  "createZstdDecompress",
] as const;

/** What the decoders of the latest `decodersOf` have given. */
let givenBytes = 0;

/** Every decoder that is made while `body` runs. */
async function decodersOf(body: () => Promise<unknown>): Promise<Transform[]> {
  const made: Transform[] = [];
  givenBytes = 0;
  const spies = METHODS.map((name) => {
    const original = zlib[name] as (options: object) => Transform;
    return vi.spyOn(zlib, name).mockImplementation(((options: object) => {
      const decoder = original(options);
      made.push(decoder);
      const push = decoder.push.bind(decoder);
      decoder.push = (chunk: Buffer | null) => {
        givenBytes += chunk?.length ?? 0;
        return push(chunk);
      };
      return decoder;
    }) as never);
  });
  try {
    await body();
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return made;
}

test.each(names)("%s: a small body is decoded, in whatever way it is read", async (name) => {
  const encoded = ENCODERS[name]!(Buffer.from(TEXT));
  const answer = sending(name, encoded);
  expect(await asked(answer, (response) => response.text())).toBe(TEXT);
  expect(Buffer.from(await asked(answer, (response) => response.bytes())).toString()).toBe(TEXT);
  expect((await asked(answer, inPieces)).toString()).toBe(TEXT);
});

test.each(names)("%s: a large body is decoded, as a whole and in pieces", async (name) => {
  const encoded = ENCODERS[name]!(LARGE);
  expect(encoded.length).toBeGreaterThan(128 * 1024);
  const answer = sending(name, encoded, false);
  expect(LARGE.equals(await asked(answer, (response) => response.bytes()))).toBe(true);
  expect(LARGE.equals(await asked(answer, inPieces))).toBe(true);
});

test("the request asks for what can be decoded; the headers of the response stay, and decodedFrom tells", async () => {
  let accepted: unknown;
  const encoded = zlib.gzipSync(TEXT);
  await asked(
    (request, response) => {
      accepted = request.headers["accept-encoding"];
      sending("GZip", encoded)(request, response, undefined as never);
    },
    function* (response) {
      expect(response.headers.get("content-encoding")).toBe("GZip");
      expect(response.headers.get("content-length")).toBe(String(encoded.length));
      expect(response.decodedFrom).toEqual(["gzip"]);
      yield* response.discard();
    },
  );
  expect(accepted).toBe(hasZstd ? "gzip, deflate, br, zstd" : "gzip, deflate, br");
});

test("decompress: false asks for nothing and gives the bytes as they came", async () => {
  for (const [requestOptions, sessionOptions] of [
    [{ decompress: false }, {}],
    [{}, { decompress: false }],
  ] as const) {
    let accepted: unknown = "none";
    const encoded = zlib.gzipSync(TEXT);
    const bytes = await asked(
      (request, response, server) => {
        accepted = request.headers["accept-encoding"];
        sending("gzip", encoded)(request, response, server);
      },
      function* (response) {
        expect(response.decodedFrom).toEqual([]);
        return yield* response.bytes();
      },
      requestOptions,
      sessionOptions,
    );
    expect(encoded.equals(bytes)).toBe(true);
    expect(accepted).toBe(undefined);
  }
});

test("an accept-encoding of the caller's is sent as it is, and the answer decoded", async () => {
  let accepted: unknown;
  const text = await asked(
    (request, response, server) => {
      accepted = request.headers["accept-encoding"];
      sending("br", zlib.brotliCompressSync(TEXT))(request, response, server);
    },
    (response) => response.text(),
    { headers: { "accept-encoding": "br" } },
  );
  expect(accepted).toBe("br");
  expect(text).toBe(TEXT);
});

test("encodings that were applied one after the other are undone in reverse, small and large", async () => {
  for (const plain of [Buffer.from(TEXT), LARGE]) {
    const encoded = zlib.brotliCompressSync(zlib.deflateSync(zlib.gzipSync(plain)), {
      params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 },
    });
    const answer = sending("gzip, deflate,br", encoded);
    const bytes = await asked(answer, function* (response) {
      expect(response.decodedFrom).toEqual(["gzip", "deflate", "br"]);
      return yield* response.bytes();
    });
    expect(plain.equals(bytes)).toBe(true);
    expect(plain.equals(await asked(answer, inPieces))).toBe(true);
  }
});

test("more than five encodings are refused", async () => {
  const six = Array.from({ length: 6 }, () => "gzip").join(",");
  const error = await asked(sending(six, zlib.gzipSync("x")), (response) => failureOf(response.text()));
  expect(error).toBeInstanceOf(DecodeError);
  const five = Array.from({ length: 5 }, () => "gzip").join(",");
  const nested = zlib.gzipSync(zlib.gzipSync(zlib.gzipSync(zlib.gzipSync(zlib.gzipSync("five")))));
  expect(await asked(sending(five, nested), (response) => response.text())).toBe("five");
});

test("an encoding that is unknown leaves the body as it is, also beside known ones; identity is none", async () => {
  for (const encoding of ["compress", "gzip, aws-chunked", "identity"]) {
    const text = await asked(sending(encoding.replaceAll(" ", ""), Buffer.from("as it is")), function* (response) {
      expect(response.decodedFrom).toEqual([]);
      return yield* response.text();
    });
    expect(text).toBe("as it is");
  }
});

test("an answer without a body is not decoded: HEAD, 204, 304, an empty 200", async () => {
  for (const [method, status] of [
    ["HEAD", 200],
    ["GET", 204],
    ["GET", 304],
    ["GET", 200],
  ] as const) {
    await using server = await startHttpServer((_request, response) => {
      response.writeHead(status, { "content-encoding": "gzip" });
      response.end();
    });
    await withSession(undici, {}, function* (session) {
      const response = yield* session.request(method, server.origin);
      expect(yield* response.text()).toBe("");
    });
  }
});

test("a part of an encoded body is given as it came", async () => {
  const half = zlib.gzipSync(TEXT).subarray(50, 90);
  const bytes = await asked(
    (_request, response) => {
      response.writeHead(206, { "content-encoding": "gzip", "content-range": "bytes 50-89/1000" });
      response.end(half);
    },
    (response) => response.bytes(),
  );
  expect(half.equals(bytes)).toBe(true);
});

test.each(names)("%s: a body that is corrupt or cut short is a DecodeError, small and large", async (name) => {
  for (const plain of [Buffer.from(TEXT), LARGE]) {
    const encoded = ENCODERS[name]!(plain);
    const corrupt = Buffer.from(encoded);
    corrupt.fill(0xff, name === "zstd" ? 0 : 40, 80); // zstd has no checksum by default
    for (const bytes of [encoded.subarray(0, encoded.length - 6), corrupt, encoded.subarray(0, 1)]) {
      const error = await asked(sending(name, bytes), (response) => failureOf(response.bytes()));
      expect(error).toBeInstanceOf(DecodeError);
      expect((error as DecodeError).message).toContain(name.split(" ")[0]!.replace("x-", ""));
      expect(await asked(sending(name, bytes), (response) => failureOf(inPieces(response)))).toBeInstanceOf(
        DecodeError,
      );
    }
  }
});

test("what comes after the end of the data is ignored, but never a second zstd frame", async () => {
  const rest = Buffer.from("some bytes more");
  const deflated = Buffer.concat([zlib.deflateSync(TEXT), rest]);
  expect(await asked(sending("deflate", deflated), (response) => response.text())).toBe(TEXT);
  const large = Buffer.concat([zlib.deflateSync(LARGE), rest]);
  expect(LARGE.equals(await asked(sending("deflate", large), inPieces))).toBe(true);
  const endless = Buffer.concat([zlib.deflateSync(LARGE), Buffer.alloc(200_000)]);
  expect(await asked(sending("deflate", endless), (response) => failureOf(inPieces(response)))).toBeInstanceOf(
    DecodeError,
  );
  if (!hasZstd) return;
  for (const plain of [Buffer.from(TEXT), LARGE]) {
    const twice = Buffer.concat([zlib.zstdCompressSync(plain), zlib.zstdCompressSync(plain)]);
    expect(await asked(sending("zstd", twice), (response) => failureOf(response.bytes()))).toBeInstanceOf(DecodeError);
  }
});

test("gzip of several members is one body", async () => {
  const twice = Buffer.concat([zlib.gzipSync(TEXT), zlib.gzipSync(TEXT)]);
  expect(await asked(sending("gzip", twice), (response) => response.text())).toBe(TEXT + TEXT);
});

test("maxBodyBytes counts what was decoded", async () => {
  const encoded = zlib.gzipSync(Buffer.alloc(3_000_000));
  const read = (response: HttpResponse): Coroutine<unknown> => failureOf(response.bytes());
  const error = (await asked(sending("gzip", encoded), read, { maxBodyBytes: 2_999_999 })) as BodyTooLarge;
  expect(error).toBeInstanceOf(BodyTooLarge);
  expect(error).toMatchObject({ decoded: true, limitBytes: 2_999_999, code: "HTTP_BODY_TOO_LARGE" });
  const bytes = await asked(sending("gzip", encoded), (response) => response.bytes(), { maxBodyBytes: 3_000_000 });
  expect(bytes.length).toBe(3_000_000);
  const pieces = await asked(sending("gzip", encoded), (response) => failureOf(inPieces(response)), {
    maxBodyBytes: 2_999_999,
  });
  expect(pieces).toBeInstanceOf(BodyTooLarge);
  // What is encoded may be longer than what is in it.
  expect(await asked(sending("gzip", zlib.gzipSync("tiny")), (response) => response.text(), { maxBodyBytes: 4 })).toBe(
    "tiny",
  );
  expect(
    await asked(sending("gzip", zlib.gzipSync("small")), (r) => failureOf(r.text()), { maxBodyBytes: 4 }),
  ).toBeInstanceOf(BodyTooLarge);
});

test("a decompression bomb that is read in pieces is stopped by its ratio, before it has cost much", async () => {
  const bomb = zlib.gzipSync(Buffer.alloc(60_000_000));
  let seen = 0;
  const count = function* (response: HttpResponse): Coroutine<void> {
    for (let chunk = yield* response.chunk(); chunk !== undefined; chunk = yield* response.chunk())
      seen += chunk.length;
  };
  const error = (await asked(sending("gzip", bomb), (response) => failureOf(count(response)))) as BodyTooLarge;
  expect(error).toBeInstanceOf(BodyTooLarge);
  expect(error.decoded).toBe(true);
  expect(error.message).toContain("maxInflation");
  expect(seen).toBeLessThan(64 * 1024 * 200 * 3);
  seen = 0;
  await asked(sending("gzip", bomb), count, { maxInflation: Infinity });
  expect(seen).toBe(60_000_000);
});

test("a bomb inside of a bomb is stopped where it goes off", async () => {
  const inner = zlib.brotliCompressSync(Buffer.alloc(100_000_000), {
    params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 },
  });
  const outer = zlib.gzipSync(Buffer.concat([inner]));
  const error = await asked(sending("br, gzip", outer), (response) => failureOf(inPieces(response)));
  expect(error).toBeInstanceOf(BodyTooLarge);
});

test("a nested bomb whose last layer gives little is stopped, too", async () => {
  // Stored deflate blocks of length zero: twenty megabytes that decode to nothing.
  const empty = Buffer.alloc(20_000_000);
  empty.set([0x78, 0x9c]);
  empty.fill(Buffer.of(0, 0, 0, 0xff, 0xff), 2);
  const outer = zlib.gzipSync(empty);
  const error = await asked(sending("deflate, gzip", outer), (response) => failureOf(inPieces(response)));
  expect(error).toBeInstanceOf(BodyTooLarge);
});

test("what a server has sent by now is there, while more is to come", async () => {
  let more: () => void = () => {};
  await asked(
    (_request, response) => {
      response.writeHead(200, { "content-encoding": "gzip" });
      const gzip = zlib.createGzip();
      gzip.pipe(response);
      gzip.write("first");
      gzip.flush();
      more = () => gzip.end("second");
    },
    function* (response) {
      expect(Buffer.from((yield* response.chunk())!).toString()).toBe("first");
      more();
      expect(Buffer.from((yield* response.chunk())!).toString()).toBe("second");
      expect(yield* response.chunk()).toBe(undefined);
    },
  );
});

test("a slow reader holds back the decoder, also inside of one piece of input, and the connection", async () => {
  const bomb = zlib.gzipSync(Buffer.alloc(10_000_000, "0123456789abcdef"));
  const random = Buffer.alloc(10_000_000);
  for (let at = 0; at < random.length; at += 4) random.writeUInt32LE((at * 2_654_435_761) % 4_294_967_296, at);
  const large = zlib.gzipSync(random, { level: 1 });
  for (const encoded of [bomb, large]) {
    let given = 0;
    const made = await decodersOf(() =>
      asked(
        sending("gzip", encoded),
        function* (response) {
          yield* response.chunk();
          yield* sleep(50);
          given = givenBytes;
          response.close();
        },
        { maxInflation: Infinity },
      ),
    );
    expect(given).toBeLessThan(1_000_000);
    expect(made.length).toBe(1);
    expect(made[0]!.destroyed).toBe(true);
  }
});

test("the end of the session frees a decoder in the middle of its work", async () => {
  const random = Buffer.alloc(8_000_000);
  for (let at = 0; at < random.length; at += 4) random.writeUInt32LE((at * 2_654_435_761) % 4_294_967_296, at);
  await using server = await startHttpServer(sending("gzip", zlib.gzipSync(random, { level: 1 })));
  const made = await decodersOf(() =>
    withSession(undici, {}, function* (session) {
      yield* (yield* session.get(server.origin)).chunk();
    }),
  );
  expect(made.map((decoder) => decoder.destroyed)).toEqual([true]);
});

test("a decoder of a body that has arrived ends with the scope that asked for it, in whatever way it is read", async () => {
  const bomb = zlib.gzipSync(Buffer.alloc(5_000_000)); // arrives in one piece, and is too much to be decoded in one call
  await using server = await startHttpServer(sending("gzip", bomb));
  const ways: ((response: HttpResponse) => Coroutine<unknown>)[] = [
    (response) => response.text(),
    function* (response) {
      yield* response.chunk();
      yield* sleep(60_000);
    },
  ];
  for (const read of ways) {
    const made = await decodersOf(() =>
      withSession(undici, { maxInflation: Infinity }, function* (session) {
        let isReading = false;
        const task = spawn(function* () {
          const response = yield* session.get(server.origin);
          while (!response.isComplete) yield* sleep(1);
          // A limit around the read alone does not end it.
          const first = yield* moveOnAfter(0, response.bytes());
          expect(first).toBe(undefined);
          isReading = true;
          yield* read(response);
        });
        while (!isReading) yield* sleep(0);
        yield* sleep(0);
        task.cancel();
      }),
    );
    expect(made.map((decoder) => decoder.destroyed)).toEqual([true]);
  }
});

test("a small body needs no decoder of its own; a large one has one, which is gone when the body has ended", async () => {
  const small = await decodersOf(() => asked(sending("gzip", zlib.gzipSync(TEXT)), (response) => response.text()));
  expect(small).toEqual([]);
  const large = await decodersOf(() => asked(sending("gzip", zlib.gzipSync(LARGE)), (response) => response.bytes()));
  expect(large.map((decoder) => decoder.destroyed)).toEqual([true]);
});

test("a cancelled read of a part keeps what has come; a repeated one goes on", async () => {
  const encoded = zlib.gzipSync(LARGE);
  await using server = await startHttpServer((_request, response) => {
    response.writeHead(200, { "content-encoding": "gzip" });
    response.write(encoded.subarray(0, 100_000));
    more = () => void response.end(encoded.subarray(100_000));
  });
  let more: () => void = () => {};
  const bytes = await withSession(undici, {}, function* (session) {
    const response = yield* session.get(server.origin);
    expect(yield* moveOnAfter(20, response.bytes())).toBe(undefined);
    more();
    return yield* response.bytes();
  });
  expect(LARGE.equals(bytes)).toBe(true);
});

test("cancelled at any step of reading, nothing is left: no decoder, no connection", async () => {
  const encoded = zlib.gzipSync(LARGE);
  await using server = await startHttpServer(sending("gzip", encoded));
  for (let steps = 0; steps < 12; steps++) {
    const made = await decodersOf(() =>
      withSession(undici, {}, function* (session) {
        const task = spawn(function* () {
          const response = yield* session.get(server.origin);
          for (let i = 0; ; i++) {
            if (i === steps) yield* sleep(1e6);
            if ((yield* response.chunk()) === undefined) return;
          }
        });
        while (task.state !== "settled" && !String(task.waitingFor).startsWith("sleep")) yield* sleep(1);
        yield* task.cancel();
        expect(atRest(session)).toMatchObject({ ...NOTHING, idle: expect.any(Number) as number });
      }),
    );
    for (const decoder of made) expect(decoder.destroyed).toBe(true);
  }
});

test("an excerpt of an error is readable", async () => {
  const encoded = zlib.gzipSync(`{"error":"no such user"}${" ".repeat(100)}`);
  for (const bytes of [encoded, encoded.subarray(0, 40)]) {
    await using server = await startHttpServer((_request, response) => {
      response.writeHead(404, { "content-encoding": "gzip", "content-length": bytes.length });
      response.end(bytes);
    });
    await withSession(undici, { raiseForStatus: true }, function* (session) {
      const error = (yield* failureOf(session.get(server.origin))) as ResponseError;
      expect(error).toBeInstanceOf(ResponseError);
      expect(error.excerpt).toContain('{"error":"no such');
    });
  }
});

test("a reader in promise code gets decoded pieces, and leaving early frees the decoder", async () => {
  await using server = await startHttpServer(sending("gzip", zlib.gzipSync(LARGE)));
  const made = await decodersOf(() =>
    withSession(undici, {}, function* (session) {
      const response = yield* session.get(server.origin);
      const pieces: Uint8Array[] = [];
      yield* until(
        (async () => {
          for await (const chunk of response) pieces.push(chunk);
        })(),
      );
      expect(LARGE.equals(Buffer.concat(pieces))).toBe(true);
      const other = yield* session.get(server.origin);
      yield* until(
        (async () => {
          for await (const chunk of other) if (chunk.length > 0) break;
        })(),
      );
    }),
  );
  expect(made.map((decoder) => decoder.destroyed)).toEqual([true, true]);
});

test("maxInflation must be a ratio", async () => {
  await expect(
    run(function* () {
      yield* Session.open({ undici, maxInflation: 0.5 });
    }),
  ).rejects.toThrow("maxInflation must be a number of at least 1");
});
