/**
 * `node scripts/picture.ts [RESULT.json…]`: draws docs/bench.svg, the picture of the README, from what `npm run bench -- … --save` wrote.
 *
 * Bars of what an operation costs, as a multiple of native promises: to the left of the line is cheaper, to the right dearer. The
 * scale is logarithmic, because the peers are up to a thousand times apart. Without arguments it takes the newest result that has all rows.
 * Later files replace rows of earlier ones. Plain SVG with colours for light and dark pages; what it says is also said in figures.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

interface Result {
  readonly node: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly date: string;
  readonly commit?: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly ratios: readonly { row: string; n: number; of: string; to: string; median: number }[];
}

/** The rows that are drawn, with a label that a reader understands without the table. */
const chosen = [
  { row: "switch", n: 1_000, label: "switch, 1,000 tasks" },
  { row: "depth", n: 100, label: "switch 100 calls deep" },
  { row: "spawn", n: 1_000, label: "spawn and join" },
  { row: "spawn-wait", n: 1_000, label: "spawn, wait once, join" },
  { row: "channel", n: 1, label: "channel, unbuffered" },
  { row: "channel-many", n: 100, label: "channel, 100 senders" },
  { row: "lock", n: 100, label: "lock, 100 tasks" },
  { row: "select", n: 2, label: "select of two channels" },
  { row: "map", n: 100_000, label: "map 100,000 (native: p-limit)" },
  { row: "cancel", n: 100_000, label: "cancel 100,000 sleepers" },
  { row: "timers", n: 1_000_000, label: "set and cancel a timer" },
  { row: "memory", n: 1_000_000, label: "memory of 1,000,000 sleepers" },
  { row: "bridge-until", n: 1, label: "wait for a promise" },
];

/** Dark enough for white paper, light enough for a black page. */
const contestants = [
  { name: "fibril", color: "#2f9e6e" },
  { name: "effect", color: "#8a7fd1" },
  { name: "effection", color: "#d08c3f" },
  { name: "python", color: "#7f8a96" },
  { name: "go", color: "#3a9fbf" },
];

const WIDTH = 860;
const LEFT = 216;
const RIGHT = 64;
const TOP = 74;
const BAR = 11;
const GAP = 12;
const BOTTOM = 40;

const root = fileURLToPath(new URL("../", import.meta.url));
const files = process.argv.length > 2 ? process.argv.slice(2) : [newest()];
const results = files.map((file) => JSON.parse(readFileSync(file, "utf8")) as Result);
const picture = join(root, "docs", "bench.svg");
writeFileSync(picture, draw(results));
console.log(`drew docs/bench.svg from ${files.map((file) => basename(file)).join(", ")}`);

function newest(): string {
  const folder = join(root, "bench", "results");
  const name = readdirSync(folder)
    .filter((each) => each.endsWith("-all.json"))
    .toSorted()
    .at(-1);
  if (name === undefined) throw new Error("bench/results has no result of all rows; run `npm run bench -- all --save`");
  return join(folder, name);
}

function draw(all: readonly Result[]): string {
  const groups = chosen
    .map(({ row, n, label }) => ({ label, bars: barsOf(all, row, n) }))
    .filter(({ bars }) => bars.length > 0);
  if (groups.length === 0) throw new Error("these results have none of the rows that the picture shows");
  const present = contestants.filter(({ name }) => groups.some(({ bars }) => bars.some((bar) => bar.name === name)));
  const values = groups.flatMap(({ bars }) => bars.map((bar) => bar.ratio));
  const low = Math.floor(Math.log10(Math.min(0.1, ...values)));
  const high = Math.ceil(Math.log10(Math.max(10, ...values)));
  const x = (ratio: number): number => LEFT + ((Math.log10(ratio) - low) / (high - low)) * (WIDTH - LEFT - RIGHT);
  const bottom = TOP + groups.reduce((sum, { bars }) => sum + bars.length * BAR + GAP, 0);

  const parts: string[] = [];
  for (let exponent = low; exponent <= high; exponent++) {
    const at = x(10 ** exponent).toFixed(1);
    const style = exponent === 0 ? "one" : "grid";
    parts.push(`<line class="${style}" x1="${at}" y1="${TOP - 10}" x2="${at}" y2="${bottom - GAP + 6}"/>`);
    const name =
      exponent === 0 ? "native = 1" : `${exponent < 0 ? (10 ** exponent).toFixed(-exponent) : 10 ** exponent} ×`;
    parts.push(`<text class="dim" x="${at}" y="${TOP - 16}" text-anchor="middle">${name}</text>`);
  }
  let y = TOP;
  for (const { label, bars } of groups) {
    const middle = y + (bars.length * BAR) / 2 + 4;
    parts.push(`<text x="${LEFT - 12}" y="${middle}" text-anchor="end">${label}</text>`);
    for (const { name, ratio } of bars) {
      const from = Math.min(x(1), x(ratio));
      const length = Math.max(Math.abs(x(ratio) - x(1)), 1.5);
      parts.push(
        `<rect class="${name}" x="${from.toFixed(1)}" y="${y}" width="${length.toFixed(1)}" height="${BAR - 1.5}"/>`,
      );
      const isLeft = ratio < 1;
      const at = isLeft ? x(ratio) - 4 : x(ratio) + 4;
      const figure = ratio < 10 ? ratio.toFixed(2) : Math.round(ratio).toLocaleString("en-US");
      const weight = name === "fibril" ? "own" : "dim";
      parts.push(
        `<text class="${weight} small" x="${at.toFixed(1)}" y="${y + BAR - 2.5}" text-anchor="${isLeft ? "end" : "start"}">${figure}</text>`,
      );
      y += BAR;
    }
    y += GAP;
  }
  let legendX = LEFT;
  for (const { name } of present) {
    parts.push(`<rect class="${name}" x="${legendX}" y="17" width="11" height="11"/>`);
    parts.push(`<text x="${legendX + 16}" y="27">${nameOf(name, all[0]!)}</text>`);
    legendX += 32 + 7 * nameOf(name, all[0]!).length;
  }
  const { node, cpu, cpus, date, commit = "no commit" } = all[0]!;
  const source = `Node ${node}, ${cpus} × ${cpu}, ${date.slice(0, 10)}, commit ${commit}; lower is better; logarithmic`;
  parts.push(`<text class="dim" x="${LEFT - 204}" y="${bottom + 18}">${escaped(source)}</text>`);

  const title = "Cost of an operation as a multiple of native promises";
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${bottom + BOTTOM - GAP}" role="img" aria-label="${title}">`,
    `<title>${title}</title>`,
    `<style>`,
    `text { font: 12px system-ui, sans-serif; fill: #24292f; } .small { font-size: 9.5px; } .own { font-weight: 700; }`,
    `.dim { fill: #6e7781; } .grid { stroke: #8b949e; stroke-opacity: 0.25; } .one { stroke: #8b949e; }`,
    ...present.map(({ name, color }) => `.${name} { fill: ${color}; }`),
    `@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .dim { fill: #9198a1; } }`,
    `</style>`,
    ...parts,
    `</svg>`,
    ``,
  ].join("\n");
}

function barsOf(all: readonly Result[], row: string, n: number): { readonly name: string; readonly ratio: number }[] {
  const bars = [];
  const last = all.findLast(({ ratios }) => ratios.some((each) => each.row === row && each.n === n));
  for (const { name } of contestants) {
    const ratio = last?.ratios.find(
      (each) => each.row === row && each.n === n && each.of === name && each.to === "native",
    );
    if (ratio !== undefined) bars.push({ name, ratio: ratio.median });
  }
  return bars;
}

function nameOf(name: string, { versions }: Result): string {
  const shown: Record<string, string> = {
    fibril: "Fibril",
    effect: "Effect",
    effection: "Effection",
    python: "asyncio",
    go: "Go",
  };
  const version = name === "python" ? `Python ${versions[name]}` : versions[name];
  return version === undefined ? shown[name]! : `${shown[name]} ${name === "python" ? `(${version})` : version}`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
