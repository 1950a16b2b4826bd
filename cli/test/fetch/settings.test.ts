import { describe, expect, test } from "vitest";
import { CommandLineError } from "../../src/command-line-error.ts";
import { DEFAULTS, parseSettings, type RawSettings } from "../../src/fetch/settings.ts";

const URLS = ["http://localhost/"];
const parse = (options: Partial<RawSettings> = {}, urls = URLS) => parseSettings(urls, { ...DEFAULTS, ...options });

describe("durations and sizes", () => {
  test.for([
    ["30", 30_000],
    ["30s", 30_000],
    ["500ms", 500],
    ["2m", 120_000],
    ["1h", 3_600_000],
    ["1.5s", 1_500],
  ] as const)("--timeout %s is %i ms", ([text, ms]) => {
    expect(parse({ timeout: text }).timeoutMs).toBe(ms);
  });

  test.for(["", "0", "-1", "5 days", "s", "1e3"])("--timeout %j is refused with what would be accepted", (text) => {
    expect(() => parse({ timeout: text })).toThrow(/--timeout takes a duration such as 30s, 500ms or 2m/);
  });

  test.for([
    ["1000000", 1_000_000],
    ["0", 0],
    ["64k", 65_536],
    ["10M", 10_485_760],
    ["1.5G", 1_610_612_736],
    ["10MB", 10_485_760],
  ] as const)("--max-bytes %s is %i", ([text, bytes]) => {
    expect(parse({ maxBytes: text }).maxBytes).toBe(bytes);
  });

  test("a bad size, count or method is refused", () => {
    for (const bad of [
      { maxBytes: "much" },
      { concurrency: "0" },
      { concurrency: "1.5" },
      { concurrency: "99999" },
      { perHost: "0" },
      { retries: "-1" },
      { method: "GE T" },
      { method: "connect" },
      { output: "" },
    ]) {
      expect(() => parse(bad), JSON.stringify(bad)).toThrow(CommandLineError);
    }
  });
});

describe("where results go", () => {
  test("a single URL goes to the standard output", () => {
    expect(parse().wanted).toEqual({ folder: undefined, ndjson: false, body: true });
  });

  test("several need a place", () => {
    expect(() => parse({}, ["http://a/", "http://b/"])).toThrow(/-o FOLDER saves the bodies, --ndjson prints a line/);
    expect(() => parse({ input: "-" }, [])).toThrow(/several URLs need a place to go/);
    expect(parse({ input: "-", output: "out", ndjson: true }, []).wanted).toEqual({
      folder: "out",
      ndjson: true,
      body: false,
    });
  });

  test("nothing to fetch is refused", () => {
    expect(() => parse({ ndjson: true }, [])).toThrow(/nothing to fetch/);
  });
});

describe("headers", () => {
  test("names are lower case, values trimmed, the same name may come again", () => {
    const header = ["Accept: text/html", "X-A:1", "x-a:  2 ", "Empty:"];
    expect(parse({ header }).headers).toEqual([
      ["accept", ["text/html"]],
      ["x-a", ["1", "2"]],
      ["empty", [""]],
    ]);
  });

  test.for(["no colon", ": nameless", "bad name: x", "a: two\nlines"])("%j is refused", (header) => {
    expect(() => parse({ header: [header] })).toThrow(/--header takes "Name: value"/);
  });
});
