import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { InvalidRequestError } from "../../src/http/errors.ts";
import { encodeBody } from "../../src/http/body/outgoing.ts";
import type { BodyOptions } from "../../src/http/body/outgoing.ts";
import { OutgoingStream } from "../../src/http/body/outgoing-stream.ts";
import { isReplayable } from "../../src/http/body/sources.ts";
import type { StreamSource } from "../../src/http/body/sources.ts";

const subject = { method: "POST", url: "http://h/" };

function encode(options: BodyOptions): unknown[] {
  const { body, headers } = encodeBody(options, [], subject);
  return [body.data ?? body.stream, ...headers];
}

function observed(source: StreamSource): { stream: OutgoingStream; failures: unknown[]; counts: () => number[] } {
  let asked = 0;
  let gave = 0;
  const failures: unknown[] = [];
  const stream = new OutgoingStream(source, {
    subject,
    streamAsked: () => void asked++,
    streamGave: () => void gave++,
    streamFailed: (error) => void failures.push(error),
  });
  return { stream, failures, counts: () => [asked, gave] };
}

describe("request bodies", () => {
  test("json, form and text bring their content type, bytes and streams do not", () => {
    const bytes = new Uint8Array([1]);
    const list = ["a"];
    expect(encode({ json: { a: [1] } })).toEqual(['{"a":[1]}', "content-type", "application/json"]);
    expect(encode({ json: null })).toEqual(["null", "content-type", "application/json"]);
    expect(encode({ form: { a: "x y", b: [1, 2], c: true } })).toEqual([
      "a=x+y&b=1&b=2&c=true",
      "content-type",
      "application/x-www-form-urlencoded",
    ]);
    expect(encode({ form: new URLSearchParams("a=1") })[0]).toBe("a=1");
    expect(encode({ body: "text" })).toEqual(["text", "content-type", "text/plain;charset=UTF-8"]);
    expect(encode({ body: bytes })).toEqual([bytes]);
    expect(encode({ body: bytes.buffer })).toEqual([bytes]);
    expect(encode({ body: new DataView(bytes.buffer) })).toEqual([bytes]);
    expect(encode({ body: list })).toEqual([list]);
    expect(encode({})).toEqual([undefined]);
  });

  test("a content type of the caller's own stays", () => {
    const { headers } = encodeBody({ json: 1 }, ["content-type", "application/vnd.api+json"], subject);
    expect(headers).toEqual(["content-type", "application/vnd.api+json"]);
  });

  test.each<[string, BodyOptions]>([
    ["two bodies", { json: 1, body: "2" }],
    ["a cycle", { json: cycle() }],
    ["a function as json", { json: () => 1 }],
    ["a number as body", { body: 1 as never }],
    ["a plain object as body", { body: {} as never }],
  ])("%s is refused", (_, options) => {
    expect(() => encodeBody(options, [], subject)).toThrow(InvalidRequestError);
  });

  test("lists can be sent twice, generators and node streams once", () => {
    expect(isReplayable(["a"])).toBe(true);
    expect(isReplayable(new Set(["a"]))).toBe(true);
    expect(isReplayable({ async *[Symbol.asyncIterator]() {} })).toBe(true);
    expect(isReplayable((function* () {})())).toBe(false);
    expect(isReplayable((async function* () {})())).toBe(false);
    expect(isReplayable(Readable.from(["a"]))).toBe(false);
  });
});

describe("a stream on its way out", () => {
  test("is read piece by piece, with a sign before and after each and the end", async () => {
    const { stream, counts } = observed(["a", new Uint8Array([1]), new Uint8Array([2]).buffer]);
    const pieces: unknown[] = [];
    for await (const piece of stream) pieces.push(piece);
    expect(pieces).toEqual(["a", new Uint8Array([1]), new Uint8Array([2])]);
    expect(counts()).toEqual([4, 4]);
  });

  test("its own error is kept as it is", async () => {
    const own = new RangeError("mine");
    const { stream, failures } = observed(
      (async function* () {
        yield "a";
        throw own;
      })(),
    );
    await stream.next();
    await expect(stream.next()).rejects.toBe(own);
    expect(failures).toEqual([own]);
  });

  test("a piece that is neither text nor bytes is refused, and the stream is closed", async () => {
    let closed = false;
    const source = (function* () {
      try {
        yield 1 as never;
      } finally {
        closed = true;
      }
    })();
    const { stream, failures } = observed(source);
    await expect(stream.next()).rejects.toThrow(InvalidRequestError);
    expect(failures[0]).toBeInstanceOf(InvalidRequestError);
    await Promise.resolve();
    expect(closed).toBe(true);
  });

  test("closing ends a source that hangs in next(), and what it gives later is dropped", async () => {
    const source = new Readable({ read: () => undefined });
    const { stream, failures } = observed(source);
    const hanging = stream.next();
    stream.close();
    expect(await hanging).toEqual({ done: true, value: undefined });
    expect(source.destroyed).toBe(true);
    expect(failures).toEqual([]);
  });

  test("closing leaves a source alone that was not begun", () => {
    const source = Readable.from(["a"]);
    const { stream } = observed(source);
    stream.close();
    expect(source.destroyed).toBe(false);
  });

  test("a source that throws while it is closed harms nobody", async () => {
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.resolve({ done: false as const, value: "a" }),
        return: () => Promise.reject(new Error("late")),
      }),
    };
    const { stream } = observed(source);
    await stream.next();
    stream.close();
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });
});

function cycle(): unknown {
  const object: Record<string, unknown> = {};
  object["self"] = object;
  return object;
}
