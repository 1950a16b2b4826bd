/**
 * What the programs in our documents print. Most can share a process, see `programs.ts`; the few that cannot are run alone, so
 * a program is wrong only if it is wrong by itself.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { root } from "./documents.ts";
import type { Ran } from "./programs.ts";

const CLOCK = pathToFileURL(join(root, "test/scenarios/patient-clock.ts")).href;
export const FLAGS: readonly string[] = [
  "--conditions=fibril-source",
  "--disable-warning=ExperimentalWarning",
  `--import=${CLOCK}`,
];
export const OPTIONS: { readonly cwd: string; readonly timeout: number } = { cwd: root, timeout: 50_000 };

/** Runs `files` together; the function that it returns says what one of them wrote, and runs it alone unless that is `expected`. */
export function runPrograms(files: readonly string[]): (file: string, expected: string) => Promise<Ran> {
  const together = runTogether(files);
  return async (file, expected) => {
    const ran = (await together)[files.indexOf(file)];
    if (ran?.stderr === "" && ran.stdout === expected) return ran;
    return promisify(execFile)(process.execPath, [...FLAGS, file], OPTIONS);
  };
}

async function runTogether(files: readonly string[]): Promise<readonly Ran[]> {
  try {
    const program = join(root, "test/scenarios/programs.ts");
    const { stdout } = await promisify(execFile)(process.execPath, [...FLAGS, program, ...files], OPTIONS);
    return JSON.parse(stdout) as Ran[];
  } catch {
    return []; // one of them ended the process, or never ended: each is run alone
  }
}
