import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { BadLine, makeJob, parseLine } from "../../src/fetch/job.ts";

const parse = (text: string) => parseLine(text, "line 7", 7);
const problem = (text: string): string => {
  const job = parse(text);
  return job instanceof BadLine ? job.problem : "";
};

describe("a line", () => {
  test("may be blank or a comment", () => {
    for (const text of ["", "  \t", "# http://localhost/", "  # x"]) expect(parse(text)).toBeUndefined();
  });

  test("is a URL, spaces around it do not count", () => {
    expect(parse("  http://Example.org:80/a?b#c\r")).toMatchObject({
      where: "line 7",
      line: 7,
      url: "http://Example.org:80/a?b#c",
      origin: "http://example.org",
      request: null,
      output: "",
      tries: 0,
    });
  });

  test("is a bad one when it is only a path, also as the first of all", async () => {
    vi.resetModules(); // one that has seen no URL yet
    const fresh = await import("../../src/fetch/job.ts");
    for (const path of ["/", "/a", "//h/a"]) {
      expect(fresh.makeJob(path, "line 1", 1, null)).toMatchObject({ problem: expect.stringContaining("not a URL") });
    }
  });

  test("law: has the origin that the URL parser finds, whatever URL came before", () => {
    const start = fc.constantFrom(
      ..."http://h/ http://h http://H/ http://h:80/ http://h:81/ https://h/ ftp://h/ h/".split(" "),
    );
    const odd = fc.constantFrom(..."|a|/|//x/|\\|@x/|:81/|?|#|\ud800|\0|%|a b|[|..|.x/".split("|"));
    const rest = fc.oneof(odd, fc.string({ unit: "binary", maxLength: 8 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(start, rest), { maxLength: 10 }), (list) => {
        for (const url of list.map((pair) => pair.join(""))) {
          const job = makeJob(url, "line 7", 7, null);
          const parsed = URL.canParse(url) ? new URL(url) : null;
          const isGood = parsed?.protocol === "http:" || parsed?.protocol === "https:";
          expect(job instanceof BadLine ? null : job.origin).toBe(isGood ? parsed.origin : null);
        }
      }),
      { numRuns: 200 },
    );
  });

  test("may be an object that says more; null means that it does not", () => {
    const line = {
      url: "https://example.org/",
      method: "POST",
      headers: { Accept: "a", "x-list": ["1", "2"], "x-number": 3, "x-none": null },
      body: { a: 1 },
      output: null,
      status: 200,
    };
    expect(parse(JSON.stringify(line))).toMatchObject({
      url: "https://example.org/",
      request: {
        method: "POST",
        headers: [
          ["accept", "a"],
          ["x-list", ["1", "2"]],
          ["x-number", "3"],
        ],
        body: { a: 1 },
        output: undefined,
      },
    });
  });
});

describe("a bad line says what is wrong", () => {
  test.for([
    ["foo bar", "not a URL: foo bar"],
    ["http://", "not a URL: http://"],
    ["example.org/a", "not a URL: example.org/a; write it whole, with http:// or https://"],
    ["localhost:8080/a", "not an http or https URL: localhost:8080/a; write it whole, with http:// or https://"],
    ["ftp://example.org/", "not an http or https URL: ftp://example.org/"],
    ["{", "not JSON: {"],
    ["{}", 'its "url" is missing, and must be a string'],
    ['{"url":["a"]}', 'its "url" is a list, and must be a string'],
    ['{"url":"nope"}', "not a URL: nope; write it whole, with http:// or https://"],
    ['{"url":"http://a/","method":1}', 'its "method": it is a number, and must be a string'],
    ['{"url":"http://a/","method":"A B"}', 'its "method": "A B" is not a method'],
    ['{"url":"http://a/","headers":"x"}', 'its "headers" is a string, and must be an object'],
    [
      '{"url":"http://a/","headers":{"a":"b\\nc"}}',
      "its header a cannot be sent: a name and a text of one line are wanted",
    ],
    ['{"url":"http://a/","output":1}', 'its "output" is a number, and must be a string'],
  ] as const)("%s", ([text, expected]) => {
    expect(problem(text)).toBe(expected);
  });

  test("and cannot do anything to the terminal", () => {
    expect(problem("\u001b]0;title\u0007 x")).toBe("not a URL: \\u001b]0;title\\u0007 x");
    expect(problem("x".repeat(1_000) + " y").length).toBeLessThan(200);
  });
});
