/**
 * The report as one self-contained page: no script, no font, no request to anywhere.
 *
 * Bars are boxes placed in percent of a common axis, so the page is as sharp and as readable on a phone. All text passes
 * through `escape`: task names and error messages come from programs.
 */
import type { FinishedRow, Report, RequestSpan, Row } from "../report.ts";
import { explain, footnotes, warningTexts } from "./explain.ts";
import { count, megabytes, milliseconds, seconds, times } from "./format.ts";
import { PAGE_STYLE } from "./page-style.ts";
import { figures } from "./terminal.ts";
import { tickLabel, ticks } from "./timeline.ts";

/** More requests than this get thin bars without labels. */
const MOST_LABELLED = 16;

export function htmlPage(report: Report): string {
  const scaleMs = Math.max(1, ...report.rows.flatMap(({ requests }) => requests.map(({ endMs }) => endMs)));
  const { settings, machine } = report;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>fibril compare: ${escape(headline(report))}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<main>
<header>
<p class="kicker">fibril compare</p>
<h1>${escape(headline(report))}</h1>
<p class="lead">The same slow requests, made in ${report.rows.length === 1 ? "one way" : `${report.rows.length} ways`}. A server on this machine answers each one after ${milliseconds(settings.delayMs)}, any number at once; every way runs in a fresh process of its own.</p>
</header>
${table(report)}
<section class="timelines">
<h2>Every request, on one time axis</h2>
${report.rows.map((row) => timeline(row, report, scaleMs)).join("\n")}
</section>
<footer>
${footnotes(report)
  .map((note) => `<p>${escape(note)}</p>`)
  .join("\n")}
<p>Measured with Node ${escape(machine.node)} on ${escape(machine.platform)}, ${count(machine.cores, "core")}.</p>
</footer>
</main>
</body>
</html>
`;
}

/** The finding in one line, where the rows for it have finished. */
export function headline({ rows, settings }: Report): string {
  const wall = (name: Row["name"]): number | undefined =>
    rows.find((row): row is FinishedRow => row.name === name && row.outcome === "finished")?.wallMs;
  const blocking = wall("blocking");
  const together = wall("session");
  if (blocking !== undefined && together !== undefined) {
    return `${count(settings.count, "request")}: ${seconds(blocking)} when each blocks, ${seconds(together)} when they wait together`;
  }
  return `Requests that take ${milliseconds(settings.delayMs)} each`;
}

function table(report: Report): string {
  const finished = report.rows.filter((row) => row.outcome === "finished");
  const longest = Math.max(1, ...finished.map(({ wallMs }) => wallMs));
  const largest = Math.max(1, ...finished.map(({ peakRssMb }) => peakRssMb));
  const body = report.rows.map((row) => {
    const head = `<th scope="row"><a href="#${row.key}"><span class="key ${row.name}">${row.key}</span>${escape(row.title)}</a></th>`;
    if (row.outcome === "failed")
      return `<tr class="failed">${head}<td colspan="6">failed: ${escape(row.error)}</td></tr>`;
    const [wall = "", speedup = "", memory = "", threads = "", lag = "", start = ""] = figures(row);
    const cells = [
      measured(wall, row.wallMs / longest, row),
      plain(speedup),
      measured(memory, row.peakRssMb / largest, row),
    ];
    return `<tr>${head}${[...cells, plain(threads), plain(lag), plain(start)].join("")}</tr>`;
  });
  return `<div class="scroll"><table>
<thead><tr><th scope="col">contestant</th><th scope="col">wall</th><th scope="col">speed-up</th><th scope="col">memory</th><th scope="col">threads</th><th scope="col">lag</th><th scope="col">start</th></tr></thead>
<tbody>
${body.join("\n")}
</tbody>
</table></div>`;
}

function plain(text: string): string {
  return `<td>${escape(text)}</td>`;
}

/** A number with a bar below it that shows its part of the largest. */
function measured(text: string, part: number, { name }: Row): string {
  return `<td class="measured">${escape(text)}<span class="meter"><i class="${name}" style="width:${percent(part)}"></i></span></td>`;
}

function timeline(row: Row, report: Report, scaleMs: number): string {
  const { seen, why } = explain(row, report);
  const facts =
    row.outcome === "finished"
      ? `${seconds(row.wallMs)} · ${times(row.speedup)} · ${megabytes(row.peakRssMb)}`
      : "failed";
  const warnings = warningTexts(row.warnings)
    .map((warning) => `<li>${code(warning)}</li>`)
    .join("");
  return `<article id="${row.key}">
<h3><span class="key ${row.name}">${row.key}</span>${escape(row.title)}<span class="facts">${facts}</span></h3>
${row.requests.length > 0 ? lanes(row, scaleMs) : ""}
<p>${code(seen)} <span class="why">${code(why)}</span></p>
${warnings === "" ? "" : `<ul class="warnings">${warnings}</ul>`}
</article>`;
}

function lanes(row: Row, scaleMs: number): string {
  const dense = row.requests.length > MOST_LABELLED;
  const marks = ticks(scaleMs).map((tick) => ({ left: percent(tick / scaleMs), label: tickLabel(tick, scaleMs) }));
  const lines = marks.map(({ left }) => `<i style="left:${left}"></i>`).join("");
  const labels = marks.map(({ left, label }) => `<span style="left:${left}">${label}</span>`).join("");
  return `<div class="chart${dense ? " dense" : ""}" role="img" aria-label="${escape(`timeline of ${count(row.requests.length, "request")}`)}">
<div class="grid">${lines}</div>
${row.requests.map((request, index) => lane(request, index, row, scaleMs, dense)).join("\n")}
<div class="axis">${labels}</div>
</div>`;
}

function lane({ startMs, endMs, ok }: RequestSpan, index: number, row: Row, scaleMs: number, dense: boolean): string {
  const hint = `request ${index + 1}: ${milliseconds(startMs)} to ${milliseconds(endMs)}${ok ? "" : ", failed"}`;
  const place = `left:${percent(startMs / scaleMs)};width:${percent((endMs - startMs) / scaleMs)}`;
  const label = dense ? "" : `<b>${index + 1}</b>`;
  const text = dense ? "" : `<em>${seconds(endMs - startMs)}</em>`;
  return `<div class="lane" title="${escape(hint)}">${label}<span class="track"><i class="${row.name}${ok ? "" : " failed"}" style="${place}">${text}</i></span></div>`;
}

function percent(part: number): string {
  return `${Math.round(part * 10_000) / 100}%`;
}

/** A sentence of `explain.ts`: what looks like code is set as code, and numbers keep their units. */
function code(sentence: string): string {
  return escape(sentence)
    .replaceAll(
      /yield\* [\w.]+\([^)]*\)|Promise\.all\(fetch\)|\b[\w-]+\.[jt]s:\d+:\d+/g,
      (part) => `<code>${part}</code>`,
    )
    .replaceAll(/(\d) (ms|s|MB|×)(?!\w)/g, "$1\u00A0$2");
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
