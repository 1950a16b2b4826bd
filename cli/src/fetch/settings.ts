/**
 * What a run is asked to do, read from the command line.
 *
 * Every bad value is refused here, before anything starts, in one sentence that says what would be accepted.
 */
import { CommandLineError } from "../command-line-error.ts";
import { methodProblem } from "./job.ts";

/** Where results go. A folder and result lines may be wanted together. */
export interface Wanted {
  /** Save the bodies in this folder. */
  readonly folder: string | undefined;
  /** One line of JSON for each URL on the standard output. */
  readonly ndjson: boolean;
  /** The body of the only URL on the standard output. */
  readonly body: boolean;
}

export interface Settings {
  readonly urls: readonly string[];
  /** A file, or "-" for the standard input. */
  readonly input: string | undefined;
  readonly wanted: Wanted;
  /** Requests at once. */
  readonly concurrency: number;
  /** Requests at once to one host (scheme, name and port). */
  readonly perHost: number;
  /** For connecting, for the response headers, and for each silence in the body. */
  readonly timeoutMs: number;
  /** For one try as a whole. */
  readonly maxTimeMs: number;
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
  /** `undefined`: on a terminal only. */
  readonly progress: boolean | undefined;
}

/** The options as the command line gives them. */
export interface RawSettings {
  readonly input?: string;
  readonly output?: string;
  readonly ndjson?: boolean;
  readonly concurrency: string;
  readonly perHost?: string;
  readonly timeout: string;
  readonly maxTime?: string;
  readonly retries: string;
  readonly retryDelay: string;
  readonly retryAll?: boolean;
  readonly header?: readonly string[];
  readonly method?: string;
  readonly data?: string;
  readonly maxBytes?: string;
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
const MOST_RETRIES = 100;

/** @throws {CommandLineError} when the command line cannot be carried out. */
export function parseSettings(urls: readonly string[], raw: RawSettings): Settings {
  if (urls.length === 0 && raw.input === undefined) {
    throw new CommandLineError(
      "nothing to fetch: give URLs, or -i FILE with one on each line (-i - reads the standard input)",
    );
  }
  const wanted: Wanted = {
    folder: raw.output,
    ndjson: raw.ndjson === true,
    body: raw.output === undefined && raw.ndjson !== true,
  };
  if (wanted.body && (urls.length > 1 || raw.input !== undefined)) {
    throw new CommandLineError(
      "several URLs need a place to go: -o FOLDER saves the bodies, --ndjson prints a line for each",
    );
  }
  if (raw.output === "") throw new CommandLineError("-o takes a folder, and was given an empty name");
  if (raw.method !== undefined) {
    const problem = methodProblem(raw.method);
    if (problem !== undefined) throw new CommandLineError(`--method: ${problem}`);
  }
  return {
    urls,
    input: raw.input,
    wanted,
    concurrency: wholeNumber("--concurrency", raw.concurrency, 1, MOST_AT_ONCE),
    perHost: raw.perHost === undefined ? Infinity : wholeNumber("--per-host", raw.perHost, 1, MOST_AT_ONCE),
    timeoutMs: duration("--timeout", raw.timeout),
    maxTimeMs: raw.maxTime === undefined ? Infinity : duration("--max-time", raw.maxTime),
    retries: wholeNumber("--retries", raw.retries, 0, MOST_RETRIES),
    retryDelayMs: duration("--retry-delay", raw.retryDelay),
    retryAll: raw.retryAll === true,
    headers: headerList(raw.header ?? []),
    method: raw.method,
    data: raw.data,
    maxBytes: raw.maxBytes === undefined ? Infinity : byteCount("--max-bytes", raw.maxBytes),
    progress: raw.progress,
  };
}

function wholeNumber(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new CommandLineError(
      `${option} takes a whole number from ${least} to ${most.toLocaleString("en-US")}, not "${text}"`,
    );
  }
  return value;
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** `30` and `30s` are thirty seconds; `500ms`, `2m`, `1h`, `1.5s`. */
function duration(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim());
  const value = match === null ? 0 : Number(match[1]) * UNITS_MS[match[2] ?? "s"]!;
  if (value > 0) return value;
  throw new CommandLineError(
    `${option} takes a duration such as 30s, 500ms or 2m (a plain number is seconds), not "${text}"`,
  );
}

const UNITS_BYTES: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** `1000000`, `64k`, `10M`, `2G`; the letters are powers of 1,024, as in curl. */
function byteCount(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmg]?)b?$/i.exec(text.trim());
  if (match !== null) return Math.floor(Number(match[1]) * UNITS_BYTES[match[2]!.toLowerCase()]!);
  throw new CommandLineError(`${option} takes a number of bytes such as 1000000, 64k, 10M or 2G, not "${text}"`);
}

/** Several headers of one name are sent as several. */
function headerList(texts: readonly string[]): [string, string[]][] {
  const byName = new Map<string, string[]>();
  for (const text of texts) {
    const match = /^([!#$%&'*+.^_`|~0-9a-z-]+):[ \t]*([^\r\n\0]*)$/i.exec(text);
    if (match === null) throw new CommandLineError(`--header takes "Name: value", not "${text}"`);
    const name = match[1]!.toLowerCase();
    const values = byName.get(name) ?? [];
    values.push(match[2]!.trim());
    byName.set(name, values);
  }
  return [...byName];
}
