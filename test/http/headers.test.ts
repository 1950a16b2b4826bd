import { describe, expect, test } from "vitest";
import { InvalidRequestError } from "../../src/http/errors.ts";
import { mergeHeaders, ResponseHeaders, withDefaultHeader, withoutHeaders } from "../../src/http/headers.ts";

const subject = { method: "GET", url: "http://h/" };

describe("headers to send", () => {
  test("a header replaces the default of the same name, whatever its case; undefined takes it away", () => {
    const base = ["accept", "*/*", "user-agent", "fibril"];
    expect(
      mergeHeaders(base, { "User-Agent": "mine", ACCEPT: undefined, "X-Count": 3, "X-List": ["a", "b"] }, subject),
    ).toEqual(["user-agent", "mine", "x-count", "3", "x-list", ["a", "b"]]);
    expect(base).toEqual(["accept", "*/*", "user-agent", "fibril"]);
  });

  test("pairs, Map and Headers are taken as well", () => {
    expect(mergeHeaders([], [["A", "1"]], subject)).toEqual(["a", "1"]);
    expect(mergeHeaders([], new Map([["A", "1"]]), subject)).toEqual(["a", "1"]);
    expect(mergeHeaders([], new Headers({ A: "1" }), subject)).toEqual(["a", "1"]);
  });

  test("a value that is no text is refused with the name of the header", () => {
    expect(() => mergeHeaders([], { when: new Date(0) as never }, subject)).toThrow(InvalidRequestError);
    expect(() => mergeHeaders([], { when: new Date(0) as never }, subject)).toThrow(/"when"/);
  });

  test("defaults fill gaps only, and removal is by name", () => {
    expect(withDefaultHeader(["a", "1"], "a", "2")).toEqual(["a", "1"]);
    expect(withDefaultHeader(["a", "1"], "b", "2")).toEqual(["a", "1", "b", "2"]);
    expect(withoutHeaders(["a", "1", "b", "2", "c", "3"], new Set(["b"]))).toEqual(["a", "1", "c", "3"]);
  });
});

describe("headers of a response", () => {
  const headers = new ResponseHeaders({ "content-type": "text/plain", "set-cookie": ["a=1", "b=2"] });

  test("names are case-insensitive, several values stay apart when asked", () => {
    expect(headers.get("Content-Type")).toBe("text/plain");
    expect(headers.get("set-cookie")).toBe("a=1, b=2");
    expect(headers.getAll("Set-Cookie")).toEqual(["a=1", "b=2"]);
    expect(headers.getAll("absent")).toEqual([]);
    expect([headers.has("SET-COOKIE"), headers.has("absent")]).toEqual([true, false]);
    expect([...headers]).toEqual([
      ["content-type", "text/plain"],
      ["set-cookie", "a=1"],
      ["set-cookie", "b=2"],
    ]);
  });

  test("what every object inherits is no header", () => {
    expect(headers.get("constructor")).toBeUndefined();
    expect(headers.has("__proto__")).toBe(false);
  });
});
