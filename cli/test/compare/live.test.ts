import { expect, test } from "vitest";
import { CONTESTANTS } from "../../src/compare/contestants.ts";
import { liveLines } from "../../src/compare/show/live.ts";
import type { LiveRow } from "../../src/compare/show/live.ts";

const [a, b, c] = CONTESTANTS as [LiveRow["contestant"], LiveRow["contestant"], LiveRow["contestant"]];
const row = (contestant: LiveRow["contestant"], rest: Partial<LiveRow>): LiveRow => ({
  contestant,
  title: contestant.title(2),
  total: 2,
  state: "waiting",
  elapsedMs: 0,
  requests: [],
  scaleMs: 2_000,
  ...rest,
});

test("only the contestant that runs has bars, and they end now", () => {
  const rows = [
    row(a, { state: "finished", elapsedMs: 2_010 }),
    row(b, {
      state: "running",
      elapsedMs: 1_500,
      requests: [
        { startMs: 0, endMs: 1_000, ok: true },
        { startMs: 0, endMs: 1_500, ok: false },
      ],
    }),
    row(c, {}),
  ];
  expect(liveLines(rows, { width: 50, colour: false }).map((line) => line.trimEnd())).toEqual([
    "✓ a  2 coroutines that block  2.01 s",
    "▶ b  2 coroutines, Session    1.50 s, 1 of 2 answ",
    "     1 █████████████████",
    "     2 █████████████████████████▌",
    "· c  2 promises with fetch",
  ]);
});
