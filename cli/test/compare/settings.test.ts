import { expect, test } from "vitest";
import { CommandLineError } from "../../src/command-line-error.ts";
import { DEFAULTS, parseSettings } from "../../src/compare/settings.ts";

test("without options it is the article's experiment", () => {
  expect(parseSettings(DEFAULTS)).toEqual({ delayMs: 3_000, count: 4, many: 100, only: ["a", "b", "c", "d", "e"] });
});

test("--only takes letters and names, in any order and case, and keeps the order of the table", () => {
  expect(parseSettings({ ...DEFAULTS, only: "E, blocking,b" }).only).toEqual(["a", "b", "e"]);
});

test.each([
  [{ delay: "0" }, '--delay takes a whole number of milliseconds from 1 to 60,000, not "0"'],
  [{ delay: "1.5" }, '--delay takes a whole number of milliseconds from 1 to 60,000, not "1.5"'],
  [{ delay: "3s" }, '--delay takes a whole number of milliseconds from 1 to 60,000, not "3s"'],
  [{ delay: "99999999" }, '--delay takes a whole number of milliseconds from 1 to 60,000, not "99999999"'],
  [{ count: "-1" }, '--count takes a whole number of requests from 1 to 1,000, not "-1"'],
  [{ many: "" }, '--many takes a whole number of requests from 1 to 1,000, not ""'],
  [
    { only: "a,x" },
    "--only takes letters or names separated by commas, of a (blocking), b (session), c (fetch), d (threads), e (many); " +
      'not "x"',
  ],
])("a bad value is refused in one sentence that says what is accepted: %o", (bad, sentence) => {
  expect(() => parseSettings({ ...DEFAULTS, ...bad })).toThrow(new CommandLineError(sentence));
});
