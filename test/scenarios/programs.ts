/**
 * Runs programs one after the other in one process: starting Node and reading the sources costs ten times as much as most of them.
 *
 * `node programs.ts FILE…` prints a JSON array of what each wrote. A program is over when its module has been evaluated; one that
 * goes on after that, or that ends the process, is not told apart from one that fails, and has to be run alone.
 */
import { pathToFileURL } from "node:url";

/** What a program wrote, and what it threw. */
export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
}

const ran: Ran[] = [];
const { write } = process.stdout;
for (const file of process.argv.slice(2)) {
  const written = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    process[stream].write = (chunk: string | Uint8Array) => {
      written[stream] += chunk.toString();
      return true;
    };
  }
  try {
    await import(pathToFileURL(file).href);
  } catch (error) {
    written.stderr += String(error);
  }
  ran.push(written);
}
process.stdout.write = write;
process.stdout.write(JSON.stringify(ran), () => process.exit());
