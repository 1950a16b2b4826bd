// How generators become coroutines: a whole event loop. Nothing is imported but a timer of the platform.
import { setTimeout as platformTimer } from "node:timers/promises";

/** What a coroutine yields: "here is how to wake me". The loop calls it with the function to call. */
type Suspension = (wake: () => void) => void;
type Coroutine<T> = Generator<Suspension, T, void>;
type Task<T> = { name: string; outcome?: { value: T } | { error: unknown }; joiners: (() => void)[] };

const ready: (() => void)[] = [];
const timers: { at: number; wake: () => void }[] = [];
let now = 0;

function spawn<T>(name: string, coroutine: Coroutine<T>): Task<T> {
  const task: Task<T> = { name, joiners: [] };
  const settle = (outcome: { value: T } | { error: unknown }): void => {
    task.outcome = outcome;
    ready.push(...task.joiners);
  };
  const step = (): void => {
    try {
      const result = coroutine.next(); // runs from one `yield` to the next, through all `yield*` in between
      if (result.done) settle({ value: result.value });
      else result.value(() => ready.push(step));
    } catch (error) {
      settle({ error });
    }
  };
  ready.push(step); // the first step comes in the next turn of the loop
  return task;
}

function* sleep(ms: number): Coroutine<void> {
  yield (wake) => timers.push({ at: now + ms, wake });
}

function* join<T>(task: Task<T>): Coroutine<T> {
  if (task.outcome === undefined) yield (wake) => task.joiners.push(wake);
  const outcome = task.outcome!;
  if ("error" in outcome) throw outcome.error;
  return outcome.value;
}

async function run<T>(main: Coroutine<T>): Promise<T> {
  const task = spawn("main", main);
  while (task.outcome === undefined) {
    for (const step of ready.splice(0)) step(); // a turn: what was ready when it began
    if (ready.length > 0 || task.outcome !== undefined) continue;
    const timer = timers.sort((a, b) => a.at - b.at).shift();
    if (timer === undefined) throw new Error("deadlock: everybody waits, and nobody is left to wake them");
    await platformTimer(timer.at - now);
    now = timer.at;
    timer.wake();
  }
  return join(task).next().value as T;
}

// --- and a program for it ---

function* cook(dish: string, ms: number): Coroutine<string> {
  console.log(`${now} ms: ${dish} begins`);
  yield* sleep(ms);
  if (dish === "stew") throw new Error("the stew has burnt");
  return `${dish} is ready`;
}

const dinner = await run(
  (function* main(): Coroutine<string> {
    const soup = spawn("soup", cook("soup", 30));
    const rice = spawn("rice", cook("rice", 10));
    const stew = spawn("stew", cook("stew", 20));
    console.log(`${now} ms: three tasks, none has begun`);
    console.log(yield* join(soup), `at ${now} ms`);
    try {
      yield* join(stew);
    } catch (error) {
      console.log(String(error));
    }
    return yield* join(rice);
  })(),
);
console.log(dinner);

// prints:
// 0 ms: three tasks, none has begun
// 0 ms: soup begins
// 0 ms: rice begins
// 0 ms: stew begins
// soup is ready at 30 ms
// Error: the stew has burnt
// rice is ready
