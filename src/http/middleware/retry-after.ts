/**
 * How long a server wants to be left alone: the `Retry-After` header, RFC 9110 §10.2.3, in seconds or as a date.
 */
import type { ResponseHeaders } from "../headers.ts";

/**
 * In milliseconds from now, or `undefined` when the response does not say, or not in a way that can be read.
 *
 * A date is taken relative to the response's own `Date`: so it does not matter how far the two clocks are apart. One without the
 * other says nothing.
 */
export function retryAfterMs(headers: ResponseHeaders): number | undefined {
  const text = headers.get("retry-after")?.trim();
  if (text === undefined || text === "") return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1_000;
  const until = parseDate(text);
  const now = parseDate(headers.get("date") ?? "");
  return until === undefined || now === undefined ? undefined : Math.max(0, until - now);
}

function parseDate(text: string): number | undefined {
  // What Date.parse takes beyond the three forms of HTTP ("1.5", "-1") is not a date here.
  const time = /^[A-Z][a-z]{2}/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(time) ? undefined : time;
}
