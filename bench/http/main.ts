/**
 * `npm run bench -- http`: requests over HTTP, `Session` beside undici, Node, fetch, got, axios, ky, aiohttp and Go.
 *
 * Every figure is the median over interleaved rounds; every ratio is taken inside a round. Servers and clients are processes
 * of their own. CPU for a request is the steadier figure: the rate depends on what else the two cores do, the server first
 * of all. Loopback only, no TLS.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { spread } from "../stats.ts";
import { contestants } from "./contestants.ts";
import { foreignClients, measure, startNginx, startNodeServer } from "./peers.ts";
import type { Server } from "./peers.ts";

const USAGE = `npm run bench -- http [options]

  --part A[,B…]      nginx, node, slow, hold, big (default: all)
  --concurrency N,…  requests in flight of nginx and node; default 50,500
  --rounds N         default 3
  --ms N             length of a measurement; default 2500
  --only A[,B…]      these contestants only
  --quick            one round, short: to see that everything runs
  --json             print JSON and nothing else
  --save             also write a dated Markdown table and the JSON to bench/results/
`;

const OURS = "session";
/** What the session stands on: no client on undici can be faster than that by much, whatever it does. */
const GROUND = "pool.dispatch";
const HELD = 10_000;

interface Part {
  readonly name: string;
  readonly title: string;
  readonly work: "get" | "hold" | "stream";
  readonly server: "nginx" | "node";
  readonly path: string;
  readonly sizes: readonly number[];
  /** The figure that ratios are made of, and whether more is better. */
  readonly key: string;
  readonly without?: readonly string[];
  readonly only?: readonly string[];
}

/** A promise of issue and README: `ours / theirs` of `key`. */
interface Target {
  readonly parts: readonly string[];
  readonly to: string;
  readonly key: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

const STREAM_ONLY = "undici.stream";

function partsOf(sizes: readonly number[]): readonly Part[] {
  const small = { work: "get", key: "rate", without: [STREAM_ONLY] } as const;
  return [
    { ...small, name: "nginx", title: "512 bytes from nginx", server: "nginx", path: "/512", sizes },
    { ...small, name: "node", title: "512 bytes from node:http", server: "node", path: "/512", sizes: [sizes[0]!] },
    {
      ...small,
      name: "slow",
      title: "512 bytes after 100 ms from node:http",
      server: "node",
      path: "/slow",
      sizes: [500],
    },
    {
      name: "hold",
      title: "answered after 8 s, all in flight at once",
      work: "hold",
      server: "node",
      path: "/hold",
      sizes: [HELD],
      key: "kibPerRequest",
      without: [STREAM_ONLY, "pool.request", "undici.request, any([signal, timeout])", "ky"],
    },
    {
      name: "big",
      title: "a body of 100 MB from nginx",
      work: "stream",
      server: "nginx",
      path: "/big",
      sizes: [1],
      key: "mbPerS",
      only: [OURS, "pool.request", STREAM_ONLY, "fetch"],
    },
  ];
}

const TARGETS: readonly Target[] = [
  { parts: ["nginx"], to: "undici.request", key: "rate", atLeast: 1.2 },
  { parts: ["nginx"], to: "pool.request", key: "cpuUs", atMost: 1 },
  { parts: ["nginx"], to: "undici.request, any([signal, timeout])", key: "rate", atLeast: 2.5 },
  ...["fetch", "got", "axios", "ky"].map((to) => ({ parts: ["nginx"], to, key: "rate", atLeast: 4 })),
  { parts: ["nginx"], to: "aiohttp", key: "rate", atLeast: 1 },
  { parts: ["nginx"], to: "go, one core", key: "rate", atLeast: 1 },
  { parts: ["big"], to: STREAM_ONLY, key: "mbPerS", atLeast: 0.9 },
];

type Sample = Readonly<Record<string, number>>;

interface Row {
  readonly part: string;
  readonly n: number;
  readonly contestant: string;
  readonly rounds: number;
  readonly figures: Sample;
  /** Ours divided by theirs, of each figure, inside the rounds. */
  readonly ours: Sample;
  /** The ground's divided by theirs. */
  readonly ground: Sample;
}

export async function benchHttp(args: readonly string[]): Promise<void> {
  const { values: options } = parseArgs({
    args: [...args],
    options: {
      part: { type: "string" },
      concurrency: { type: "string", default: "50,500" },
      rounds: { type: "string", default: "3" },
      ms: { type: "string", default: "2500" },
      only: { type: "string" },
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      save: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (options.help) return void process.stdout.write(USAGE);
  const rounds = options.quick ? 1 : Number(options.rounds);
  const ms = options.quick ? "300" : options.ms;
  const parts = partsOf(options.concurrency.split(",").map(Number)).filter(
    ({ name }) => options.part === undefined || options.part.split(",").includes(name),
  );
  const folder = mkdtempSync(join(tmpdir(), "fibril-bench-http-"));
  const servers: Record<Part["server"], Server | undefined> = { nginx: undefined, node: undefined };
  const load = loadavg()[0]!;
  const startedAt = performance.now();
  try {
    servers.node = await startNodeServer();
    servers.nginx = await startNginx((root) => {
      writeFileSync(join(root, "512"), Buffer.alloc(512, "x"));
      writeFileSync(join(root, "big"), Buffer.alloc(100_000_000, "x"));
    });
    const foreign = foreignClients(folder);
    const names = [...contestants.map(({ name }) => name), ...foreign.keys()].filter(
      (name) => options.only === undefined || options.only.split(",").includes(name),
    );
    const rows: Row[] = [];
    const failures: string[] = [];
    for (const part of parts) {
      const server = servers[part.server];
      if (server === undefined) {
        failures.push(`${part.name}: nginx is not on this machine`);
        continue;
      }
      const here = names.filter((name) => fits(part, name, foreign.has(name)));
      for (const n of part.sizes) {
        const samples = new Map<string, (Sample | undefined)[]>(here.map((name) => [name, []]));
        for (let round = 0; round < rounds; round++) {
          for (const name of here) {
            progress(`${part.name} ${n}, round ${round + 1} of ${rounds}: ${name}`);
            const command = [part.work, server.origin, part.path, String(n), ms];
            try {
              samples.get(name)!.push(await measure(name, foreign.get(name), command));
            } catch (error) {
              samples.get(name)!.push(undefined);
              failures.push(`${part.name} ${n} ${name}: ${error instanceof Error ? error.message : String(error)}`);
            }
          }
        }
        for (const name of here) rows.push(rowOf(part, n, name, samples));
      }
    }
    progress("");
    const result = {
      suite: "http",
      date: new Date().toISOString().slice(0, 16),
      node: process.versions.node,
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      cpus: availableParallelism(),
      load,
      tookSeconds: Math.round((performance.now() - startedAt) / 1000),
      rows: rows.filter(({ rounds: count }) => count > 0),
      ratios: verdictsOf(rows),
      failures,
    };
    const text = asMarkdown(result, parts);
    process.stdout.write(options.json ? `${JSON.stringify(result, null, 2)}\n` : text);
    if (options.save) {
      const results = fileURLToPath(new URL("../results/", import.meta.url));
      const name = `${result.date.replaceAll(":", "")}-http`;
      mkdirSync(results, { recursive: true });
      writeFileSync(`${results}${name}.md`, text);
      writeFileSync(`${results}${name}.json`, `${JSON.stringify(result)}\n`);
      process.stderr.write(`saved as bench/results/${name}.md and .json\n`);
    }
    if (failures.some((text) => text.includes(` ${OURS}:`)) || result.rows.length === 0) process.exitCode = 1;
  } finally {
    await servers.node?.stop();
    await servers.nginx?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function fits({ work, only, without }: Part, name: string, isForeign: boolean): boolean {
  if (isForeign) return work !== "stream";
  return only?.includes(name) ?? !without?.includes(name);
}

function rowOf(
  { name: part }: Part,
  n: number,
  contestant: string,
  samples: ReadonlyMap<string, (Sample | undefined)[]>,
): Row {
  const own = samples.get(contestant)!;
  const there = own.filter((sample) => sample !== undefined);
  const figures: Record<string, number> = {};
  for (const key of Object.keys(there[0] ?? {})) {
    figures[key] = Number(spread(there.map((sample) => sample[key]!)).median.toPrecision(4));
  }
  const over = (name: string): Sample => ratiosOf(samples.get(name) ?? [], own);
  return { part, n, contestant, rounds: there.length, figures, ours: over(OURS), ground: over(GROUND) };
}

/** Of each figure the median of the ratios of the rounds that both have. */
function ratiosOf(upper: readonly (Sample | undefined)[], lower: readonly (Sample | undefined)[]): Sample {
  const ratios: Record<string, number> = {};
  for (const key of Object.keys(lower.find((sample) => sample !== undefined) ?? {})) {
    const inRounds = lower.flatMap((sample, i) =>
      sample === undefined || upper[i] === undefined ? [] : [upper[i][key]! / sample[key]!],
    );
    if (inRounds.length > 0) ratios[key] = Number(spread(inRounds).median.toPrecision(3));
  }
  return ratios;
}

interface Verdict {
  readonly part: string;
  readonly n: number;
  readonly of: string;
  readonly to?: string;
  readonly key: string;
  /** The ratio; where there is no `to`, the figure itself. */
  readonly measured: number;
  /** The same ratio of the ground. */
  readonly ground?: number | undefined;
  readonly errors?: number;
  readonly atLeast?: number | undefined;
  readonly atMost?: number | undefined;
  readonly holds: boolean;
}

function verdictsOf(rows: readonly Row[]): Verdict[] {
  const found: Verdict[] = [];
  for (const { parts, to, key, atLeast, atMost } of TARGETS) {
    for (const row of rows) {
      if (!parts.includes(row.part) || row.contestant !== to) continue;
      const ratio = row.ours[key];
      if (ratio === undefined) continue;
      const holds = atLeast === undefined ? ratio <= atMost! : ratio >= atLeast;
      const ground = row.ground[key];
      found.push({ part: row.part, n: row.n, of: OURS, to, key, measured: ratio, ground, atLeast, atMost, holds });
    }
  }
  const held = rows.find(({ part, contestant }) => part === "hold" && contestant === OURS);
  if (held !== undefined && held.rounds > 0) {
    const { kibPerRequest: measured = Infinity, errors = Infinity } = held.figures;
    const holds = measured <= 20 && errors === 0;
    found.push({ part: "hold", n: held.n, of: OURS, key: "kibPerRequest", measured, errors, atMost: 20, holds });
  }
  return found;
}

interface Shown {
  readonly date: string;
  readonly node: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly load: number;
  readonly tookSeconds: number;
  readonly rows: readonly Row[];
  readonly ratios: readonly Verdict[];
  readonly failures: readonly string[];
}

function asMarkdown(result: Shown, parts: readonly Part[]): string {
  const lines = [
    `# HTTP, ${result.date}`,
    "",
    `Node ${result.node}, ${result.cpus} × ${result.cpu}, load before ${result.load.toFixed(1)}, ${result.tookSeconds} s. Medians over the rounds; ` +
      "“session ÷” is ours divided by theirs, taken inside the rounds.",
  ];
  for (const { name, title } of parts) {
    for (const n of new Set(result.rows.filter(({ part }) => part === name).map((row) => row.n))) {
      const rows = result.rows.filter((row) => row.part === name && row.n === n);
      const keys = Object.keys(rows[0]?.figures ?? {});
      lines.push("", `## ${title}, ${n.toLocaleString("en")} at a time`, "");
      lines.push(`| client | ${keys.map((key) => `${key} | session ÷`).join(" | ")} |`);
      lines.push(`|---|${keys.map(() => "---:|---:|").join("")}`);
      for (const row of rows) {
        const cells = keys.map((key) => `${row.figures[key] ?? "–"} | ${row.ours[key]?.toFixed(2) ?? "–"}`);
        lines.push(`| ${row.contestant} | ${cells.join(" | ")} |`);
      }
    }
  }
  lines.push(
    "",
    "## Targets",
    "",
    `\`${GROUND}\` is what the session stands on, called directly: the same ratio of that one, in the same rounds.`,
    "",
    `| part | session to | figure | measured | target | | ${GROUND} |`,
    "|---|---|---|---:|---:|---|---:|",
  );
  for (const { part, n, to = "–", key, measured, ground, atLeast, atMost, holds } of result.ratios) {
    const target = atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`;
    const verdict = holds ? "holds" : "**missed**";
    lines.push(`| ${part}, ${n} | ${to} | ${key} | ${measured} | ${target} | ${verdict} | ${ground ?? "–"} |`);
  }
  if (result.failures.length > 0) lines.push("", "Failures:", ...result.failures.map((text) => `- ${text}`));
  return `${lines.join("\n")}\n`;
}

function progress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${line}`);
}
