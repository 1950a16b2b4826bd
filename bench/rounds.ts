/**
 * Runs the contestants of a row against each other: a fresh process for each measurement, all contestants once in a
 * round, round after round. A machine that gets slower for a while then does so for all of them, and the ratio within
 * a round stays what it is.
 *
 * The first round of every row comes before the second of any: when the time is up, each row has had some rounds.
 * A contestant that fails or takes too long is out of its row, and the report says why; nothing else stops.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { measureBundle } from "./bundle.ts";
import type { Languages } from "./languages.ts";
import type { Measured } from "./measure.ts";
import type { Row, Start } from "./row.ts";
import type { NodeVersion, Stage } from "./stage.ts";

const CHILD = fileURLToPath(new URL("./child.ts", import.meta.url));
const HERE = fileURLToPath(new URL(".", import.meta.url));
const CHILD_LIMIT_MS = 60_000;
const SLEEP_ATTEMPTS = 3;
const START_US = 4;
const STARTS = 5; // of one round; the fastest counts

export interface Entrant {
  /** The contestant's name, with `@label` when it runs another source tree or another Node. */
  readonly name: string;
  readonly contestant: string;
  readonly tree: string | undefined;
  readonly node: NodeVersion | undefined;
  /** The command of a program in another language. */
  readonly command: (() => readonly string[]) | undefined;
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
  /** Why it is out, when it is; the results are from the rounds before. */
  readonly failure: string | undefined;
}

export interface Tree {
  readonly label: string;
  readonly path: string;
}

/** What the rows run on. */
export interface Place {
  readonly languages: Languages;
  /** There when a row or a version of Node needs the compiled package. */
  readonly stage: Stage | undefined;
  readonly windowMs: number;
}

export interface Plan {
  readonly row: Row;
  readonly sizes: readonly number[];
  readonly rounds: number;
  readonly entrants: readonly Entrant[];
}

export interface Choice {
  readonly trees: readonly Tree[];
  readonly nodes: readonly NodeVersion[];
  readonly only: ReadonlySet<string> | undefined;
}

export function entrantsOf(row: Row, { trees, nodes, only }: Choice, languages: Languages): Entrant[] {
  const entrants: Entrant[] = [];
  for (const contestant of row.contestants) {
    const { name, maxSize = Infinity, startUs = START_US, note } = contestant;
    if (only !== undefined && !only.has(name)) continue;
    const entrant = {
      name,
      contestant: name,
      tree: undefined,
      node: undefined,
      command: undefined,
      maxSize,
      startUs,
      note,
    };
    const isOurs = name.startsWith("fibril");
    if (nodes.length > 0) {
      if ((!isOurs && !name.startsWith("native")) || row.kind === "size") continue;
      for (const node of nodes) entrants.push({ ...entrant, name: `${name}@node${node.label}`, node });
      continue;
    }
    if ("language" in contestant && contestant.language !== undefined) {
      const found = languages.get(contestant.language);
      const evaluate = found?.evaluate;
      if (row.kind !== "start" && found !== undefined) entrants.push({ ...entrant, command: () => found.command() });
      if (row.kind === "start" && evaluate !== undefined) entrants.push({ ...entrant, command: () => evaluate });
      continue;
    }
    entrants.push(entrant);
    if (!isOurs || row.kind === "start" || row.kind === "size") continue;
    for (const { label, path } of trees) entrants.push({ ...entrant, name: `${name}@${label}`, tree: path });
  }
  if (nodes.length === 0) return entrants;
  // All contestants of one version side by side.
  return nodes.flatMap((node) => entrants.filter((each) => each.node === node));
}

interface Lane {
  readonly entrant: Entrant;
  readonly measuredN: number;
  readonly results: Measured[];
  failure: string | undefined;
}

/** Never rejects for what a contestant does. No round begins that would probably end after `deadline` (of the clock `performance`). */
export async function runRows(
  plans: readonly Plan[],
  place: Place,
  deadline: number,
  progress: (line: string) => void,
): Promise<Series[]> {
  const courses = plans.flatMap((plan) =>
    plan.sizes.map((n) => ({ plan, n, lanes: lanesOf(plan, n), lastMs: 0, rounds: plan.rounds })),
  );
  const tooSlow = new Set<string>();
  const mostRounds = Math.max(...plans.map((plan) => plan.rounds));
  for (let round = 1; round <= mostRounds; round++) {
    for (const course of courses) {
      const { plan, n, lanes } = course;
      if (round > course.rounds) continue;
      const startedAt = performance.now();
      if (round > 1 && startedAt + course.lastMs > deadline) {
        course.rounds = round - 1;
        continue;
      }
      for (const lane of lanes) {
        if (lane.failure !== undefined) continue;
        const key = `${plan.row.name} ${lane.entrant.name}`;
        progress(`${plan.row.name} ${n}, round ${round} of ${course.rounds}: ${lane.entrant.name}`);
        try {
          if (tooSlow.has(key)) throw new Error("left out: it took too long with less");
          lane.results.push(await measureOnce(plan.row, lane.entrant, lane.measuredN, place));
        } catch (error) {
          if (error instanceof TooSlow) tooSlow.add(key);
          lane.failure = error instanceof Error ? error.message : String(error);
        }
      }
      course.lastMs = performance.now() - startedAt;
    }
  }
  progress("");
  return courses.flatMap(({ plan, n, lanes }) => lanes.map((lane) => ({ row: plan.row, n, ...lane })));
}

/** Memory grows in a line, so a contestant that cannot have the whole size is scaled; elsewhere it is left out. */
function lanesOf({ row, entrants }: Plan, n: number): Lane[] {
  return entrants
    .filter((entrant) => row.kind === "memory" || n <= entrant.maxSize)
    .map((entrant) => ({ entrant, measuredN: Math.min(n, entrant.maxSize), results: [], failure: undefined }));
}

class TooSlow extends Error {}

async function measureOnce(row: Row, entrant: Entrant, n: number, place: Place): Promise<Measured> {
  if (row.kind === "start") {
    const contestant = row.contestants.find((each) => each.name === entrant.contestant)!;
    return { kind: "start", ms: await fastestStart(contestant, entrant, place) };
  }
  if (row.kind === "size") {
    const contestant = row.contestants.find((each) => each.name === entrant.contestant)!;
    return { kind: "size", ...(await measureBundle(contestant.module(n))) };
  }
  let sleepMs = 1_000 + Math.ceil((n * entrant.startUs) / 1_000);
  for (let attempt = 1; attempt <= SLEEP_ATTEMPTS; attempt++) {
    const output = await execute(childCommand(row, entrant, n, sleepMs, place));
    const measured = JSON.parse(output) as Measured | null;
    if (measured !== null) return measured;
    sleepMs *= 2;
  }
  throw new Error(`the machine is too slow to start all tasks in ${sleepMs / 2} ms`);
}

function childCommand(row: Row, entrant: Entrant, n: number, sleepMs: number, place: Place): string[] {
  const numbers = [String(n), String(sleepMs), String(place.windowMs)];
  if (entrant.command !== undefined) return [...entrant.command(), row.name, ...numbers];
  const args = [row.name, entrant.contestant, ...numbers];
  if (entrant.node !== undefined) return [entrant.node.path, "--expose-gc", place.stage!.child, ...args];
  const tree = entrant.tree === undefined ? [] : [entrant.tree];
  return [process.execPath, ...process.execArgv, CHILD, ...args, ...tree];
}

async function fastestStart(contestant: Start, entrant: Entrant, place: Place): Promise<number> {
  const node = entrant.node?.path ?? process.execPath;
  const command = entrant.command?.() ?? [node, "--input-type=module", "--eval"];
  let fastest = Infinity;
  for (let i = 0; i < STARTS; i++) {
    const startedAt = performance.now();
    await execute([...command, contestant.code], place.stage!.folder);
    fastest = Math.min(fastest, performance.now() - startedAt);
  }
  return fastest;
}

/** Gives what a program printed, when it ended well and in time. */
function execute([program, ...args]: readonly string[], cwd = HERE): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: CHILD_LIMIT_MS,
      killSignal: "SIGKILL",
    });
    const startedAt = performance.now();
    let output = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (errors += chunk));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve(output);
      else if (signal === "SIGKILL" && performance.now() - startedAt >= CHILD_LIMIT_MS) {
        reject(new TooSlow(`no result after ${CHILD_LIMIT_MS / 1_000} s`));
      } else reject(new Error(`${signal ?? `exit code ${code}`}: ${complaint(errors)}`));
    });
  });
}

/** The line of a stack trace that says what happened. */
function complaint(errors: string): string {
  const lines = errors.split("\n").map((line) => line.trim());
  return (
    lines.find((line) => /^(Uncaught )?\w*(Error|Exception|panic|FATAL)\b.*:/.test(line)) ??
    lines.findLast(Boolean) ??
    "said nothing"
  );
}
