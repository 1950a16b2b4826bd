/**
 * Where the next page of a list is: in the `Link` header (RFC 8288), or in a field of the answer.
 */
import { valueAt } from "../template.ts";

/** The target of the first link with the relation `next`, as it stands there. */
export function nextLink(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  let at = 0;
  while (true) {
    const start = header.indexOf("<", at);
    const end = header.indexOf(">", start);
    if (start === -1 || end === -1) return undefined;
    const parameters = parametersFrom(header, end + 1);
    if (parameters.relations.includes("next")) return header.slice(start + 1, end).trim();
    at = parameters.end;
  }
}

const PARAMETER = /\s*;\s*([^\s=;,"]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/y;

function parametersFrom(header: string, from: number): { readonly relations: readonly string[]; readonly end: number } {
  let relations: readonly string[] | undefined;
  PARAMETER.lastIndex = from;
  let end = from;
  for (let match = PARAMETER.exec(header); match !== null; match = PARAMETER.exec(header)) {
    end = PARAMETER.lastIndex;
    const [, name, quoted, bare] = match;
    if (name!.toLowerCase() === "rel") relations ??= (quoted ?? bare ?? "").toLowerCase().split(/\s+/); // the first one counts
  }
  return { relations: relations ?? [], end };
}

/**
 * The next page by a field of the answer: a URL, or a value for a parameter of the query.
 * @returns `undefined` when the field is missing, `null`, `false` or empty: that was the last page.
 */
export function nextByCursor(answer: unknown, field: string, parameter: string, url: string): string | undefined {
  const cursor = valueAt(answer, field);
  if (typeof cursor !== "string" && typeof cursor !== "number") return undefined;
  const text = String(cursor);
  if (text === "") return undefined;
  if (/^(?:https?:\/\/|\/)/i.test(text) && URL.canParse(text, url)) return text;
  const next = new URL(url);
  next.searchParams.set(parameter, text);
  return next.href;
}
