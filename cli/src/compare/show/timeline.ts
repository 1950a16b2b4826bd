/**
 * Bars of characters against a common time axis: one line for each request.
 *
 * All rows of a report share one scale, so that a row which takes four times as long also looks it. Eighths of a block
 * give the ends of the bars a finer grain than the grid of the terminal.
 */
import { condense } from "../statistics.ts";
import type { RequestSpan } from "../report.ts";
import { seconds } from "./format.ts";

export interface Bar {
  /** `3`, or `1–9` where one line stands for several requests. */
  readonly label: string;
  readonly bar: string;
  readonly time: string;
  readonly ok: boolean;
}

export interface TimelineOptions {
  /** Characters for the bar itself. */
  readonly width: number;
  /** The time at the right end of the axis. */
  readonly scaleMs: number;
  readonly maxLines: number;
}

const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
const FULL = "█";

export function drawTimeline(requests: readonly RequestSpan[], options: TimelineOptions): Bar[] {
  const stretches = condense(requests, options.maxLines);
  const labels = stretches.map(({ first, last }) => (first === last ? `${first}` : `${first}–${last}`));
  const labelWidth = Math.max(0, ...labels.map((label) => label.length));
  return stretches.map(({ startMs, endMs, ok }, index) => ({
    label: (labels[index] ?? "").padStart(labelWidth),
    bar: drawBar(startMs, endMs, options),
    time: seconds(endMs - startMs),
    ok,
  }));
}

/** A bar from the cell that its start falls in to the eighth of a cell of its end; never nothing at all. */
export function drawBar(
  startMs: number,
  endMs: number,
  { width, scaleMs }: Pick<TimelineOptions, "width" | "scaleMs">,
): string {
  const at = (ms: number): number => (scaleMs > 0 ? Math.min(Math.max(ms / scaleMs, 0), 1) * width * 8 : 0);
  const start = Math.min(Math.round(at(startMs) / 8), width - 1);
  const eighths = Math.max(Math.round(at(endMs)) - start * 8, 1);
  const bar = FULL.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? "");
  return (" ".repeat(start) + bar).padEnd(width);
}

/** Round times between 0 and `scaleMs`, four to eight of them. */
export function ticks(scaleMs: number): number[] {
  if (!(scaleMs > 0)) return [0];
  const magnitude = 10 ** Math.floor(Math.log10(scaleMs / 4));
  const step = [5, 2, 1].map((factor) => factor * magnitude).find((size) => scaleMs / size >= 4) ?? magnitude;
  return Array.from({ length: Math.floor(scaleMs / step) + 1 }, (_, index) => index * step);
}

export function tickLabel(tick: number, scaleMs: number): string {
  if (tick === 0) return "0";
  return scaleMs < 1_000 ? `${tick} ms` : `${tick / 1_000} s`;
}

/** The axis below the bars: a tick and its time, where there is room. */
export function drawAxis(scaleMs: number, width: number): string {
  let line = "";
  for (const tick of ticks(scaleMs)) {
    const column = Math.round((tick / scaleMs) * width);
    const label = tickLabel(tick, scaleMs);
    if (column < line.length + (line === "" ? 0 : 2) || column + label.length > width + 4) continue;
    line = line.padEnd(column) + label;
  }
  return line;
}
