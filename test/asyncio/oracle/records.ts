/**
 * What CPython has said, kept in files: fixtures (each a difference that once was) and the corpus (random programs).
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Program } from "./program.ts";

export interface Recorded {
  /** The version of CPython that recorded it. */
  readonly python: string;
  readonly program: Program;
  /** Lines. */
  readonly trace: string;
}

export interface Fixture extends Recorded {
  /** What the program shows, as a claim. */
  readonly shows: string;
}

const FIXTURES = new URL("fixtures/", import.meta.url);
const CORPUS = new URL("corpus.jsonl.gz", import.meta.url);

export function readFixtures(): (Fixture & { readonly name: string })[] {
  const files = readdirSync(FIXTURES).filter((file) => file.endsWith(".json"));
  return files.toSorted().map((file) => {
    const { shows, python, program, trace } = JSON.parse(readFileSync(new URL(file, FIXTURES), "utf8")) as Omit<
      Fixture,
      "trace"
    > & { readonly trace: readonly string[] };
    return { name: file.slice(0, -5), shows, python, program, trace: trace.join("\n") };
  });
}

/** @returns The file. */
export function writeFixture(name: string, { shows, python, program, trace }: Fixture): string {
  const file = fileURLToPath(new URL(`${name}.json`, FIXTURES));
  writeFileSync(file, JSON.stringify({ shows, python, program, trace: trace.split("\n") }));
  // As the format check wants it.
  execFileSync(fileURLToPath(new URL("../../../node_modules/.bin/oxfmt", import.meta.url)), [file], {
    stdio: "ignore",
  });
  return `test/asyncio/oracle/fixtures/${name}.json`;
}

/** One line of JSON for each program, compressed: 2 kB a program would not fit into a repository otherwise. */
export function readCorpus(): Recorded[] {
  const lines = gunzipSync(readFileSync(CORPUS)).toString().split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Recorded);
}

/** @returns Its size in bytes. */
export function writeCorpus(records: readonly Recorded[]): number {
  const packed = gzipSync(records.map((record) => JSON.stringify(record)).join("\n"), { level: 9 });
  writeFileSync(CORPUS, packed);
  return packed.length;
}
