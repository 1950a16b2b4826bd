/**
 * Texts with places for the fields of a line: `https://api.example/users/{{id}}`, `{"name": "{{name}}"}`.
 *
 * A value is written so that it stays a value wherever it stands: escaped as a part of a URL in a URL, as the inside of a JSON string
 * between quotation marks of a JSON body, as a JSON value outside of them, as a form field in a form, and refused where it would
 * end a header. So no data can add a parameter, a field or a path.
 */
import { BadLine } from "./bad-line.ts";

export type TemplateKind = "url" | "json" | "form" | "text";

export type Fields = Readonly<Record<string, unknown>>;

type Context = TemplateKind | "json-string" | "url-start";

interface Place {
  readonly before: string;
  readonly field: string;
  readonly context: Context;
}

const PLACE = /\{\{\s*([^{}]*?)\s*\}\}/g;

export class Template {
  readonly #places: readonly Place[];
  readonly #end: string;

  constructor(text: string, kind: TemplateKind) {
    const places: Place[] = [];
    let start = 0;
    let inString = false;
    for (const match of text.matchAll(PLACE)) {
      const before = text.slice(start, match.index);
      if (kind === "json") inString = endsInString(before, inString);
      const context =
        kind === "json" && inString ? "json-string" : kind === "url" && match.index === 0 ? "url-start" : kind;
      places.push({ before, field: match[1]!, context });
      start = match.index + match[0].length;
    }
    this.#places = places;
    this.#end = text.slice(start);
  }

  get hasPlaces(): boolean {
    return this.#places.length > 0;
  }

  fill(fields: Fields): string | BadLine {
    let text = "";
    for (const [index, { before, field, context }] of this.#places.entries()) {
      const value = valueAt(fields, field);
      if (value === undefined) return new BadLine(`it has no field ${JSON.stringify(field)} for {{${field}}}`);
      text += before;
      if (context === "url") {
        const after = this.#places[index + 1]?.before ?? this.#end;
        if (isDotSegment(text, asText(value), after)) {
          return new BadLine(
            `its field ${JSON.stringify(field)} is ${JSON.stringify(value)}, which would lead to another path`,
          );
        }
      }
      text += written(value, context);
    }
    return text + this.#end;
  }
}

/** What kind of template a body is. */
export function kindOfBody(text: string, contentType: string | undefined): TemplateKind {
  if (contentType !== undefined && /[/+]json\b/i.test(contentType)) return "json";
  if (contentType !== undefined && /form-urlencoded/i.test(contentType)) return "form";
  return contentType === undefined && /^\s*[[{]/.test(text) && !/^\s*\{\{[^{}]*\}\}/.test(text) ? "json" : "text";
}

/** `a.b` is the field b of the field a, unless there is a field called `a.b`. */
export function valueAt(fields: unknown, path: string): unknown {
  if (typeof fields !== "object" || fields === null) return undefined;
  if (Object.hasOwn(fields, path)) return (fields as Fields)[path];
  let value: unknown = fields;
  for (const name of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Fields)[name];
  }
  return value;
}

function written(value: unknown, context: Context): string {
  switch (context) {
    case "json":
      return JSON.stringify(value);
    case "json-string":
      return JSON.stringify(asText(value)).slice(1, -1);
    case "url":
    case "form":
      return encodeURIComponent(Buffer.from(asText(value)).toString()); // half a character becomes U+FFFD
    case "url-start": // a whole URL, or its beginning
    case "text":
      return asText(value);
  }
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : value === null ? "" : JSON.stringify(value);
}

/** Whether a text that ends here, and began inside a JSON string or outside of one, ends inside one. */
function endsInString(text: string, beginsInString: boolean): boolean {
  let inString = beginsInString;
  for (let index = 0; index < text.length; index++) {
    if (inString && text[index] === "\\") index++;
    else if (text[index] === '"') inString = !inString;
  }
  return inString;
}

/** `..` as a whole part of a path leads elsewhere, and escaping does not help: `%2e%2e` means the same. */
function isDotSegment(before: string, value: string, after: string): boolean {
  if (/[?#]/.test(before)) return false;
  const head = /[^/\\]*$/.exec(before)![0];
  const tail = /^[^/\\?#]*/.exec(after)![0];
  return /^(?:\.|%2e){1,2}$/i.test(head + value + tail);
}
