import { expect, test } from "vitest";
import type { Failure } from "../../src/fetch/failure.ts";
import { failureOfStatus } from "../../src/fetch/failure.ts";
import { parseRetryAfter, retryDelayMs, shallRetry } from "../../src/fetch/retry.ts";

const RULES = { retries: 2, retryDelayMs: 500, retryAll: false };
const TRANSIENT: Failure = failureOfStatus(503);

test("tried again until the number is used up", () => {
  expect([1, 2, 3].map((tries) => shallRetry(RULES, "GET", TRANSIENT, tries))).toEqual([true, true, false]);
  expect(shallRetry({ ...RULES, retries: 0 }, "GET", TRANSIENT, 1)).toBe(false);
});

test("only methods that may be repeated, unless asked for all", () => {
  const methods = ["GET", "get", "HEAD", "PUT", "DELETE", "OPTIONS", "POST", "PATCH"];
  expect(methods.filter((method) => shallRetry(RULES, method, TRANSIENT, 1))).toEqual(methods.slice(0, 6));
  expect(methods.every((method) => shallRetry({ ...RULES, retryAll: true }, method, TRANSIENT, 1))).toBe(true);
});

test("what will not change is not tried again", () => {
  expect(shallRetry({ ...RULES, retryAll: true }, "GET", failureOfStatus(404), 1)).toBe(false);
});

test("the wait is any time up to a bound that doubles, at most a minute", () => {
  expect([1, 2, 3, 4].map((tries) => retryDelayMs(RULES, tries, undefined, 1))).toEqual([500, 1_000, 2_000, 4_000]);
  expect(retryDelayMs(RULES, 1, undefined, 0)).toBe(0);
  expect(retryDelayMs(RULES, 60, undefined, 1)).toBe(60_000);
});

test("what the server asks for comes on top", () => {
  expect(retryDelayMs(RULES, 1, 7_000, 0.5)).toBe(7_250);
});

test("Retry-After is seconds or a date, never negative, at most two minutes, and nonsense is passed over", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  const parse = (text: string | undefined) => parseRetryAfter(text, now);
  expect(parse("3")).toBe(3_000);
  expect(parse(" 0 ")).toBe(0);
  expect(parse("86400")).toBe(120_000);
  expect(parse("Thu, 01 Jan 2026 00:00:10 GMT")).toBe(10_000);
  expect(parse("Wed, 31 Dec 2025 23:59:00 GMT")).toBe(0);
  for (const text of [undefined, "", "soon", "-5", "1,5"]) expect(parse(text), text).toBeUndefined();
});
