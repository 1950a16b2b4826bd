/** An operation taken for its result, where the compiler can see it. */
import { all, type Coroutine, type Operation, race, sleep } from "fibril";

function* answer(): Coroutine<number> {
  yield* sleep(1);
  return 42;
}

export function* takenForItsResult(): Coroutine<number> {
  // error TS2322
  const value: number = answer();
  return value;
}

export function* returnedForItsResult(): Coroutine<number> {
  // error TS2322
  return answer();
}

export function* returnedForNothing(): Coroutine<void> {
  // error TS2322
  return sleep(1);
}

export function* counted(): Coroutine<number> {
  // error TS2365
  return answer() + 1;
}

export function* compared(): Coroutine<boolean> {
  // error TS2365
  return answer() > 1;
}

export function* lookedInto(): Coroutine<number> {
  const [first] = all([answer()]);
  // error TS2322
  return first;
}

export function* passedOn(): Coroutine<string> {
  // error TS2345
  return shown(answer());
}

export function* called(): Coroutine<string> {
  // error TS2339
  return race([answer()]).toFixed();
}

export function* plainGenerator(): Generator<number, number> {
  // error TS2322
  return yield* answer();
}

export async function awaited(): Promise<number> {
  // error TS2322
  return await answer();
}

// error TS2322
export const notYetRun: number = answer().next().value;

// error TS2322
export const arrow = (): Operation<string> => answer();

function shown(value: number): string {
  return String(value);
}
