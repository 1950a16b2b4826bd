import { Future, moveOnAfter, run, sleep, spawn, yieldNow } from "fibril";
import type { Coroutine, Operation, Sequence, SequenceSource, Task } from "fibril";
import { closeSequence, sequenceOf } from "fibril/lowlevel";
import { cancelSweep } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { simulated, thrownBy } from "./simulated.ts";

/** An async iterator that is driven by hand. */
class Manual implements AsyncIterableIterator<number> {
  readonly asked: PromiseWithResolversOf<IteratorResult<number>>[] = [];
  returned = 0;

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<number>> {
    const one = withResolvers<IteratorResult<number>>();
    this.asked.push(one);
    return one.promise;
  }

  return(): Promise<IteratorResult<number>> {
    this.returned++;
    return Promise.resolve({ done: true, value: undefined });
  }
}

interface PromiseWithResolversOf<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

function withResolvers<T>(): PromiseWithResolversOf<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

async function* counting(to: number): AsyncGenerator<number, string> {
  for (let i = 1; i <= to; i++) yield i;
  return "the return value is no value of the sequence";
}

/** Begins it, and cancels it once that holds. */
function* cancelledOnce(holds: () => boolean, operation: Operation<unknown>): Coroutine<void> {
  const task = spawn(() => operation);
  while (!holds()) yield* yieldNow();
  yield* task.cancel();
}

describe("a sequence of an iterable", () => {
  test("gives its values one after another, then the end, and does not wait", () => {
    const result = simulated(function* () {
      const sequence = sequenceOf([1, 2]);
      return [yield* sequence.next(), yield* sequence.next(), yield* sequence.next(), yield* sequence.next()];
    });
    const end = { done: true, value: undefined };
    expect(result).toEqual([{ done: false, value: 1 }, { done: false, value: 2 }, end, end]);
  });

  test("closing it runs the finally of a generator", () => {
    let closed = false;
    const sequence = sequenceOf(
      (function* () {
        try {
          yield 1;
        } finally {
          closed = true;
        }
      })(),
    );
    simulated(function* () {
      yield* sequence.next();
      yield* closeSequence(sequence);
    });
    expect(closed).toBe(true);
  });

  test("what is a sequence already stays the same; text is its characters; anything else is refused", () => {
    const own: Sequence<number> = { next: () => sequenceOf([1]).next() };
    expect(sequenceOf(own)).toBe(own);
    expect(simulated(() => sequenceOf("ab").next())).toEqual({ done: false, value: "a" });
    for (const wrong of [undefined, null, 3, {}, () => [1]]) {
      expect(thrownBy(() => sequenceOf(wrong as unknown as SequenceSource<number>))).toMatchObject({ code: "USAGE" });
    }
  });
});

describe("a sequence of an async iterable", () => {
  test("gives its values in order, then the end", async () => {
    const values = await run(function* () {
      const sequence = sequenceOf(counting(2));
      return [yield* sequence.next(), yield* sequence.next(), yield* sequence.next()];
    });
    expect(values).toEqual([
      { done: false, value: 1 },
      { done: false, value: 2 },
      { done: true, value: undefined },
    ]);
  });

  test("two tasks get two values, those who wait longest first, and one is asked for at a time", async () => {
    const source = new Manual();
    const { values, asked } = await run(function* () {
      const sequence = sequenceOf(source);
      const tasks = ["a", "b"].map(() => spawn(() => sequence.next()));
      yield* yieldNow();
      yield* yieldNow();
      const asked = source.asked.length;
      source.asked[0]!.resolve({ done: false, value: 1 });
      while (source.asked.length < 2) yield* sleep(1);
      source.asked[1]!.resolve({ done: false, value: 2 });
      return { values: [yield* tasks[0]!, yield* tasks[1]!], asked };
    });
    expect(asked).toBe(1);
    expect(values.map((each) => each.value)).toEqual([1, 2]);
  });

  test("what a cancelled call has asked for is given to the next call, a value and a failure alike", async () => {
    const source = new Manual();
    const result = await run(function* () {
      const sequence = sequenceOf(source);
      const given: unknown[] = [];
      yield* cancelledOnce(() => source.asked.length === 1, sequence.next());
      source.asked[0]!.resolve({ done: false, value: 7 });
      yield* sleep(1);
      given.push((yield* sequence.next()).value);
      yield* cancelledOnce(() => source.asked.length === 2, sequence.next());
      source.asked[1]!.reject(new Error("broken"));
      yield* sleep(1);
      try {
        yield* sequence.next();
      } catch (error) {
        given.push(String(error));
      }
      return given;
    });
    expect(result).toEqual([7, "Error: broken"]);
    expect(source.asked.length).toBe(2);
  });

  test("closing it calls return, and does not wait while a value is still asked for", async () => {
    const source = new Manual();
    await run(function* () {
      const sequence = sequenceOf(source);
      yield* closeSequence(sequence);
    });
    expect(source.returned).toBe(1);
    const never = (async function* (): AsyncGenerator<number> {
      await new Promise(() => {});
      yield 1;
    })();
    await run(function* () {
      const sequence = sequenceOf(never);
      yield* moveOnAfter(1, sequence.next());
      yield* closeSequence(sequence);
    });
  });
});

test("cancelled at any step, no value is lost", () => {
  cancelSweep(() => {
    const taken: number[] = [];
    let ended: Task<void> | undefined;
    const gate = new Future<void>();
    return {
      main: function* () {
        const sequence = sequenceOf([1, 2, 3]);
        ended = spawn(function* () {
          for (let next = yield* sequence.next(); next.done !== true; next = yield* sequence.next()) {
            taken.push(next.value);
            yield* yieldNow();
          }
          gate.tryResolve();
        });
        yield* gate;
      },
      check: () => {
        expect(taken).toEqual([1, 2, 3].slice(0, taken.length));
        expect(ended?.isSettled ?? true).toBe(true);
      },
    };
  });
});

test("a hand-written async iterator that throws at the call, or answers without a promise, serves all who wait", async () => {
  let calls = 0;
  const iterable = {
    [Symbol.asyncIterator]: () => ({
      next: (): Promise<IteratorResult<number>> => {
        calls++;
        if (calls === 2) throw new Error("at the call");
        const step = { done: calls > 3, value: calls } as IteratorResult<number>;
        return calls === 3 ? (step as unknown as Promise<IteratorResult<number>>) : Promise.resolve(step);
      },
    }),
  };
  const seen = await run(function* () {
    const sequence = sequenceOf(iterable as AsyncIterable<number>);
    const ends: string[] = [];
    for (let i = 0; i < 4; i++) {
      spawn(function* () {
        try {
          ends.push(String((yield* sequence.next()).value));
        } catch (error) {
          ends.push((error as Error).message);
        }
      });
    }
    while (ends.length < 4) yield* sleep(1);
    return ends;
  });
  expect(seen).toEqual(["1", "at the call", "3", "undefined"]);
});
