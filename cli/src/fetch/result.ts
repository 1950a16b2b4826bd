/** What became of one line of the input, and how that is written as a line of JSON. */
import type { Failure } from "./failure.ts";

/** Milliseconds; `null` for a phase that was not reached or whose end is not known. */
export interface Timing {
  readonly queueMs: number | null;
  readonly connectMs: number | null;
  readonly headersMs: number | null;
  readonly bodyMs: number | null;
  readonly totalMs: number | null;
}

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
  /** The page that links to it, when it was found on one. */
  readonly page?: string;
}

/** Every name is always there, so that programs need not ask; only `page` is not, which belongs to `check`. */
export function resultLine(result: Result): string {
  const { line, url, finalUrl, status, failure, attempts, bytes, sha256, timing, output, page } = result;
  const error = failure === null ? null : { code: failure.code, message: failure.message, phase: failure.phase };
  const rounded = timing === null ? null : roundAll(timing);
  const data = {
    line,
    url,
    finalUrl,
    status,
    error,
    attempts,
    bytes,
    sha256,
    timing: rounded,
    output,
    ...(page === undefined ? {} : { page }),
  };
  return `${JSON.stringify(data)}\n`;
}

function roundAll({ queueMs, connectMs, headersMs, bodyMs, totalMs }: Timing): Timing {
  return {
    queueMs: round(queueMs),
    connectMs: round(connectMs),
    headersMs: round(headersMs),
    bodyMs: round(bodyMs),
    totalMs: round(totalMs),
  };
}

function round(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 1_000) / 1_000;
}
