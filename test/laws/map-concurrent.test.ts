/**
 * Random sources and items through the crews: every item once, in order, never more than the limit, never more taken than
 * there is room for, and whatever stops it, the source is closed once and nobody runs on.
 */
import { Cancelled, EventLoop, moveOnAfter, sleep } from "fibril";
import type { Coroutine, Operation } from "fibril";
import { simulateSync } from "fibril/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { forEach, forEachConcurrent, mapConcurrent, mapStream } from "../../src/combine/index.ts";
import type { Sequence } from "../../src/core/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

interface Case {
  /** How long each item takes. */
  readonly items: readonly number[];
  /** How long the source takes for each; `null`: an iterable. */
  readonly everyMs: number | null;
  readonly limit: number;
  readonly bufferSize: number;
  readonly ordered: boolean;
  /** Which item fails; none when there is no such item. */
  readonly failAt: number;
  /** Which item the source fails at. */
  readonly breakAt: number;
  readonly takeEveryMs: number;
  readonly cancelAtMs: number | undefined;
  /** How many results the consumer of a stream takes. */
  readonly count: number;
  readonly seed: number | undefined;
}

const often = (never: number): fc.Arbitrary<number> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(never) }, fc.nat({ max: 12 }));

const cases: fc.Arbitrary<Case> = fc.record({
  items: fc.array(fc.nat({ max: 4 }), { maxLength: 12 }),
  everyMs: fc.option(fc.nat({ max: 2 })),
  limit: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.constant(Infinity)),
  bufferSize: fc.nat({ max: 4 }),
  ordered: fc.boolean(),
  failAt: often(-1),
  breakAt: often(-1),
  takeEveryMs: fc.nat({ max: 3 }),
  cancelAtMs: fc.option(fc.nat({ max: 15 }), { nil: undefined }),
  count: fc.oneof(fc.constant(Infinity), fc.nat({ max: 12 })),
  seed: fc.option(fc.nat(), { nil: undefined }),
});

class Books {
  running = 0;
  most = 0;
  taken = 0;
  closed = 0;
  delivered = 0;
  /** The most items that were taken and whose results were not. */
  held = 0;
  readonly begun: number[] = [];
  readonly ended: number[] = [];
  readonly finished: number[] = [];
}

function sourceOf(it: Case, books: Books): Sequence<number> | Iterable<number> {
  let at = 0;
  const give = (): IteratorResult<number, undefined> => {
    if (at === it.breakAt) throw new Error("source");
    if (at === it.items.length) return { done: true, value: undefined };
    books.taken++;
    books.held = Math.max(books.held, books.taken - books.delivered);
    return { done: false, value: at++ };
  };
  if (it.everyMs === null) {
    const close = (): IteratorResult<number, undefined> => {
      books.closed++;
      return { done: true, value: undefined };
    };
    return { [Symbol.iterator]: () => ({ next: give, return: close }) };
  }
  let asking = false;
  return {
    *next() {
      expect(asking).toBe(false);
      asking = true;
      if (it.everyMs! > 0) yield* sleep(it.everyMs!);
      asking = false;
      return give();
    },
    *close() {
      books.closed++;
    },
  };
}

function execute(
  it: Case,
  program: (
    source: Sequence<number> | Iterable<number>,
    fn: (n: number, index: number) => Coroutine<number>,
    books: Books,
  ) => Operation<unknown>,
) {
  const books = new Books();
  let [value, error, at]: unknown[] = [];
  function* work(n: number, index: number): Coroutine<number> {
    expect(index).toBe(n);
    books.begun.push(n);
    books.most = Math.max(books.most, ++books.running);
    try {
      yield* sleep(it.items[n]!);
      if (n === it.failAt) throw new Error("item");
      books.finished.push(n);
      return n * 10;
    } finally {
      books.running--;
      books.ended.push(n);
    }
  }
  const { leaks, reports, outcome } = simulateSync(
    function* () {
      try {
        const main = program(sourceOf(it, books), work, books);
        value = yield* it.cancelAtMs === undefined ? main : moveOnAfter(it.cancelAtMs, main);
      } catch (thrown) {
        if (thrown instanceof Cancelled) throw thrown;
        error = thrown;
      }
      at = EventLoop.current().now();
      expect(books.running).toBe(0); // nobody runs on
    },
    it.seed === undefined ? {} : { seed: it.seed },
  );
  expect([leaks, outcome.status]).toEqual([[], "succeeded"]);
  return { books, value, error: (error as Error | undefined)?.message, at: at as number, reports };
}

/** Each item that was taken was worked on once, in the order of the source, within the limit. */
function checkBooks(it: Case, books: Books): void {
  const all = Array.from({ length: books.taken }, (_, n) => n);
  expect(books.most).toBeLessThanOrEqual(it.limit);
  // An item that was in hand when all was cancelled may not have been begun; none is begun twice or left running.
  expect([...books.ended].sort((a, b) => a - b)).toEqual([...books.begun].sort((a, b) => a - b));
  expect(new Set(books.begun).size).toBe(books.begun.length);
  for (const n of books.begun) expect(n).toBeLessThan(books.taken);
  expect(books.begun.length).toBeLessThanOrEqual(all.length);
}

/** Whether nothing stops it: then the model is exact. */
const isWhole = (it: Case): boolean =>
  it.cancelAtMs === undefined &&
  !(it.failAt >= 0 && it.failAt < it.items.length) &&
  !(it.breakAt >= 0 && it.breakAt <= it.items.length);

describe("a crew works on every item once, within its limit", () => {
  test(
    "mapConcurrent",
    () => {
      fc.assert(
        fc.property(cases, (it) => {
          const { books, value, error, reports } = execute(it, (source, fn) =>
            mapConcurrent(source, fn, { limit: it.limit, ordered: it.ordered }),
          );
          checkBooks(it, books);
          expect(reports).toEqual([]);
          if (isWhole(it)) {
            const values = it.items.map((_, n) => n * 10);
            expect(it.ordered ? value : [...(value as number[])].sort((a, b) => a - b)).toEqual(values);
            if (!it.ordered) expect(value).toEqual(books.finished.map((n) => n * 10));
            expect([books.closed, books.begun.length]).toEqual([0, it.items.length]);
            if (it.seed === undefined) expect(books.begun).toEqual(it.items.map((_, n) => n));
          } else if (value === undefined) {
            // Closed unless the end of the source was known already.
            expect(books.closed).toBeLessThanOrEqual(1);
            if (books.taken < it.items.length) expect(books.closed).toBe(1);
            if (it.cancelAtMs === undefined) expect(["item", "source"]).toContain(error);
          }
        }),
        runs(200),
      );
    },
    LAW_TIMEOUT_MS,
  );

  test(
    "mapConcurrent takes as long as a list of machines would",
    () => {
      fc.assert(
        fc.property(cases, (it) => {
          if (!isWhole(it) || it.everyMs !== null || it.seed !== undefined) return;
          const { at } = execute(it, (source, fn) => mapConcurrent(source, fn, { limit: it.limit }));
          const machines = Array.from({ length: Math.min(it.limit, it.items.length) }, () => 0);
          for (const ms of it.items) {
            machines.sort((a, b) => a - b);
            machines[0]! += ms;
          }
          expect(at).toBe(Math.max(0, ...machines));
        }),
        runs(200),
      );
    },
    LAW_TIMEOUT_MS,
  );

  test(
    "forEachConcurrent",
    () => {
      fc.assert(
        fc.property(cases, (it) => {
          const { books, value, error } = execute(it, (source, fn) =>
            forEachConcurrent(source, fn, { limit: it.limit }),
          );
          checkBooks(it, books);
          expect(value).toBe(undefined);
          if (isWhole(it))
            expect([books.finished.length, error, books.closed]).toEqual([it.items.length, undefined, 0]);
        }),
        runs(200),
      );
    },
    LAW_TIMEOUT_MS,
  );

  test(
    "forEach, one at a time",
    () => {
      fc.assert(
        fc.property(cases, (it) => {
          const { books, at } = execute(it, (source, fn) => forEach(source, fn));
          checkBooks({ ...it, limit: 1 }, books);
          expect(books.begun).toEqual(books.begun.map((_, n) => n));
          if (!isWhole(it)) return;
          const each = it.items.reduce((sum, ms) => sum + ms + (it.everyMs ?? 0), 0);
          expect([books.begun.length, at]).toEqual([it.items.length, each + (it.everyMs ?? 0)]);
        }),
        runs(200),
      );
    },
    LAW_TIMEOUT_MS,
  );

  test(
    "mapStream gives every result once, and holds no more than it may",
    () => {
      fc.assert(
        fc.property(cases, (it) => {
          const results: number[] = [];
          const { books, value, error, reports } = execute(it, (source, fn, counts) =>
            mapStream(
              source,
              fn,
              function* (stream) {
                while (results.length < it.count) {
                  const step = yield* stream.next();
                  if (step.done === true) break;
                  counts.delivered++;
                  results.push(step.value);
                  if (it.takeEveryMs > 0) yield* sleep(it.takeEveryMs);
                }
                return results.length;
              },
              { limit: it.limit, bufferSize: it.bufferSize, ordered: it.ordered },
            ),
          );
          checkBooks(it, books);
          // One more: a result that has been handed over but whose taker has not run yet makes room already.
          expect(books.held).toBeLessThanOrEqual(it.limit + it.bufferSize + 1);
          const expected = it.ordered ? it.items.map((_, n) => n * 10) : books.finished.map((n) => n * 10);
          expect(results).toEqual(expected.slice(0, results.length));
          if (isWhole(it)) {
            expect([value, error]).toEqual([Math.min(it.count, it.items.length), undefined]);
            expect(reports).toEqual([]);
          } else {
            for (const report of reports) expect(["item", "source"]).toContain((report.error as Error).message);
            if (value === undefined && it.cancelAtMs === undefined) expect(["item", "source"]).toContain(error);
          }
          expect(books.closed).toBeLessThanOrEqual(1);
        }),
        runs(200),
      );
    },
    LAW_TIMEOUT_MS,
  );
});
