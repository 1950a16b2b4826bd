/**
 * An event loop of `fibril/asyncio` on virtual time, driven from outside: the counterpart of `VirtualLoop` in interpreter.py.
 */
import type * as asyncio from "../../../src/asyncio/index.ts";
import { VirtualClock, VirtualHost } from "../../../src/testing/index.ts";

/** CPython's side counts turns, ours slices of many turns: neither should ever get there. */
const MOST_SLICES = 20_000;

export interface Driver {
  readonly loop: asyncio.EventLoop;
  /** Runs until nothing is ready and no timer is left; virtual time passes as it has to. */
  runUntilIdle(): void;
  close(): void;
}

export function virtualLoop(library: typeof asyncio): Driver {
  const clock = new VirtualClock();
  const host = new VirtualHost(clock);
  const loop = library.newEventLoop({ clock, host });
  let failure: unknown;
  let started = false;
  return {
    loop,
    runUntilIdle() {
      if (!started) {
        started = true;
        loop.runForever().catch((error: unknown) => void (failure = error));
      }
      let slices = 0;
      host.drain(() => ++slices > MOST_SLICES);
      if (slices > MOST_SLICES) throw new Error("the loop does not come to rest");
      if (failure !== undefined) throw failure;
    },
    close() {
      loop.stop();
      host.drain();
      loop.close();
    },
  };
}
