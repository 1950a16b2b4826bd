/**
 * Runs the contestants of a row against each other: a fresh process for each measurement, all contestants once in a
 * round, round after round. A machine that gets slower for a while then does so for all of them, and the ratio within
 * a round stays what it is.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Measured } from "./measure.ts";
import type { Contestant, Row } from "./row.ts";

const CHILD = fileURLToPath(new URL("./child.ts", import.meta.url));
const CHILD_LIMIT_MS = 180_000;
const SLEEP_ATTEMPTS = 3;
const START_US = 4;

export interface Entrant {
  /** The contestant's name, with `@label` when it runs another source tree. */
  readonly name: string;
  readonly contestant: string;
  readonly tree: string | undefined;
  readonly maxSize: number;
  readonly startUs: number;
  readonly note: string | undefined;
}

export interface Series {
  readonly row: Row;
  /** The size of the row. */
  readonly n: number;
  /** The size this entrant was measured at: smaller than `n` when it is scaled. */
  readonly measuredN: number;
  readonly entrant: Entrant;
  /** One for each round, in order. */
  readonly results: readonly Measured[];
}

export interface Tree {
  readonly label: string;
  readonly path: string;
}

export interface Plan {
  readonly rounds: number;
  readonly sizes: readonly number[];
  readonly entrants: readonly Entrant[];
}

export function entrantsOf(row: Row, trees: readonly Tree[], only: ReadonlySet<string> | undefined): Entrant[] {
  const entrants: Entrant[] = [];
  for (const contestant of row.contestants as readonly Contestant<unknown>[]) {
    const { name, maxSize = Infinity, startUs = START_US, note } = contestant;
    if (only !== undefined && !only.has(name)) continue;
    entrants.push({ name, contestant: name, tree: undefined, maxSize, startUs, note });
    if (!name.startsWith("fibril")) continue;
    for (const tree of trees) {
      entrants.push({ name: `${name}@${tree.label}`, contestant: name, tree: tree.path, maxSize, startUs, note });
    }
  }
  return entrants;
}

/** Runs one row at all its sizes. Rejects as soon as one contestant fails. */
export async function runRow(row: Row, plan: Plan, progress: (line: string) => void): Promise<Series[]> {
  const all: Series[] = [];
  for (const n of plan.sizes) {
    const lanes = plan.entrants
      .filter((entrant) => row.kind === "memory" || n <= entrant.maxSize)
      .map((entrant) => ({ entrant, measuredN: Math.min(n, entrant.maxSize), results: [] as Measured[] }));
    for (let round = 1; round <= plan.rounds; round++) {
      for (const lane of lanes) {
        progress(`${row.name} ${n}, round ${round} of ${plan.rounds}: ${lane.entrant.name}`);
        lane.results.push(await measureOnce(row, lane.entrant, lane.measuredN));
      }
    }
    for (const lane of lanes) all.push({ row, n, ...lane });
  }
  progress("");
  return all;
}

async function measureOnce(row: Row, entrant: Entrant, n: number): Promise<Measured> {
  let sleepMs = 1_000 + Math.ceil((n * entrant.startUs) / 1_000);
  for (let attempt = 1; attempt <= SLEEP_ATTEMPTS; attempt++) {
    const measured = await runChild(row, entrant, n, sleepMs);
    if (measured !== null) return measured;
    sleepMs *= 2;
  }
  throw new Error(`${row.name} ${n}, ${entrant.name}: the machine is too slow to start all tasks in ${sleepMs / 2} ms`);
}

function runChild(row: Row, entrant: Entrant, n: number, sleepMs: number): Promise<Measured | null> {
  const args = [...process.execArgv, CHILD, row.name, entrant.contestant, String(n), String(sleepMs)];
  if (entrant.tree !== undefined) args.push(entrant.tree);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: CHILD_LIMIT_MS,
      killSignal: "SIGKILL",
    });
    let output = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (errors += chunk));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve(JSON.parse(output) as Measured | null);
      else
        reject(new Error(`${row.name} ${n}, ${entrant.name}: ended with ${signal ?? `exit code ${code}`}\n${errors}`));
    });
  });
}
