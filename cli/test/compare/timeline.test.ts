import { describe, expect, test } from "vitest";
import { drawAxis, drawBar, drawTimeline, ticks } from "../../src/compare/show/timeline.ts";

const wide = { width: 8, scaleMs: 800 };

describe("a bar", () => {
  test("stands where its request was on the axis", () => {
    expect(drawBar(0, 800, wide)).toBe("████████");
    expect(drawBar(200, 500, wide)).toBe("  ███   ");
  });

  test("ends to an eighth of a character", () => {
    expect(drawBar(0, 250, wide)).toBe("██▌     ");
    expect(drawBar(0, 112.5, wide)).toBe("█▏      ");
  });

  test("is never nothing, however short, and never outside, however late", () => {
    expect(drawBar(100, 100, wide)).toBe(" ▏      ");
    expect(drawBar(5_000, 9_000, wide)).toBe("       █");
    expect(drawBar(0, 0, { width: 4, scaleMs: 0 })).toBe("▏   ");
  });
});

describe("a timeline", () => {
  const steps = [0, 1, 2, 3].map((index) => ({ startMs: index * 200, endMs: (index + 1) * 200, ok: index !== 2 }));

  test("has a line for each request, with its time", () => {
    expect(drawTimeline(steps, { ...wide, maxLines: 12 })).toEqual([
      { label: "1", bar: "██      ", time: "0.20 s", ok: true },
      { label: "2", bar: "  ██    ", time: "0.20 s", ok: true },
      { label: "3", bar: "    ██  ", time: "0.20 s", ok: false },
      { label: "4", bar: "      ██", time: "0.20 s", ok: true },
    ]);
  });

  test("says which requests share a line", () => {
    const lines = drawTimeline(steps, { ...wide, maxLines: 2 });
    expect(lines.map(({ label, bar }) => `${label} ${bar}`)).toEqual(["1–2 ████    ", "3–4     ████"]);
  });

  test("of nothing is empty", () => {
    expect(drawTimeline([], { ...wide, maxLines: 2 })).toEqual([]);
  });
});

describe("the axis", () => {
  test("has round marks, four to ten of them", () => {
    expect(ticks(4_016)).toEqual([0, 1_000, 2_000, 3_000, 4_000]);
    expect(ticks(620)).toEqual([0, 100, 200, 300, 400, 500, 600]);
    expect(ticks(0)).toEqual([0]);
    for (let scale = 1; scale < 100_000; scale = Math.ceil(scale * 1.17)) {
      expect(ticks(scale).length, `scale ${scale}`).toBeGreaterThanOrEqual(4);
      expect(ticks(scale).length, `scale ${scale}`).toBeLessThanOrEqual(11);
    }
  });

  test("puts a mark's text where the mark is, and leaves out what has no room", () => {
    expect(drawAxis(4_000, 40)).toBe("0         1 s       2 s       3 s       4 s");
    expect(drawAxis(4_000, 12)).toBe("0  1 s   3 s");
  });
});
