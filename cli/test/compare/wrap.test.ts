import { expect, test } from "vitest";
import { wrap } from "../../src/compare/show/wrap.ts";

test("a sentence is broken at its spaces, and a long word stands alone", () => {
  expect(wrap("one two extraordinary three", 8)).toEqual(["one two", "extraordinary", "three"]);
  expect(wrap("  ", 8)).toEqual([]);
});

test("a number and its unit stay together", () => {
  expect(wrap("late by 6,085 ms", 13)).toEqual(["late by", "6,085 ms"]);
  expect(wrap("in 1.02 s. So", 7)).toEqual(["in", "1.02 s.", "So"]);
});
