/**
 * What each kind of row measures: the figure that is compared, what it is called, and what stands beside it.
 */
import type { Measured } from "./measure.ts";
import type { Row } from "./row.ts";

const BYTES_PER_MB = 1_000_000;
const BYTES_PER_KB = 1_024;

/** The keys that a figure has in the JSON; the first of each kind is what `median`, `min`, `max` and the ratios are of. */
export type Key =
  | "nsPerOp"
  | "rssMb"
  | "parkedMb"
  | "bytesPerTask"
  | "lagP99Ms"
  | "lagP50Ms"
  | "lagMaxMs"
  | "nsPerSwitch"
  | "startMs"
  | "gzippedKb"
  | "minifiedKb";

export interface Quantity {
  readonly key: Key;
  /** Head of the column. */
  readonly heading: string;
  /** Digits after the point. */
  readonly digits: number;
  /** `scale` is above 1 when the contestant ran at a smaller size. */
  of(measured: Measured, measuredN: number, scale: number): number;
}

export interface Unit {
  readonly main: Quantity;
  readonly beside: readonly Quantity[];
  /** The first half of the line under a row's title. */
  describe(row: Row): string;
}

export const units: Readonly<Record<Row["kind"], Unit>> = {
  time: {
    main: { key: "nsPerOp", heading: "ns", digits: 1, of: (m) => (m.kind === "time" ? m.nsPerOp : NaN) },
    beside: [],
    describe: (row) => `ns per ${row.kind === "time" ? row.operation : "operation"}`,
  },
  memory: {
    main: { key: "rssMb", heading: "peak MB", digits: 1, of: (m, _n, scale) => megabytes(m, "peakBytes", scale) },
    beside: [
      { key: "parkedMb", heading: "asleep, MB", digits: 1, of: (m, _n, scale) => megabytes(m, "parkedBytes", scale) },
      {
        key: "bytesPerTask",
        heading: "net bytes per task",
        digits: 0,
        of: (m, n) => (m.kind === "memory" ? (m.peakBytes - m.beforeBytes) / n : NaN),
      },
    ],
    describe: () => "peak MB of the process",
  },
  lag: {
    main: { key: "lagP99Ms", heading: "p99 ms", digits: 2, of: (m) => (m.kind === "lag" ? m.p99Ms : NaN) },
    beside: [
      { key: "lagP50Ms", heading: "p50 ms", digits: 2, of: (m) => (m.kind === "lag" ? m.p50Ms : NaN) },
      { key: "lagMaxMs", heading: "max ms", digits: 2, of: (m) => (m.kind === "lag" ? m.maxMs : NaN) },
      { key: "nsPerSwitch", heading: "ns per switch", digits: 0, of: (m) => (m.kind === "lag" ? m.nsPerSwitch : NaN) },
    ],
    describe: () => "ms that a timer of 1 ms came late, 99th percentile",
  },
  start: {
    main: { key: "startMs", heading: "ms", digits: 1, of: (m) => (m.kind === "start" ? m.ms : NaN) },
    beside: [],
    describe: () => "ms from the start of the process to its end",
  },
  size: {
    main: {
      key: "gzippedKb",
      heading: "KB",
      digits: 2,
      of: (m) => (m.kind === "size" ? m.gzippedBytes / BYTES_PER_KB : NaN),
    },
    beside: [
      {
        key: "minifiedKb",
        heading: "minified, KB",
        digits: 2,
        of: (m) => (m.kind === "size" ? m.minifiedBytes / BYTES_PER_KB : NaN),
      },
    ],
    describe: () => "KB of the bundle, minified and gzipped",
  },
};

function megabytes(measured: Measured, which: "peakBytes" | "parkedBytes", scale: number): number {
  if (measured.kind !== "memory") return NaN;
  return (measured.beforeBytes + (measured[which] - measured.beforeBytes) * scale) / BYTES_PER_MB;
}
