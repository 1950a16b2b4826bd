import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { newEventLoop, sleep } from "../../src/asyncio/index.ts";
import type { Coroutine, EventLoop } from "../../src/asyncio/index.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

async function turnOfTheHost(): Promise<void> {
  // oxlint-disable-next-line no-restricted-globals -- the collector tells the registry in a turn of the host
  await new Promise((resolve) => setImmediate(resolve));
}

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 100 && !done(); i++) {
    await turnOfTheHost(); // looking at a weak reference keeps what it refers to for the rest of the turn
    collectGarbage();
    await turnOfTheHost();
  }
}

function* failing(error: unknown): Coroutine<void> {
  yield* sleep(0);
  throw error;
}

async function failUnseen(loop: EventLoop, error: unknown): Promise<void> {
  loop.createTask(failing(error));
  await loop.runUntilComplete(sleep(0.001));
}

test("test_tb_logger_exception_unretrieved: a failure that nobody looked at is reported once its task is collected, as in CPython, and only once", async () => {
  const loop = newEventLoop();
  const seen: unknown[] = [];
  loop.setExceptionHandler((_loop, context) => void seen.push(context.exception));
  const error = new Error("x");
  await failUnseen(loop, error);
  await until(() => seen.length > 0);
  expect(seen).toEqual([error]);
  loop.close();
  expect(seen).toEqual([error]);
});

test("a loop keeps nothing of the tasks that are done", async () => {
  const loop = newEventLoop();
  const make = (): WeakRef<object> => new WeakRef(loop.createTask(sleep(0)));
  const done = make();
  await loop.runUntilComplete(sleep(0.001));
  await until(() => done.deref() === undefined);
  expect(done.deref()).toBeUndefined();
  loop.close();
});

test("a task that nobody else holds is kept until it is done; CPython may lose it", async () => {
  const loop = newEventLoop();
  let ended = false;
  const worker = function* (): Coroutine<void> {
    yield* sleep(0.1); // several collections long
    ended = true;
  };
  loop.createTask(worker());
  const run = loop.runUntilComplete(sleep(0.2));
  await until(() => ended);
  await run;
  expect(ended).toBe(true);
  loop.close();
});
