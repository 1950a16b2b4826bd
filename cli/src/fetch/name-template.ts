/**
 * Names of files after a pattern: `{host}/{path}`, `{n:6}.{ext}`, `{sha256:2}/{sha256}.{ext}`.
 *
 * Whatever a URL has in it, the result stays inside the folder: each value becomes one harmless file name (`{path}` and `{dir}`
 * several), and a part that would be empty or mean something special is replaced.
 */
import { CommandLineError } from "../command-line-error.ts";
import { cleanName, fileNameOfUrl, pathOfUrl, queryName } from "./file-name.ts";
import { hash53 } from "./text-hash.ts";

export interface Named {
  readonly url: string;
  /** Its place in the input, from 1. */
  readonly n: number;
}

/** Stands for the hash of the body, which is known at the end only. */
const HASH_MARK = "\u{F0000}";
const FIELD = /\{([a-z0-9]+)(?:([:/])(\d+))?\}/gi;
const FIELDS = ["host", "path", "dir", "file", "stem", "ext", "query", "n", "sha256", "urlhash"];
const SHORTEST_HASH = 32;

export class NameTemplate {
  readonly #text: string;
  /** Whether names depend on what the body is. */
  readonly needsHash: boolean;

  /** @throws {CommandLineError} for a field that there is not. */
  constructor(text: string) {
    for (const [whole, name, separator] of text.matchAll(FIELD)) {
      const isKnown = FIELDS.includes(name!) && (separator !== "/" || name === "n");
      if (!isKnown)
        throw new CommandLineError(`--name has no ${whole}; there are {${FIELDS.join("}, {")}}, {n:6} and {n/1000}`);
    }
    const rest = text.replace(FIELD, "");
    if (/[{}]/.test(rest)) throw new CommandLineError(`--name has a brace that belongs to no field: ${text}`);
    if (text.split(/[/\\]/).some((part) => part === "..") || /^[/\\]|^[a-z]:/i.test(text) || text.trim() === "") {
      throw new CommandLineError(`--name takes names inside the folder, not "${text}"`);
    }
    const hashes = [...text.matchAll(/\{sha256(?::(\d+))?\}/gi)].map(([, length]) => Number(length ?? 64));
    this.needsHash = hashes.length > 0;
    if (this.needsHash && Math.max(...hashes) < SHORTEST_HASH) {
      throw new CommandLineError("--name with a part of the {sha256} needs the whole one as well: {sha256:2}/{sha256}");
    }
    this.#text = text;
  }

  /** The parts of the path. With `needsHash` they go through `withHash` when the hash is known. */
  fill({ url, n }: Named): string[] {
    const parsed = new URL(url);
    const whole = pathOfUrl(parsed);
    const file = fileNameOfUrl(parsed);
    const dot = file.lastIndexOf(".");
    const [stem, ext] = dot > 0 ? [file.slice(0, dot), file.slice(dot + 1)] : [file, "bin"];
    const values: Readonly<Record<string, () => string>> = {
      host: () => whole[0]!,
      path: () => whole.slice(1).join("/"),
      dir: () => whole.slice(1, -1).join("/"),
      file: () => file,
      stem: () => stem,
      ext: () => ext,
      query: () => queryName(parsed),
      urlhash: () => hash53(url).toString(16).padStart(14, "0"),
    };
    const filled = this.#text.replace(FIELD, (_whole, name: string, separator?: string, length?: string) => {
      if (name === "sha256") return `${HASH_MARK}${length ?? 64}${HASH_MARK}`;
      if (name !== "n") return length === undefined ? values[name]!() : values[name]!().slice(0, Number(length));
      if (separator === "/") return String(Math.floor((n - 1) / Math.max(1, Number(length)))).padStart(3, "0");
      return String(n).padStart(Number(length ?? 0), "0");
    });
    const parts = filled.split("/").filter((part) => part !== "");
    return parts.length === 0 ? ["_"] : parts.map((part) => (part.includes(HASH_MARK) ? part : cleanName(part)));
  }
}

/** The path that a body with this hash gets. */
export function withHash(path: string, sha256: string): string {
  return path.replace(HASH_PLACE, (_whole, length: string) => sha256.slice(0, Number(length)));
}

const HASH_PLACE = new RegExp(`${HASH_MARK}(\\d+)${HASH_MARK}`, "gu");
