/**
 * One line of output: made of pieces with a style each, cut to the width of the terminal, harmless whatever it holds.
 *
 * Names come from programs, and programs take them from URLs and users. Printed as they are, control characters could move the cursor, recolour
 * or hide what follows, and the marks of writing direction could show it in another order. So they are printed as escapes.
 */
export type Style = "plain" | "strong" | "faint" | "good" | "warm" | "bad";

const CODES: Readonly<Record<Style, string>> = {
  plain: "",
  strong: "\u001b[1m",
  faint: "\u001b[2m",
  good: "\u001b[32m",
  warm: "\u001b[33m",
  bad: "\u001b[31m",
};
const RESET = "\u001b[0m";

export interface FormatOptions {
  /** Whether to colour it with ANSI escapes. Default: `false`. */
  readonly colours?: boolean;
  /** Columns of the terminal: longer lines are cut. Default: as long as they are. */
  readonly width?: number;
}

export interface Piece {
  readonly text: string;
  readonly style: Style;
}

export function piece(text: string, style: Style = "plain"): Piece {
  return { text: harmless(text), style };
}

/** Every character that is not just printed is written as an escape. */
// C0 and C1 controls with DEL; line and paragraph separators; soft hyphen, zero-width characters, direction marks, tags; half surrogates.
const HARMFUL =
  // oxlint-disable-next-line no-control-regex -- these are what it is for
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\p{Cs}/gu;

const PLAIN = /^[\u0020-\u007e]*$/; // nearly all of it, and found out in a tenth of the time

export function harmless(text: string): string {
  return PLAIN.test(text)
    ? text
    : text.replace(HARMFUL, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

export function renderLine(pieces: readonly Piece[], { colours = false, width = Infinity }: FormatOptions): string {
  let left = width;
  let line = "";
  for (const { text, style } of pieces) {
    const shown = cut(text, left);
    line += colours && style !== "plain" && shown !== "" ? CODES[style] + shown + RESET : shown;
    left -= text.length;
    if (left < 0) break;
  }
  return line;
}

function cut(text: string, width: number): string {
  if (text.length <= width) return text;
  if (width <= 0) return "";
  let end = width - 1;
  if (/[\ud800-\udbff]/.test(text[end - 1] ?? "")) end--; // not in the middle of a pair
  return `${text.slice(0, Math.max(0, end))}…`;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** `12 ms`, `1.2 s`, `2 min 5 s`, `3 h 12 min`. */
export function duration(ms: number): string {
  const sign = ms < 0 ? "-" : "";
  const size = Math.abs(ms);
  if (size < SECOND) return `${sign}${Math.floor(size)} ms`;
  if (size < MINUTE) return `${sign}${Math.floor(size / 100) / 10} s`;
  if (size < HOUR) return `${sign}${Math.floor(size / MINUTE)} min ${Math.floor((size % MINUTE) / SECOND)} s`;
  return `${sign}${Math.floor(size / HOUR)} h ${Math.floor((size % HOUR) / MINUTE)} min`;
}
