/** The style of the page: one column, quiet, the bars carry the colour. Follows the reader's light or dark setting. */
export const PAGE_STYLE = `
:root {
  --paper: #faf9f6; --card: #ffffff; --ink: #1d2321; --soft: #5c6662; --line: #e3e2dc; --grid: #ecebe5;
  --blocking: #c2740a; --session: #0c8067; --fetch: #2f6fb8; --threads: #8a4fb0; --many: #0c8067;
  --failed: #b3261e; --warn-ink: #7a4600; --warn: #fdf1dc; --warn-line: #eec98c;
  color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #131716; --card: #1a1f1e; --ink: #e7ebe8; --soft: #9ba6a1; --line: #2c3331; --grid: #252b29;
    --blocking: #e09a3a; --session: #34b597; --fetch: #6aa5e6; --threads: #bb8adb; --many: #34b597;
    --failed: #f2857d; --warn-ink: #f3cf95; --warn: #2c2416; --warn-line: #5a4522;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 62rem; margin: 0 auto; padding: 3.5rem 1.25rem 4rem; }
header { margin-bottom: 2.25rem; }
.kicker { margin: 0 0 .75rem; color: var(--session); font: 600 .85rem/1 ui-monospace, "SF Mono", Menlo, Consolas, monospace; letter-spacing: .02em; }
h1 { margin: 0; font-size: clamp(1.7rem, 4.4vw, 2.5rem); line-height: 1.16; letter-spacing: -.018em; font-weight: 680; text-wrap: balance; }
.lead { max-width: 46rem; margin: 1rem 0 0; color: var(--soft); font-size: 1.06rem; }
h2 { margin: 3rem 0 1rem; font-size: 1.2rem; letter-spacing: -.005em; }
a { color: inherit; text-decoration: none; }
a:hover { text-decoration: underline; text-underline-offset: .2em; }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
table { width: 100%; min-width: 47rem; border-collapse: collapse; }
th, td { padding: .7rem .8rem; text-align: right; vertical-align: top; white-space: nowrap; }
th:first-child { padding-left: 1.1rem; text-align: left; } td:last-child { padding-right: 1.1rem; }
thead th { color: var(--soft); font-size: .82rem; font-weight: 500; padding-bottom: .45rem; }
thead th:last-child { padding-right: 1.1rem; }
tbody th { font-weight: 560; }
tbody tr { border-top: 1px solid var(--line); }
tr.failed td { text-align: left; color: var(--failed); white-space: normal; }
.measured { min-width: 6.5rem; }
.meter { display: block; height: 4px; margin-top: .3rem; border-radius: 2px; background: var(--grid); overflow: hidden; }
.meter i { display: block; height: 100%; min-width: 2px; border-radius: 2px; }
.key {
  display: inline-block; width: 1.5rem; height: 1.5rem; margin-right: .65rem; border-radius: 6px; color: var(--card);
  font: 650 .85rem/1.5rem ui-monospace, "SF Mono", Menlo, Consolas, monospace; text-align: center;
}
.blocking { background: var(--blocking); } .session { background: var(--session); } .fetch { background: var(--fetch); }
.threads { background: var(--threads); } .many { background: var(--many); }
article { margin: 0 0 1rem; padding: 1.2rem 1.25rem 1.1rem; background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
h3 { display: flex; flex-wrap: wrap; align-items: center; margin: 0 0 .9rem; font-size: 1.02rem; font-weight: 620; }
.facts { margin-left: auto; color: var(--soft); font-weight: 400; font-size: .92rem; }
.chart { position: relative; padding-bottom: 1.5rem; --gutter: 1.9rem; }
.grid, .axis { position: absolute; left: var(--gutter); right: 0; }
.grid { top: 0; bottom: 1.5rem; }
.grid i { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--grid); }
.axis { bottom: 0; height: 1.2rem; color: var(--soft); font-size: .78rem; line-height: 1.2rem; }
.axis span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.axis span:first-child { transform: none; }
.axis span:last-child:not(:first-child) { transform: translateX(-100%); }
.lane { position: relative; display: flex; align-items: center; height: 1.6rem; }
.lane b { width: var(--gutter); color: var(--soft); font-size: .8rem; font-weight: 400; }
.track { position: relative; flex: 1; height: 1.15rem; }
.track i { position: absolute; top: 0; bottom: 0; min-width: 2px; border-radius: 3px; overflow: hidden; }
.track i.failed { background: var(--failed); }
.track em { display: block; padding: 0 .45rem; color: var(--card); font: 600 .76rem/1.15rem system-ui, sans-serif; text-align: right; white-space: nowrap; }
.dense .lane { height: 3px; padding-left: var(--gutter); } .dense .track { height: 2px; } .dense .track i { border-radius: 1px; }
article p { max-width: 50rem; margin: .8rem 0 0; }
.why { color: var(--soft); }
.warnings { list-style: none; margin: .9rem 0 0; padding: .7rem .9rem; background: var(--warn); border: 1px solid var(--warn-line); border-radius: 8px; color: var(--warn-ink); font-size: .92rem; }
.warnings li { padding-left: 1.6rem; text-indent: -1.6rem; }
.warnings li + li { margin-top: .3rem; }
.warnings li::before { content: "⚠"; display: inline-block; width: 1.6rem; text-indent: 0; }
footer { max-width: 50rem; margin-top: 2.2rem; color: var(--soft); font-size: .88rem; }
footer p { margin: .5rem 0; }
@media (max-width: 40rem) { main { padding-top: 2rem; } .facts { width: 100%; margin: .3rem 0 0; } }
@media print { body { background: none; } article, .scroll { break-inside: avoid; } }
`;
