/**
 * EventTarget: once() and on(), their listeners, and what the sequence does with more events than it may hold.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { all, Cancelled, moveOnAfter, race, run, scope, sleep, spawn, UsageError, yieldNow } from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep, simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { EventSequence, on, once, until } from "../../src/interop/index.ts";
import type { EventIntake, EventOverflowError, Overflow } from "../../src/interop/index.ts";
import { failureOf, now, simulated, thrownBy } from "../core/simulated.ts";
import { listenersOf, turns } from "./left.ts";

class Numbered extends Event {
  readonly number: number;

  constructor(number: number) {
    super("number");
    this.number = number;
  }
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const inside = { external: false } as const;
const left = (target: EventTarget): number => listenersOf(target, "number", "other");
const emit = (target: EventTarget, ...numbers: number[]): void => {
  for (const number of numbers) target.dispatchEvent(new Numbered(number));
};

describe("once(target, type)", () => {
  test("gives the next event and stops listening", () => {
    const target = new EventTarget();
    const seen = simulated(function* () {
      const task = spawn(() => once<Numbered>(target, "number", inside));
      yield* sleep(1);
      expect([task.waitingFor, left(target)]).toEqual(['event "number"', 1]);
      emit(target, 1, 2);
      expect(left(target)).toBe(0);
      return (yield* task).number;
    });
    expect(seen).toBe(1);
  });

  test("listens from the yield* on: an event before it is missed", () => {
    const target = new EventTarget();
    const seen = simulated(function* () {
      const event = once<Numbered>(target, "number", inside);
      emit(target, 1);
      expect(left(target)).toBe(0);
      spawn(function* () {
        emit(target, 2);
      });
      return (yield* event).number;
    });
    expect(seen).toBe(2);
  });

  test("a filter decides which event counts; what it throws is thrown at the wait", () => {
    const target = new EventTarget();
    const error = new Error("filter");
    const seen = simulated(function* () {
      const even = spawn(() => once<Numbered>(target, "number", { ...inside, filter: (it) => it.number % 2 === 0 }));
      const broken = spawn(function* () {
        try {
          yield* once(target, "number", {
            ...inside,
            filter: () => {
              throw error;
            },
          });
        } catch (it) {
          return it;
        }
        return undefined;
      });
      yield* sleep(1);
      emit(target, 1, 2, 3);
      return [(yield* even).number, yield* broken];
    });
    expect([seen, left(target)]).toEqual([[2, error], 0]);
  });

  test("a signal throws its reason, before and during the wait", () => {
    const target = new EventTarget();
    const controller = new AbortController();
    const during = failureOf(function* () {
      spawn(function* () {
        yield* sleep(1);
        controller.abort("reason");
      });
      yield* once(target, "number", { ...inside, signal: controller.signal });
    });
    const before = failureOf(() => once(target, "number", { ...inside, signal: controller.signal }));
    expect([during, before, left(target), listenersOf(controller.signal, "abort")]).toEqual(["reason", "reason", 0, 0]);
  });

  test("cancelled, it removes its listeners, those on a signal too", () => {
    const target = new EventTarget();
    const { signal } = new AbortController();
    const seen = simulated(() => moveOnAfter(1, once(target, "number", { ...inside, signal })));
    expect([seen, left(target), listenersOf(signal, "abort")]).toEqual([undefined, 0, 0]);
  });

  test("an event in the turn of the cancellation is not lost: the value comes first", () => {
    const target = new EventTarget();
    const log: unknown[] = [];
    simulated(function* () {
      const task = spawn(function* () {
        log.push((yield* once<Numbered>(target, "number", inside)).number);
        yield* sleep(1);
        log.push("not reached");
      });
      yield* sleep(1);
      emit(target, 7);
      yield* task.cancel();
    });
    expect(log).toEqual([7]);
  });

  test("a target that answers in the call that listens ends the wait at once, and keeps no listener", () => {
    const target = new EventTarget();
    const add = target.addEventListener.bind(target);
    target.addEventListener = ((type: string, listener: (event: Event) => void) => {
      listener(new Numbered(5)); // before it is registered, so that it would stay
      add(type, listener);
    }) as typeof target.addEventListener;
    const seen = simulated(() => once<Numbered>(target, "number", inside));
    expect([seen.number, left(target)]).toEqual([5, 0]);
  });

  test("a target that refuses leaves the operation usable", () => {
    const target = new EventTarget();
    const add = target.addEventListener.bind(target);
    let refusals = 1;
    target.addEventListener = ((...args: Parameters<typeof add>) => {
      if (refusals-- > 0) throw new Error("refused");
      add(...args);
    }) as typeof target.addEventListener;
    const seen = simulated(function* () {
      const event = once<Numbered>(target, "number", inside);
      try {
        yield* event;
      } catch (error) {
        expect((error as Error).message).toBe("refused");
      }
      spawn(function* () {
        emit(target, 1);
      });
      return (yield* event).number;
    });
    expect([seen, left(target)]).toEqual([1, 0]);
  });

  test("is pending outside by default, and a deadlock when it is said to be inside", () => {
    const target = new EventTarget();
    expect(simulateSync(() => once(target, "number")).leaks.join()).toContain("outside");
    expect(failureOf2(() => once(target, "number", inside))).toContain('event "number"');
  });

  test("wrong arguments are refused", () => {
    expect(thrownBy(() => once({} as EventTarget, "number"))).toBeInstanceOf(UsageError);
    expect(thrownBy(() => once(undefined as never, "number"))).toBeInstanceOf(UsageError);
    expect(String(thrownBy(() => once({ on() {} } as never, "number")))).toContain("fibril/interop/node");
    expect(thrownBy(() => once(new EventTarget(), "number", { signal: 1 as never }))).toBeInstanceOf(UsageError);
  });
});

describe("on(target, type)", () => {
  test("gives the events in their order, also those that came while nobody took", () => {
    const target = new EventTarget();
    const seen = simulated(function* () {
      const events = on<Numbered>(target, "number", inside);
      emit(target, 1, 2);
      const first = [yield* take(events), yield* take(events)];
      const later = spawn(() => take(events));
      yield* sleep(1);
      emit(target, 3, 4);
      return [...first, yield* later, yield* take(events)];
    });
    expect([seen, left(target)]).toEqual([[1, 2, 3, 4], 0]);
  });

  test("those who wait are served in their order", () => {
    const target = new EventTarget();
    const seen = simulated(function* () {
      const events = on<Numbered>(target, "number", inside);
      const takers = [1, 2, 3].map(() => spawn(() => take(events)));
      yield* sleep(1);
      yield* takers[0]!.cancel();
      emit(target, 1, 2, 3);
      return [yield* takers[1]!, yield* takers[2]!, yield* take(events)];
    });
    expect(seen).toEqual([1, 2, 3]);
  });

  test("by default it ends when it overflows: what was kept comes first, then the error, for everybody", () => {
    const target = new EventTarget();
    const log: unknown[] = [];
    simulated(function* () {
      const events = on<Numbered>(target, "number", { ...inside, capacity: 2 });
      emit(target, 1, 2, 3, 4);
      expect(left(target)).toBe(0);
      log.push(yield* take(events), yield* take(events));
      for (let i = 0; i < 2; i++) {
        try {
          yield* take(events);
        } catch (error) {
          log.push((error as EventOverflowError).code, (error as EventOverflowError).capacity);
        }
      }
      log.push(events.statistics());
    });
    expect(log).toEqual([
      1,
      2,
      "EVENT_OVERFLOW",
      2,
      "EVENT_OVERFLOW",
      2,
      { capacity: 2, buffered: 0, waiting: 0, received: 3, dropped: 0 },
    ]);
  });

  test.each<[Overflow, number[]]>([
    ["dropOldest", [3, 4]],
    ["dropNewest", [1, 2]],
  ])("with %s it keeps %j of 1, 2, 3, 4", (overflow, kept) => {
    const target = new EventTarget();
    simulated(function* () {
      const events = on<Numbered>(target, "number", { ...inside, capacity: 2, overflow });
      emit(target, 1, 2, 3, 4);
      expect(events.statistics()).toEqual({ capacity: 2, buffered: 2, waiting: 0, received: 4, dropped: 2 });
      expect([yield* take(events), yield* take(events)]).toEqual(kept);
      emit(target, 5);
      expect(yield* take(events)).toBe(5);
    });
  });

  test("a thousand events through a buffer that is never empty keep their order", () => {
    const target = new EventTarget();
    const seen = simulated(function* () {
      const events = on<Numbered>(target, "number", { ...inside, capacity: 300 });
      const numbers: number[] = [];
      let last = 0;
      for (let i = 0; i < 250; i++) emit(target, ++last);
      for (let i = 0; i < 1_000; i++) {
        emit(target, ++last);
        numbers.push(yield* take(events));
        expect(events.statistics().buffered).toBe(250);
      }
      return numbers;
    });
    expect(seen).toEqual(Array.from({ length: 1_000 }, (_, i) => i + 1));
  });

  test("who waits gets the event itself: the buffer counts only what nobody waits for", () => {
    const target = new EventTarget();
    simulated(function* () {
      const events = on<Numbered>(target, "number", { ...inside, capacity: 1 });
      const takers = [spawn(() => take(events)), spawn(() => take(events))];
      yield* sleep(1);
      expect(events.statistics().waiting).toBe(2);
      emit(target, 1, 2, 3);
      expect([yield* takers[0]!, yield* takers[1]!, yield* take(events)]).toEqual([1, 2, 3]);
    });
  });

  test("close() removes the listener, drops what was kept and ends those who wait, by the call", () => {
    const target = new EventTarget();
    simulated(function* () {
      const events = on<Numbered>(target, "number", inside);
      const waiting = spawn(() => events.next());
      yield* sleep(1);
      events.close();
      expect(left(target)).toBe(0);
      expect((yield* waiting).done).toBe(true);
      emit(target, 1);
      expect((yield* events.next()).done).toBe(true);
      yield* events.close();
    });
  });

  test("closed with events kept: they are gone", () => {
    const target = new EventTarget();
    simulated(function* () {
      const events = on<Numbered>(target, "number", { ...inside, capacity: 1 });
      emit(target, 1, 2);
      yield* events.close();
      expect(yield* events.next()).toEqual({ done: true, value: undefined });
    });
  });

  test("it ends with its scope, not with the one that takes", () => {
    const target = new EventTarget();
    simulated(function* () {
      const inner = yield* scope(function* () {
        const own = on<Numbered>(target, "number", inside);
        yield* scope(function* () {
          emit(target, 1);
          yield* take(own);
        });
        expect(left(target)).toBe(1);
        emit(target, 2);
        return own;
      });
      expect(left(target)).toBe(0);
      expect((yield* inner.next()).done).toBe(true);
    });
  });

  test("a task that is cancelled leaves no listener", () => {
    const target = new EventTarget();
    simulated(function* () {
      const task = spawn(function* () {
        const events = on(target, "number", inside);
        yield* events.next();
      });
      yield* sleep(1);
      expect(left(target)).toBe(1);
      yield* task.cancel();
      expect(left(target)).toBe(0);
    });
  });

  test("subscriptions that were closed leave nothing in a scope that lives on: no release, no listener, no object", async () => {
    const target = new EventTarget();
    const kept = await run(() =>
      scope(function* (own) {
        let releases = 0;
        const defer = own.defer.bind(own);
        own.defer = (cleanup) => {
          releases++;
          defer(cleanup);
        };
        const refs: WeakRef<object>[] = [];
        for (let i = 0; i < 1_000; i++) {
          const events = on(target, "number");
          refs.push(new WeakRef(events));
          yield* events.close();
        }
        for (let i = 0; i < 3; i++) {
          yield* until(turns(1)); // a WeakRef holds its object until the end of the job
          collectGarbage();
        }
        return [releases, refs.filter((it) => it.deref() !== undefined).length < 200];
      }),
    );
    expect([kept, left(target)]).toEqual([[1, true], 0]);
  });

  test("an event that was taken is not kept alive by those that were not", async () => {
    const target = new EventTarget();
    const kept = await run(function* () {
      const events = on<Numbered>(target, "number");
      emit(target, 1, 2, 3);
      const ref = new WeakRef((yield* events.next()).value!);
      for (let i = 0; i < 3; i++) {
        yield* until(turns(2)); // a collection that has begun before keeps what it has marked
        collectGarbage();
      }
      return [ref.deref(), events.statistics().buffered];
    });
    expect(kept).toEqual([undefined, 2]);
  });

  test("wrong options are refused and leave nothing", () => {
    const target = new EventTarget();
    simulated(function* () {
      for (const capacity of [0, -1, 1.5, NaN, "9" as never]) {
        expect(thrownBy(() => on(target, "number", { capacity }))).toBeInstanceOf(UsageError);
      }
      expect(thrownBy(() => on(target, "number", { overflow: "drop" as never }))).toBeInstanceOf(UsageError);
      expect(thrownBy(() => on(undefined as never, "number"))).toBeInstanceOf(UsageError);
      expect(left(target)).toBe(0);
      on(target, "number", { capacity: Infinity });
    });
    expect(thrownBy(() => on(target, "number"))).toMatchObject({ code: "OUTSIDE_TASK" });
    expect(left(target)).toBe(0);
  });

  test("the name is what people read", () => {
    const target = new EventTarget();
    simulated(function* () {
      const events = [on(target, "number", inside), on(target, "number", { ...inside, name: "ticks" })];
      const tasks = events.map((it) => spawn(() => it.next()));
      yield* sleep(1);
      expect(tasks.map((it) => it.waitingFor)).toEqual(['events "number"', "ticks"]);
      yield* all(tasks.map((it) => it.cancel()));
    });
  });

  test("dispatched from outside the loop it wakes the loop", async () => {
    const target = new EventTarget();
    const numbers = await run(function* () {
      const events = on<Numbered>(target, "number");
      process.nextTick(() => emit(target, 1, 2));
      return [yield* take(events), yield* take(events)];
    });
    expect([numbers, left(target)]).toEqual([[1, 2], 0]);
  });
});

describe("a sequence of one's own", () => {
  test("a source that ends: what was kept, then the end; it is detached once", () => {
    let detached = 0;
    let intake!: EventIntake<number>;
    simulated(function* () {
      const events = new EventSequence<number>(
        "ticks",
        (it) => {
          intake = it;
          return () => void detached++;
        },
        inside,
      );
      intake.push(1);
      intake.end();
      intake.push(2);
      intake.fail(new Error("too late"));
      expect(detached).toBe(1);
      expect(yield* events.next()).toEqual({ done: false, value: 1 });
      expect(yield* events.next()).toEqual({ done: true, value: undefined });
      yield* events.close();
    });
    expect(detached).toBe(1);
  });

  test("a source that pushes and ends while it is attached is detached", () => {
    let detached = 0;
    simulated(function* () {
      const events = new EventSequence<number>(
        "ticks",
        (intake) => {
          intake.push(1);
          intake.end();
          return () => void detached++;
        },
        inside,
      );
      expect(detached).toBe(1);
      expect([(yield* events.next()).value, (yield* events.next()).done]).toEqual([1, true]);
    });
    expect(detached).toBe(1);
  });

  test("a source that cannot be attached leaves nothing in the scope", () => {
    const error = failureOf(function* () {
      new EventSequence("ticks", () => {
        throw new Error("attach");
      });
    });
    expect((error as Error).message).toBe("attach");
  });

  test("one that cannot be detached does not keep those who wait", () => {
    for (const end of ["end", "fail"] as const) {
      const failure = new Error("source");
      let intake!: EventIntake<number>;
      const seen = simulated(function* () {
        const attach = (it: EventIntake<number>) => {
          intake = it;
          return () => {
            throw new Error("detach");
          };
        };
        const events = new EventSequence<number>("ticks", attach, inside);
        const waiting = spawn(function* () {
          try {
            return yield* events.next();
          } catch (error) {
            return error;
          }
        });
        yield* sleep(1);
        expect(thrownBy(() => intake[end](failure))).toMatchObject({ message: "detach" });
        return yield* waiting;
      });
      expect(seen).toEqual(end === "fail" ? failure : { done: true, value: undefined });
    }
  });

  test("one that cannot be detached fails the scope; the others are detached all the same", () => {
    const target = new EventTarget();
    const error = failureOf(() =>
      scope(function* () {
        on(target, "number", inside);
        new EventSequence("ticks", () => () => {
          throw new Error("detach");
        });
        on(target, "other", inside);
        expect(left(target)).toBe(2);
      }),
    );
    expect([(error as Error).message, left(target)]).toEqual(["detach", 0]);
  });
});

describe("swept", () => {
  test.each([undefined, 1, 2, 3, 4, 5])("no listener is left, no event is lost or doubled (seed %s)", (seed) => {
    for (const target of ["main", "stepped"] as const) {
      const sweep = cancelSweep(
        () => {
          const source = new EventTarget();
          const taken: number[] = [];
          let emitted = 0;
          let isSubscribed = false;
          let isWhole = false;
          function* reader(events: EventSequence<Numbered>): Coroutine<void> {
            for (;;) {
              const result = yield* events.next();
              if (result.done === true) return;
              taken.push(result.value.number);
              yield* yieldNow();
            }
          }
          return {
            *main() {
              const events = on<Numbered>(source, "number", inside);
              isSubscribed = true;
              const emitter = spawn(function* () {
                for (let i = 0; i < 6; i++) {
                  if (isSubscribed) emit(source, ++emitted);
                  yield* sleep(i % 2);
                }
              });
              const waiting = spawn(() => race([once(source, "number", inside), sleep(1)]));
              const readers = [spawn(reader, events), spawn(reader, events)];
              yield* emitter;
              yield* waiting;
              while (events.statistics().buffered > 0) yield* yieldNow();
              yield* events.close();
              yield* all(readers);
              isWhole = true;
            },
            check: () => {
              expect(left(source)).toBe(0);
              const expected = Array.from({ length: emitted }, (_, i) => i + 1);
              if (isWhole) expect(taken).toEqual(expected);
              else expect(taken).toEqual(expected.slice(0, taken.length));
            },
          };
        },
        { target, ...(seed === undefined ? {} : { seed }) },
      );
      expect(sweep.runs).toBeGreaterThan(20);
    }
  });
});

function* take(events: EventSequence<Numbered>): Coroutine<number> {
  const result = yield* events.next();
  if (result.done === true) throw new Error(`ended at ${now()}`);
  return result.value.number;
}

/** The message of what a program that gets stuck throws. */
function failureOf2(main: () => ReturnType<typeof once>): string {
  const { outcome } = simulateSync(main);
  return outcome.status === "failed" && !(outcome.error instanceof Cancelled) ? String(outcome.error) : outcome.status;
}
