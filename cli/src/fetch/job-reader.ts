/**
 * From an entry of the input to a job: with the templates of the command line filled with what the line says.
 */
import type { Entry } from "./input.ts";
import { BadLine, jobOfFields, makeJob, methodProblem, parseFields, parseLine } from "./job.ts";
import type { Job, OwnRequest } from "./job.ts";
import { LONGEST_LINE, TOO_LONG } from "./line-splitter.ts";
import { kindOfBody, Template } from "./template.ts";
import type { Fields, TemplateKind } from "./template.ts";

/** What the command line says about all requests. */
export interface RequestDefaults {
  /** A template of the URL: then the lines are objects that need no URL of their own. */
  readonly url: string | undefined;
  readonly method: string | undefined;
  readonly data: string | undefined;
  readonly headers: readonly (readonly [string, readonly string[]])[];
}

export class JobReader {
  readonly #url: Template | null;
  readonly #method: Template | null;
  readonly #data: Template | null;
  readonly #headers: readonly (readonly [string, readonly Template[]])[];

  constructor({ url, method, data, headers }: RequestDefaults) {
    const contentType = headers.find(([name]) => name === "content-type")?.[1][0];
    this.#url = url === undefined ? null : new Template(url, "url");
    this.#method = templateOf(method, "text");
    this.#data = data === undefined ? null : templateOf(data, kindOfBody(data, contentType));
    this.#headers = headers
      .map(([name, values]) => [name, values.map((value) => new Template(value, "text"))] as const)
      .filter(([, values]) => values.some((value) => value.hasPlaces));
  }

  /** Whether lines have to be objects, for their fields. */
  get needsFields(): boolean {
    return this.#url !== null || this.#method !== null || this.#data !== null || this.#headers.length > 0;
  }

  /** @returns `undefined` for a blank line or a comment. */
  read({ text, where, line }: Entry): Job | BadLine | undefined {
    if (text === TOO_LONG) return new BadLine(`longer than ${LONGEST_LINE} characters`);
    if (text instanceof BadLine) return text;
    if (typeof text !== "string") return this.#jobOf(text, where, line);
    if (!this.needsFields || line === null) return parseLine(text, where, line);
    const trimmed = text.trim();
    if (trimmed === "" || trimmed.startsWith("#")) return undefined;
    if (!trimmed.startsWith("{")) {
      // A plain line has one field: itself.
      return this.#jobOf({ url: trimmed, line: trimmed }, where, line);
    }
    const fields = parseFields(trimmed);
    return fields instanceof BadLine ? fields : this.#jobOf(fields, where, line);
  }

  #jobOf(fields: Fields, where: string, line: number | null): Job | BadLine {
    if (!this.needsFields) return jobOfFields(fields, where, line);
    const url = this.#url === null ? fields["url"] : this.#url.fill(fields);
    if (url instanceof BadLine) return url;
    const filled: { [name: string]: unknown } = { ...fields, url };
    // What the line itself says about the request wins; with a template of the URL it has only data.
    if (this.#url !== null) for (const name of ["method", "body", "headers"]) delete filled[name];
    const job = jobOfFields(filled, where, line);
    if (job instanceof BadLine) return job;
    const request = this.#requestOf(fields, job.request!);
    return request instanceof BadLine ? request : makeJob(job.url, where, line, request, job.checksum);
  }

  #requestOf(fields: Fields, own: OwnRequest): OwnRequest | BadLine {
    let { method, body } = own;
    if (this.#method !== null && method === undefined) {
      const filled = this.#method.fill(fields);
      if (filled instanceof BadLine) return filled;
      const problem = methodProblem(filled);
      if (problem !== undefined) return new BadLine(`--method: ${problem}`);
      method = filled;
    }
    if (this.#data !== null && body === undefined) {
      body = this.#data.fill(fields);
      if (body instanceof BadLine) return body;
    }
    const names = new Set(own.headers.map(([name]) => name));
    const headers = [...own.headers];
    for (const [name, templates] of this.#headers) {
      if (names.has(name)) continue;
      const values: string[] = [];
      for (const template of templates) {
        const value = template.fill(fields);
        if (value instanceof BadLine) return value;
        if (/[\r\n\0]/.test(value)) return new BadLine(`the header ${name} would get more than one line`);
        values.push(value);
      }
      headers.push([name, values]);
    }
    return { ...own, method, body, headers };
  }
}

function templateOf(text: string | undefined, kind: TemplateKind): Template | null {
  if (text === undefined) return null;
  const template = new Template(text, kind);
  return template.hasPlaces ? template : null;
}
