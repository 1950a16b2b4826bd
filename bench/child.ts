/**
 * One contestant in a process of its own: `node child.ts <row> <contestant> <n> [sleepMs] [source tree]`.
 *
 * Prints one line of JSON, `null` when the tasks have to sleep longer. Run it by hand under a profiler; nothing else is in the process then.
 */
import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";
import { measureMemory, measureTime } from "./measure.ts";
import type { Measured } from "./measure.ts";
import { rows } from "./rows/index.ts";

const [rowName, contestantName, size, sleepMs = "0", sourceTree] = process.argv.slice(2);
if (sourceTree !== undefined) takeFibrilFrom(sourceTree);
const measured = await measure(rowName, contestantName, Number(size), Number(sleepMs));
process.stdout.write(`${JSON.stringify(measured ?? null)}\n`);

async function measure(
  rowName: string | undefined,
  contestantName: string | undefined,
  n: number,
  sleepMs: number,
): Promise<Measured | undefined> {
  const row = rows.find((each) => each.name === rowName);
  if (row === undefined) throw new Error(`there is no row "${rowName}"`);
  if (row.kind === "memory") {
    return measureMemory(await named(row.contestants, contestantName).load(), n, sleepMs);
  }
  return measureTime(await named(row.contestants, contestantName).load(), n);
}

function named<Item extends { readonly name: string }>(items: readonly Item[], name: string | undefined): Item {
  const item = items.find((each) => each.name === name);
  if (item === undefined) throw new Error(`there is no contestant "${name}" in this row`);
  return item;
}

/** Makes `import "fibril"` mean another source tree, so that two revisions can run side by side. */
function takeFibrilFrom(tree: string): void {
  const url = pathToFileURL(`${tree}/src/index.ts`).href;
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === "fibril" ? { url, format: "module-typescript", shortCircuit: true } : next(specifier, context),
  });
}
