/** What a beginner writes when a star or a `yield*` is forgotten. */
import { type Coroutine, run, sleep, spawn, type Task } from "fibril";

export function* rawYield(): Coroutine<void> {
  // error TS2322
  yield 1;
}

export function* forgottenStar(): Coroutine<void> {
  // error TS2741
  yield sleep(1);
}

export function* awaitedByMistake(): Coroutine<void> {
  // error TS1308
  await sleep(1);
}

export function* theResultOfAnOperation(): Coroutine<number> {
  // error TS2322
  const value: string = yield* answer();
  // error TS2322
  return value;
}

export function* theArgumentsOfATask(): Coroutine<void> {
  // error TS2769
  const task: Task<number> = spawn(add, 1, "2");
  yield* task;
}

// error TS2322
export const notAnOperation: Promise<number> = run(() => 1);

function* answer(): Coroutine<number> {
  yield* sleep(1);
  return 42;
}

function* add(a: number, b: number): Coroutine<number> {
  yield* sleep(1);
  return a + b;
}
