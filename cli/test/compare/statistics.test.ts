import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { condense, mostAtOnce, speedup } from "../../src/compare/statistics.ts";
import type { RequestSpan } from "../../src/compare/report.ts";

const span = (startMs: number, endMs: number): RequestSpan => ({ startMs, endMs, ok: true });

const spans = fc.array(
  fc.tuple(fc.nat(1_000), fc.nat(1_000)).map(([start, length]) => span(start, start + length + 1)),
  { minLength: 1, maxLength: 60 },
);

test("the speed-up is against the same requests one after another", () => {
  expect(speedup(4, 1_000, 4_000)).toBe(1);
  expect(speedup(100, 1_000, 1_250)).toBe(80);
  expect(speedup(4, 1_000, 0)).toBe(0);
});

describe("most at once", () => {
  test("requests that follow each other without a gap are never open together", () => {
    expect(mostAtOnce([span(0, 10), span(10, 20), span(20, 30)])).toBe(1);
  });

  test("no requests are none at once", () => {
    expect(mostAtOnce([])).toBe(0);
  });

  test("it is what counting at every start gives", () => {
    fc.assert(
      fc.property(spans, (requests) => {
        const openAt = (ms: number): number =>
          requests.filter(({ startMs, endMs }) => startMs <= ms && ms < endMs).length;
        expect(mostAtOnce(requests)).toBe(Math.max(...requests.map(({ startMs }) => openAt(startMs))));
      }),
    );
  });
});

describe("condensing", () => {
  test("every request is in exactly one stretch, in order, and stretches differ by one at most", () => {
    fc.assert(
      fc.property(spans, fc.integer({ min: 1, max: 20 }), (requests, lines) => {
        const stretches = condense(requests, lines);
        expect(stretches).toHaveLength(Math.min(lines, requests.length));
        expect(stretches.flatMap(({ first, last }) => requests.slice(first - 1, last))).toEqual(requests);
        const sizes = stretches.map(({ first, last }) => last - first + 1);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test("a stretch lasts from its first start to its last end, and one failure marks it", () => {
    const requests = [span(5, 9), { startMs: 2, endMs: 7, ok: false }, span(8, 30)];
    expect(condense(requests, 2)).toEqual([
      { first: 1, last: 1, startMs: 5, endMs: 9, ok: true },
      { first: 2, last: 3, startMs: 2, endMs: 30, ok: false },
    ]);
  });
});
