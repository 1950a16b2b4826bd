/**
 * `fibril fetch`: many URLs at once, into files or as lines of JSON.
 *
 * Reads the options, runs, and ends with an exit code: 0 when everything was fetched, 1 when something failed, 2 when
 * nothing could be done, 130 and 143 after Ctrl-C and SIGTERM. The standard output has results and nothing else.
 */
import { mkdirSync } from "node:fs";
import { constants as systemConstants } from "node:os";
import { setFlagsFromString } from "node:v8";
import { Command } from "commander";
import { CancelledError, run } from "fibril";
import { CommandLineError } from "../command-line-error.ts";
import type { CurlComparison } from "./curl-comparison.ts";
import { FetchRun } from "./fetch-all.ts";
import { openInput } from "./input.ts";
import { BadLine, parseLine } from "./job.ts";
import type { Job } from "./job.ts";
import { OutputClosed, OutputFailed, OutputStream } from "./output-stream.ts";
import { LiveProgress } from "./live/live-progress.ts";
import type { LiveRun } from "./live/frame.ts";
import { LineProgress, SilentProgress } from "./progress.ts";
import type { Progress } from "./progress.ts";
import { withOptions } from "./options.ts";
import { MODES, parseSettings } from "./settings.ts";
import type { RawSettings, Settings } from "./settings.ts";
import { summaryJson, summaryLines } from "./summary.ts";

export function fetchCommand(): Command {
  const command = new Command("fetch")
    .summary("fetch many URLs at once; check links; read APIs page by page")
    .description(
      "Fetches URLs, many at once. A single one goes to the standard output; several need -o or --ndjson.\n" +
        "fibril fetch check … looks whether links are good; fibril fetch api … prints the items of lists that come in pages.",
    );
  return withOptions(command).addHelpText("after", HELP).action(fetchAction);
}

const HELP = `
Times are written 30s, 500ms, 2m; a plain number is seconds. Sizes are written 1000000, 64k, 10M.

A line of the input is a URL, or an object of which only "url" is needed:
  {"url": "http://localhost/", "method": "POST", "headers": {"a": "b"}, "body": "c", "output": "d.txt"}

Exit codes: 0 all fetched; 1 some failed (no answer, or status 400 and above; see --fail-on); 2 nothing could be done;
124 ended by --deadline; 130 ended by Ctrl-C.

Examples:
  fibril fetch https://example.org/ > page.html
  fibril fetch -i urls.txt -o pages -c 100 --per-host 8
  fibril fetch -i urls.txt --ndjson | jq -r 'select(.error) | .url'
  fibril fetch -i urls.txt -o pages --resume --rate-per-host 5/s
  fibril fetch check https://example.org/ --follow-links
  fibril fetch api 'https://api.github.com/users/nodejs/repos?per_page=100' --pick name,owner.login`;

async function fetchAction(words: readonly string[], options: RawSettings): Promise<void> {
  const mode = (MODES as readonly string[]).includes(words[0] ?? "") ? words[0]! : undefined;
  const settings = parseSettings(
    mode === undefined ? words : words.slice(1),
    mode === undefined ? options : { ...options, mode },
  );
  checkArguments(settings);
  keepYoungHeapSmall();
  const input = openInput(settings.urls, settings.input, settings.format);
  if (settings.wanted.folder !== undefined) createFolder(settings.wanted.folder);
  const giveBack = takeOutputErrors();
  const output = new OutputStream(process.stdout);
  const tell = (kind: "line" | "failure", text: string): void => audience.tell(kind, text);
  const comparison = settings.compare ? new (await import("./curl-comparison.ts")).CurlComparison(settings) : null;
  if (comparison !== null) process.once("exit", () => comparison.close());
  const admitted = (job: Job): void => comparison?.add(job);
  const fetching = new FetchRun(settings, { input, output, tell, admitted });
  const audience = new Audience(settings, fetching);
  const startedAt = performance.now();
  let endedAt = startedAt;
  let stoppedBy: NodeJS.Signals | undefined;
  let outputError: Error | undefined;
  try {
    await run(() => fetching.main(), { name: "fetch", handleSignals: true });
  } catch (error) {
    stoppedBy = signalOf(error);
    if (error instanceof OutputClosed || error instanceof OutputFailed) outputError = error;
    else if (stoppedBy === undefined) throw error;
  } finally {
    endedAt = performance.now();
    audience.end();
    output.release();
    giveBack();
  }
  const { tally, expected, isExpectedExact } = fetching;
  const hasFailed = tally.fatal > 0 || outputError instanceof OutputFailed;
  process.exitCode =
    stoppedBy !== undefined
      ? 128 + systemConstants.signals[stoppedBy]
      : fetching.isOverdue
        ? TIMED_OUT
        : Number(hasFailed);
  if (outputError instanceof OutputFailed) process.stderr.write(`fibril: ${outputError.message}\n`);
  if (settings.wanted.body && stoppedBy === undefined && !fetching.isOverdue) return; // one URL: its body says it all
  const elapsedMs = endedAt - startedAt;
  const stop = stoppedBy === "SIGINT" ? "Ctrl-C" : fetching.isOverdue ? "--deadline" : stoppedBy;
  const ending = { elapsedMs, expected, isExpectedExact, stoppedBy: stop };
  const text =
    settings.summary === "none"
      ? ""
      : settings.summary === "json"
        ? `${summaryJson(tally, ending)}\n`
        : summaryLines(tally, ending)
            .map((line) => `${line}\n`)
            .join("");
  process.stderr.write(text);
  if (comparison !== null && stoppedBy === undefined) await compare(comparison, elapsedMs);
}

async function compare(comparison: CurlComparison, elapsedMs: number): Promise<void> {
  try {
    const lines = await run(() => comparison.run(elapsedMs), { name: "compare", handleSignals: true });
    process.stderr.write(lines.map((line) => `${line}\n`).join(""));
  } catch (error) {
    if (signalOf(error) === undefined) throw error;
  }
}

/** The exit code of timeout(1). */
const TIMED_OUT = 124;

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

const PROCESS = {
  now: () => performance.now(),
  signal: (name: NodeJS.Signals) => process.kill(process.pid, name),
  on: (event: string, listener: () => void) => process.on(event, listener),
  off: (event: string, listener: () => void) => process.off(event, listener),
};

/** What goes to the standard error while it runs. */
class Audience {
  readonly #progress: Progress;
  readonly #mostFailures: number;
  #failures = 0;

  constructor({ wanted, progress, input }: Settings, run: LiveRun) {
    const { stderr } = process;
    const isShown = progress ?? (stderr.isTTY && !wanted.body);
    const print = (text: string): void => void stderr.write(text);
    this.#progress = !isShown
      ? new SilentProgress(print)
      : stderr.isTTY
        ? new LiveProgress(run, stderr, input !== "-" && process.stdin.isTTY ? process.stdin : null, PROCESS)
        : new LineProgress(run, print);
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
