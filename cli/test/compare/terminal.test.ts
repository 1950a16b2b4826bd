import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { terminalReport } from "../../src/compare/show/terminal.ts";
import type { Row } from "../../src/compare/report.ts";
import { SAMPLE } from "./sample-report.ts";

const plain = (width: number): string => terminalReport(SAMPLE, { width, colour: false });

test("the table has a line for each row, with its figures", () => {
  expect(plain(80)).toContain(
    [
      "   contestant                 wall  speed-up    memory  threads     lag   start",
      "a  4 coroutines that block  4.02 s     1.0 ×    104 MB        9  1.00 s  0.30 s",
      "b  4 coroutines, Session    1.01 s     4.0 ×     92 MB       11    4 ms  0.30 s",
      "c  4 promises with fetch    1.02 s     3.9 ×     92 MB       11    4 ms  0.30 s",
      "d  100 threads that block   1.05 s      95 ×  1,313 MB      108    4 ms  2.62 s",
      "e  100 coroutines, Session  1.03 s      97 ×    101 MB       11    4 ms  0.30 s",
    ].join("\n"),
  );
});

test("the bars of (a) are a staircase on the axis that all rows share", () => {
  const lines = plain(60).split("\n");
  const start = lines.indexOf("a  4 coroutines that block");
  expect(lines.slice(start - 1, start + 5)).toEqual([
    "          0         1 s       2 s        3 s       4 s",
    "a  4 coroutines that block",
    "        1 ██████████▎                               1.00 s",
    "        2           ██████████▌                     1.00 s",
    "        3                      █████████▊           1.00 s",
    "        4                                ██████████ 1.00 s",
  ]);
});

test("a hundred requests are drawn in ten lines, and it says so", () => {
  expect(plain(100)).toContain("d  100 threads that block  100 requests in 10 lines\n     1–10 █");
  expect(plain(100)).toContain("   91–100 █");
});

test.each([60, 80, 100, 200])("at a width of %i no line is wider; the table leaves out its last columns", (width) => {
  const lines = plain(width).split("\n");
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
});

test("colour changes no text", () => {
  expect(stripVTControlCharacters(terminalReport(SAMPLE, { width: 100, colour: true }))).toBe(plain(100));
});

test("a failed row says why, in the table and in its section", () => {
  const failed: Row = {
    key: "b",
    name: "session",
    title: "4 coroutines, Session",
    outcome: "failed",
    error: "boom",
    requests: [],
    warnings: [],
  };
  const text = terminalReport({ ...SAMPLE, rows: [failed] }, { width: 100, colour: false });
  expect(text).toContain("b  4 coroutines, Session  failed: boom\n");
  expect(text).toContain("   It failed: boom\n");
});
