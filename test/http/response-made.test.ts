/**
 * Responses without a connection: made from anything, read in every way, closed when nobody wants them any more.
 */
import { Readable } from "node:stream";
import { EventLoop, moveOnAfter, sleep, spawn, yieldNow } from "fibril";
import type { Coroutine, Operation } from "fibril";
import { BodyTooLarge, HttpRequest, HttpResponse, HttpTimeoutError } from "fibril/http";
import type { MadeBodySource, PlainRequestOptions, ResponseParts } from "fibril/http";
import { simulate } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { failureOf } from "./harness.ts";

function respond(parts: ResponseParts, options: PlainRequestOptions = {}): HttpResponse {
  return HttpResponse.of(HttpRequest.of("GET", "http://h/a?b", options), parts);
}

/** Gives these pieces, one after each millisecond, and counts. */
class Pieces {
  asked = 0;
  closed = 0;
  readonly #pieces: readonly (string | Error)[];

  constructor(...pieces: readonly (string | Error)[]) {
    this.#pieces = pieces;
  }

  *next(): Coroutine<IteratorResult<string, undefined>> {
    yield* sleep(1);
    const piece = this.#pieces[this.asked++];
    if (piece instanceof Error) throw piece;
    return piece === undefined ? { done: true, value: undefined } : { done: false, value: piece };
  }

  close(): void {
    this.closed++;
  }
}

async function* generated(onEnd: () => void = () => {}): AsyncGenerator<string> {
  try {
    yield "on";
    yield "e";
  } finally {
    onEnd();
  }
}

function* counted(state: { ended: boolean }): Generator<string> {
  try {
    yield "on";
    yield "e";
  } finally {
    state.ended = true;
  }
}

describe("a response without a connection", () => {
  const sources: readonly [string, () => MadeBodySource][] = [
    ["a string", () => "one"],
    ["bytes", () => new TextEncoder().encode("one")],
    ["a view", () => new DataView(new TextEncoder().encode("one").buffer)],
    ["an array of pieces", () => ["o", new TextEncoder().encode("ne")]],
    ["a generator", () => counted({ ended: false })],
    ["an async generator", () => generated()],
    ["a node stream", () => Readable.from(["on", "e"])],
    ["a web stream", () => new Blob(["one"]).stream()],
    ["a sequence", () => new Pieces("o", "", "ne")],
  ];

  test.each(sources)("made of %s is read as a whole, in pieces, and by promise code", async (_, source) => {
    const seen = await simulate(function* () {
      const texts: string[] = [];
      texts.push(yield* respond({ body: source() }).text());
      texts.push(Buffer.from(yield* respond({ body: source() }).bytes()).toString());
      const response = respond({ body: source() });
      let text = "";
      for (let chunk = yield* response.chunk(); chunk !== undefined; chunk = yield* response.chunk()) {
        text += Buffer.from(chunk).toString();
      }
      expect(response.isComplete).toBe(true);
      expect(yield* response.chunk()).toBeUndefined();
      return [...texts, text];
    });
    expect(seen).toEqual(["one", "one", "one"]);
  });

  test("is read by promise code", async () => {
    const loop = new EventLoop();
    const response = await loop.spawn(function* () {
      return respond({ body: new Pieces("o", "ne") });
    });
    const texts: string[] = [];
    for await (const chunk of response) texts.push(Buffer.from(chunk).toString());
    expect(texts).toEqual(["o", "ne"]);
    expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0 });
  });

  test("says what it was made with; the default is an empty 200", async () => {
    await simulate(function* () {
      const empty = respond({});
      expect([empty.status, empty.ok, empty.isComplete, yield* empty.text()]).toEqual([200, true, true, ""]);
      const response = respond({
        status: 404,
        statusText: "Gone Fishing",
        headers: { "X-A": 1, "set-cookie": ["a=1", "b=2"] },
        body: '{"a":1}',
      });
      expect([response.status, response.statusText, response.ok]).toEqual([404, "Gone Fishing", false]);
      expect([response.method, response.url, response.redirects]).toEqual(["GET", "http://h/a?b", []]);
      expect(response.headers.get("x-a")).toBe("1");
      expect(response.headers.getAll("set-cookie")).toEqual(["a=1", "b=2"]);
      expect(yield* response.json()).toEqual({ a: 1 });
    });
  });

  test("tells the time of its body", async () => {
    await simulate(function* () {
      const request = HttpRequest.of("GET", "http://h/");
      yield* sleep(5);
      const response = HttpResponse.of(request, { body: new Pieces("a", "b") });
      expect(response.timings).toEqual({ queueMs: 0, connectMs: 0, headersMs: 5, bodyMs: 0, totalMs: 5 });
      yield* response.text();
      yield* sleep(10);
      expect(response.timings).toEqual({ queueMs: 0, connectMs: 0, headersMs: 5, bodyMs: 3, totalMs: 8 });
    });
  });

  test("has the limits of every body", async () => {
    await simulate(function* () {
      const pieces = new Pieces("abc", "def");
      const error = yield* failureOf(respond({ body: pieces }, { maxBodyBytes: 5 }).text());
      expect(error).toBeInstanceOf(BodyTooLarge);
      expect(pieces.closed).toBe(1);
      expect(yield* failureOf(respond({ body: "abcdef" }, { maxBodyBytes: 5 }).bytes())).toBeInstanceOf(BodyTooLarge);
      const inPieces = respond({ body: new Pieces("abc", "def") }, { maxBodyBytes: 5 });
      expect(yield* inPieces.chunk()).toHaveLength(3);
      expect(yield* failureOf(inPieces.chunk())).toBeInstanceOf(BodyTooLarge);
    });
  });

  test("the total limit goes over its body", async () => {
    await simulate(function* () {
      const pieces = new Pieces("a", "b", "c");
      const error = yield* failureOf(respond({ body: pieces }, { timeout: { totalMs: 2.5 } }).text());
      expect(error).toBeInstanceOf(HttpTimeoutError);
      expect(error).toMatchObject({ phase: "total" });
      expect(pieces.closed).toBe(1);
    });
  });

  test("nothing of its source runs before somebody reads", async () => {
    await simulate(function* () {
      const pieces = new Pieces("a");
      const response = respond({ body: pieces });
      yield* sleep(10);
      expect([pieces.asked, response.isComplete]).toEqual([0, false]);
      response.close();
      expect([pieces.asked, pieces.closed, response.isComplete]).toEqual([0, 1, true]);
    });
  });

  const closings: readonly [string, (response: HttpResponse) => Operation<unknown> | void][] = [
    ["close()", (response) => response.close()],
    ["discard()", (response) => response.discard()],
    ["the end of its use", (response) => response[Symbol.dispose]()],
  ];

  test.each(closings)("%s closes the source, once, and whoever reads afterwards is told", async (_, close) => {
    await simulate(function* () {
      const pieces = new Pieces("a", "b");
      const state = { ended: false };
      const stream = Readable.from(["a"]);
      for (const body of [pieces, counted(state), stream]) {
        const response = respond({ body });
        if (body === pieces) yield* response.chunk();
        for (let i = 0; i < 2; i++) {
          const closing = close(response);
          if (closing !== undefined) yield* closing;
        }
        expect(yield* failureOf(response.chunk())).toMatchObject({ code: "BODY_USED" });
      }
      expect(pieces.closed).toBe(1);
      expect(stream.destroyed).toBe(true);
    });
  });

  test("an error of the source comes after the pieces before it, and stays", async () => {
    await simulate(function* () {
      const broken = new Error("broken");
      const response = respond({ body: new Pieces("a", broken) });
      expect(yield* response.chunk()).toHaveLength(1);
      expect(yield* failureOf(response.chunk())).toBe(broken);
      expect(yield* failureOf(response.chunk())).toBe(broken);
    });
  });

  test("a piece that is no piece is refused", async () => {
    await simulate(function* () {
      const body = [1] as unknown as MadeBodySource;
      expect(yield* failureOf(respond({ body }).text())).toMatchObject({ code: "USAGE" });
      expect(() =>
        respond({ body: 7 as unknown as string })
          .text()
          .next(),
      ).toThrow(/sequence|iterable/);
    });
  });

  test("a read that was cancelled keeps what has come, and can be repeated", async () => {
    await simulate(function* () {
      const response = respond({ body: new Pieces("a", "b", "c") });
      expect(yield* moveOnAfter(2.5, response.text())).toBeUndefined();
      expect(yield* response.text()).toBe("abc");
    });
  });

  test("has one reader at a time, and is read in one way", async () => {
    await simulate(function* () {
      const response = respond({ body: new Pieces("a") });
      const reader = spawn(() => response.text());
      yield* yieldNow();
      expect(yield* failureOf(response.chunk())).toMatchObject({ code: "BODY_BUSY" });
      expect(yield* failureOf(response.discard())).toMatchObject({ code: "BODY_BUSY" });
      expect(yield* reader).toBe("a");
      expect(yield* failureOf(response.text())).toMatchObject({ code: "BODY_USED" });
    });
  });

  test.each([0, 99, 199, 1000, 200.5, Number.NaN, "200"])("%s is no status", async (status) => {
    await simulate(function* () {
      expect(() => respond({ status: status as number })).toThrow(/status/);
    });
  });
});

describe("a response that stands for another", () => {
  test("has what was changed, and the rest", async () => {
    await simulate(function* () {
      const first = respond({ status: 201, headers: { a: "1", b: "2" }, body: new Pieces("x", "y") });
      const second = first.with({ headers: { a: undefined, c: "3" } });
      expect([second.status, second.url, [...second.headers]]).toEqual([
        201,
        first.url,
        [
          ["b", "2"],
          ["c", "3"],
        ],
      ]);
      expect([first.with({ status: 500 }).status, first.headers.get("a")]).toEqual([500, "1"]);
      expect(second.isComplete).toBe(false);
      expect(yield* second.text()).toBe("xy");
      expect([first.isComplete, second.isComplete]).toEqual([true, true]);
      expect(yield* failureOf(first.text())).toMatchObject({ code: "BODY_USED" });
    });
  });

  test("with a body of its own that reads the other one: closing it closes both", async () => {
    await simulate(function* () {
      const pieces = new Pieces("x", "y");
      const shouted = (inner: HttpResponse): HttpResponse => inner.with({ body: new Shout(inner) });
      expect(yield* shouted(respond({ body: new Pieces("x", "y") })).text()).toBe("XY");
      const first = respond({ body: pieces });
      const second = shouted(first);
      expect(yield* second.chunk()).toEqual(new TextEncoder().encode("X"));
      second.close();
      expect([pieces.closed, first.isComplete]).toEqual([1, true]);
      const third = respond({ body: new Pieces("x") });
      yield* shouted(third).discard();
      expect(third.isComplete).toBe(true);
    });
  });
});

class Shout {
  readonly #response: HttpResponse;

  constructor(response: HttpResponse) {
    this.#response = response;
  }

  *next(): Coroutine<IteratorResult<string, undefined>> {
    const chunk = yield* this.#response.chunk();
    return chunk === undefined
      ? { done: true, value: undefined }
      : { done: false, value: Buffer.from(chunk).toString().toUpperCase() };
  }
}
