import { Event as FibrilEvent, shield as fibrilShield } from "fibril";
import { VirtualClock, VirtualHost } from "fibril/testing";
import { describe, expect, test } from "vitest";
import {
  CancelledError,
  Context,
  ContextVar,
  createTask,
  currentTask,
  getRunningLoop,
  KeyboardInterrupt,
  newEventLoop,
  run,
  Runner,
  RuntimeError,
  shield,
  sleep,
  wrapOperation,
} from "../../src/asyncio/index.ts";
import type { Coroutine, EventLoop, ExceptionContext } from "../../src/asyncio/index.ts";

/** A virtual host that works itself off, whose Ctrl-C is a call. */
class SelfDrivenHost extends VirtualHost {
  interrupt: (() => void) | null = null;

  override soon(slice: () => void): void {
    super.soon(slice);
    queueMicrotask(() => this.drain());
  }

  override afterIo(slice: () => void): void {
    this.soon(slice);
  }

  override after(delayMs: number, outside: boolean, slice: () => void): unknown {
    const timer = super.after(delayMs, outside, slice);
    queueMicrotask(() => this.drain());
    return timer;
  }

  onSignals(_signals: readonly string[], handler: (signal: string) => void): () => void {
    this.interrupt = () => handler("SIGINT");
    return () => void (this.interrupt = null);
  }
}

function factory(complaints: ExceptionContext[] = []): {
  loopFactory: () => EventLoop;
  host: SelfDrivenHost;
  loops: EventLoop[];
} {
  const clock = new VirtualClock();
  const host = new SelfDrivenHost(clock);
  const loops: EventLoop[] = [];
  const loopFactory = (): EventLoop => {
    const loop = newEventLoop({ clock, host });
    loop.setExceptionHandler((_loop, context) => void complaints.push(context));
    loops.push(loop);
    return loop;
  };
  return { loopFactory, host, loops };
}

describe("run", () => {
  test("gives the result or the exception, and closes its loop", async () => {
    const { loopFactory, loops } = factory();
    expect(await run(sleep(3600, "value"), { loopFactory })).toBe("value");
    const error = new Error("x");
    const failing = function* (): Coroutine<void> {
      yield* sleep(1);
      throw error;
    };
    await expect(run(failing(), { loopFactory })).rejects.toBe(error);
    expect(loops.map((loop) => [loop.isClosed(), loop.isRunning()])).toEqual([
      [true, false],
      [true, false],
    ]);
  });

  test("cancels what is left, all at once and in the order of creation, waits for it, and reports what it throws", async () => {
    const complaints: ExceptionContext[] = [];
    const { loopFactory } = factory(complaints);
    const log: string[] = [];
    const error = new Error("cleanup");
    const left = function* (name: string, seconds: number): Coroutine<void> {
      try {
        yield* sleep(100);
      } finally {
        log.push(`${name} cancelled`);
        yield* sleep(seconds);
        log.push(`${name} cleaned up ${getRunningLoop().time()}`);
        if (name === "b") throw error; // oxlint-disable-line no-unsafe-finally
      }
    };
    const main = function* (): Coroutine<string> {
      createTask(left("a", 2));
      createTask(left("b", 1));
      yield* sleep(1);
      return "main";
    };
    expect(await run(main(), { loopFactory })).toBe("main");
    expect(log).toEqual(["a cancelled", "b cancelled", "b cleaned up 2", "a cleaned up 3"]);
    expect(complaints).toMatchObject([
      { message: "unhandled exception during asyncio.run() shutdown", exception: error },
    ]);
  });

  test("a main coroutine that cancels itself: CancelledError", async () => {
    const { loopFactory } = factory();
    const main = function* (): Coroutine<void> {
      currentTask()!.cancel("by myself");
      yield* sleep(1);
    };
    await expect(run(main(), { loopFactory })).rejects.toMatchObject({ name: "CancelledError", message: "by myself" });
  });

  test("not inside a coroutine; not a function", async () => {
    const { loopFactory } = factory();
    let inside: Promise<unknown> | undefined;
    const main = function* (): Coroutine<void> {
      inside = run(sleep(1));
      yield* sleep(0);
    };
    await run(main(), { loopFactory });
    await expect(inside).rejects.toBeInstanceOf(RuntimeError);
    await expect(run(main as never, { loopFactory })).rejects.toMatchObject({ code: "NOT_AN_OPERATION" });
  });

  test("on the system's clock and host", async () => {
    expect(await run(sleep(0.002, "real"))).toBe("real");
  });

  test("two runs at a time in one thread", async () => {
    expect(await Promise.all([run(sleep(0.002, 1)), run(sleep(0.001, 2))])).toEqual([1, 2]);
  });
});

describe("Runner", () => {
  test("several runs on one loop, with one context; tasks go on in the next run", async () => {
    const { loopFactory } = factory();
    const variable = new ContextVar("variable", { default: 0 });
    const runner = new Runner({ loopFactory, debug: true });
    let background = 0;
    const first = function* (): Coroutine<void> {
      variable.set(1);
      createTask(
        (function* () {
          for (;;) {
            yield* sleep(1);
            background++;
          }
        })(),
      );
      yield* sleep(0);
    };
    await runner.run(first());
    const look = function* (): Coroutine<number> {
      yield* sleep(2.5);
      return variable.get();
    };
    expect([await runner.run(look()), background]).toEqual([1, 2]);
    expect(await runner.run(look(), { context: new Context() })).toBe(0);
    expect([variable.get(), runner.getLoop().getDebug()]).toEqual([0, true]);
    const busy = runner.run(sleep(1));
    await expect(runner.run(sleep(1))).rejects.toBeInstanceOf(RuntimeError);
    await busy;
    await runner.close();
    await runner.close();
    await expect(runner.run(sleep(1))).rejects.toBeInstanceOf(RuntimeError);
    expect(() => runner.getLoop()).toThrow(RuntimeError);
  });

  test("close waits for as long as a task refuses to be cancelled, or for a shield of Fibril's; not for one of asyncio's", async () => {
    const log: string[] = [];
    const released = new FibrilEvent({ external: true });
    const refusing = function* (): Coroutine<void> {
      try {
        yield* sleep(100);
      } catch {
        for (let turn = 0; turn < 10; turn++) yield* sleep(0); // goes on as if nothing had happened
      }
      log.push("refused, and done");
      released.set();
    };
    const shielded = function* (): Coroutine<void> {
      try {
        yield* wrapOperation(() => fibrilShield(released.wait()));
      } finally {
        log.push("out of Fibril's shield");
      }
    };
    const inner = function* (): Coroutine<void> {
      try {
        yield* sleep(100);
      } finally {
        log.push("cancelled in asyncio's shield");
      }
    };
    const outer = function* (): Coroutine<void> {
      yield* shield(inner());
    };
    const runner = new Runner();
    const main = function* (): Coroutine<void> {
      for (const task of [refusing(), shielded(), outer()]) createTask(task);
      for (let turn = 0; turn < 5; turn++) yield* sleep(0);
    };
    await runner.run(main());
    const loop = runner.getLoop();
    await runner.close();
    expect(log).toEqual(["cancelled in asyncio's shield", "refused, and done", "out of Fibril's shield"]);
    expect(loop.isClosed()).toBe(true);
  });

  test("await using closes it", async () => {
    const { loopFactory, loops } = factory();
    {
      await using runner = new Runner({ loopFactory });
      await runner.run(sleep(1));
    }
    expect(loops[0]!.isClosed()).toBe(true);
  });
});

describe("Ctrl-C", () => {
  const interrupts = (host: SelfDrivenHost, after: number[]): void => {
    const [first, ...rest] = after;
    if (first === undefined) return;
    const left = { steps: first };
    const tick = (): void => {
      if (left.steps-- > 0) queueMicrotask(tick);
      else {
        host.interrupt?.();
        interrupts(host, rest);
      }
    };
    tick();
  };

  /** Waits for something that only the host could end. */
  function* waiting(log: string[], swallow: boolean): Coroutine<string> {
    try {
      yield* getRunningLoop().createFuture<void>();
    } catch (error) {
      log.push((error as Error).name);
      if (!swallow) throw error;
    }
    if (swallow) yield* getRunningLoop().createFuture<void>();
    return "survived";
  }

  test("the first one cancels the main task; KeyboardInterrupt comes out", async () => {
    const { loopFactory, host } = factory();
    const log: string[] = [];
    const result = run(waiting(log, false), { loopFactory });
    interrupts(host, [50]);
    await expect(result).rejects.toBeInstanceOf(KeyboardInterrupt);
    expect([log, host.interrupt]).toEqual([["CancelledError"], null]);
  });

  test("the second one ends the run at once, and what is left is still cleaned up", async () => {
    const { loopFactory, host, loops } = factory();
    const log: string[] = [];
    const result = run(waiting(log, true), { loopFactory });
    interrupts(host, [50, 50]);
    await expect(result).rejects.toBeInstanceOf(KeyboardInterrupt);
    expect([log, loops[0]!.isClosed()]).toEqual([["CancelledError"], true]);
  });

  test("with a cancellation by somebody else on top it stays a CancelledError", async () => {
    const { loopFactory, host } = factory();
    const main = function* (): Coroutine<void> {
      const loop = getRunningLoop();
      const task = currentTask()!;
      loop.callSoon(() => {
        host.interrupt!();
        task.cancel();
      });
      yield* loop.createFuture<void>();
    };
    await expect(run(main(), { loopFactory })).rejects.toBeInstanceOf(CancelledError);
  });

  test("somebody else's cancellation is none; without handleSignals there is no handler", async () => {
    const { loopFactory, host } = factory();
    const seen: unknown[] = [];
    const main = function* (): Coroutine<void> {
      seen.push(host.interrupt);
      currentTask()!.cancel();
      yield* sleep(1);
    };
    await expect(run(main(), { loopFactory, handleSignals: false })).rejects.toBeInstanceOf(CancelledError);
    expect(seen).toEqual([null]);
  });
});
