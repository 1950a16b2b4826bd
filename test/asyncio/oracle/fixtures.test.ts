/**
 * CPython's verdicts without CPython: every program that ever showed a difference, and a corpus of random ones, each with the
 * trace that CPython 3.14 has recorded (3.15, where a program cancels its group). `npm run test:oracle` asks it afresh.
 */
import { describe, expect, test } from "vitest";
import { sideBySide } from "./compare.ts";
import { trace } from "./interpret.ts";
import { programText } from "./program.ts";
import { readCorpus, readFixtures } from "./records.ts";
import type { Recorded } from "./records.ts";

function expectSameTrace({ program, trace: expected }: Recorded): void {
  const actual = trace(program);
  if (actual !== expected) expect.fail(`${programText(program)}\n${sideBySide(expected, actual)}`);
}

describe("programs that once differed run as on CPython", () => {
  for (const fixture of readFixtures()) test(`${fixture.shows} (${fixture.name})`, () => expectSameTrace(fixture));
});

const corpus = readCorpus();

test(`${corpus.length} random programs run as on CPython`, () => {
  expect(corpus.length).toBeGreaterThanOrEqual(300);
  for (const recorded of corpus) expectSameTrace(recorded);
});
