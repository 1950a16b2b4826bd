/**
 * `npm run bench -- <row…>`: Fibril against native promises, Effect, Effection and other languages, in one interleaved run.
 *
 * How to read the figures, and what they do not say: bench/README.md.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Languages } from "./languages.ts";
import { WINDOW_MS } from "./measure.ts";
import { asMarkdown, asText, report } from "./report.ts";
import type { Setting } from "./report.ts";
import { entrantsOf, runRows } from "./rounds.ts";
import type { Plan, Tree } from "./rounds.ts";
import { rows } from "./rows/index.ts";
import type { Row } from "./row.ts";
import { findNode, Stage } from "./stage.ts";
import type { NodeVersion } from "./stage.ts";

const USAGE = `npm run bench -- [row…] [options]

rows: ${rows.map((row) => row.name).join(", ")}, or all (default: switch)
suites, each with options of its own (--help): http, server, fetch, executors, queue

  --json            print JSON and nothing else
  --quick           one round, shorter samples, sizes of at most 10,000: to see that everything runs
  --rounds N        rounds instead of the row's own number
  --minutes N       begin no further round that would end later than this; default 9, with --rounds no limit
  --count N[,N…]    sizes instead of the row's own, e.g. --count 100000 for memory
  --only A[,B…]     these contestants only
  --node V[,V…]     Fibril and native promises under these versions of Node instead, e.g. --node 20,22,24,26
  --also DIR        also run Fibril from another source tree (again for more; LABEL=DIR names the column)
  --save            also write a dated Markdown table and the JSON to bench/results/
  --help
`;

const HERE = fileURLToPath(new URL(".", import.meta.url));
const MINUTES = 9;
const QUICK_WINDOW_MS = 60;
const QUICK_SIZE = 10_000;

/** What is measured between processes, and so has a command line of its own. */
const SUITES: Readonly<Record<string, () => Promise<(args: readonly string[]) => Promise<void>>>> = {
  http: async () => (await import("./http/main.ts")).benchHttp,
  executors: async () => (await import("./executors/main.ts")).benchExecutors,
  server: async () => (args) => program("server.ts", args),
  fetch: async () => (args) => program("fetch.ts", args),
  queue: async () => (args) => program("queue.ts", args),
};

try {
  const [first = "", ...rest] = process.argv.slice(2);
  const suite = Object.hasOwn(SUITES, first) ? await SUITES[first]!() : undefined;
  await (suite === undefined ? main() : suite(rest));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      minutes: { type: "string" },
      count: { type: "string" },
      only: { type: "string" },
      node: { type: "string" },
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
  const ownRounds = options.quick ? 1 : undefined;
  const rounds = options.rounds === undefined ? ownRounds : positiveInteger(options.rounds, "--rounds");
  const minutes = options.minutes === undefined ? undefined : positiveInteger(options.minutes, "--minutes");
  const counts = options.count?.split(",").map((each) => positiveInteger(each, "--count"));
  const only = options.only === undefined ? undefined : new Set(options.only.split(","));
  const trees = options.also.map(treeOf);
  const nodes = options.node?.split(",").map(findNode) ?? [];

  const load = loadavg()[0] ?? 0;
  if (load > availableParallelism() / 2) {
    process.stderr.write(`the machine is busy (load ${load.toFixed(1)}); the ratios will be rough\n`);
  }
  const startedAt = performance.now();
  const languages = new Languages();
  let stage: Stage | undefined;
  try {
    const plans: Plan[] = [];
    for (const row of chosen) {
      const entrants = entrantsOf(row, { trees, nodes, only }, languages);
      if (entrants.length === 0) {
        if (chosen.length > 1) continue;
        throw new Error(`the row ${row.name} has none of these contestants`);
      }
      const sizes = sizesOf(row, counts, options.quick);
      plans.push({ row, sizes, rounds: row.kind === "size" ? 1 : (rounds ?? row.rounds), entrants });
    }
    if (plans.length === 0) throw new Error("no row has these contestants");
    if (nodes.length > 0 || plans.some(({ row }) => row.kind === "start")) stage = await Stage.open();
    const place = { languages, stage, windowMs: options.quick ? QUICK_WINDOW_MS : WINDOW_MS };
    const limit = minutes ?? (options.rounds === undefined ? MINUTES : Infinity);
    const series = await runRows(plans, place, startedAt + limit * 60_000, showProgress);

    const tookSeconds = Math.round((performance.now() - startedAt) / 1_000);
    const result = report(setting(load, languages, nodes, tookSeconds), series);
    process.stdout.write(options.json ? `${JSON.stringify(result, null, 2)}\n` : asText(result, series));
    if (options.save) {
      const names = chosen.length === rows.length ? "all" : chosen.map((row) => row.name).join("-");
      const suffix = nodes.length === 0 ? "" : `-node-${nodes.map((node) => node.label).join("-")}`;
      const name = `${result.date.replaceAll(":", "")}-${names}${suffix}`;
      mkdirSync(`${HERE}results`, { recursive: true });
      writeFileSync(`${HERE}results/${name}.md`, asMarkdown(result, series));
      writeFileSync(`${HERE}results/${name}.json`, `${JSON.stringify(result)}\n`);
      process.stderr.write(`saved as bench/results/${name}.md and .json\n`);
    }
    // A peer that fails is part of the result; when we fail ourselves, or nothing ran, something is to be repaired.
    const ours = series.filter(({ entrant }) => entrant.contestant.startsWith("fibril") && entrant.tree === undefined);
    if (ours.some(({ failure }) => failure !== undefined) || result.rows.length === 0) process.exitCode = 1;
  } finally {
    stage?.[Symbol.dispose]();
    languages[Symbol.dispose]();
  }
}

/** Runs one of our files as a program of its own; its exit code becomes ours. */
async function program(file: string, args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [...process.execArgv, `${HERE}${file}`, ...args], { stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) process.exitCode = code ?? 1;
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

function sizesOf(row: Row, counts: readonly number[] | undefined, quick: boolean): readonly number[] {
  if (row.kind === "size" || row.kind === "start") return row.sizes;
  if (counts !== undefined) return counts;
  return quick ? [...new Set(row.sizes.map((n) => Math.min(n, QUICK_SIZE)))] : row.sizes;
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

function setting(load: number, languages: Languages, nodes: readonly NodeVersion[], tookSeconds: number): Setting {
  return {
    node: nodes.length === 0 ? process.versions.node : nodes.map(({ version }) => version).join(", "),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cpus: availableParallelism(),
    load,
    date: new Date().toISOString().slice(0, 16),
    tookSeconds,
    commit: commit(),
    versions: nodes.length === 0 ? { ...versions(), ...languages.versions() } : {},
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
  return Object.fromEntries(Object.entries(dependencies).filter(([name]) => name !== "fibril"));
}
