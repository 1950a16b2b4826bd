/** What became of one line of the input, and how that is written as a line of JSON. */
import type { HttpTimings } from "fibril/http";
import type { Failure } from "./failure.ts";

/** Milliseconds; `null` for a phase that was not reached or whose end is not known. */
export type Timing = { readonly [Phase in keyof HttpTimings]: number | null };

export interface Result {
  /** The line of the input; `null` for an argument. */
  readonly line: number | null;
  /** As it was given. */
  readonly url: string;
  /** Where the answer came from, after redirects. */
  readonly finalUrl: string | null;
  readonly status: number | null;
  readonly failure: Failure | null;
  readonly attempts: number;
  /** Of the body. */
  readonly bytes: number | null;
  readonly sha256: string | null;
  /** Of the last try. */
  readonly timing: Timing | null;
  /** The file that has the body. */
  readonly output: string | null;
}

/** Every name is always there, so that programs need not ask. */
export function resultLine(result: Result): string {
  const { line, url, finalUrl, status, failure, attempts, bytes, sha256, timing, output } = result;
  const error = failure === null ? null : { code: failure.code, message: failure.message, phase: failure.phase };
  const rounded =
    timing === null ? null : Object.fromEntries(Object.entries(timing).map(([phase, ms]) => [phase, round(ms)]));
  const data = { line, url, finalUrl, status, error, attempts, bytes, sha256, timing: rounded, output };
  return `${JSON.stringify(data)}\n`;
}

function round(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 1_000) / 1_000;
}
