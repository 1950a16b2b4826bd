/**
 * `npm run bench -- <row…>`: Fibril against native promises, Effect and Effection, in one interleaved run.
 *
 * How to read the figures, and what they do not say: bench/README.md.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { asMarkdown, asText, report } from "./report.ts";
import type { Setting } from "./report.ts";
import { entrantsOf, runRow } from "./rounds.ts";
import type { Series, Tree } from "./rounds.ts";
import { rows } from "./rows/index.ts";
import type { Row } from "./row.ts";

const USAGE = `npm run bench -- [row…] [options]

rows: ${rows.map((row) => row.name).join(", ")}, or all (default: switch)

  --json            print JSON and nothing else
  --rounds N        rounds instead of the row's own number
  --count N[,N…]    sizes instead of the row's own, e.g. --count 100000 for memory
  --only A[,B…]     these contestants only
  --also DIR        also run Fibril from another source tree (again for more; LABEL=DIR names the column)
  --save            also write a dated Markdown table to bench/results/
  --help
`;

const HERE = fileURLToPath(new URL(".", import.meta.url));

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      rounds: { type: "string" },
      count: { type: "string" },
      only: { type: "string" },
      also: { type: "string", multiple: true, default: [] },
      save: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (options.help) {
    process.stdout.write(USAGE);
    return;
  }
  const chosen = choose(positionals.length === 0 ? ["switch"] : positionals);
  const rounds = options.rounds === undefined ? undefined : positiveInteger(options.rounds, "--rounds");
  const sizes = options.count?.split(",").map((each) => positiveInteger(each, "--count"));
  const only = options.only === undefined ? undefined : new Set(options.only.split(","));
  const trees = options.also.map(treeOf);

  const load = loadavg()[0] ?? 0;
  if (load > availableParallelism() / 2) {
    process.stderr.write(`the machine is busy (load ${load.toFixed(1)}); the ratios will be rough\n`);
  }
  const series: Series[] = [];
  for (const row of chosen) {
    const entrants = entrantsOf(row, trees, only);
    if (entrants.length === 0) throw new Error(`the row ${row.name} has none of these contestants: ${options.only}`);
    const plan = { rounds: rounds ?? row.rounds, sizes: sizes ?? row.sizes, entrants };
    series.push(...(await runRow(row, plan, showProgress)));
  }

  const result = report(setting(load), series);
  process.stdout.write(options.json ? `${JSON.stringify(result, null, 2)}\n` : asText(result, series));
  if (options.save) {
    const name = `${result.date.replaceAll(":", "")}-${chosen.map((row) => row.name).join("-")}.md`;
    mkdirSync(`${HERE}results`, { recursive: true });
    writeFileSync(`${HERE}results/${name}`, asMarkdown(result, series));
    process.stderr.write(`saved as bench/results/${name}\n`);
  }
}

function choose(names: readonly string[]): Row[] {
  const chosen: Row[] = [];
  for (const name of names) {
    const found = name === "all" ? rows : rows.filter((row) => row.name === name);
    if (found.length === 0) throw new Error(`there is no row "${name}"\n\n${USAGE}`);
    chosen.push(...found.filter((row) => !chosen.includes(row)));
  }
  return chosen;
}

function positiveInteger(text: string, option: string): number {
  const value = Number(text.replaceAll("_", ""));
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${option} takes whole numbers from 1, not "${text}"`);
  return value;
}

function treeOf(argument: string): Tree {
  const [before, after] = argument.split("=", 2) as [string, string?];
  const path = resolve(after ?? before);
  return { label: after === undefined ? basename(path) : before, path };
}

/** One line on a terminal that is written over and over; nothing when the output is a file or a pipe. */
function showProgress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${line}`);
}

function setting(load: number): Setting {
  return {
    node: process.versions.node,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cpus: availableParallelism(),
    load,
    date: new Date().toISOString().slice(0, 16),
    commit: commit(),
    versions: versions(),
  };
}

function commit(): string | undefined {
  const git = (...args: string[]): string =>
    execFileSync("git", args, { cwd: HERE, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    return git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain") === "" ? "" : "+");
  } catch {
    return undefined; // no git, or not a repository: a package that was unpacked can still be measured
  }
}

/** Of the peers: package.json pins them exactly. */
function versions(): Record<string, string> {
  const text = readFileSync(`${HERE}package.json`, "utf8");
  const { dependencies } = JSON.parse(text) as { dependencies: Record<string, string> };
  const { effect = "?", effection = "?" } = dependencies;
  return { effect, effection };
}
