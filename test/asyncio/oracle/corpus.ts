/**
 * Chooses from many recorded programs the few that tell most, for the tests that run without Python.
 */
import type { Recorded } from "./records.ts";

/** Programs with longer traces than that cost more room than they are worth. */
const LONGEST_TRACE = 120;

/**
 * Greedy cover: again and again the program that shows most of what few others have shown. What a program shows are its kinds
 * of events (statement and outcome) and which kinds follow each other: that is where order shows.
 */
export function chooseCorpus(records: readonly Recorded[], count: number): Recorded[] {
  const candidates = records
    .map((record) => ({ record, lines: record.trace.split("\n") }))
    .filter(({ lines }) => lines.length <= LONGEST_TRACE)
    .map(({ record, lines }) => ({ record, size: 20 + lines.length, shown: shownBy(lines) }));
  const seen = new Map<string, number>();
  const chosen: Recorded[] = [];
  const left = new Set(candidates);
  while (chosen.length < count && left.size > 0) {
    let best = left.values().next().value!;
    let bestWorth = -1;
    for (const candidate of left) {
      let worth = 0;
      for (const key of candidate.shown) worth += 1 / (1 + 4 * (seen.get(key) ?? 0));
      worth /= candidate.size;
      if (worth > bestWorth) [best, bestWorth] = [candidate, worth];
    }
    left.delete(best);
    chosen.push(best.record);
    for (const key of best.shown) seen.set(key, (seen.get(key) ?? 0) + 1);
  }
  return chosen.toSorted((a, b) => a.program.seed - b.program.seed);
}

function shownBy(lines: readonly string[]): Set<string> {
  const shown = new Set<string>();
  let before = "";
  for (const line of lines) {
    const kind = kindOf(line);
    shown.add(kind);
    shown.add(`${before} > ${kind}`);
    before = kind;
  }
  return shown;
}

/** A line without time, task and numbers: `await !Cancelled`. */
export function kindOf(line: string): string {
  const [, , what = "", result = ""] = line.split(" ");
  return `${what.replace(/\d+$/, "")} ${result.replaceAll(/\d+|:.*|\[.*/g, "")}`;
}
