import { describe, expect, test } from "vitest";
import { explain, warningTexts } from "../../src/compare/show/explain.ts";
import type { FinishedRow, Row, Warning } from "../../src/compare/report.ts";
import { SAMPLE } from "./sample-report.ts";

const row = (key: string): FinishedRow => SAMPLE.rows.find((one) => one.key === key) as FinishedRow;

describe("what is seen", () => {
  test("follows from the numbers", () => {
    expect(explain(row("a"), SAMPLE).seen).toBe(
      "4 requests took 4.02 s (4.0 × the delay), never more than one open at a time; the loop came 1,004 ms late.",
    );
    expect(explain(row("b"), SAMPLE).seen).toBe("4 requests took 1.01 s (1.0 × the delay), all 4 open at once.");
    expect(explain(row("d"), SAMPLE).seen).toBe(
      "100 requests took 1.05 s (1.1 × the delay), all 100 open at once; before that the threads took 2.41 s to start, " +
        "and they need 1,313 MB, about 12 MB for each thread.",
    );
    expect(explain(row("e"), SAMPLE).seen).toBe(
      "100 requests took 1.03 s (1.0 × the delay), all 100 open at once; with 13 × less memory than (d), " +
        "and 11 threads instead of 108.",
    );
  });

  test("says so when a row came out slower than it should", () => {
    expect(explain({ ...row("b"), wallMs: 1_400 }, SAMPLE).seen).toContain("slower than it should be");
  });

  test("does not compare with threads that did not run", () => {
    const alone = { ...SAMPLE, rows: [row("e")] };
    expect(explain(row("e"), alone).seen).toBe(
      "100 requests took 1.03 s (1.0 × the delay), all 100 open at once; with 101 MB.",
    );
  });

  test("claims no advantage that was not measured", () => {
    const heavy: Row = { ...row("e"), peakRssMb: 2_000, threads: 200 };
    expect(explain(heavy, SAMPLE).seen).toContain("no less memory than (d), and 200 threads.");
  });

  test("of a failed row is its error", () => {
    const failed: Row = { ...row("b"), outcome: "failed", error: "no such server", requests: [], warnings: [] };
    expect(explain(failed, SAMPLE)).toEqual({ seen: "It failed: no such server", why: "" });
  });
});

describe("a warning", () => {
  const warnings = (row("a") as Row).warnings;

  test("names the coroutine, the time and both lines, and the others that did the same", () => {
    expect(warningTexts(warnings)).toEqual([
      'coroutine "get 1" blocked the loop for 1,004 ms at request-sync.ts:27:11 (requestSync), ' +
        'called from blocking.ts:30:24 (get); so did "get 2", "get 3" and "get 4" there',
    ]);
  });

  test("without a place has the name and the time", () => {
    expect(warningTexts([{ task: "get 1", blockedMs: 60 }])).toEqual(['coroutine "get 1" blocked the loop for 60 ms']);
  });

  test("stays one sentence when very many did the same", () => {
    const many: Warning[] = Array.from({ length: 40 }, (_, index) => ({ task: `get ${index + 1}`, blockedMs: 60 }));
    expect(warningTexts(many)).toEqual([
      'coroutine "get 1" blocked the loop for 60 ms; so did "get 2", "get 3", "get 4", "get 5", "get 6" and 34 more',
    ]);
  });
});
