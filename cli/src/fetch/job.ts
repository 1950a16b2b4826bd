/**
 * One URL to fetch, and how a line of the input becomes one.
 *
 * A line is a URL, or a JSON object that says more about the request. What cannot be carried out is found here, where the
 * number of the line is still at hand, and not when a connection has been made.
 */
import { printable } from "./printable.ts";

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
  /** How often it has been tried. */
  tries: number;
}

export interface OwnRequest {
  readonly method: string | undefined;
  readonly headers: readonly (readonly [string, string | readonly string[]])[];
  /** Anything but a string is sent as JSON. */
  readonly body: unknown;
  readonly output: string | undefined;
}

/** A line that is no job, in one sentence without its number. */
export class BadLine {
  readonly problem: string;

  constructor(problem: string) {
    this.problem = problem;
  }
}

const LONGEST_QUOTE = 100;

/** @returns `undefined` for a blank line or a comment. */
export function parseLine(text: string, where: string, line: number | null): Job | BadLine | undefined {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed.startsWith("#")) return undefined;
  if (trimmed.startsWith("{")) return parseObject(trimmed, where, line);
  return makeJob(trimmed, where, line, null);
}

function makeJob(url: string, where: string, line: number | null, request: OwnRequest | null): Job | BadLine {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined) return new BadLine(`not a URL: ${quote(url)}${advice(url)}`);
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    return new BadLine(`not an http or https URL: ${quote(url)}${advice(url)}`);
  }
  return { where, line, url, origin: parsed.origin, request, output: "", tries: 0 };
}

/** What people forget most often. `localhost:8080/x` is even a URL, with the scheme "localhost:". */
function advice(url: string): string {
  return /^[\w-]+(?:\.[\w-]+)*(?::\d+)?(?:[/?#]|$)/.test(url) ? "; write it whole, with http:// or https://" : "";
}

function quote(text: string): string {
  return printable(text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}…` : text);
}

function parseObject(text: string, where: string, line: number | null): Job | BadLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return new BadLine(`not JSON: ${quote(text)}`);
  }
  // Lines of results are welcome as input, so unknown names are passed over, and null means that there is none.
  const { url, method, headers, body, output } = value as Readonly<Record<string, unknown>>;
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
  const request = {
    method: isGiven(method) ? (method as string) : undefined,
    headers: list,
    body: isGiven(body) ? body : undefined,
    output: isGiven(output) ? output : undefined,
  };
  return makeJob(url.trim(), where, line, request);
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
