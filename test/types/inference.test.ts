/**
 * What `yield*` infers. The programs run, too; the compiler checks the types (`npm run typecheck`, and wrong.test.ts).
 */
import {
  all,
  coroutine,
  type Coroutine,
  currentTask,
  defer,
  EventLoop,
  Future,
  moveOnAfter,
  type Operation,
  type Outcome,
  race,
  run,
  type Scope,
  scope,
  shield,
  sleep,
  spawn,
  type Suspend,
  type Task,
  TaskLocal,
  timeout,
  until,
  use,
  yieldNow,
} from "fibril";
import { simulate, simulateSync } from "fibril/testing";
import { expect, expectTypeOf, test } from "vitest";
import { Broadcast, Channel, Queue, type Taken, Watch } from "../../src/channels/index.ts";
import { select } from "../../src/channels/select.ts";
import { any, asCompleted, hedge, mapConcurrent, settle, wait } from "../../src/combine/index.ts";
import { asyncFunction, sequenceOf, toPromise, withSignal } from "../../src/interop/index.ts";
import { Barrier, Lock, type Permit, RwLock, Semaphore } from "../../src/sync/index.ts";
import { debounce, interval, retry, type Tick } from "../../src/time/index.ts";

interface User {
  readonly name: string;
}
const ada: User = { name: "ada" };

function* answer(): Coroutine<number> {
  yield* sleep(1);
  return 42;
}

function* greet(name: string): Coroutine<string> {
  yield* sleep(1);
  return `hello ${name}`;
}

function* first<T>(list: readonly T[]): Coroutine<T | undefined> {
  yield* sleep(1);
  return list[0];
}

/** Without annotation: the result is inferred, and what it yields is only `Suspend`. */
function* inferred(flag: boolean) {
  if (flag) return yield* answer();
  return yield* greet("ada");
}

/** Runs the program; a failure of it fails the test. */
function check(program: () => Operation<void>): void {
  const { outcome } = simulateSync(program);
  if (outcome.status === "failed") throw outcome.error;
  expect(outcome.status).toBe("succeeded");
}

test("operations and coroutines give their result", () => {
  check(function* () {
    expectTypeOf(yield* sleep(1)).toEqualTypeOf<void>();
    expectTypeOf(yield* yieldNow()).toEqualTypeOf<void>();
    expectTypeOf(yield* answer()).toEqualTypeOf<number>();
    expectTypeOf(yield* first([ada])).toEqualTypeOf<User | undefined>();
    expectTypeOf(yield* first(["a", 1] as const)).toEqualTypeOf<"a" | 1 | undefined>();
    expectTypeOf(yield* inferred(true)).toEqualTypeOf<string | number>();
    expectTypeOf(inferred).returns.toMatchTypeOf<Generator<Suspend, string | number, unknown>>();
    expectTypeOf(inferred(true)).toMatchTypeOf<Operation<string | number>>();
  });
});

test("tasks and scopes pass results and arguments on", () => {
  check(function* (): Coroutine<void> {
    const task = spawn(greet, "ada");
    expectTypeOf(task).toEqualTypeOf<Task<string>>();
    expectTypeOf(yield* task).toEqualTypeOf<string>();
    expectTypeOf(task.outcome).toEqualTypeOf<Outcome<string> | undefined>();
    expectTypeOf(spawn({ name: "a" }, greet, "ada")).toEqualTypeOf<Task<string>>();
    expectTypeOf(spawn(first<User>, [ada])).toEqualTypeOf<Task<User | undefined>>();
    expectTypeOf(yield* task.cancel()).toEqualTypeOf<void>();
    const sum = yield* scope(function* (own) {
      expectTypeOf(own).toEqualTypeOf<Scope>();
      return (yield* own.spawn(answer)) + (yield* own.spawn({ name: "b" }, answer));
    });
    expectTypeOf(sum).toEqualTypeOf<number>();
    const port = yield* scope(function* (own) {
      const started = yield* own.start(function* (ready: (port: number) => void, host: string) {
        ready(host.length);
      }, "localhost");
      expectTypeOf(started).toEqualTypeOf<number>();
      expectTypeOf(
        yield* own.start(function* (ready: () => void) {
          ready();
        }),
      ).toEqualTypeOf<void>();
      return started;
    });
    expect(port).toBe(9);
    expectTypeOf(EventLoop.current().spawn(greet, "a")).toEqualTypeOf<Task<string>>();
    expectTypeOf(currentTask()).toEqualTypeOf<Task<unknown>>();
  });
});

test("what stands around a body gives the result of the body", () => {
  check(function* () {
    expectTypeOf(yield* timeout(10, answer())).toEqualTypeOf<number>();
    expectTypeOf(yield* timeout(10, answer)).toEqualTypeOf<number>();
    expectTypeOf(yield* moveOnAfter(10, answer)).toEqualTypeOf<number | undefined>();
    expectTypeOf(yield* shield(greet("a"))).toEqualTypeOf<string>();
    expectTypeOf(yield* new TaskLocal("a", 1).with(2, answer)).toEqualTypeOf<number>();
    expectTypeOf(yield* retry(answer)).toEqualTypeOf<number>();
    expectTypeOf(yield* new Lock().use(answer)).toEqualTypeOf<number>();
    expectTypeOf(yield* new Semaphore(1).use(answer)).toEqualTypeOf<number>();
    expectTypeOf(yield* new RwLock().read(answer)).toEqualTypeOf<number>();
    expectTypeOf(yield* withSignal(new AbortController().signal, answer)).toEqualTypeOf<number>();
  });
});

test("coroutine() leaves the type of the function as it is", () => {
  const framed = coroutine(function* pick<T extends string>(value: T, count = 1): Coroutine<T> {
    yield* sleep(count);
    return value;
  });
  expectTypeOf(framed).toEqualTypeOf<<T extends string>(value: T, count?: number) => Coroutine<T>>();
  check(function* () {
    expectTypeOf(yield* framed("a")).toEqualTypeOf<"a">();
    expectTypeOf(coroutine("answer", answer)).toEqualTypeOf<typeof answer>();
  });
});

test("all() keeps lists, tuples, records, and what is in them", () => {
  check(function* (): Coroutine<void> {
    const task = spawn(greet, "ada");
    const tuple = yield* all([answer(), () => greet("a"), task, sleep(1)]);
    expectTypeOf(tuple).toEqualTypeOf<[number, string, string, void]>();
    const record = yield* all({ a: answer(), b: () => greet("a"), c: first([ada]) });
    expectTypeOf(record).toEqualTypeOf<{ a: number; b: string; c: User | undefined }>();
    const list = yield* all([1, 2].map(() => answer()));
    expectTypeOf(list).toEqualTypeOf<number[]>();
    const table: Record<string, () => Operation<User>> = {
      a: function* () {
        return ada;
      },
    };
    expectTypeOf(yield* all(table)).toEqualTypeOf<Record<string, User>>();
    expectTypeOf(yield* all([])).toEqualTypeOf<[]>();
    const nested = yield* all([all([answer(), greet("a")]), race([answer(), greet("b")])]);
    expectTypeOf(nested).toEqualTypeOf<[[number, string], number | string]>();
    const settled = yield* settle([answer(), greet("a")]);
    expectTypeOf(settled).toEqualTypeOf<[Outcome<number>, Outcome<string>]>();
    const named = yield* settle({ a: answer() });
    expectTypeOf(named).toEqualTypeOf<{ a: Outcome<number> }>();
  });
});

test("race(), any() and hedge() give a union", () => {
  check(function* () {
    expectTypeOf(yield* race([answer(), () => greet("a")])).toEqualTypeOf<number | string>();
    expectTypeOf(yield* race([answer(), sleep(5)])).toEqualTypeOf<number | void>();
    expectTypeOf(yield* race([1, 2].map(() => greet("a")))).toEqualTypeOf<string>();
    expectTypeOf(yield* any([answer(), () => greet("a")])).toEqualTypeOf<number | string>();
    expectTypeOf(yield* hedge([answer(), greet("a")], { delayMs: 1 })).toEqualTypeOf<number | string>();
    expectTypeOf(yield* hedge((attempt) => greet(String(attempt)), { delayMs: 1 })).toEqualTypeOf<string>();
  });
});

test("select() tells the operands apart by their key", () => {
  check(function* () {
    const chosen = yield* select({ number: answer(), text: greet("a") });
    expectTypeOf(chosen).toEqualTypeOf<
      { readonly key: "number"; readonly value: number } | { readonly key: "text"; readonly value: string }
    >();
    if (chosen.key === "text") expectTypeOf(chosen.value).toEqualTypeOf<string>();
    const indexed = yield* select([answer(), greet("a")]);
    if (indexed.key === 0) expectTypeOf(indexed.value).toEqualTypeOf<number>();
  });
});

test("many tasks and items", () => {
  check(function* (): Coroutine<void> {
    const lengths = yield* mapConcurrent(["a", "bc"], function* (text, index) {
      expectTypeOf(text).toEqualTypeOf<string>();
      expectTypeOf(index).toEqualTypeOf<number>();
      yield* sleep(1);
      return text.length;
    });
    expectTypeOf(lengths).toEqualTypeOf<number[]>();
    const tasks = [spawn(answer), spawn(answer)];
    const { done } = yield* wait(tasks);
    expectTypeOf(done).toEqualTypeOf<Task<number>[]>();
    const completed = yield* asCompleted(tasks).next();
    if (completed.done !== true) expectTypeOf(completed.value.task).toEqualTypeOf<Task<number>>();
  });
});

test("futures, resources and promises", async () => {
  check(function* () {
    const future = new Future<User>();
    future.resolve(ada);
    expectTypeOf(yield* future).toEqualTypeOf<User>();
    const opened = yield* use({ name: "file", [Symbol.dispose]() {} });
    expectTypeOf(opened.name).toEqualTypeOf<string>();
    expectTypeOf(defer(() => {})).toEqualTypeOf<void>();
  });
  const value = await simulate(function* () {
    expectTypeOf(yield* until(Promise.resolve(1))).toEqualTypeOf<number>();
    expectTypeOf(yield* until(async (signal) => signal.aborted)).toEqualTypeOf<boolean>();
    return "done" as const;
  });
  expectTypeOf(value).toEqualTypeOf<"done">();
  expectTypeOf(run(answer)).toEqualTypeOf<Promise<number>>();
  expectTypeOf(run(() => greet("a"))).toEqualTypeOf<Promise<string>>();
  expectTypeOf(new EventLoop().spawn(answer).then((it) => [it])).toEqualTypeOf<Promise<number[]>>();
  expectTypeOf(toPromise(answer, { loop: new EventLoop() })).toEqualTypeOf<Promise<number>>();
  expectTypeOf(asyncFunction(greet, { loop: new EventLoop() }))
    .parameter(0)
    .toEqualTypeOf<string>();
});

test("locks, channels and time", () => {
  check(function* () {
    const permit = yield* new Lock().acquire();
    expectTypeOf(permit).toEqualTypeOf<Permit>();
    expectTypeOf(yield* new Barrier(1).wait()).toEqualTypeOf<number>();
    const channel = new Channel<User>(1);
    expectTypeOf(channel.send).parameters.toEqualTypeOf<[value: User]>();
    expectTypeOf(yield* channel.send(ada)).toEqualTypeOf<void>();
    expectTypeOf(yield* channel.receive()).toEqualTypeOf<User>();
    channel.close();
    const end = yield* channel.receiver.next();
    expectTypeOf(end).toEqualTypeOf<IteratorResult<User, undefined>>();
    const queue = new Queue<number>(1);
    yield* queue.put(1);
    expectTypeOf(yield* queue.get()).toEqualTypeOf<number>();
    expectTypeOf(queue.tryGet).returns.toEqualTypeOf<Taken<number> | undefined>();
    expectTypeOf(new Broadcast<User>(1).subscribe().receive()).toEqualTypeOf<Operation<User>>();
    expectTypeOf(yield* new Watch(ada).waitFor((user) => user.name === "ada")).toEqualTypeOf<User>();
    const tick = yield* interval(5).next();
    if (tick.done !== true) expectTypeOf(tick.value).toEqualTypeOf<Tick>();
    expectTypeOf(yield* sequenceOf([ada]).next()).toEqualTypeOf<IteratorResult<User, undefined>>();
    expectTypeOf(debounce(1, greet)).parameters.toEqualTypeOf<[name: string]>();
  });
});
