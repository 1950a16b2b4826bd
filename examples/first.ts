import { all, run, sleep, spawn, timeout, TimeoutError } from "fibril";
import type { Coroutine } from "fibril";

function* cook(dish: string, ms: number): Coroutine<string> {
  try {
    yield* sleep(ms);
    return `${dish} is ready`;
  } finally {
    console.log(`${dish}: stove off`); // also when it is cancelled; cleanup may wait
  }
}

await run(function* main() {
  const soup = spawn(cook, "soup", 300); // a task of main: main cannot end before it
  console.log(yield* all([cook("rice", 200), cook("fish", 100)]));
  console.log(yield* soup);
  try {
    yield* timeout(100, cook("stew", 5_000));
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    console.log(error.message);
  }
});
