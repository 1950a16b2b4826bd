/**
 * One contestant in a process of its own: `node child.ts <row> <contestant> <n> [sleepMs] [windowMs] [source tree]`.
 *
 * Prints one line of JSON, `null` when the tasks have to sleep longer. Run it by hand under a profiler; nothing else is in the process then.
 */
import * as modules from "node:module";
import { pathToFileURL } from "node:url";
import { measureLag, measureMemory, measureTime, WINDOW_MS } from "./measure.ts";
import type { Measured } from "./measure.ts";
import { rows } from "./rows/index.ts";

const [rowName, contestantName, size, sleepMs = "0", windowMs = String(WINDOW_MS), sourceTree] = process.argv.slice(2);
if (sourceTree !== undefined) takeFibrilFrom(sourceTree);
const measured = await measure(rowName, contestantName, Number(size), Number(sleepMs), Number(windowMs));
// Not left to the end of the program: a contestant may have left something running.
process.stdout.write(`${JSON.stringify(measured ?? null)}\n`, () => process.exit());

async function measure(
  rowName: string | undefined,
  contestantName: string | undefined,
  n: number,
  sleepMs: number,
  windowMs: number,
): Promise<Measured | undefined> {
  const row = rows.find((each) => each.name === rowName);
  if (row === undefined) throw new Error(`there is no row "${rowName}"`);
  if (row.kind === "memory") return measureMemory(await load(row.contestants, contestantName), n, sleepMs);
  if (row.kind === "lag") return measureLag(await load(row.contestants, contestantName), n, windowMs);
  if (row.kind === "time") return measureTime(await load(row.contestants, contestantName), n, windowMs);
  throw new Error(`the row "${rowName}" is not measured from inside a process`);
}

type Loadable<Program> =
  | { readonly name: string; load(): Promise<Program> }
  | { readonly name: string; readonly language: string };

function load<Program>(contestants: readonly Loadable<Program>[], name: string | undefined): Promise<Program> {
  const found = contestants.find((each) => each.name === name);
  if (found === undefined) throw new Error(`there is no contestant "${name}" in this row`);
  if (!("load" in found)) throw new Error(`the contestant "${name}" is a program in another language`);
  return found.load();
}

/** Makes `import "fibril"` mean another source tree, so that two revisions can run side by side. */
function takeFibrilFrom(tree: string): void {
  const url = pathToFileURL(`${tree}/src/index.ts`).href;
  modules.registerHooks({
    resolve: (specifier, context, next) =>
      specifier === "fibril" ? { url, format: "module-typescript", shortCircuit: true } : next(specifier, context),
  });
}
