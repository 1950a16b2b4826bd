/**
 * `npm run test:oracle -- --programs N --seed S`: random programs on CPython and on `fibril/asyncio`, side by side.
 *
 * The last line is `N programs, D differ`. The first few differences are shrunk, printed, and written as fixtures with
 * CPython's trace, so that the ordinary tests keep them.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { systemClock } from "../../../src/core/index.ts";
import { sideBySide } from "./compare.ts";
import { FEATURES, generate, NEEDS_3_15 } from "./generate.ts";
import type { Feature } from "./generate.ts";
import { trace } from "./interpret.ts";
import { runNatively } from "./native-python.ts";
import { programText } from "./program.ts";
import type { Program } from "./program.ts";
import { Python } from "./python.ts";
import { chooseCorpus, kindOf } from "./corpus.ts";
import { readCorpus, readFixtures, writeCorpus, writeFixture } from "./records.ts";
import type { Recorded } from "./records.ts";
import { shrink } from "./shrink.ts";

const BATCH = 250;

const HELP = `npm run test:oracle -- [options]
  --programs N      how many (default 1000)
  --seed S          where to begin (default: a random one)
  --only a,b        only these features: ${FEATURES.join(", ")}
  --shrink N        shrink and print that many differences (default 3)
  --dry             write no fixtures
  --show            print the program and both traces (with --programs 1)
  --corpus N        choose N of the programs and record them as the corpus of the ordinary tests
  --record          record the fixtures anew
  --native PYTHON   run the same programs on this CPython, too, for the time they take (3.13 or later)
FIBRIL_PYODIDE=folder lets another version of pyodide judge.`;

const { values: options } = parseArgs({
  options: {
    programs: { type: "string", default: "1000" },
    seed: { type: "string" },
    only: { type: "string" },
    shrink: { type: "string", default: "3" },
    dry: { type: "boolean", default: false },
    show: { type: "boolean", default: false },
    corpus: { type: "string" },
    record: { type: "boolean", default: false },
    native: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

interface Difference {
  readonly program: Program;
  readonly expected: string;
  readonly actual: string;
}

const python = new Python();
try {
  process.exitCode = options.help ? help() : options.record ? await recordFixtures() : await judge();
} finally {
  python.stop();
}

function help(): number {
  console.log(HELP);
  return 0;
}

async function judge(): Promise<number> {
  const count = wholeNumber("programs", options.programs);
  const seed = options.seed === undefined ? randomInt(1_000_000) : wholeNumber("seed", options.seed);
  const loading = systemClock.now();
  const about = await python.start();
  console.log(`CPython ${about.version} loaded in ${since(loading)}; seed ${seed}`);
  const features = chosenFeatures(about.groupCancel);

  const begun = systemClock.now();
  const differences: Difference[] = [];
  const recorded: Recorded[] = [];
  let differ = 0;
  let oursMs = 0;
  let events = 0;
  let nativeMs = 0;
  let nativeVersion = "";
  for (let at = 0; at < count; at += BATCH) {
    const size = Math.min(BATCH, count - at);
    // Distinct programs for distinct seeds, also for neighbouring ones.
    const programs = Array.from({ length: size }, (_, i) => generate((seed * 1_000_003 + at + i) >>> 0, features));
    const recording = python.record(programs);
    // Whoever compares times lets one run after the other; else both at once are done sooner.
    if (options.native !== undefined) {
      await recording;
      const run = await runNatively(options.native, programs);
      nativeMs += run.ms;
      nativeVersion = run.version;
    }
    const before = systemClock.now();
    const actual = programs.map((program) => trace(program));
    oursMs += systemClock.now() - before;
    for (const [i, expected] of (await recording).entries()) {
      const program = programs[i] as Program;
      events += expected.split("\n").length;
      if (options.corpus !== undefined) recorded.push({ python: about.version, program, trace: expected });
      if (options.show) console.log(`${programText(program)}\n${sideBySide(expected, actual[i] as string, Infinity)}`);
      if (expected === actual[i]) continue;
      differ++;
      differences.push({ program, expected, actual: actual[i] as string });
    }
  }
  const took = since(begun);
  const pythonMs = python.busyMs;

  // Small programs shrink faster; and of those that differ in the same way one is enough.
  differences.sort((a, b) => JSON.stringify(a.program).length - JSON.stringify(b.program).length);
  const different = new Map(differences.toReversed().map((difference) => [wayOf(difference), difference]));
  const kinds = [...different.values()].toReversed();
  if (kinds.length > 0) console.log(`${differ} of ${count} differ, in ${kinds.length} ways`);
  for (const difference of kinds.slice(0, wholeNumber("shrink", options.shrink))) await report(difference);

  if (options.corpus !== undefined) {
    // The oldest Python that can run a program records it; the other one's programs stay.
    const own = recorded.filter(({ program }) => needsGroupCancel(program) === about.groupCancel);
    const kept = readCorpus().filter(({ program }) => needsGroupCancel(program) !== about.groupCancel);
    const chosen = [...kept, ...chooseCorpus(own, wholeNumber("corpus", options.corpus))];
    console.log(`corpus: ${chosen.length} programs, ${writeCorpus(chosen)} bytes`);
  }
  const each = (ms: number): string => `${((ms / count) * 1000).toFixed(0)} µs`;
  console.log(
    `${took}; ${(events / count).toFixed(0)} events a program; ` +
      `CPython (wasm) ${each(pythonMs)} a program, fibril/asyncio ${each(oursMs)}: ${(pythonMs / oursMs).toFixed(1)} times as fast`,
  );
  if (options.native !== undefined) {
    console.log(
      `CPython ${nativeVersion} (native) ${each(nativeMs)} a program: ` +
        `fibril/asyncio is ${(nativeMs / oursMs).toFixed(1)} times as fast`,
    );
  }
  console.log(`${count} programs, ${differ} differ`);
  return differ === 0 ? 0 : 1;
}

async function report({ program, expected, actual }: Difference): Promise<void> {
  const begun = systemClock.now();
  const kind = isFault(actual);
  const smallest = await shrink(program, async (candidates) => {
    const traces = await python.record(candidates);
    return candidates.map((candidate, i) => {
      const ours = trace(candidate);
      return ours !== traces[i] && isFault(ours) === kind;
    });
  });
  const [judged = expected] = await python.record([smallest]);
  console.log(
    `\n── shrunk in ${since(begun)}\n${programText(smallest)}\n${JSON.stringify(smallest)}\n${sideBySide(judged, trace(smallest))}\n`,
  );
  if (options.dry || kind) return;
  const name = `differed-${program.seed}`;
  const shows = `what a random program (seed ${program.seed}) showed`;
  console.log(
    `written: ${writeFixture(name, { shows, python: python.about.version, program: smallest, trace: judged })}`,
  );
}

/** The first two events that are not the same. */
function wayOf({ expected, actual }: Difference): string {
  const left = expected.split("\n");
  const right = actual.split("\n");
  const at = left.findIndex((line, i) => line !== right[i]);
  return `${kindOf(left[at] ?? "")} / ${kindOf(right[at] ?? "")}`;
}

function isFault(text: string): boolean {
  return text.includes("\nFAULT ");
}

async function recordFixtures(): Promise<number> {
  const about = await python.start();
  let changed = 0;
  for (const { name, ...fixture } of readFixtures()) {
    if (needsGroupCancel(fixture.program) !== about.groupCancel) continue;
    const [judged = ""] = await python.record([fixture.program]);
    if (judged !== fixture.trace) changed++;
    writeFixture(name, { ...fixture, python: about.version, trace: judged });
  }
  console.log(`fixtures recorded with CPython ${about.version}, ${changed} changed`);
  return 0;
}

function needsGroupCancel(program: Program): boolean {
  return JSON.stringify(program.fns).includes('"gcancel"');
}

function chosenFeatures(groupCancel: boolean): readonly Feature[] {
  const available = FEATURES.filter((feature) => groupCancel || !NEEDS_3_15.includes(feature));
  if (options.only === undefined) return available;
  const wanted = options.only.split(",");
  for (const feature of wanted) {
    if (!available.includes(feature as Feature))
      throw new Error(`no feature "${feature}" here; there are ${available.join(", ")}`);
  }
  return wanted as Feature[];
}

function wholeNumber(name: string, text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`--${name} takes a whole number, got "${text}"`);
  return Number(text);
}

function since(begun: number): string {
  return `${((systemClock.now() - begun) / 1000).toFixed(1)} s`;
}
