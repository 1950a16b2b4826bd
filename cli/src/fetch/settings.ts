/**
 * What a run is asked to do, read from the command line.
 *
 * Every bad value is refused here, before anything starts, in one sentence that says what would be accepted.
 */
import { join } from "node:path";
import { CommandLineError } from "../command-line-error.ts";
import { FailPolicy } from "./fail-policy.ts";
import type { InputFormat } from "./input.ts";
import { methodProblem } from "./job.ts";
import { NameTemplate } from "./name-template.ts";
import { byteCount, duration, headerList, oneOf, rate, wholeNumber } from "./option-values.ts";

/** `get` saves bodies, `check` looks whether links are good, `api` reads lists page by page. */
export type Mode = "get" | "check" | "api";
export const MODES: readonly Mode[] = ["get", "check", "api"];

/** Where results go. A folder and result lines may be wanted together. */
export interface Wanted {
  /** Save the bodies in this folder. */
  readonly folder: string | undefined;
  /** One line of JSON for each URL on the standard output. */
  readonly ndjson: boolean;
  /** The body of the only URL on the standard output. */
  readonly body: boolean;
}

export interface CheckSettings {
  /** Checks the links of HTML pages as well, on the sites that were given. */
  readonly followLinks: boolean;
  /** How many links away from what was given. */
  readonly depth: number;
  readonly ignoreRobots: boolean;
  /** A file that remembers what was good. */
  readonly cache: string | undefined;
  readonly cacheAgeMs: number;
}

export interface ApiSettings {
  /** Fields to pick of each item. */
  readonly pick: readonly string[] | undefined;
  /** Where the items are in the answer. */
  readonly items: string | undefined;
  /** The field that has the place of the next page: a URL, or a value for `cursorParameter`. */
  readonly cursor: string | undefined;
  readonly cursorParameter: string;
}

export interface Settings {
  readonly mode: Mode;
  readonly urls: readonly string[];
  /** A file, or "-" for the standard input. */
  readonly input: string | undefined;
  /** `undefined`: by the name of the file. */
  readonly format: InputFormat | undefined;
  readonly wanted: Wanted;
  /** Names of files; `undefined`: made from the URL. */
  readonly name: NameTemplate | undefined;
  /** The file that remembers what was done. */
  readonly journal: string | undefined;
  /** Asks whether what is there has changed, instead of fetching it. */
  readonly ifChanged: boolean;
  /** A template of the URL. */
  readonly url: string | undefined;
  /** Requests at once; with `isAdaptive` the most there may ever be. */
  readonly concurrency: number;
  /** Finds out how many each host can work on. */
  readonly isAdaptive: boolean;
  /** Requests at once to one host (scheme, name and port). */
  readonly perHost: number;
  /** Requests a second. */
  readonly rate: number;
  readonly ratePerHost: number;
  /** For connecting, for the response headers, and for each silence in the body. */
  readonly timeoutMs: number;
  /** For one try as a whole. */
  readonly maxTimeMs: number;
  /** For the whole run. */
  readonly deadlineMs: number;
  /** How often a URL is tried again. */
  readonly retries: number;
  /** The first retry waits up to this long, each further one up to twice as long. */
  readonly retryDelayMs: number;
  /** Try again whatever the method. */
  readonly retryAll: boolean;
  readonly headers: readonly (readonly [string, readonly string[]])[];
  /** For lines that have no method of their own. Without it GET, or POST when there is a body. */
  readonly method: string | undefined;
  /** For lines that have no body of their own. */
  readonly data: string | undefined;
  readonly maxBytes: number;
  /** Pages of one list, or of all sites together. */
  readonly maxPages: number;
  readonly check: CheckSettings;
  readonly api: ApiSettings;
  /** A file of cookies, as Netscape and curl write them. */
  readonly cookies: string | undefined;
  readonly summary: "text" | "json" | "none";
  readonly failOn: FailPolicy;
  /** Runs the same list with curl as well. */
  readonly compare: boolean;
  /** `undefined`: on a terminal only. */
  readonly progress: boolean | undefined;
}

/** The options as the command line gives them. */
export interface RawSettings {
  readonly mode?: string;
  readonly input?: string;
  readonly format?: string;
  readonly output?: string;
  readonly name?: string;
  readonly journal?: string;
  readonly resume?: boolean;
  readonly ifChanged?: boolean;
  readonly url?: string;
  readonly ndjson?: boolean;
  readonly concurrency: string;
  readonly perHost?: string;
  readonly rate?: string;
  readonly ratePerHost?: string;
  readonly timeout: string;
  readonly maxTime?: string;
  readonly deadline?: string;
  readonly retries: string;
  readonly retryDelay: string;
  readonly retryAll?: boolean;
  readonly header?: readonly string[];
  readonly method?: string;
  readonly data?: string;
  readonly maxBytes?: string;
  readonly maxSize?: string;
  readonly maxPages?: string;
  readonly followLinks?: boolean;
  readonly depth?: string;
  readonly ignoreRobots?: boolean;
  readonly cache?: string;
  readonly cacheAge?: string;
  readonly pick?: string;
  readonly items?: string;
  readonly cursor?: string;
  readonly cursorParam?: string;
  readonly cookies?: string;
  readonly summary?: string;
  readonly failOn?: string;
  readonly compare?: boolean;
  readonly progress?: boolean;
}

export const DEFAULTS: Readonly<Record<"concurrency" | "timeout" | "retries" | "retryDelay", string>> = {
  concurrency: "50",
  timeout: "30s",
  retries: "2",
  retryDelay: "500ms",
};

/** Beyond this a machine runs out of ports and file handles before the network gets any busier. */
const MOST_AT_ONCE = 10_000;
/** What `-c auto` never exceeds in all, whatever the hosts can bear. */
const MOST_ADAPTIVE = 512;
const FORMATS: readonly InputFormat[] = ["lines", "csv", "tsv"];
const MOST_RETRIES = 100;
const MOST_PAGES = 10_000_000;
const JOURNAL_NAME = ".fibril-journal.ndjson";

/** @throws {CommandLineError} when the command line cannot be carried out. */
export function parseSettings(urls: readonly string[], raw: RawSettings): Settings {
  const mode = raw.mode === undefined ? "get" : oneOf("--mode", raw.mode, MODES);
  if (urls.length === 0 && raw.input === undefined) {
    throw new CommandLineError(
      "nothing to fetch: give URLs, or -i FILE with one on each line (-i - reads the standard input)",
    );
  }
  const wanted = parseWanted(mode, urls, raw);
  if (raw.method !== undefined && !raw.method.includes("{{")) {
    const problem = methodProblem(raw.method);
    if (problem !== undefined) throw new CommandLineError(`--method: ${problem}`);
  }
  if (raw.url !== undefined && raw.input === undefined)
    throw new CommandLineError("--url is a template for the lines of -i FILE");
  const isAdaptive = raw.concurrency === "auto";
  const size = raw.maxSize ?? raw.maxBytes;
  return {
    mode,
    urls,
    input: raw.input,
    format: raw.format === undefined || raw.format === "auto" ? undefined : oneOf("--format", raw.format, FORMATS),
    wanted,
    name: raw.name === undefined ? undefined : new NameTemplate(raw.name),
    journal: journalOf(mode, wanted, raw),
    ifChanged: raw.ifChanged === true,
    url: raw.url,
    concurrency: isAdaptive ? MOST_ADAPTIVE : wholeNumber("--concurrency", raw.concurrency, 1, MOST_AT_ONCE),
    isAdaptive,
    perHost: raw.perHost === undefined ? Infinity : wholeNumber("--per-host", raw.perHost, 1, MOST_AT_ONCE),
    rate: raw.rate === undefined ? Infinity : rate("--rate", raw.rate),
    ratePerHost: raw.ratePerHost === undefined ? Infinity : rate("--rate-per-host", raw.ratePerHost),
    timeoutMs: duration("--timeout", raw.timeout),
    maxTimeMs: raw.maxTime === undefined ? Infinity : duration("--max-time", raw.maxTime),
    deadlineMs: raw.deadline === undefined ? Infinity : duration("--deadline", raw.deadline),
    retries: wholeNumber("--retries", raw.retries, 0, MOST_RETRIES),
    retryDelayMs: duration("--retry-delay", raw.retryDelay),
    retryAll: raw.retryAll === true,
    headers: headerList(raw.header ?? []),
    method: raw.method,
    data: raw.data,
    maxBytes: size === undefined ? Infinity : byteCount(raw.maxSize === undefined ? "--max-bytes" : "--max-size", size),
    maxPages: wholeNumber("--max-pages", raw.maxPages ?? "10000", 1, MOST_PAGES),
    check: parseCheck(mode, raw),
    api: parseApi(mode, raw),
    cookies: raw.cookies,
    summary: oneOf("--summary", raw.summary ?? "text", ["text", "json", "none"]),
    failOn: new FailPolicy(raw.failOn ?? "any"),
    compare: raw.compare === true,
    progress: raw.progress,
  };
}

function parseWanted(mode: Mode, urls: readonly string[], raw: RawSettings): Wanted {
  if (mode !== "get") {
    const only = [
      ["-o", raw.output],
      ["--name", raw.name],
      ["--if-changed", raw.ifChanged],
      ["--compare", raw.compare],
    ] as const;
    for (const [option, value] of only) {
      if (value !== undefined)
        throw new CommandLineError(`${option} is for saving bodies; "${mode}" does not save any`);
    }
    return { folder: undefined, ndjson: raw.ndjson === true, body: false };
  }
  if (raw.output === "") throw new CommandLineError("-o takes a folder, and was given an empty name");
  const wanted = {
    folder: raw.output,
    ndjson: raw.ndjson === true,
    body: raw.output === undefined && raw.ndjson !== true && raw.compare !== true,
  };
  if (wanted.body && (urls.length > 1 || raw.input !== undefined)) {
    throw new CommandLineError(
      "several URLs need a place to go: -o FOLDER saves the bodies, --ndjson prints a line for each",
    );
  }
  for (const [option, value] of [
    ["--name", raw.name],
    ["--if-changed", raw.ifChanged],
  ] as const) {
    if (value !== undefined && raw.output === undefined) throw new CommandLineError(`${option} needs -o FOLDER`);
  }
  return wanted;
}

function journalOf(mode: Mode, { folder }: Wanted, raw: RawSettings): string | undefined {
  if (raw.resume !== true && raw.journal === undefined) return undefined;
  if (mode !== "get")
    throw new CommandLineError(`a journal is for saving bodies; "${mode}" has none (check has --cache)`);
  if (raw.journal !== undefined) return raw.journal;
  if (folder === undefined) throw new CommandLineError("--resume needs -o FOLDER, or --journal FILE");
  return join(folder, JOURNAL_NAME);
}

const ONLY_CHECK = ["followLinks", "depth", "ignoreRobots", "cache", "cacheAge"] as const;
const ONLY_API = ["pick", "items", "cursor", "cursorParam"] as const;

function parseCheck(mode: Mode, raw: RawSettings): CheckSettings {
  if (mode !== "check") refuse(raw, ONLY_CHECK, "check");
  return {
    followLinks: raw.followLinks === true,
    depth: raw.depth === undefined ? Infinity : wholeNumber("--depth", raw.depth, 0, 10_000),
    ignoreRobots: raw.ignoreRobots === true,
    cache: raw.cache,
    cacheAgeMs: duration("--cache-age", raw.cacheAge ?? "1d"),
  };
}

function parseApi(mode: Mode, raw: RawSettings): ApiSettings {
  if (mode !== "api") refuse(raw, ONLY_API, "api");
  return {
    pick: raw.pick?.split(",").map((field) => field.trim()),
    items: raw.items,
    cursor: raw.cursor,
    cursorParameter: raw.cursorParam ?? "cursor",
  };
}

function refuse(raw: RawSettings, names: readonly (keyof RawSettings)[], mode: Mode): void {
  const given = names.find((name) => raw[name] !== undefined);
  if (given === undefined) return;
  const option = given.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new CommandLineError(`--${option} is for "fibril fetch ${mode}"`);
}
