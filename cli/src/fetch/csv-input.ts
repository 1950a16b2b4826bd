/**
 * A table as input: each row becomes what a JSON line would be. The columns are named by the first row: `url`, `method`, `body`, `output`,
 * `sha256`, `checksum`, and `headers.NAME` for each header; others are there for templates. An empty cell says nothing.
 */
import { parse } from "csv-parse";
import type { Parser } from "csv-parse";
import type { Fields } from "./template.ts";
import { BadLine } from "./bad-line.ts";
import { LONGEST_LINE } from "./line-splitter.ts";

/** A row as csv-parse gives it. */
export interface CsvRow {
  readonly record: Readonly<Record<string, string>>;
  readonly info: { readonly lines: number };
}

/** @param bad Called with a row that cannot be understood. */
export function csvParser(delimiter: string, bad: (problem: BadLine, line: number) => void): Parser {
  const parser = parse({
    bom: true,
    columns: (names: string[]) => names.map((name) => name.trim()),
    delimiter,
    info: true,
    max_record_size: LONGEST_LINE,
    relax_column_count: true,
    skip_empty_lines: true,
    skip_records_with_error: true,
    trim: true,
  });
  let last = 0;
  parser.on("skip", (error: Error & { readonly lines?: number }) => {
    if (error.lines === last) return; // one row may be wrong in several ways
    last = error.lines ?? 0;
    bad(new BadLine(`not a row of CSV: ${error.message}`), error.lines ?? 0);
  });
  return parser;
}

export function fieldsOfRow({ record }: CsvRow): Fields {
  const fields: Record<string, unknown> = {};
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(record)) {
    if (value === "") continue;
    const header = /^headers?\.(.+)$/i.exec(name)?.[1];
    if (header === undefined) fields[name] = value;
    else headers[header] = value;
  }
  return Object.keys(headers).length === 0 ? fields : { ...fields, headers };
}
