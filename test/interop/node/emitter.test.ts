/**
 * EventEmitter: once() and on(), errors of the emitter, and listeners that go away.
 */
import { EventEmitter } from "node:events";
import { all, moveOnAfter, race, run, scope, sleep, spawn, UsageError, yieldNow } from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { on, once } from "../../../src/interop/node/index.ts";
import { failureOf, simulated, thrownBy } from "../../core/simulated.ts";
import { listenersOf } from "../left.ts";

const inside = { external: false } as const;

describe("once(emitter, event)", () => {
  test("gives the arguments of the next event and stops listening", () => {
    const emitter = new EventEmitter();
    const seen = simulated(function* () {
      const task = spawn(() => once<[number, string]>(emitter, "it", inside));
      yield* sleep(1);
      expect([task.waitingFor, listenersOf(emitter)]).toEqual(['event "it"', 2]);
      emitter.emit("it", 1, "a");
      emitter.emit("it", 2, "b");
      const [number, text] = yield* task;
      return [number, text];
    });
    expect([seen, listenersOf(emitter)]).toEqual([[1, "a"], 0]);
  });

  test('throws what the emitter emits as "error", unless that is the event waited for', () => {
    const emitter = new EventEmitter();
    const error = new Error("emitted");
    const program = (event: string) =>
      function* (): Coroutine<unknown> {
        spawn(function* () {
          emitter.emit("error", error);
        });
        return yield* once(emitter, event, inside);
      };
    expect(failureOf(program("it"))).toBe(error);
    expect(simulated(program("error"))).toEqual([error]);
    expect(listenersOf(emitter)).toBe(0);
  });

  test("symbols, a filter, a signal", () => {
    const emitter = new EventEmitter();
    const event = Symbol("event");
    const controller = new AbortController();
    const seen = simulated(function* () {
      const filtered = spawn(() => once<[number]>(emitter, event, { ...inside, filter: (it) => it > 1 }));
      const signalled = spawn(function* (): Coroutine<unknown> {
        try {
          return yield* once(emitter, event, { ...inside, signal: controller.signal, filter: () => false });
        } catch (reason) {
          return reason;
        }
      });
      yield* sleep(1);
      expect(filtered.waitingFor).toBe("event Symbol(event)");
      emitter.emit(event, 1);
      emitter.emit(event, 2);
      controller.abort("reason");
      return [yield* filtered, yield* signalled];
    });
    expect([seen, listenersOf(emitter), listenersOf(controller.signal, "abort")]).toEqual([[[2], "reason"], 0, 0]);
  });

  test("an emitter that cannot be left throws to who emits, and the wait has its event", () => {
    const emitter = new EventEmitter();
    emitter.on("removeListener", () => {
      throw new Error("stay");
    });
    simulated(function* () {
      const waiting = spawn(() => once<[number]>(emitter, "data", inside));
      yield* sleep(1);
      expect(thrownBy(() => emitter.emit("data", 1))).toMatchObject({ message: "stay" });
      expect(yield* waiting).toEqual([1]);
    });
  });

  test("an emitter that answers in the call that listens leaves no listener", () => {
    const emitter = new EventEmitter();
    emitter.on("newListener", (event: string, listener: (...args: unknown[]) => void) => {
      if (event === "it") listener("at once");
    });
    expect(simulated(() => once(emitter, "it", inside))).toEqual(["at once"]);
    expect([emitter.listenerCount("it"), emitter.listenerCount("error")]).toEqual([0, 0]);
  });

  test("cancelled, it leaves no listener", () => {
    const emitter = new EventEmitter();
    expect(simulated(() => moveOnAfter(1, once(emitter, "it", inside)))).toBe(undefined);
    expect(listenersOf(emitter)).toBe(0);
  });

  test("wrong arguments are refused", () => {
    expect(thrownBy(() => once({} as never, "it"))).toBeInstanceOf(UsageError);
    expect(String(thrownBy(() => once(new EventTarget() as never, "it")))).toContain("from fibril/interop");
    expect(thrownBy(() => once(new EventEmitter(), "it", { signal: {} as never }))).toBeInstanceOf(UsageError);
  });
});

describe("on(emitter, event)", () => {
  test("gives all events in order, bounded as its options say", () => {
    const emitter = new EventEmitter();
    simulated(function* () {
      const events = on<[number]>(emitter, "it", { ...inside, capacity: 2, overflow: "dropOldest" });
      for (const number of [1, 2, 3]) emitter.emit("it", number);
      expect([(yield* events.next()).value, (yield* events.next()).value]).toEqual([[2], [3]]);
    });
    expect(listenersOf(emitter)).toBe(0);
  });

  test('"error" fails it after what was kept; nobody listens any more', () => {
    const emitter = new EventEmitter();
    const error = new Error("emitted");
    const log: unknown[] = [];
    const failure = failureOf(function* () {
      const events = on(emitter, "it", inside);
      emitter.emit("it", 1);
      emitter.emit("error", error);
      expect(listenersOf(emitter)).toBe(0);
      log.push((yield* events.next()).value);
      yield* events.next();
    });
    expect([log, failure]).toEqual([[[1]], error]);
    expect(failure).toBe(error);
  });

  test('"error" and `close` reach those who wait', () => {
    const emitter = new EventEmitter();
    const error = new Error("emitted");
    const seen = simulated(function* () {
      const failing = on(emitter, "it", inside);
      const ending = on(emitter, "it", { ...inside, close: ["close"] });
      const ended = spawn(() => ending.next());
      const failed = [1, 2].map(() =>
        spawn(function* (): Coroutine<unknown> {
          try {
            return yield* failing.next();
          } catch (it) {
            return it;
          }
        }),
      );
      yield* sleep(1);
      emitter.emit("close");
      emitter.emit("error", error);
      return [yield* failed[0]!, yield* failed[1]!, (yield* ended).done];
    });
    expect([seen, listenersOf(emitter)]).toEqual([[error, error, true], 0]);
  });

  test('of "error" itself gives errors as events', () => {
    const emitter = new EventEmitter();
    simulated(function* () {
      const errors = on(emitter, "error", inside);
      emitter.emit("error", "first");
      expect((yield* errors.next()).value).toEqual(["first"]);
    });
    expect(listenersOf(emitter)).toBe(0);
  });

  test("an event of `close` ends it after what was kept", () => {
    const emitter = new EventEmitter();
    simulated(function* () {
      const events = on<[number]>(emitter, "it", { ...inside, close: ["close", "end"] });
      expect(listenersOf(emitter)).toBe(4);
      emitter.emit("it", 1);
      emitter.emit("end");
      emitter.emit("it", 2);
      expect(listenersOf(emitter)).toBe(0);
      expect((yield* events.next()).value).toEqual([1]);
      expect((yield* events.next()).done).toBe(true);
    });
  });

  test("needs a coroutine, and a good emitter", () => {
    const emitter = new EventEmitter();
    expect(thrownBy(() => on(emitter, "it"))).toMatchObject({ code: "OUTSIDE_TASK" });
    expect(failureOf(function* () { on({} as never, "it"); })).toBeInstanceOf(UsageError); // prettier-ignore
    expect(listenersOf(emitter)).toBe(0);
  });

  test("an emitter that refuses one of the listeners keeps none", () => {
    const emitter = new EventEmitter();
    emitter.on("newListener", (event) => {
      if (event === "close") throw new Error("full");
    });
    const before = listenersOf(emitter);
    simulated(function* () {
      expect(thrownBy(() => on(emitter, "data", { close: ["close"] }))).toMatchObject({ message: "full" });
      expect(listenersOf(emitter)).toBe(before);
    });
  });

  test("`close` must be a list: the letters of a name are no events", () => {
    simulated(function* () {
      expect(thrownBy(() => on(new EventEmitter(), "data", { close: "end" as never }))).toBeInstanceOf(UsageError);
    });
  });

  test("a scope that ends removes its listeners", async () => {
    const emitter = new EventEmitter();
    await run(() =>
      scope(function* () {
        on(emitter, "it", { close: ["close"] });
        yield* yieldNow();
      }),
    );
    expect(listenersOf(emitter)).toBe(0);
  });
});

test.each([undefined, 1, 2, 3])("cancelled at any step, no listener is left (seed %s)", (seed) => {
  for (const target of ["main", "stepped"] as const) {
    const sweep = cancelSweep(
      () => {
        const emitter = new EventEmitter();
        return {
          *main() {
            const events = on<[number]>(emitter, "it", { ...inside, close: ["close"] });
            const feeder = spawn(function* () {
              for (let i = 0; i < 3; i++) {
                emitter.emit("it", i);
                yield* sleep(1);
              }
            });
            const waiting = spawn(() => race([once(emitter, "it", inside), once(emitter, "close", inside), sleep(2)]));
            for (let i = 0; i < 3; i++) yield* race([events.next(), sleep(5)]);
            yield* all([feeder, waiting]);
            emitter.emit("close");
          },
          check: () => expect(listenersOf(emitter)).toBe(0),
        };
      },
      { target, ...(seed === undefined ? {} : { seed }) },
    );
    expect(sweep.runs).toBeGreaterThan(10);
  }
});
