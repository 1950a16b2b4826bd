/** What the terminal shows while contestants run: a line for each, and the bars of the one that runs. Pure. */
import { styleText } from "node:util";
import type { Contestant } from "../contestants.ts";
import type { RequestSpan } from "../report.ts";
import { count, seconds } from "./format.ts";
import { barColour } from "./terminal.ts";
import type { TerminalOptions } from "./terminal.ts";
import { drawTimeline } from "./timeline.ts";

export interface LiveRow {
  readonly contestant: Contestant;
  readonly title: string;
  readonly total: number;
  readonly state: "waiting" | "starting" | "running" | "finished" | "failed";
  /** Since the requests began, or what they took. */
  readonly elapsedMs: number;
  /** A request that is still open ends now. */
  readonly requests: readonly RequestSpan[];
  /** The right end of the axis. */
  readonly scaleMs: number;
}

const MOST_BARS = 8;
const WIDEST_BAR = 60;

const SIGN: Record<LiveRow["state"], string> = {
  waiting: "·",
  starting: "…",
  running: "▶",
  finished: "✓",
  failed: "✗",
};

export function liveLines(rows: readonly LiveRow[], { width, colour }: TerminalOptions): string[] {
  const style = (format: Parameters<typeof styleText>[0], text: string): string =>
    colour ? styleText(format, text, { validateStream: false }) : text;
  const titleWidth = Math.max(...rows.map(({ title }) => title.length));
  return rows.flatMap((row) => {
    const head = `${SIGN[row.state]} ${row.contestant.key}  ${row.title.padEnd(titleWidth)}  ${stateText(row)}`
      .slice(0, width - 1)
      .trimEnd();
    if (row.state !== "running") {
      return [row.state === "waiting" ? style("dim", head) : row.state === "failed" ? style("red", head) : head];
    }
    const options = { width: Math.max(8, Math.min(WIDEST_BAR, width - 16)), scaleMs: row.scaleMs, maxLines: MOST_BARS };
    const bars = drawTimeline(row.requests, options).map(
      ({ label, bar }) => `     ${style("dim", label)} ${style(barColour(row.contestant), bar)}`,
    );
    return [style("bold", head), ...bars];
  });
}

function stateText({ state, elapsedMs, requests, total }: LiveRow): string {
  if (state === "waiting") return "";
  if (state === "starting") return "starting";
  if (state === "failed") return "failed";
  const answered = requests.filter(({ ok }) => ok).length;
  return state === "finished" ? seconds(elapsedMs) : `${seconds(elapsedMs)}, ${answered} of ${count(total, "answer")}`;
}
