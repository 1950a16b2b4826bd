/**
 * `fibril fetch`: many URLs at once, into files or as lines of JSON.
 *
 * Reads the options, runs, and ends with an exit code: 0 when everything was fetched, 1 when something failed, 2 when
 * nothing could be done, 130 and 143 after Ctrl-C and SIGTERM. The standard output has results and nothing else.
 */
import { mkdirSync } from "node:fs";
import { constants as systemConstants } from "node:os";
import { setFlagsFromString } from "node:v8";
import { Command, Option } from "commander";
import { CancelledError, run } from "fibril";
import { CommandLineError } from "../command-line-error.ts";
import { FetchRun } from "./fetch-all.ts";
import { openInput } from "./input.ts";
import { BadLine, parseLine } from "./job.ts";
import { OutputClosed, OutputFailed, OutputStream } from "./output-stream.ts";
import { BarProgress, LineProgress, SilentProgress } from "./progress.ts";
import type { Progress, View } from "./progress.ts";
import { DEFAULTS, parseSettings } from "./settings.ts";
import type { RawSettings, Settings } from "./settings.ts";
import { summaryLines } from "./summary.ts";

export function fetchCommand(): Command {
  return new Command("fetch")
    .summary("fetch many URLs at once, into files or as lines of JSON")
    .description("Fetches URLs, many at once. A single one goes to the standard output; several need -o or --ndjson.")
    .argument("[url...]", "what to fetch")
    .option(
      "-i, --input <file>",
      "read URLs from a file, one on each line, or objects of JSON; - is the standard input",
    )
    .option("-o, --output <folder>", "save each body in this folder, under a name made from its URL")
    .option("--ndjson", "print one line of JSON for each URL: status, size, SHA-256, times, error")
    .addOption(withDefault("-c, --concurrency <n>", "requests at once", DEFAULTS.concurrency))
    .option("--per-host <n>", "requests at once to one host (default: no limit of its own)")
    .addOption(
      withDefault(
        "--timeout <time>",
        "limit for connecting, for headers, for each silence in a body",
        DEFAULTS.timeout,
      ),
    )
    .option("--max-time <time>", "limit for one try as a whole (default: none)")
    .addOption(withDefault("--retries <n>", "how often to try again what may succeed later", DEFAULTS.retries))
    .addOption(
      withDefault(
        "--retry-delay <time>",
        "longest wait before the first retry; doubles each time",
        DEFAULTS.retryDelay,
      ),
    )
    .option("--retry-all", "try again whatever the method; otherwise not POST and PATCH")
    .option("-H, --header <line>", 'send a header, "Name: value"; may be given several times', collect)
    .option("-X, --method <method>", "the method (default: GET, with --data POST)")
    .option("-d, --data <text>", "send this body")
    .option("--max-bytes <size>", "give up a body that is larger, such as 10M (default: no limit)")
    .option("--progress", "show progress even when the standard error is no terminal")
    .option("--no-progress", "never show progress")
    .addHelpText("after", HELP)
    .action(fetchAction);
}

const HELP = `
Times are written 30s, 500ms, 2m; a plain number is seconds. Sizes are written 1000000, 64k, 10M.

A line of the input is a URL, or an object of which only "url" is needed:
  {"url": "http://localhost/", "method": "POST", "headers": {"a": "b"}, "body": "c", "output": "d.txt"}

Exit codes: 0 all fetched; 1 some failed (no answer, or status 400 and above); 2 nothing could be done;
130 ended by Ctrl-C.

Examples:
  fibril fetch https://example.org/ > page.html
  fibril fetch -i urls.txt -o pages -c 100 --per-host 8
  fibril fetch -i urls.txt --ndjson | jq -r 'select(.error) | .url'`;

/** Without the quotation marks that a default of text gets in the help. */
function withDefault(flags: string, description: string, value: string): Option {
  return new Option(flags, description).default(value, value);
}

function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}

async function fetchAction(urls: readonly string[], options: RawSettings): Promise<void> {
  const settings = parseSettings(urls, options);
  checkArguments(settings);
  keepYoungHeapSmall();
  const input = openInput(settings.urls, settings.input);
  if (settings.wanted.folder !== undefined) createFolder(settings.wanted.folder);
  const giveBack = takeOutputErrors();
  const output = new OutputStream(process.stdout);
  const tell = (kind: "line" | "failure", text: string): void => audience.tell(kind, text);
  const fetching = new FetchRun(settings, { input, output, tell });
  const audience = new Audience(settings, fetching);
  const startedAt = performance.now();
  let stoppedBy: NodeJS.Signals | undefined;
  let outputError: Error | undefined;
  try {
    await run(() => fetching.main(), { name: "fetch", handleSignals: true });
  } catch (error) {
    stoppedBy = signalOf(error);
    if (error instanceof OutputClosed || error instanceof OutputFailed) outputError = error;
    else if (stoppedBy === undefined) throw error;
  } finally {
    audience.end();
    output.release();
    giveBack();
  }
  const { tally, expected, isExpectedExact } = fetching;
  const hasFailed = tally.failed > 0 || outputError instanceof OutputFailed;
  process.exitCode = stoppedBy === undefined ? Number(hasFailed) : 128 + systemConstants.signals[stoppedBy];
  if (outputError instanceof OutputFailed) process.stderr.write(`fibril: ${outputError.message}\n`);
  if (settings.wanted.body && stoppedBy === undefined) return; // one URL: its body says it all
  const elapsedMs = performance.now() - startedAt;
  const stop = stoppedBy === undefined ? undefined : stoppedBy === "SIGINT" ? "Ctrl-C" : stoppedBy;
  const ending = { elapsedMs, expected, isExpectedExact, stoppedBy: stop };
  process.stderr.write(
    summaryLines(tally, ending)
      .map((line) => `${line}\n`)
      .join(""),
  );
}

/** Whoever typed a URL wrong wants to hear it before the others are fetched. */
function checkArguments({ urls }: Settings): void {
  for (const url of urls) {
    const job = parseLine(url, "", null);
    if (job === undefined || job instanceof BadLine) throw new CommandLineError(job?.problem ?? `not a URL: ${url}`);
  }
}

/**
 * V8 lets the part of the heap for new objects grow to 3 × 32 MB in any program that runs long enough, whatever it keeps:
 * 100,000 URLs then take 300 MB, and 200 MB without that growth, for 10 % more CPU time. Setting flags later is unsafe in
 * general; this one is only looked at when that part is about to grow.
 */
function keepYoungHeapSmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}

function createFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new CommandLineError(`-o cannot use ${folder}: ${(error as Error).message}`);
  }
}

/**
 * While this runs, a reader who goes away (`fibril fetch … | head`) ends the run in order: files that are half-written
 * have to be removed first. So whoever else listens for that has to wait. @returns what puts it back.
 */
function takeOutputErrors(): () => void {
  const others = process.stdout.listeners("error") as ((error: Error) => void)[];
  process.stdout.removeAllListeners("error");
  process.stderr.on("error", () => undefined); // `2>&1 | head`: there is nobody to tell
  return () => {
    for (const listener of others) process.stdout.on("error", listener);
  };
}

function signalOf(error: unknown): NodeJS.Signals | undefined {
  if (!(error instanceof CancelledError)) return undefined;
  return error.reason === "SIGINT" || error.reason === "SIGTERM" ? error.reason : undefined;
}

/** On a terminal a page of failures says no more than the summary does. */
const MOST_FAILURES_ON_TERMINAL = 20;

/** What goes to the standard error while it runs. */
class Audience {
  readonly #progress: Progress;
  readonly #mostFailures: number;
  #failures = 0;

  constructor({ wanted, progress }: Settings, view: View) {
    const { stderr } = process;
    const isShown = progress ?? (stderr.isTTY && !wanted.body);
    const print = (text: string): void => void stderr.write(text);
    this.#progress = !isShown
      ? new SilentProgress(print)
      : stderr.isTTY
        ? new BarProgress(view, stderr)
        : new LineProgress(view, print);
    // The result lines have them all.
    this.#mostFailures = wanted.ndjson ? 0 : stderr.isTTY ? MOST_FAILURES_ON_TERMINAL : Infinity;
  }

  tell(kind: "line" | "failure", text: string): void {
    if (kind === "line") return this.#progress.log(text);
    this.#failures++;
    if (this.#failures <= this.#mostFailures) this.#progress.log(`failed: ${text}`);
    else if (this.#failures === this.#mostFailures + 1 && this.#mostFailures > 0) {
      this.#progress.log("failed: more, which are only counted from here on; --ndjson lists all of them");
    }
  }

  end(): void {
    this.#progress.end();
  }
}
