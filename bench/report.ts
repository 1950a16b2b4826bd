/**
 * From measurements to something that can be read: figures, ratios, and their three forms (JSON, table, Markdown).
 *
 * A ratio is taken within each round and then summarized; the ratio of two medians would mix rounds that ran under
 * different load.
 */
import type { Measured } from "./measure.ts";
import type { Series } from "./rounds.ts";
import type { Row, Target } from "./row.ts";
import { spread } from "./stats.ts";

const BYTES_PER_MB = 1_000_000;

export interface Setting {
  readonly node: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly date: string;
  /** Load average of the last minute before the first measurement. Much above 0: other programs ran. */
  readonly load: number;
  /** Short commit hash, with `+` when the tree had changes; `undefined` outside a repository. */
  readonly commit: string | undefined;
  readonly versions: Readonly<Record<string, string>>;
}

/** One contestant at one size. `median`, `min` and `max` are over the rounds, of `nsPerOp` or of `rssMb`. */
export interface Figure {
  readonly name: string;
  readonly contestant: string;
  readonly n: number;
  readonly nsPerOp?: number;
  /** Peak resident memory of the whole process, in MB of 1,000,000 bytes. The ratios use this. */
  readonly rssMb?: number;
  /** The peak without what the process held before the first task, for each task. */
  readonly bytesPerTask?: number;
  /** Resident memory when the last task went to sleep, in MB. */
  readonly parkedMb?: number;
  /** There when the contestant was measured at a smaller size and scaled up. */
  readonly measuredN?: number;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
}

/** `of` costs `median` times what `to` costs, in the same round; `fastest` compares the fastest round of each. */
export interface Ratio {
  readonly row: string;
  readonly n: number;
  readonly of: string;
  readonly to: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly fastest: number;
  /** The most that the design allows. */
  readonly target?: number;
  readonly holds?: boolean;
}

export interface Report extends Setting {
  readonly bench: "fibril";
  readonly rows: readonly Figure[];
  readonly ratios: readonly Ratio[];
}

export function report(setting: Setting, series: readonly Series[]): Report {
  return { bench: "fibril", ...setting, rows: series.map(figure), ratios: ratios(series) };
}

function figure(series: Series): Figure {
  const { row, n, measuredN, entrant } = series;
  const { median, min, max } = spread(values(series));
  const common = { name: row.name, contestant: entrant.name, n };
  const figures = { median: round(median), min: round(min), max: round(max), rounds: series.results.length };
  if (row.kind === "time") return { ...common, nsPerOp: round(median), ...figures };
  return {
    ...common,
    rssMb: round(median),
    bytesPerTask: Math.round(spread(series.results.map((each) => netBytes(each) / measuredN)).median),
    parkedMb: round(spread(series.results.map((each) => scaled(each, "parkedBytes", n / measuredN))).median),
    ...(measuredN === n ? {} : { measuredN }),
    ...figures,
  };
}

/** One number for each round: nanoseconds for an operation, or MB at the peak. */
function values(series: Series): number[] {
  return series.results.map((each) =>
    each.kind === "time" ? each.nsPerOp : scaled(each, "peakBytes", series.n / series.measuredN),
  );
}

function scaled(measured: Measured, which: "peakBytes" | "parkedBytes", factor: number): number {
  if (measured.kind === "time") return NaN;
  return (measured.beforeBytes + (measured[which] - measured.beforeBytes) * factor) / BYTES_PER_MB;
}

function netBytes(measured: Measured): number {
  return measured.kind === "time" ? NaN : measured.peakBytes - measured.beforeBytes;
}

function ratios(all: readonly Series[]): Ratio[] {
  const found: Ratio[] = [];
  for (const of of all) {
    for (const to of all) {
      if (of.row !== to.row || of.n !== to.n || !isOfInterest(of.entrant.name, to.entrant.name)) continue;
      const base = values(to);
      const own = values(of);
      const each = own.map((value, index) => value / base[index]!);
      const { median, min, max } = spread(each);
      const target = targetOf(of.row, of.n, of.entrant.name, to.entrant.name);
      found.push({
        row: of.row.name,
        n: of.n,
        of: of.entrant.name,
        to: to.entrant.name,
        median: round(median, 3),
        min: round(min, 3),
        max: round(max, 3),
        fastest: round(Math.min(...own) / Math.min(...base), 3),
        ...(target === undefined ? {} : { target: target.atMost, holds: median <= target.atMost }),
      });
    }
  }
  return found;
}

/** Everything against native, everything of ours against the peers and against plain `fibril`. */
function isOfInterest(of: string, to: string): boolean {
  if (of === to || of === "native") return false;
  if (to === "native") return true;
  return of.startsWith("fibril") && (to === "fibril" || to === "effect" || to === "effection");
}

function targetOf(row: Row, n: number, of: string, to: string): Target | undefined {
  return row.targets.find((target) => target.n === n && target.of === of && target.to === to);
}

/** Three or more significant digits: what the measurement is worth. */
function round(value: number, digits = 1): number {
  const factor = 10 ** digits;
  return Math.round(value * factor) / factor;
}

export function asText(report: Report, series: readonly Series[]): string {
  const lines = [settingLine(report), ""];
  for (const row of new Set(series.map((each) => each.row))) {
    lines.push(`${row.name}: ${row.title}`, `  ${unitLine(row)}`);
    lines.push(...columns(tableOf(row, report)).map((line) => `  ${line}`));
    for (const note of notesOf(row, series)) lines.push(`  ${note}`);
    lines.push("");
  }
  const aims = report.ratios.filter((ratio) => ratio.target !== undefined);
  if (aims.length > 0) {
    lines.push("targets; ratio within a round: median (min to max), and of the fastest rounds");
    lines.push(...columns(aims.map(targetCells)).map((line) => `  ${line}`), "");
  }
  return lines.join("\n");
}

export function asMarkdown(report: Report, series: readonly Series[]): string {
  const lines = [`# Benchmark of ${report.date}`, "", settingLine(report), ""];
  for (const row of new Set(series.map((each) => each.row))) {
    const [head = [], ...body] = tableOf(row, report);
    lines.push(`## ${row.name}: ${row.title}`, "", `${unitLine(row)}.`, "");
    lines.push(markdownRow(head), markdownRow(head.map((_, i) => (i === 1 ? "---" : "--:"))));
    lines.push(...body.map(markdownRow), "");
    for (const note of notesOf(row, series)) lines.push(`${note}.`, "");
  }
  const aims = report.ratios.filter((ratio) => ratio.target !== undefined);
  if (aims.length > 0) {
    lines.push("## Targets", "", "Ratio within a round: median (min to max); ratio of the fastest rounds.", "");
    lines.push(
      markdownRow(["row", "ratio", "measured", "fastest", "at most", ""]),
      markdownRow(["---", "---", "--:", "--:", "--:", "---"]),
    );
    lines.push(...aims.map(targetCells).map(markdownRow), "");
  }
  return lines.join("\n");
}

function settingLine(report: Report): string {
  const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`);
  const commit = report.commit === undefined ? [] : [`commit ${report.commit}`];
  const machine = [`Node ${report.node}`, `${report.cpus} × ${report.cpu}`, `load ${report.load.toFixed(1)}`];
  return [...machine, ...versions, ...commit].join(", ");
}

function unitLine(row: Row): string {
  const what = row.kind === "time" ? `ns per ${row.operation}` : "peak MB of the process";
  return `${what}, median over rounds (min to max); × is the ratio to ${baseOf(row)}; lower is better`;
}

/** What the column of ratios compares with. */
function baseOf(row: Row): string {
  return row.contestants.some((each) => each.name === "native") ? "native" : "fibril";
}

/** Header first; one line for each contestant and size. */
function tableOf(row: Row, report: Report): string[][] {
  const base = baseOf(row);
  const extra = row.kind === "memory" ? ["asleep, MB", "net bytes per task"] : [];
  const table = [[row.sizeOf, "contestant", row.kind === "time" ? "ns" : "peak MB", "", "×", ...extra]];
  for (const figure of report.rows.filter((each) => each.name === row.name)) {
    const ratio = report.ratios.find(
      (each) => each.row === row.name && each.n === figure.n && each.of === figure.contestant && each.to === base,
    );
    const scale = figure.measuredN === undefined ? "" : `, scaled from ${grouped(figure.measuredN)}`;
    table.push([
      grouped(figure.n),
      figure.contestant,
      grouped(figure.median),
      `(${grouped(figure.min)} to ${grouped(figure.max)}${scale})`,
      ratio === undefined ? "" : times(ratio.median),
      ...(row.kind === "memory" ? [grouped(figure.parkedMb!), grouped(figure.bytesPerTask!)] : []),
    ]);
  }
  return table;
}

/** A note that explains why a contestant is left out or scaled is only there when it is. */
function notesOf(row: Row, series: readonly Series[]): string[] {
  const own = series.filter((each) => each.row === row);
  const largest = Math.max(...own.map((each) => each.n));
  const notes = new Map<string, string>();
  for (const { entrant } of own) {
    if (entrant.note === undefined || (entrant.maxSize !== Infinity && entrant.maxSize >= largest)) continue;
    notes.set(entrant.name, `${entrant.name}: ${entrant.note}`);
  }
  return [...notes.values()];
}

function targetCells(ratio: Ratio): string[] {
  return [
    `${ratio.row} ${grouped(ratio.n)}`,
    `${ratio.of} / ${ratio.to}`,
    `${times(ratio.median)} (${times(ratio.min)} to ${times(ratio.max)})`,
    times(ratio.fastest),
    `at most ${times(ratio.target!)}`,
    ratio.holds === true ? "holds" : "MISSED",
  ];
}

function times(value: number): string {
  return value.toFixed(value < 10 ? 2 : 0);
}

function grouped(value: number): string {
  const shown = value >= 100 ? Math.round(value) : value;
  return shown.toLocaleString("en-US");
}

/** The first two columns are text, the others numbers. */
function columns(table: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const cells of table) cells.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return table.map((cells) =>
    cells
      .map((cell, i) => (i === 1 || cell.startsWith("(") ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join("  ")
      .trimEnd(),
  );
}

function markdownRow(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}
