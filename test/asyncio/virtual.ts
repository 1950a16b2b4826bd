/**
 * Asyncio programs on virtual time, in one synchronous call: the shortest way to say what a program does and leaves behind.
 */
import { VirtualClock, VirtualHost } from "fibril/testing";
import { expect } from "vitest";
import { allTasks, gather, getRunningLoop, newEventLoop } from "../../src/asyncio/index.ts";
import type { Awaitable, Coroutine, EventLoop, ExceptionContext } from "../../src/asyncio/index.ts";

export interface Stage {
  readonly loop: EventLoop;
  readonly clock: VirtualClock;
  readonly host: VirtualHost;
  /** What the exception handler was told. */
  readonly complaints: ExceptionContext[];
  /** Runs until the awaitable is done: its result, or what it throws. Fails when it gets stuck. */
  finish<T>(awaitable: Awaitable<T>): T;
}

export function stage(): Stage {
  const clock = new VirtualClock();
  const host = new VirtualHost(clock);
  const loop = newEventLoop({ clock, host });
  const complaints: ExceptionContext[] = [];
  loop.setExceptionHandler((_loop, context) => void complaints.push(context));
  return {
    loop,
    clock,
    host,
    complaints,
    finish<T>(awaitable: Awaitable<T>): T {
      let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
      const main = loop.createTask(
        (function* () {
          return yield* awaitable;
        })(),
        { name: "main" },
      );
      main.addDoneCallback(() => {
        try {
          outcome = { value: main.result() };
        } catch (error) {
          outcome = { error };
        }
      });
      loop.runUntilComplete(main).catch(() => {}); // looked at above
      host.drain();
      if (outcome === undefined) throw new Error("the program is stuck");
      if ("error" in outcome) throw outcome.error;
      return outcome.value;
    },
  };
}

/** Runs `main` alone; what it returns. Tasks that it leaves are cancelled and waited for. Fails when anything was complained about. */
export function play<T>(main: () => Awaitable<T>): T {
  const it = stage();
  try {
    return it.finish(main());
  } finally {
    const left = [...allTasks(it.loop)];
    for (const task of left) task.cancel();
    if (left.length > 0) it.finish(gather(...left, { returnExceptions: true, loop: it.loop }));
    it.loop.close();
    expect(it.complaints).toEqual([]);
    expect(it.loop.kernel.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
  }
}

/** What `main` throws. */
export function failureOf(main: () => Awaitable<unknown>): unknown {
  try {
    play(main);
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

/** Seconds of the running loop. */
export function now(): number {
  return getRunningLoop().time();
}

/** What `fn` throws. */
export function thrownBy(fn: () => unknown): unknown {
  try {
    fn();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

/** What awaiting it throws. */
export function* thrownIn(awaitable: Awaitable<unknown>): Coroutine<unknown> {
  try {
    yield* awaitable;
  } catch (error) {
    return error;
  }
  return "nothing was thrown";
}
