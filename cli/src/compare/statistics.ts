/** The few numbers that follow from a row's requests. */
import type { RequestSpan } from "./report.ts";

/** How many times faster than the same requests one after another, each taking the server's delay. */
export function speedup(requests: number, delayMs: number, wallMs: number): number {
  return wallMs > 0 ? (requests * delayMs) / wallMs : 0;
}

/** The most requests that were open at one moment. */
export function mostAtOnce(requests: readonly RequestSpan[]): number {
  const changes = requests.flatMap(({ startMs, endMs }) => [
    { at: startMs, by: 1 },
    { at: endMs, by: -1 },
  ]);
  // An end and a start at the same moment are one after the other, so ends come first.
  changes.sort((one, other) => one.at - other.at || one.by - other.by);
  let open = 0;
  let most = 0;
  for (const { by } of changes) {
    open += by;
    most = Math.max(most, open);
  }
  return most;
}

/** Requests `first` to `last` (counted from 1) of a row, drawn as one bar. */
export interface Stretch {
  readonly first: number;
  readonly last: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly ok: boolean;
}

/** At most `lines` stretches of neighbouring requests, as even as possible, each from its first start to its last end. */
export function condense(requests: readonly RequestSpan[], lines: number): Stretch[] {
  const count = Math.min(lines, requests.length);
  return Array.from({ length: count }, (_, line) => {
    const from = Math.floor((line * requests.length) / count);
    const to = Math.floor(((line + 1) * requests.length) / count);
    const part = requests.slice(from, to);
    return {
      first: from + 1,
      last: to,
      startMs: Math.min(...part.map(({ startMs }) => startMs)),
      endMs: Math.max(...part.map(({ endMs }) => endMs)),
      ok: part.every(({ ok }) => ok),
    };
  });
}
