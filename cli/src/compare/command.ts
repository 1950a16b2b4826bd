/**
 * `fibril compare`: the same slow requests made in five ways, measured and drawn.
 *
 * Reads the options, runs the conductor, prints. The result goes to the standard output, progress to the standard error.
 * Exit code 0 when every contestant finished, 1 when one failed, 2 for a bad command line, and for Ctrl-C what a shell
 * expects (130).
 */
import { accessSync, constants, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { constants as systemConstants } from "node:os";
import { Command } from "commander";
import { CancelledError, run } from "fibril";
import { CommandLineError } from "../command-line-error.ts";
import { Interrupted, compare } from "./conductor.ts";
import { LiveProgress, PlainProgress, SilentProgress } from "./progress.ts";
import type { Progress } from "./progress.ts";
import type { Report } from "./report.ts";
import { DEFAULTS, parseSettings } from "./settings.ts";
import type { RawSettings, Settings } from "./settings.ts";
import { htmlPage } from "./show/page.ts";
import { terminalReport } from "./show/terminal.ts";

interface Options extends RawSettings {
  readonly html?: string;
  readonly json?: boolean;
}

const WIDTH_OF_A_FILE = 100;

export function compareCommand(): Command {
  return new Command("compare")
    .summary("make the same slow requests in five ways, and show what each costs")
    .description(
      "Starts a slow server on this machine and makes the same requests in five ways, each in a process of its own:\n" +
        "  a  coroutines that block the loop\n" +
        "  b  coroutines with a Session\n" +
        "  c  Promise.all(fetch)\n" +
        "  d  many threads, each blocking\n" +
        "  e  many coroutines with a Session\n" +
        "Prints a timeline of every request, why it came out so, and a table.",
    )
    .option("--delay <ms>", "the server answers each request after this long", DEFAULTS.delay)
    .option("--count <n>", "requests of a, b and c", DEFAULTS.count)
    .option("--many <n>", "requests of d and e (for d, as many threads)", DEFAULTS.many)
    .option("--only <list>", "only these, such as a,b,e")
    .option("--html <file>", "write the result as a page as well")
    .option("--json", "print the result as data and nothing else")
    .addHelpText("after", "\nTo see it in about 25 seconds: fibril compare --delay 800")
    .action(compareAction);
}

async function compareAction(options: Options): Promise<void> {
  const settings = parseSettings(options);
  const page = options.html === undefined ? undefined : writablePath(options.html);
  const report = await conducted(settings, progressFor(settings, options.json === true));
  if (report === undefined) return;
  const width = process.stdout.isTTY ? process.stdout.columns : WIDTH_OF_A_FILE;
  process.stdout.write(
    options.json === true
      ? `${JSON.stringify(report, null, 2)}\n`
      : terminalReport(report, { width, colour: wantsColour(process.stdout) }),
  );
  if (page !== undefined) {
    await writeFile(page, htmlPage(report));
    process.stderr.write(`\nThe page is in ${page}\n`);
  }
  if (report.rows.some(({ outcome }) => outcome === "failed")) process.exitCode = 1;
}

/** The report, or `undefined` when a signal ended it; then the exit code is set. */
async function conducted(settings: Settings, progress: Progress): Promise<Report | undefined> {
  try {
    return await run(() => compare(settings, progress), { name: "compare", handleSignals: true });
  } catch (error) {
    const signal = signalOf(error);
    if (signal === undefined) throw error;
    process.exitCode = 128 + systemConstants.signals[signal];
    return undefined;
  } finally {
    progress.end();
  }
}

/** The signal that ended the run, if one did. */
function signalOf(error: unknown): NodeJS.Signals | undefined {
  if (error instanceof Interrupted) return "SIGINT";
  if (!(error instanceof CancelledError)) return undefined;
  return error.reason === "SIGINT" || error.reason === "SIGTERM" ? error.reason : undefined;
}

function progressFor(settings: Settings, json: boolean): Progress {
  if (process.stderr.isTTY) return new LiveProgress(settings, process.stderr, wantsColour(process.stderr));
  return json ? new SilentProgress() : new PlainProgress(settings, (line) => process.stderr.write(`${line}\n`));
}

/** Honours NO_COLOR, FORCE_COLOR and what the terminal can do. */
function wantsColour(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY && stream.hasColors();
}

/** Says so before half a minute has been spent on a page that cannot be written. */
function writablePath(file: string): string {
  const path = resolve(file);
  const existing = statSync(path, { throwIfNoEntry: false });
  if (existing?.isDirectory() === true) throw new CommandLineError(`--html takes a file, and ${file} is a folder`);
  try {
    accessSync(existing === undefined ? dirname(path) : path, constants.W_OK);
  } catch {
    throw new CommandLineError(`--html cannot write ${file}: there is no such folder, or it is not yours to write in`);
  }
  return path;
}
