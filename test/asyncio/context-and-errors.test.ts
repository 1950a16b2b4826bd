import { describe, expect, test } from "vitest";
import {
  CancelledError,
  Context,
  ContextVar,
  copyContext,
  createTask,
  ExceptionGroup,
  getRunningLoop,
  LookupError,
  RuntimeError,
  sleep,
  TimeoutError,
  ValueError,
} from "../../src/asyncio/index.ts";
import { play, thrownBy } from "./virtual.ts";

describe("context variables", () => {
  test("a value, a default, a fallback, or LookupError", () => {
    const plain = new ContextVar<number>("plain");
    const withDefault = new ContextVar("withDefault", { default: 1 });
    expect([withDefault.get(), withDefault.get(2), plain.get(3)]).toEqual([1, 2, 3]);
    expect(thrownBy(() => plain.get())).toBeInstanceOf(LookupError);
    const outcome = copyContext().run(() => {
      plain.set(4);
      return [plain.get(), plain.get(5)];
    });
    expect(outcome).toEqual([4, 4]);
    expect(thrownBy(() => plain.get())).toBeInstanceOf(LookupError);
  });

  test("a token puts back what was there, once, in its own context", () => {
    new Context().run(() => {
      const [a, b] = [new ContextVar<number | undefined>("a"), new ContextVar<number | undefined>("b")];
      const first = a.set(undefined);
      const second = a.set(2);
      expect([first.oldValue, second.oldValue, a.get()]).toEqual([undefined, undefined, 2]);
      expect(thrownBy(() => b.reset(second))).toBeInstanceOf(ValueError);
      expect(copyContext().run(() => thrownBy(() => a.reset(second)))).toBeInstanceOf(ValueError);
      a.reset(second);
      expect([a.get(1), thrownBy(() => a.reset(second))]).toEqual([undefined, expect.any(RuntimeError)]);
      a.reset(first);
      expect(a.get(1)).toBe(1);
    });
  });

  test("a context keeps what is set in it, copies are apart, and it is entered once at a time", () => {
    const variable = new ContextVar("variable", { default: 0 });
    const context = new Context();
    context.run(() => variable.set(1));
    const copy = context.copy();
    copy.run(() => variable.set(2));
    expect([context.get(variable), copy.get(variable), variable.get(), context.has(variable), context.size]).toEqual([
      1,
      2,
      0,
      true,
      1,
    ]);
    expect(context.run(() => thrownBy(() => context.run(() => {})))).toBeInstanceOf(RuntimeError);
    expect(context.run((x: number) => x + variable.get(), 5)).toBe(6);
  });

  test("callbacks run in a copy made when they are scheduled or registered, tasks in the context given", () => {
    play(function* () {
      const variable = new ContextVar("variable", { default: 0 });
      const loop = getRunningLoop();
      const seen: number[] = [];
      const see = (): void => {
        seen.push(variable.get());
        variable.set(99);
      };
      variable.set(1);
      loop.callSoon(see);
      loop.callLater(1, see);
      const future = loop.createFuture<void>();
      future.addDoneCallback(see);
      const mine = new Context();
      future.addDoneCallback(see, { context: mine });
      variable.set(2);
      future.setResult();
      const shared = copyContext();
      yield* createTask(
        (function* () {
          yield* sleep(0);
          variable.set(variable.get() + 1);
        })(),
        { context: shared },
      );
      yield* sleep(2);
      expect([seen, variable.get(), shared.get(variable), mine.get(variable)]).toEqual([[1, 1, 0, 1], 2, 3, 99]);
    });
  });

  test("a task's steps keep what it sets between its waits", () => {
    play(function* () {
      const variable = new ContextVar<string>("variable");
      const worker = (name: string) =>
        createTask(
          (function* () {
            variable.set(name);
            yield* sleep(1);
            return variable.get();
          })(),
        );
      const [a, b] = [worker("a"), worker("b")];
      expect([yield* a, yield* b, thrownBy(() => variable.get())]).toEqual(["a", "b", expect.any(LookupError)]);
    });
  });
});

describe("exception groups", () => {
  const [one, two, three] = [new TypeError("1"), new RangeError("2"), new TypeError("3")];
  const group = new ExceptionGroup("outer", [one, new ExceptionGroup("inner", [two, three])]);

  test("an Error with its members", () => {
    expect([group instanceof AggregateError, group.errors, group.message, group.name]).toEqual([
      true,
      [...group.exceptions],
      "outer",
      "ExceptionGroup",
    ]);
    expect(thrownBy(() => new ExceptionGroup("empty", []))).toMatchObject({ code: "USAGE" });
  });

  test("split by class: two groups, each nested as it was", () => {
    const [types, rest] = group.split(TypeError);
    expect(types!.exceptions[0]).toBe(one);
    expect((types!.exceptions[1] as ExceptionGroup).exceptions).toEqual([three]);
    expect(rest!.exceptions).toHaveLength(1);
    expect([
      rest!.message,
      (rest!.exceptions[0] as ExceptionGroup).message,
      (rest!.exceptions[0] as ExceptionGroup).exceptions,
    ]).toEqual(["outer", "inner", [two]]);
    expect(rest!.stack).toBe(group.stack);
  });

  test("by several classes, by a predicate; all or nothing is the group itself or null", () => {
    expect(group.split([TypeError, RangeError])[1]).toBeNull();
    expect(group.split(Error)).toEqual([group, null]);
    expect(group.split(SyntaxError)).toEqual([null, group]);
    expect(group.subgroup((error) => error === two)!.exceptions).toHaveLength(1);
    expect(group.subgroup((error) => error === null)).toBeNull();
    expect(thrownBy(() => group.split("TypeError" as never))).toMatchObject({ code: "USAGE" });
    expect(thrownBy(() => group.split([() => true] as never))).toMatchObject({ code: "USAGE" });
  });

  test("derive keeps a class of one's own", () => {
    class Http extends ExceptionGroup {
      override derive(exceptions: readonly unknown[]): Http {
        return new Http(this.message, exceptions);
      }
    }
    expect(new Http("http", [one, two]).subgroup(TypeError)).toBeInstanceOf(Http);
  });
});

test("CancelledError is no Error, TimeoutError is one", () => {
  const cancelled = new CancelledError("why");
  expect([
    cancelled instanceof Error,
    cancelled.name,
    cancelled.message,
    String(cancelled),
    String(new CancelledError()),
  ]).toEqual([false, "CancelledError", "why", "CancelledError: why", "CancelledError"]);
  expect(new TimeoutError("x", { cause: cancelled })).toMatchObject({ code: "TIMEOUT", cause: cancelled });
});
