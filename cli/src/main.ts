/**
 * The `fibril` command: finds the subcommand and turns what went wrong into one sentence and an exit code.
 *
 * 0: done. 1: it ran and something failed. 2: the command line cannot be carried out. A subcommand that runs to its end
 * sets `process.exitCode` itself.
 */
import { createRequire } from "node:module";
import { Command, CommanderError } from "commander";
import { CommandLineError } from "./command-line-error.ts";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

const program = new Command("fibril")
  .description("Many slow requests at once, as coroutines, and a look at how that works.")
  .version(version)
  .exitOverride();

/** Each with all that it needs to run, which is most of what a start costs: only the one that is asked for is loaded, all for a help. */
const SUBCOMMANDS: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ["compare", async () => (await import("./compare/command.ts")).compareCommand()],
  ["fetch", async () => (await import("./fetch/command.ts")).fetchCommand()],
  ["worker", async () => (await import("./worker/command.ts")).workerCommand()],
]);

// Whoever reads the output may have seen enough (`fibril … | head`).
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

/** Carries out a command line (without the names of node and script) and sets the exit code. */
export async function main(args: readonly string[]): Promise<void> {
  const wanted = SUBCOMMANDS.get(args[0] ?? "");
  for (const load of wanted === undefined ? SUBCOMMANDS.values() : [wanted]) {
    program.addCommand((await load()).copyInheritedSettings(program));
  }
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    process.exitCode = reported(error);
  }
}

/** Says what went wrong and returns the exit code for it. */
function reported(error: unknown): number {
  // Commander has printed its sentence already, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const known = error instanceof CommandLineError;
  const text = error instanceof Error ? (known ? error.message : (error.stack ?? error.message)) : String(error);
  process.stderr.write(`fibril: ${text}\n`);
  return known ? 2 : 1;
}
