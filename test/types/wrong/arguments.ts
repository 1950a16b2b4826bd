/** Wrong arguments for tasks, and what is no coroutine. */
import {
  all,
  type Coroutine,
  coroutine,
  EventLoop,
  moveOnAfter,
  race,
  run,
  scope,
  shield,
  sleep,
  spawn,
  timeout,
  until,
  use,
} from "fibril";

function* add(a: number, b: number): Coroutine<number> {
  yield* sleep(1);
  return a + b;
}

function* serve(ready: (port: number) => void, host: string): Coroutine<void> {
  ready(host.length);
  yield* sleep(1);
}

async function load(): Promise<number> {
  return 1;
}

export function* argumentsOfTasks(): Coroutine<void> {
  // error TS2554
  spawn(add);
  // error TS2559
  spawn(add, 1);
  // error TS2559
  spawn(add, 1, 2, 3);
  // error TS2769
  spawn(add, "1", 2);
  // error TS2769
  spawn({ name: 1 }, add, 1, 2);
  // error TS2769
  spawn({ nam: "add" }, add, 1, 2);
  // error TS2559
  new EventLoop().spawn(add, 1);
  yield* scope(function* (own) {
    // error TS2559
    own.spawn(add, 1);
    // error TS2769
    own.spawn({ name: "add" }, add, 1, "2");
    // error TS2322
    const port: string = yield* own.start(serve, "localhost");
    // error TS2554
    yield* own.start(serve);
    // error TS2769
    yield* own.start(serve, 1);
    // error TS2769
    own.start(add, 1);
    return port;
  });
}

export function* noCoroutines(): Coroutine<void> {
  // error TS2345
  spawn(load);
  // error TS2345
  spawn(add(1, 2));
  // error TS2488
  yield* load();
  // error TS2488
  yield* 42;
  // error TS2322
  yield* [1, 2];
  // error TS2322
  yield* "text";
  // error TS2345
  yield* timeout(10, load);
  // error TS2345
  yield* timeout("10", add(1, 2));
  // error TS2345
  yield* moveOnAfter(10, load());
  // error TS2345
  yield* shield(() => 1);
  // error TS2769
  yield* all([add(1, 2), load()]);
  // error TS2769
  yield* all({ a: load });
  // error TS2554
  yield* all(add(1, 2), add(3, 4));
  // error TS2322
  yield* race([load()]);
  // error TS2345
  yield* until(add(1, 2));
  // error TS2353
  yield* use({ close() {} });
  // error TS2345
  yield* scope(async () => {});
}

// error TS2345
export const noMain: unknown = run(load);
// error TS2345
export const noMainOfTwo: unknown = run(add);
// error TS2345
export const noFunction: unknown = run(add(1, 2));
// error TS2345
export const noFramed: unknown = coroutine(load);
