/** What people read: numbers, the summary, the line of progress. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { failureOfLine, failureOfStatus } from "../../src/fetch/failure.ts";
import { byteSize, perSecond, timeSpan, whole } from "../../src/fetch/format.ts";
import { Histogram } from "../../src/fetch/histogram.ts";
import { progressLine, progressText, RateMeter, type View } from "../../src/fetch/progress.ts";
import { summaryLines } from "../../src/fetch/summary.ts";
import { Tally } from "../../src/fetch/tally.ts";

describe("numbers", () => {
  test("whole ones as the engine itself would group them", () => {
    fc.assert(
      fc.property(fc.oneof(fc.nat(), fc.maxSafeNat(), fc.double({ min: 0, max: 1e15, noNaN: true })), (value) => {
        expect(whole(value)).toBe(Math.round(value).toLocaleString("en-US"));
      }),
    );
  });

  test("bytes, times and rates in few digits", () => {
    expect([0, 999, 1_000, 1_234_567, 999_600, 45_600_000, 1.2e12].map(byteSize)).toEqual([
      "0 bytes",
      "999 bytes",
      "1.0 kB",
      "1.2 MB",
      "1.0 MB",
      "46 MB",
      "1.2 TB",
    ]);
    expect([0.42, 42, 999, 1_234, 12_345, 59_999, 200_000, 3_600_000, 7_500_000].map(timeSpan)).toEqual([
      "0.4 ms",
      "42 ms",
      "999 ms",
      "1.2 s",
      "12 s",
      "1 min",
      "3 min 20 s",
      "1 h",
      "2 h 5 min",
    ]);
    expect([perSecond(5, 2_000), perSecond(5_000, 1_000), perSecond(5, 0)]).toEqual(["2.5/s", "5,000/s", "0.0/s"]);
  });

  test("law: a quantile of the histogram is right to 2 %", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.02, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 200 }),
        fc.constantFrom(0.5, 0.95, 1),
        (values, share) => {
          const histogram = new Histogram();
          for (const value of values) histogram.add(value);
          const exact = values.sort((one, other) => one - other)[Math.ceil(values.length * share) - 1]!;
          expect(Math.abs(histogram.quantile(share) - exact)).toBeLessThanOrEqual(exact * 0.02);
        },
      ),
    );
    expect(new Histogram().quantile(0.5)).toBe(0);
  });
});

function tallyOf(succeeded: number, notFound: number): Tally {
  const tally = new Tally();
  tally.succeeded = succeeded;
  tally.receivedBytes = succeeded * 1_000;
  tally.read = succeeded + notFound;
  for (let count = 0; count < notFound; count++) tally.addFailure(failureOfStatus(404), `host${count % 2}.example`);
  return tally;
}

describe("the summary", () => {
  const ending = { elapsedMs: 4_000, expected: 1_000, isExpectedExact: true, stoppedBy: undefined };

  test("a run without failures takes one line, and a second for its times", () => {
    const tally = tallyOf(1_000, 0);
    for (let count = 0; count < 1_000; count++) tally.durations.add(40);
    expect(summaryLines(tally, ending)).toEqual([
      "1,000 fetched in 4.0 s (250/s), 1.0 MB received (250 kB/s)",
      "time of a request: p50 40 ms, p90 40 ms, p99 40 ms",
    ]);
  });

  test("failures are counted by kind and by host, most frequent first", () => {
    const tally = tallyOf(10, 5);
    tally.addFailure(failureOfLine("not a URL: x"), undefined);
    tally.retries = 1;
    expect(summaryLines(tally, ending)).toEqual([
      "10 fetched, 6 failed in 4.0 s (4.0/s), 10 kB received (2.5 kB/s)",
      "tried again: 1 time",
      "failed: 5 × 404 Not Found, 1 × bad line",
      "failed at: 3 × host0.example, 2 × host1.example",
    ]);
  });

  test("it says what was not done, and how well that is known", () => {
    const tally = tallyOf(400, 0);
    tally.read = 700;
    tally.underWay = 50;
    const stopped = { ...ending, stoppedBy: "Ctrl-C" };
    expect(summaryLines(tally, stopped).at(-1)).toBe("stopped by Ctrl-C; not done: 600, 50 of them were under way");
    expect(summaryLines(tally, { ...stopped, isExpectedExact: false }).at(-1)).toContain("not done: about 600");
    expect(summaryLines(tally, { ...stopped, expected: undefined, isExpectedExact: false }).at(-1)).toContain(
      "not done: at least 300",
    );
  });

  test("a million hosts that fail do not take a million entries", () => {
    const tally = new Tally();
    for (let count = 0; count < 5_000; count++) tally.addFailure(failureOfStatus(500), `host${count}.example`);
    expect(tally.failuresByHost).toHaveLength(1_001);
    expect(tally.failuresByHost[0]).toEqual(["other hosts", 4_000]);
  });
});

describe("progress", () => {
  const view = (tally: Tally, expected: number | undefined): View => ({
    tally,
    expected,
    isExpectedExact: true,
    away: 0,
    heldHosts: 0,
  });
  const rate = { ms: 2_000, done: 100, bytes: 4_000_000 };

  test("the line has share, count, rates, failures and the time left", () => {
    expect(progressText(view(tallyOf(240, 10), 1_000), rate)).toBe(
      "25 %  250 of 1,000  50/s  2.0 MB/s  10 failed  15 s left",
    );
    expect(progressText({ ...view(tallyOf(240, 0), undefined), away: 3, heldHosts: 1 }, rate)).toBe(
      "240 done  50/s  2.0 MB/s  3 to retry  1 host asked to wait",
    );
    expect(progressText({ ...view(tallyOf(1, 0), 1_000), isExpectedExact: false }, { ...rate, ms: 100 })).toBe(
      "0 %  1 of about 1,000  1,000/s  40 MB/s",
    );
  });

  test("it fits any terminal", () => {
    const tally = tallyOf(240, 10);
    const bar = (share: number, size: number): string => "#".repeat(Math.round(share * size)).padEnd(size, ".");
    expect(progressLine(view(tally, 1_000), rate, 80, bar)).toMatch(/^#{5}\.{16}  25 %  250 of/);
    for (const columns of [10, 40, 60, 80, 200]) {
      expect(progressLine(view(tally, 1_000), rate, columns, bar).length).toBeLessThan(columns);
    }
  });

  test("the rate is that of the last seconds", () => {
    const meter = new RateMeter();
    expect(meter.at(0, { done: 0, receivedBytes: 0 })).toEqual({ ms: 0, done: 0, bytes: 0 });
    expect(meter.at(1_000, { done: 100, receivedBytes: 5 })).toEqual({ ms: 1_000, done: 100, bytes: 5 });
    for (let second = 2; second <= 60; second++) meter.at(second * 1_000, { done: 100, receivedBytes: 5 });
    expect(meter.at(61_000, { done: 110, receivedBytes: 5 })).toMatchObject({ ms: 5_000, done: 10 });
  });
});
