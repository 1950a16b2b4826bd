/**
 * What a response is made into: JSON that a schema has checked, errors by status, links.
 */
import { sleep } from "fibril";
import type { Coroutine } from "fibril";
import { DecodeError, HttpRequest, HttpResponse, ResponseError, SchemaError } from "fibril/http";
import type { Middleware, ResponseParts, Schema } from "fibril/http";
import { simulate } from "fibril/testing";
import { type } from "arktype";
import * as v from "valibot";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { failureOf, withSession } from "./harness.ts";
import { startHttpServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

function respond(parts: ResponseParts): HttpResponse {
  return HttpResponse.of(HttpRequest.of("GET", "http://h/users/7?secret=1"), parts);
}

interface User {
  id: number;
  name: string;
}

const zodUser = z.object({ id: z.number(), name: z.string() });
const valibotUser = v.object({ id: v.number(), name: v.string() });
const arktypeUser = type({ id: "number", name: "string" });

describe("json with a schema", () => {
  test.each([
    ["zod", zodUser],
    ["valibot", valibotUser],
    ["arktype", arktypeUser],
  ] as readonly (readonly [string, Schema<unknown, User>])[])(
    "of %s gives what fits, and tells what does not",
    async (vendor, schema) => {
      await simulate(function* () {
        const user = yield* respond({ body: '{"id":7,"name":"Ada"}' }).json(schema);
        expect(user).toEqual({ id: 7, name: "Ada" });
        const error = (yield* failureOf(respond({ body: '{"id":"7","name":null}' }).json(schema))) as SchemaError;
        expect(error).toBeInstanceOf(SchemaError);
        expect(error).toMatchObject({ code: "HTTP_SCHEMA", method: "GET", value: { id: "7", name: null } });
        expect(error.issues).toHaveLength(2);
        expect(error.message).toMatch(
          /^http GET h\/users\/7: the response does not fit its schema: .+\(at id\); .+\(at name\)$/,
        );
        expect(schema["~standard"].vendor).toBe(vendor);
      });
    },
  );

  test("the type follows from the schema", async () => {
    await simulate(function* () {
      const body = '{"id":7,"name":"Ada"}';
      expectTypeOf(yield* respond({ body }).json(zodUser)).toEqualTypeOf<User>();
      expectTypeOf(yield* respond({ body }).json(valibotUser)).toEqualTypeOf<User>();
      expectTypeOf(yield* respond({ body }).json(arktypeUser)).toEqualTypeOf<User>();
      expectTypeOf(yield* respond({ body }).json()).toEqualTypeOf<unknown>();
      expectTypeOf(yield* respond({ body }).json<User>()).toEqualTypeOf<User>();
      const length = z.string().transform((text) => text.length);
      const size = yield* respond({ body: '"four"' }).json(length);
      expectTypeOf(size).toEqualTypeOf<number>();
      expect(size).toBe(4);
    });
  });

  test("may be asynchronous", async () => {
    const isFree = async (name: string): Promise<boolean> => await Promise.resolve(name !== "Ada");
    const zodFree = z.object({ name: z.string().refine(isFree, "taken") });
    const valibotFree = v.objectAsync({ name: v.pipeAsync(v.string(), v.checkAsync(isFree, "taken")) });
    await simulate(function* () {
      for (const schema of [zodFree, valibotFree] as readonly Schema<unknown, { name: string }>[]) {
        expect(yield* respond({ body: '{"name":"Bob"}' }).json(schema)).toEqual({ name: "Bob" });
        const error = (yield* failureOf(respond({ body: '{"name":"Ada"}' }).json(schema))) as SchemaError;
        expect(error.issues).toMatchObject([{ message: "taken" }]);
      }
    });
  });

  test("what the schema throws is thrown; a body that is no JSON is no matter of the schema", async () => {
    const broken = new Error("broken");
    const schema: Schema = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate() {
          throw broken;
        },
      },
    };
    await simulate(function* () {
      expect(yield* failureOf(respond({ body: "{}" }).json(schema))).toBe(broken);
      expect(yield* failureOf(respond({ body: "<html>" }).json(zodUser))).toBeInstanceOf(DecodeError);
    });
  });

  test("a long list of issues is cut in the message", async () => {
    await simulate(function* () {
      const schema = z.array(z.number());
      const error = (yield* failureOf(respond({ body: '["a","b","c","d","e"]' }).json(schema))) as SchemaError;
      expect(error.issues).toHaveLength(5);
      expect(error.message).toMatch(/\(at 2\); and 2 more$/);
    });
  });
});

describe("json with checkType", () => {
  test.each([
    "application/json",
    "application/json; charset=utf-8",
    "application/problem+json",
    "text/json",
    "Application/JSON",
  ])("takes %s", async (contentType) => {
    await simulate(function* () {
      const response = respond({ headers: { "content-type": contentType }, body: "{}" });
      expect(yield* response.json({ checkType: true })).toEqual({});
    });
  });

  test.each([undefined, "text/html", "application/jsonp", "application/json5", "text/plain; a=application/json"])(
    "refuses %s, with and without a schema",
    async (contentType) => {
      await simulate(function* () {
        const headers = { "content-type": contentType };
        const error = yield* failureOf(respond({ headers, body: "{}" }).json({ checkType: true }));
        expect(error).toBeInstanceOf(DecodeError);
        expect((error as Error).message).toContain(contentType === undefined ? "none" : JSON.stringify(contentType));
        const response = respond({ headers, body: "{}" });
        expect(yield* failureOf(response.json(z.object({}), { checkType: true }))).toBeInstanceOf(DecodeError);
        expect(yield* response.text()).toBe("{}");
      });
    },
  );
});

describe("statuses that are errors", () => {
  test.each([
    [true, [400, 500, 599], [200, 204, 302, 399]],
    [false, [], [200, 400, 500]],
    [
      [404, 304],
      [404, 304],
      [200, 400, 500],
    ],
    [(status: number) => status !== 200, [201, 404], [200]],
  ] as const)("%s", async (raiseForStatus, errors, answers) => {
    await using server = await startHttpServer((request, response) => {
      const status = Number(request.url!.slice(1));
      response
        .writeHead(status, { "retry-after": "7" })
        .end(status === 304 || status === 204 ? undefined : `is ${status}`);
    });
    for (const [, undici] of undiciVersions) {
      for (const way of [{}, { middleware: through }]) {
        await withSession(undici, { baseUrl: server.origin, raiseForStatus, ...way }, function* (session) {
          for (const status of errors) {
            const error = (yield* failureOf(session.get(`${status}`))) as ResponseError;
            expect(error).toBeInstanceOf(ResponseError);
            expect([error.status, error.excerpt]).toEqual([status, status === 304 ? "" : `is ${status}`]);
            expect(error.headers.get("Retry-After")).toBe("7");
            expect((yield* session.get(`${status}`, { raiseForStatus: false })).status).toBe(status);
          }
          for (const status of answers) expect((yield* session.get(`${status}`)).status).toBe(status);
        });
      }
    }
  });

  test("a function that throws ends the request; what is no check is refused", async () => {
    await using server = await startHttpServer();
    const broken = new Error("broken");
    const raiseForStatus = (): boolean => {
      throw broken;
    };
    await withSession(undiciVersions[0]![1], { baseUrl: server.origin }, function* (session) {
      expect(yield* failureOf(session.get("/", { raiseForStatus }))).toBe(broken);
      expect(yield* failureOf(session.with({ transport: never204, raiseForStatus }).get("/"))).toBe(broken);
      for (const wrong of ["400", [4.5], {}] as never[]) {
        expect(yield* failureOf(session.get("/", { raiseForStatus: wrong }))).toMatchObject({ code: "USAGE" });
        expect(() => session.with({ raiseForStatus: wrong })).toThrow(/raiseForStatus/);
      }
    });
  });

  test("raiseForStatus() gives the response, or throws with the beginning of the body and lets go of the rest", async () => {
    await simulate(function* () {
      const good = respond({ status: 301 });
      expect(yield* good.raiseForStatus()).toBe(good);
      expect(yield* respond({ status: 404 }).raiseForStatus([500])).toMatchObject({ status: 404 });
      const bad = respond({ status: 404, body: ["é".repeat(400), "x".repeat(4000)] });
      const error = (yield* failureOf(bad.raiseForStatus())) as ResponseError;
      expect([error.status, Buffer.byteLength(error.excerpt), bad.isComplete]).toEqual([404, 1024, true]);
      const slow = respond({ status: 500, body: slowly() });
      const late = (yield* failureOf(slow.raiseForStatus())) as ResponseError;
      expect([late.excerpt, slow.isComplete]).toEqual(["so far", true]);
      const read = respond({ status: 500, body: "gone" });
      yield* read.text();
      expect(yield* failureOf(read.raiseForStatus())).toMatchObject({ status: 500, excerpt: "" });
    });
  });
});

describe("links", () => {
  const base = "http://h/users?page=2";
  test.each([
    ["<https://h/?page=3>; rel=next", [["next", "https://h/?page=3"]]],
    [
      '</a>; rel="next", <b?c>; rel="prev"',
      [
        ["next", "http://h/a"],
        ["prev", "http://h/b?c"],
      ],
    ],
    ['</a,b;c>; title="x, y; \\"z\\" <d>"; rel="next"', [["next", "http://h/a,b;c"]]],
    [
      '</a>; rel="first last"',
      [
        ["first", "http://h/a"],
        ["last", "http://h/a"],
      ],
    ],
    ["</a>;rel=Next ; rel=prev", [["Next", "http://h/a"]]],
    ["</a>; REL = next", [["next", "http://h/a"]]],
    ['</a>; rel="next"; anchor="/other"', []],
    ["</a>", []],
    ["</a>; rel", []],
    ["nonsense", []],
    ["<http://>; rel=next, </b>; rel=prev", [["prev", "http://h/b"]]],
    ["</a; rel=next", []],
    ["", []],
    ["<>; rel=self", [["self", base]]],
    [
      '</a>; rel="next", ,, </b>;; rel=prev',
      [
        ["next", "http://h/a"],
        ["prev", "http://h/b"],
      ],
    ],
  ])("%s", async (link, expected) => {
    await simulate(function* () {
      const response = HttpResponse.of(HttpRequest.of("GET", base), { headers: { link } });
      expect(response.links.map(({ relation, url }) => [relation, url])).toEqual(expected);
    });
  });

  test("are found by their relation; parameters are told; several headers count", async () => {
    await simulate(function* () {
      const response = respond({
        headers: { link: ['</a>; rel="next"; title="a \\"b\\""; title=c', "</z>; rel=last"] },
      });
      expect(response.link("NEXT")).toEqual({
        url: "http://h/a",
        relation: "next",
        parameters: { rel: "next", title: 'a "b"' },
      });
      expect([response.link("last")?.url, response.link("prev")]).toEqual(["http://h/z", undefined]);
    });
  });

  test("a long header that is no link costs no time", async () => {
    await simulate(function* () {
      for (const text of ["<", "<a>;", "<a>; x", '<a>; x="\\', "<a>,"]) {
        const response = respond({ headers: { link: text.repeat(20_000) } });
        expect(response.links).toEqual([]);
      }
    });
  });
});

/** Gives something, and then nothing for a long time. */
function slowly(): { next(): Coroutine<IteratorResult<string, undefined>> } {
  let isBegun = false;
  return {
    *next() {
      if (isBegun) yield* sleep(60_000);
      isBegun = true;
      return { done: false, value: "so far" };
    },
  };
}

const through: Middleware = (request, next) => next(request);

function* never204(request: HttpRequest): Coroutine<HttpResponse> {
  yield* sleep(0);
  return HttpResponse.of(request, { status: 204 });
}
