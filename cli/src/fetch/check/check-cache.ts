/**
 * Links that were good not long ago, in a file: they need not be asked again. What was broken is always looked at again, so that
 * what was repaired counts at once.
 */
import { renameSync, writeFileSync } from "node:fs";
import { CommandLineError } from "../../command-line-error.ts";
import { AppendFile } from "../journal/append-file.ts";
import { KeyTable } from "../journal/key-table.ts";
import { hash53 } from "../text-hash.ts";

/** As many lines that are out of date may stand in the file as there are good ones, and these. */
const SPARE_LINES = 1_000;

export class CheckCache {
  #file: AppendFile;
  readonly #goodSince = new KeyTable();

  /** @param now The time of day, in milliseconds. @throws {CommandLineError} when the file cannot be used. */
  constructor(path: string, ageMs: number, now: number) {
    try {
      this.#file = new AppendFile(path);
      const lines: string[] = [];
      let outdated = 0;
      for (const { text } of this.#file.lines()) {
        const entry = parseEntry(text);
        if (entry === undefined || now - entry.at > ageMs || entry.at > now) {
          outdated++;
          continue;
        }
        lines.push(text);
        this.#goodSince.set(hash53(entry.url), entry.at);
      }
      if (outdated > lines.length + SPARE_LINES) this.#file = this.#rewrite(path, lines);
    } catch (error) {
      throw new CommandLineError(`cannot use the cache ${path}: ${(error as Error).message}`);
    }
  }

  has(url: string): boolean {
    return this.#goodSince.get(hash53(url)) !== undefined;
  }

  /** @param now The time of day, in milliseconds. */
  add(url: string, status: number, now: number): void {
    this.#file.append(JSON.stringify({ url, status, at: new Date(now).toISOString() }));
  }

  close(): void {
    this.#file.close();
  }

  #rewrite(path: string, lines: readonly string[]): AppendFile {
    this.#file.close();
    writeFileSync(`${path}.part`, lines.map((line) => `${line}\n`).join(""));
    renameSync(`${path}.part`, path);
    return new AppendFile(path);
  }
}

function parseEntry(text: string): { readonly url: string; readonly at: number } | undefined {
  try {
    const { url, at } = JSON.parse(text) as { readonly url?: unknown; readonly at?: unknown };
    const time = typeof at === "string" ? Date.parse(at) : NaN;
    return typeof url === "string" && !Number.isNaN(time) ? { url, at: time } : undefined;
  } catch {
    return undefined; // torn
  }
}
