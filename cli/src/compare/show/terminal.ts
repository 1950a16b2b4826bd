/**
 * The report as lines for a terminal, or for a file when the output is piped.
 *
 * The table comes last, because the end is what stands on the screen when it is done. Pure: width and colour are given,
 * so a test sees what a person sees.
 */
import { styleText } from "node:util";
import type { FinishedRow, Report, Row } from "../report.ts";
import { explain, footnotes, warningTexts } from "./explain.ts";
import { count, megabytes, milliseconds, seconds, times } from "./format.ts";
import { drawTable } from "./table.ts";
import type { Column } from "./table.ts";
import { drawAxis, drawTimeline } from "./timeline.ts";
import type { Bar } from "./timeline.ts";
import { wrap } from "./wrap.ts";

export interface TerminalOptions {
  readonly width: number;
  readonly colour: boolean;
}

/** More lines for one row hide the other rows; past them, this many lines share its requests. */
const MOST_BARS = 12;
const CONDENSED_BARS = 10;
/** Wider bars are no easier to read. */
const WIDEST_BAR = 72;
const INDENT = "   ";
/** Indent, a gap on both sides of the bar, and its time. */
const BESIDE_THE_BAR = INDENT.length + 2 + 8;

const COLUMNS: readonly Column[] = [
  { title: "", align: "left" },
  { title: "contestant", align: "left" },
  { title: "wall", align: "right" },
  { title: "speed-up", align: "right" },
  { title: "memory", align: "right" },
  { title: "threads", align: "right" },
  { title: "lag", align: "right" },
  { title: "start", align: "right" },
];

/** Key, contestant, wall time: without them it is no comparison. */
const FEWEST_COLUMNS = 3;

type Format = Parameters<typeof styleText>[0];

export function terminalReport(report: Report, { width, colour }: TerminalOptions): string {
  const style = (format: Format, text: string): string =>
    colour ? styleText(format, text, { validateStream: false }) : text;
  const paragraph = (text: string, indent: string, format?: Format): string[] =>
    wrap(text, width - indent.length).map((line) => indent + (format === undefined ? line : style(format, line)));

  const lanes = report.rows.map(({ requests }) => linesFor(requests.length));
  const labelWidth = Math.max(1, ...lanes.map(({ label }) => label));
  const barWidth = Math.max(10, Math.min(WIDEST_BAR, width - BESIDE_THE_BAR - labelWidth));
  const scaleMs = Math.max(1, ...report.rows.flatMap(({ requests }) => requests.map(({ endMs }) => endMs)));
  const axis = style("dim", `${INDENT}${" ".repeat(labelWidth)} ${drawAxis(scaleMs, barWidth)}`);

  const section = (row: Row): string[] => {
    const maxLines = linesFor(row.requests.length).lines;
    const bars = drawTimeline(row.requests, { width: barWidth, scaleMs, maxLines });
    const condensed =
      row.requests.length > bars.length ? `  ${row.requests.length} requests in ${bars.length} lines` : "";
    const { seen, why } = explain(row, report);
    return [
      `${style("bold", `${row.key}  ${row.title}`)}${style("dim", condensed)}`,
      ...bars.map((bar) => barLine(bar, labelWidth, barColour(row), style)),
      ...paragraph(seen, INDENT, row.outcome === "failed" ? "red" : undefined),
      ...paragraph(why, INDENT, "dim"),
      ...warningTexts(row.warnings).flatMap((warning) => paragraph(`⚠ ${warning}`, INDENT, "yellow")),
      "",
    ];
  };

  const [heading = "", ...cells] = fittingTable(report.rows.map(tableCells), width);
  const lines = [
    ...paragraph(title(report), "", "bold"),
    "",
    axis,
    ...report.rows.flatMap(section),
    style("dim", heading),
    ...cells.map((line, index) => (report.rows[index]?.outcome === "failed" ? style("red", line) : line)),
    "",
    ...footnotes(report).flatMap((note) => paragraph(note, "", "dim")),
  ];
  return `${lines.join("\n")}\n`;
}

function title({ settings, machine }: Report): string {
  const { delayMs, count: few, many } = settings;
  const server = `a server that answers each after ${milliseconds(delayMs)}`;
  return `${few} and ${count(many, "request")} to ${server} (Node ${machine.node}, ${count(machine.cores, "core")})`;
}

/** Amber holds the one thread, green and blue give it back, violet has one for each. */
export function barColour({ name }: Pick<Row, "name">): "yellow" | "green" | "blue" | "magenta" {
  if (name === "blocking") return "yellow";
  if (name === "threads") return "magenta";
  return name === "fetch" ? "blue" : "green";
}

/** How many lines a row of so many requests gets, and how wide their labels are. */
function linesFor(requests: number): { readonly lines: number; readonly label: number } {
  const digits = `${requests}`.length;
  return requests <= MOST_BARS ? { lines: requests, label: digits } : { lines: CONDENSED_BARS, label: 2 * digits };
}

function barLine(
  { label, bar, time, ok }: Bar,
  labelWidth: number,
  format: Format,
  style: (format: Format, text: string) => string,
): string {
  const figures = ok ? time : `${time} failed`;
  return `${INDENT}${style("dim", label.padStart(labelWidth))} ${style(ok ? format : "red", bar)} ${style("dim", figures)}`;
}

/** All columns, or as many of the first ones as the terminal has room for. */
function fittingTable(rows: readonly (readonly string[])[], width: number): string[] {
  for (let columns = COLUMNS.length; ; columns--) {
    const table = drawTable(
      COLUMNS.slice(0, columns),
      rows.map((cells) => cells.slice(0, columns)),
    );
    if (columns <= FEWEST_COLUMNS || table.every((line) => line.length <= width)) return table;
  }
}

function tableCells(row: Row): string[] {
  return row.outcome === "failed"
    ? [row.key, row.title, `failed: ${row.error}`]
    : [row.key, row.title, ...figures(row)];
}

/** The cells behind the title, for every printer of tables. */
export function figures(row: FinishedRow): string[] {
  return [
    seconds(row.wallMs),
    times(row.speedup),
    megabytes(row.peakRssMb),
    `${row.threads}`,
    seconds(row.loopLagMs),
    seconds(row.processStartMs + row.setUpMs),
  ];
}
