/**
 * One URL to fetch, and how a line of the input becomes one.
 *
 * A line is a URL, or a JSON object that says more about the request. What cannot be carried out is found here, where the
 * number of the line is still at hand, and not when a connection has been made.
 */
import { BadLine } from "./bad-line.ts";
import { parseChecksum } from "./checksum.ts";
import type { Algorithm, Checksum } from "./checksum.ts";
import { printable } from "./printable.ts";
import type { Validators } from "./journal/journal.ts";
import type { Fields } from "./template.ts";

export { BadLine } from "./bad-line.ts";

export interface Job {
  /** Where it comes from, for people: `line 17`, `argument 2`. */
  readonly where: string;
  /** The number of its line; `null` for an argument. */
  readonly line: number | null;
  /** As it was given. */
  readonly url: string;
  /** Scheme, host and port. */
  readonly origin: string;
  /** What a JSON line says beyond its URL. */
  readonly request: OwnRequest | null;
  /** Where in the folder its body goes; empty without a folder. */
  output: string;
  /** Where its body goes when its hash is known, with places for the hash; `output` is then where the part is. */
  pattern?: string;
  /** What proves that the `.part` file which is there belongs to the body that the server has. */
  partial: Validators | null;
  /** The file of an earlier run, which may still be good. */
  known?: (Validators & { readonly path: string }) | undefined;
  /** What its body has to be. */
  readonly checksum: Checksum | undefined;
  /** What its request is in the journal; 0 without one. */
  key: number;
  /** How often it has been tried. */
  tries: number;
  /** Tries that the host sent away in a wave with others; they do not use up the retries. */
  pardons: number;
  /** Why it is there, when it was found on a page: the URL of that page. */
  readonly page?: string;
  /** How many links lead to it from what was given. */
  readonly depth?: number;
}

export interface OwnRequest {
  readonly method: string | undefined;
  readonly headers: readonly (readonly [string, string | readonly string[]])[];
  /** Anything but a string is sent as JSON. */
  readonly body: unknown;
  readonly output: string | undefined;
}

const LONGEST_QUOTE = 100;

/** @returns `undefined` for a blank line or a comment. */
export function parseLine(text: string, where: string, line: number | null): Job | BadLine | undefined {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed.startsWith("#")) return undefined;
  if (trimmed.startsWith("{")) {
    const fields = parseFields(trimmed);
    return fields instanceof BadLine ? fields : jobOfFields(fields, where, line);
  }
  // `url  checksum`, or the other way round as sha256sum writes it.
  const pair = /\s/.test(trimmed) ? /^(\S+)\s+\*?(\S+)$/.exec(trimmed) : null;
  if (pair !== null) {
    const [first, second] = [pair[1]!, pair[2]!];
    const checksum = parseChecksum(second);
    if (checksum !== undefined) return makeJob(first, where, line, null, checksum);
    const other = parseChecksum(first);
    if (other !== undefined) return makeJob(second, where, line, null, other);
  }
  return makeJob(trimmed, where, line, null);
}

export function makeJob(
  url: string,
  where: string,
  line: number | null,
  request: OwnRequest | null,
  checksum?: Checksum,
): Job | BadLine {
  const origin = originOf(url);
  if (origin instanceof BadLine) return origin;
  return { where, line, url, origin, request, output: "", partial: null, checksum, key: 0, tries: 0, pardons: 0 };
}

/** Of the URL before, as the parser writes it; and with the "/" after which everything is a path, whatever it says. `null` before the first. */
let last: { readonly origin: string; readonly start: string } | null = null;

function originOf(url: string): string | BadLine {
  if (last !== null && url.startsWith(last.start)) return last.origin; // a list names few hosts, and parsing takes 2 µs
  const parsed = parsedUrl(url);
  if (parsed === undefined) return new BadLine(`not a URL: ${quote(url)}${advice(url)}`);
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    return new BadLine(`not an http or https URL: ${quote(url)}${advice(url)}`);
  }
  const { origin } = parsed;
  last = { origin, start: `${origin}/` };
  return origin;
}

function parsedUrl(url: string): URL | undefined {
  try {
    return new URL(url);
  } catch {
    return undefined;
  }
}

/** What people forget most often. `localhost:8080/x` is even a URL, with the scheme "localhost:". */
function advice(url: string): string {
  return /^[\w-]+(?:\.[\w-]+)*(?::\d+)?(?:[/?#]|$)/.test(url) ? "; write it whole, with http:// or https://" : "";
}

function quote(text: string): string {
  return printable(text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}…` : text);
}

/** A JSON line as its fields. */
export function parseFields(text: string): Fields | BadLine {
  try {
    return JSON.parse(text) as Fields;
  } catch {
    return new BadLine(`not JSON: ${quote(text)}`);
  }
}

/** A JSON line, or a row of a table. Lines of results are welcome as input, so unknown names are passed over, and null means none. */
export function jobOfFields(fields: Fields, where: string, line: number | null): Job | BadLine {
  const { url, method, headers, body, output = fields["name"] } = fields;
  if (typeof url !== "string") return new BadLine(`its "url" is ${kindOf(url)}, and must be a string`);
  if (isGiven(method)) {
    const problem =
      typeof method === "string" ? methodProblem(method) : `it is ${kindOf(method)}, and must be a string`;
    if (problem !== undefined) return new BadLine(`its "method": ${problem}`);
  }
  if (isGiven(output) && typeof output !== "string") {
    return new BadLine(`its "output" is ${kindOf(output)}, and must be a string`);
  }
  const list = parseHeaders(headers);
  if (list instanceof BadLine) return list;
  const checksum = checksumOf(fields);
  if (checksum instanceof BadLine) return checksum;
  const request = {
    method: isGiven(method) ? (method as string) : undefined,
    headers: list,
    body: isGiven(body) ? body : undefined,
    output: isGiven(output) ? output : undefined,
  };
  return makeJob(url.trim(), where, line, request, checksum);
}

const CHECKSUM_FIELDS = ["checksum", "sha256", "sha512", "sha384", "sha1", "md5"];

function checksumOf(fields: Fields): Checksum | BadLine | undefined {
  if (isGiven(fields["error"])) return undefined; // a result that failed: its hash is that of an error page
  for (const name of CHECKSUM_FIELDS) {
    const value = fields[name];
    if (!isGiven(value)) continue;
    const algorithm = name === "checksum" ? undefined : (name as Algorithm);
    const checksum = typeof value === "string" ? parseChecksum(value, algorithm) : undefined;
    return checksum ?? new BadLine(`its "${name}" is no checksum: ${quote(JSON.stringify(value))}`);
  }
  return undefined;
}

function parseHeaders(headers: unknown): [string, string | string[]][] | BadLine {
  if (!isGiven(headers)) return [];
  if (typeof headers !== "object" || Array.isArray(headers)) {
    return new BadLine(`its "headers" is ${kindOf(headers)}, and must be an object`);
  }
  const list: [string, string | string[]][] = [];
  for (const [name, value] of Object.entries(headers as object) as [string, unknown][]) {
    if (!isGiven(value)) continue;
    const texts = (Array.isArray(value) ? value : [value]) as unknown[];
    if (!isToken(name) || texts.some((text) => !isHeaderText(text))) {
      return new BadLine(`its header ${quote(name)} cannot be sent: a name and a text of one line are wanted`);
    }
    list.push([name.toLowerCase(), Array.isArray(value) ? texts.map(String) : String(value as string | number)]);
  }
  return list;
}

function isHeaderText(value: unknown): boolean {
  return typeof value === "number" || (typeof value === "string" && !/[\r\n\0]/.test(value));
}

function isGiven<T>(value: T): value is NonNullable<T> {
  return value !== undefined && value !== null;
}

function isToken(text: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(text);
}

/** Why this is no method that can be sent, or `undefined`. */
export function methodProblem(method: string): string | undefined {
  if (!isToken(method)) return `${JSON.stringify(method)} is not a method`;
  return method.toUpperCase() === "CONNECT" ? "CONNECT opens a tunnel and fetches nothing" : undefined;
}

function kindOf(value: unknown): string {
  if (!isGiven(value)) return "missing";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
