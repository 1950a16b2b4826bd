/**
 * The shortest way to say "this program, on virtual time, ends like this and leaves nothing behind".
 */
import { EventLoop } from "fibril";
import type { Operation } from "fibril";
import { simulateSync } from "fibril/testing";
import type { SimulateOptions } from "fibril/testing";
import { expect } from "vitest";

/** What `main` returns. Fails when it leaks, when anything is reported, or with what it threw. */
export function simulated<T>(main: () => Operation<T>, options: SimulateOptions = {}): T {
  const { outcome, leaks, reports } = simulateSync(main, options);
  if (outcome.status === "failed") throw outcome.error;
  expect({ status: outcome.status, leaks, reports }).toEqual({ status: "succeeded", leaks: [], reports: [] });
  return (outcome as { readonly value: T }).value;
}

/** What `main` throws. Fails when it leaks, when anything is reported, or when it throws nothing. */
export function failureOf(main: () => Operation<unknown>, options: SimulateOptions = {}): unknown {
  const { outcome, leaks, reports } = simulateSync(main, options);
  expect({ status: outcome.status, leaks, reports }).toEqual({ status: "failed", leaks: [], reports: [] });
  return (outcome as { readonly error: unknown }).error;
}

/** The time of the running loop. */
export function now(): number {
  return EventLoop.current().now();
}

/** What `fn` throws. */
export function thrownBy(fn: () => unknown): unknown {
  try {
    fn();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}
