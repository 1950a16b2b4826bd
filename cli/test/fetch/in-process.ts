/** Runs a fetch inside the test's process: everything but the command line's own frame (signals, exit codes, terminal). */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { run } from "fibril";
import { onTestFinished } from "vitest";
import { FetchRun } from "../../src/fetch/fetch-all.ts";
import { Input } from "../../src/fetch/input.ts";
import { OutputStream } from "../../src/fetch/output-stream.ts";
import { DEFAULTS, parseSettings, type RawSettings } from "../../src/fetch/settings.ts";
import type { Tally } from "../../src/fetch/tally.ts";

/** A line of the output. */
export interface ResultLine {
  readonly line: number | null;
  readonly url: string;
  readonly finalUrl: string | null;
  readonly status: number | null;
  readonly error: { readonly code: string; readonly message: string; readonly phase: string } | null;
  readonly attempts: number;
  readonly bytes: number | null;
  readonly sha256: string | null;
  readonly timing: Readonly<Record<string, number | null>> | null;
  readonly output: string | null;
}

export interface Fetched {
  readonly results: readonly ResultLine[];
  readonly stdout: string;
  readonly told: readonly string[];
  readonly tally: Tally;
}

/**
 * @param input What a file given with `-i` would have.
 * @param signal Ends it: it rejects with the reason.
 */
export async function fetchHere(
  urls: readonly string[],
  options: Partial<RawSettings> = {},
  input?: string | Readable,
  signal?: AbortSignal,
): Promise<Fetched> {
  // Retries wait as little as possible; those who test the waiting say otherwise.
  const raw = { ...DEFAULTS, retryDelay: "1ms", ...options, ...(input === undefined ? {} : { input: "given" }) };
  const settings = parseSettings(urls, raw);
  const stream = typeof input === "string" ? Readable.from([Buffer.from(input)], { objectMode: false }) : input;
  const pieces: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done): void {
      pieces.push(chunk.toString());
      done();
    },
  });
  const told: string[] = [];
  const fetching = new FetchRun(settings, {
    input: new Input(settings.urls, stream),
    output: new OutputStream(sink),
    tell: (_kind, text) => void told.push(text),
  });
  await run(() => fetching.main(), { name: "fetch", ...(signal === undefined ? {} : { signal }) });
  sink.end();
  await once(sink, "finish");
  const stdout = pieces.join("");
  const results = raw.ndjson === true ? parseLines(stdout) : [];
  return { results, stdout, told, tally: fetching.tally };
}

export function parseLines(text: string): ResultLine[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as ResultLine);
}

/** A folder that goes with the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "fibril-fetch-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }), 120_000); // 100,000 files in the long run
  return folder;
}
