/** A report as a run on an idle machine gives it, for tests of what is made of reports. */
import type { FinishedRow, Report, RequestSpan } from "../../src/compare/report.ts";

const together = (count: number, endMs: number): RequestSpan[] =>
  Array.from({ length: count }, (_, index) => ({
    startMs: index * 0.2,
    endMs: endMs - (count - 1 - index) * 0.2,
    ok: true,
  }));

const blocking: FinishedRow = {
  key: "a",
  name: "blocking",
  title: "4 coroutines that block",
  outcome: "finished",
  wallMs: 4_016,
  speedup: 1,
  peakRssMb: 104.2,
  threads: 9,
  loopLagMs: 1_004,
  processStartMs: 210,
  setUpMs: 90,
  requests: [0, 1, 2, 3].map((index) => ({ startMs: index * 1_004, endMs: (index + 1) * 1_004, ok: true })),
  warnings: [1, 2, 3, 4].map((number) => ({
    task: `get ${number}`,
    blockedMs: 1_004,
    at: { file: "request-sync.ts", line: 27, column: 11, function: "requestSync" },
    calledFrom: { file: "blocking.ts", line: 30, column: 24, function: "get" },
  })),
};

const session: FinishedRow = {
  ...blocking,
  key: "b",
  name: "session",
  title: "4 coroutines, Session",
  wallMs: 1_010,
  speedup: 3.96,
  peakRssMb: 92.4,
  threads: 11,
  loopLagMs: 4.2,
  requests: together(4, 1_010),
  warnings: [],
};

export const SAMPLE: Report = {
  settings: { delayMs: 1_000, count: 4, many: 100, only: ["a", "b", "c", "d", "e"] },
  machine: { node: "24.21.0", cores: 2, platform: "linux x64", emptyPeakRssMb: 71.5, emptyThreads: 7 },
  rows: [
    blocking,
    session,
    { ...session, key: "c", name: "fetch", title: "4 promises with fetch", wallMs: 1_021, speedup: 3.92 },
    {
      ...session,
      key: "d",
      name: "threads",
      title: "100 threads that block",
      wallMs: 1_052,
      speedup: 95.1,
      peakRssMb: 1_313,
      threads: 108,
      setUpMs: 2_410,
      requests: together(100, 1_052),
    },
    {
      ...session,
      key: "e",
      name: "many",
      title: "100 coroutines, Session",
      wallMs: 1_034,
      speedup: 96.7,
      peakRssMb: 101,
      requests: together(100, 1_034),
    },
  ],
};
