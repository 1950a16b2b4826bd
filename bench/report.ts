/**
 * From measurements to something that can be read: figures, ratios, and their three forms (JSON, table, Markdown).
 *
 * A ratio is taken within each round and then summarized; the ratio of two medians would mix rounds that ran under
 * different load.
 */
import type { Entrant, Series } from "./rounds.ts";
import type { Row, Target } from "./row.ts";
import { spread } from "./stats.ts";
import { units } from "./units.ts";
import type { Key, Quantity } from "./units.ts";

export interface Setting {
  /** The version, or several of them. */
  readonly node: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly date: string;
  readonly tookSeconds: number;
  /** Load average of the last minute before the first measurement. Much above 0: other programs ran. */
  readonly load: number;
  /** Short commit hash, with `+` when the tree had changes; `undefined` outside a repository. */
  readonly commit: string | undefined;
  readonly versions: Readonly<Record<string, string>>;
}

/**
 * One contestant at one size, with what its kind of row measures (`units.ts`). `median`, `min` and `max` are over the rounds, of the
 * first of these.
 */
export interface Figure extends Readonly<Partial<Record<Key, number>>> {
  readonly name: string;
  readonly contestant: string;
  readonly n: number;
  /** What the size stands for, when it is no number of things. */
  readonly label?: string;
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

/** A contestant that gave no figure in some round, and none afterwards. */
export interface Failure {
  readonly row: string;
  readonly n: number;
  readonly contestant: string;
  readonly message: string;
}

export interface Report extends Setting {
  readonly bench: "fibril";
  readonly rows: readonly Figure[];
  readonly ratios: readonly Ratio[];
  readonly failures: readonly Failure[];
}

export function report(setting: Setting, series: readonly Series[]): Report {
  const measured = series.filter(({ results }) => results.length > 0);
  return {
    bench: "fibril",
    ...setting,
    rows: measured.map(figure),
    ratios: ratios(measured),
    failures: failures(series),
  };
}

function failures(series: readonly Series[]): Failure[] {
  return series.flatMap(({ row, n, entrant, failure }) =>
    failure === undefined ? [] : [{ row: row.name, n, contestant: entrant.name, message: failure }],
  );
}

function figure(series: Series): Figure {
  const { row, n, measuredN, entrant } = series;
  const { main, beside } = units[row.kind];
  const { median, min, max } = spread(valuesOf(series, main));
  const quantities = [main, ...beside].map((each) => [each.key, round(medianOf(series, each), each.digits)]);
  return {
    name: row.name,
    contestant: entrant.name,
    n,
    ...(row.kind === "size" ? { label: row.labels[n - 1]! } : {}),
    ...(Object.fromEntries(quantities) as Partial<Record<Key, number>>),
    ...(measuredN === n ? {} : { measuredN }),
    median: round(median, main.digits),
    min: round(min, main.digits),
    max: round(max, main.digits),
    rounds: series.results.length,
  };
}

/** One number for each round. */
function valuesOf(series: Series, quantity: Quantity = units[series.row.kind].main): number[] {
  const { n, measuredN } = series;
  return series.results.map((each) => quantity.of(each, measuredN, n / measuredN));
}

function medianOf(series: Series, quantity: Quantity): number {
  return spread(valuesOf(series, quantity)).median;
}

function ratios(all: readonly Series[]): Ratio[] {
  const found: Ratio[] = [];
  for (const of of all) {
    for (const to of all) {
      if (of.row !== to.row || of.n !== to.n || !isOfInterest(of.entrant, to.entrant)) continue;
      const rounds = Math.min(of.results.length, to.results.length); // fewer when one of them failed later
      const base = valuesOf(to).slice(0, rounds);
      const own = valuesOf(of).slice(0, rounds);
      const { median, min, max } = spread(own.map((value, index) => value / base[index]!));
      const target = targetOf(of.row, of.n, of.entrant.contestant, to.entrant.contestant);
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

/** Everything against native, everything of ours against all others and against plain `fibril`; each Node for itself. */
function isOfInterest(of: Entrant, to: Entrant): boolean {
  if (of === to || of.node !== to.node || of.contestant === "native") return false;
  if (to.contestant === "native") return true;
  if (!of.contestant.startsWith("fibril") || to.tree !== undefined) return false;
  return to.contestant === "fibril" || !to.contestant.startsWith("fibril");
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
    lines.push(...columns(tableOf(row, report, series)).map((line) => `  ${line}`));
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
  const lines = [`# Benchmark of ${report.date}`, "", `${settingLine(report)}.`, ""];
  for (const row of new Set(series.map((each) => each.row))) {
    const [head = [], ...body] = tableOf(row, report, series);
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
  return [...machine, ...versions, ...commit, `took ${report.tookSeconds} s`].join(", ");
}

function unitLine(row: Row): string {
  const what = units[row.kind].describe(row);
  return `${what}, median over rounds (min to max); × is the ratio to ${baseOf(row)}; lower is better`;
}

/** What the column of ratios compares with. */
function baseOf(row: Row): string {
  return row.contestants.some((each) => each.name === "native") ? "native" : "fibril";
}

/** Header first; one line for each contestant and size. */
function tableOf(row: Row, report: Report, series: readonly Series[]): string[][] {
  const base = baseOf(row);
  const { main, beside } = units[row.kind];
  const table = [[row.sizeOf, "contestant", main.heading, "", "×", ...beside.map(({ heading }) => heading)]];
  for (const each of series) {
    if (each.row !== row) continue;
    const { n, entrant, measuredN, results } = each;
    const size = row.kind === "size" ? row.labels[n - 1]! : grouped(n);
    if (results.length === 0) {
      table.push([size, entrant.name, "–", "(failed)", "", ...beside.map(() => "")]);
      continue;
    }
    const { median, min, max } = spread(valuesOf(each));
    const show = (value: number): string => grouped(round(value, main.digits));
    const scale = measuredN === n ? "" : `, scaled from ${grouped(measuredN)}`;
    const baseName = entrant.node === undefined ? base : `${base}@node${entrant.node.label}`;
    const ratio = report.ratios.find(
      (one) => one.row === row.name && one.n === n && one.of === entrant.name && one.to === baseName,
    );
    table.push([
      size,
      entrant.name,
      show(median),
      `(${show(min)} to ${show(max)}${scale})`,
      ratio === undefined ? "" : times(ratio.median),
      ...beside.map((quantity) => grouped(round(medianOf(each, quantity), quantity.digits))),
    ]);
  }
  return table;
}

/** A note that explains why a contestant is left out or scaled is only there when it is; a failure always. */
function notesOf(row: Row, series: readonly Series[]): string[] {
  const own = series.filter((each) => each.row === row);
  const largest = Math.max(...own.map((each) => each.n));
  const notes = new Map<string, string>();
  for (const { entrant } of own) {
    if (entrant.note === undefined || (entrant.maxSize !== Infinity && entrant.maxSize >= largest)) continue;
    notes.set(entrant.contestant, `${entrant.contestant}: ${entrant.note}`);
  }
  const failed = own.filter(({ failure }) => failure !== undefined);
  return [
    ...notes.values(),
    ...failed.map(({ n, entrant, failure }) => `FAILED: ${entrant.name} at ${grouped(n)}: ${failure}`),
  ];
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
