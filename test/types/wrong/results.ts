/** Results that are not what the program takes them for. */
import { all, type Coroutine, Future, moveOnAfter, race, sleep, spawn, type Task } from "fibril";
import { expectTypeOf } from "vitest";

function* answer(): Coroutine<number> {
  yield* sleep(1);
  return 42;
}

function* greet(name: string): Coroutine<string> {
  yield* sleep(1);
  return name;
}

export function* lists(): Coroutine<void> {
  // error TS2493
  const [first, second, third] = yield* all([answer(), greet("a")]);
  // error TS2322
  const text: string = first;
  // error TS2322
  const count: number = second;
  // error TS2322
  const pair: [number, number] = yield* all([answer(), greet("a")]);
  // error TS2339
  const { a, c } = yield* all({ a: answer(), b: greet("a") });
  // error TS2322
  const name: string = a;
  // error TS2322
  const many: string[] = yield* all([1, 2].map(() => answer()));
  yield* greet([text, count, third, pair, c, name, many].join());
}

export function* unions(): Coroutine<void> {
  // error TS2322
  const winner: string = yield* race([answer(), greet("a")]);
  // error TS2322
  const perhaps: number = yield* moveOnAfter(10, answer());
  // error TS2322
  const nothing: number = yield* race([answer(), sleep(1)]);
  yield* greet([winner, perhaps, nothing].join());
}

export function* tasks(): Coroutine<void> {
  // error TS2322
  const task: Task<string> = spawn(answer);
  // error TS2322
  const text: string = yield* spawn(answer);
  const future = new Future<number>();
  // error TS2345
  future.resolve("1");
  // error TS2322
  const value: string = yield* future;
  const { outcome } = spawn(answer);
  // error TS2339
  const early: number = outcome!.value;
  yield* greet([yield* task, text, value, early].join());
}

/** A type test that cannot fail is none. */
export function* assertions(): Coroutine<void> {
  // error TS2344
  expectTypeOf(yield* answer()).toEqualTypeOf<string>();
  // error TS2344
  expectTypeOf(yield* all([answer(), greet("a")])).toEqualTypeOf<[number, number]>();
  // error TS2344
  expectTypeOf(yield* race([answer(), greet("a")])).toEqualTypeOf<number>();
}
