/**
 * Says in words what a row shows and why it is so.
 *
 * The first sentence is only read off the numbers, so it stays true when a run comes out otherwise than expected; the
 * second is about how the contestant works, which no run changes.
 */
import type { ContestantName } from "../contestants.ts";
import { mostAtOnce } from "../statistics.ts";
import type { FinishedRow, Report, Row, Warning } from "../report.ts";
import { count, megabytes, milliseconds, seconds, times } from "./format.ts";

export interface Explanation {
  readonly seen: string;
  readonly why: string;
}

/** From here on a row whose requests wait together is called slower than it should be. */
const SLOW = 1.3;
const SLOWER = "That is slower than it should be: the machine is busy, or the delay is very short.";

const WHY: Record<ContestantName, string> = {
  blocking:
    "The call keeps the only thread until its answer is there, so meanwhile no other coroutine can start, and no timer can fire.",
  session:
    "yield* session.get(url) parks the coroutine and gives the thread back, so the loop starts the next request at once.",
  fetch:
    "Promise.all(fetch) gives the thread back as well; what a coroutine adds is that it can be cancelled, listed, and asked what it waits for.",
  threads: "A blocked thread does nothing but wait, and for that it has a stack, a heap and an event loop of its own.",
  many: "A coroutine that waits is a small object on the heap, so even many of them need no thread and hardly any memory.",
};

export function explain(row: Row, report: Report): Explanation {
  if (row.outcome === "failed") return { seen: `It failed: ${row.error}`, why: "" };
  return { seen: seen(row, report), why: WHY[row.name] };
}

function seen(row: FinishedRow, report: Report): string {
  const { delayMs } = report.settings;
  const all = row.requests.length;
  const open = mostAtOnce(row.requests);
  const together =
    open === 1 ? "never more than one open at a time" : `${open === all ? "all" : "up to"} ${open} open at once`;
  const took = `${count(all, "request")} took ${seconds(row.wallMs)} (${times(row.wallMs / delayMs)} the delay)`;
  const slow = row.name !== "blocking" && row.wallMs > SLOW * delayMs;
  return `${took}, ${together}${remark(row, report)}.${slow ? ` ${SLOWER}` : ""}`;
}

function remark(row: FinishedRow, report: Report): string {
  if (row.name === "blocking" && row.loopLagMs > report.settings.delayMs / 2) {
    return `; the loop came ${milliseconds(row.loopLagMs)} late`;
  }
  if (row.name === "threads") {
    const each = (row.peakRssMb - report.machine.emptyPeakRssMb) / row.requests.length;
    const cost = each > 0 ? `, about ${megabytes(each)} for each thread` : "";
    return `; before that the threads took ${seconds(row.setUpMs)} to start, and they need ${megabytes(row.peakRssMb)}${cost}`;
  }
  return row.name === "many" ? againstThreads(row, report) : "";
}

function againstThreads(row: FinishedRow, report: Report): string {
  const threads = report.rows.find(({ name }) => name === "threads");
  if (threads?.outcome !== "finished") return `; with ${megabytes(row.peakRssMb)}`;
  const memory = threads.peakRssMb / row.peakRssMb;
  const lighter = memory > 1.05 ? `${times(memory)} less memory` : "no less memory";
  const fewer =
    row.threads < threads.threads ? `${row.threads} threads instead of ${threads.threads}` : `${row.threads} threads`;
  return `; with ${lighter} than (d), and ${fewer}`;
}

/** So many coroutines are named for one line; the rest is counted. */
const MOST_NAMES = 5;

/**
 * One text for each line that held the loop, however many coroutines did so there, such as:
 * `coroutine "get 1" blocked the loop for 3,004 ms at request-sync.ts:41:17 (requestSync); so did "get 2" there`.
 */
export function warningTexts(warnings: readonly Warning[]): string[] {
  const byPlace = new Map<string, Warning[]>();
  for (const warning of warnings) {
    const place = JSON.stringify([warning.at, warning.calledFrom]);
    byPlace.set(place, [...(byPlace.get(place) ?? []), warning]);
  }
  return [...byPlace.values()].flatMap(([first, ...others]) =>
    first === undefined ? [] : [warningText(first, others)],
  );
}

function warningText({ task, blockedMs, at, calledFrom }: Warning, others: readonly Warning[]): string {
  const held = `coroutine "${task}" blocked the loop for ${milliseconds(blockedMs)}`;
  const where = at === undefined ? "" : ` at ${place(at)}`;
  const from = calledFrom === undefined ? "" : `, called from ${place(calledFrom)}`;
  if (others.length === 0) return `${held}${where}${from}`;
  const names = others.slice(0, MOST_NAMES).map((other) => `"${other.task}"`);
  if (others.length > MOST_NAMES) names.push(`${others.length - MOST_NAMES} more`);
  const last = names.pop();
  return `${held}${where}${from}; so did ${names.length === 0 ? last : `${names.join(", ")} and ${last}`}${at === undefined ? "" : " there"}`;
}

function place({ file, line, column, function: name }: NonNullable<Warning["at"]>): string {
  return `${file}:${line}:${column}${name === "" ? "" : ` (${name})`}`;
}

/** What the columns mean, for both printers. */
export function footnotes(report: Report): string[] {
  const { emptyPeakRssMb, emptyThreads } = report.machine;
  return [
    `wall: from the start of the requests to the end of the last. start: of the process and, for (d), of its threads; it comes before and is not included.`,
    `memory, threads: the most that each row's own process had; one that makes no request has ${megabytes(emptyPeakRssMb)} and ${count(emptyThreads, "thread")}. In (a) and (d) one more thread makes the connections for those that block, and in (a) the memory includes the watchdog that finds the line.`,
    `lag: how late, at worst, a timer of the main thread fired.`,
  ];
}
