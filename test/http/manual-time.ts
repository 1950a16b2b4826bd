/**
 * A clock that stands still until the test moves it, on a host that is otherwise the real one: sockets work as always,
 * limits pass exactly when the test says so.
 */
import { EventLoop, until } from "fibril";
import type { Coroutine } from "fibril";
import { systemHost } from "fibril/lowlevel";
import type { Host } from "fibril/lowlevel";
import { VirtualClock } from "fibril/testing";

interface ManualTimer {
  readonly due: number;
  readonly slice: () => void;
}

export class ManualTime {
  readonly clock: VirtualClock = new VirtualClock();
  readonly host: Host;
  readonly #timers = new Set<ManualTimer>();

  constructor() {
    this.host = {
      ...systemHost,
      after: (delayMs, _outside, slice) => {
        const timer = { due: this.clock.now() + delayMs, slice };
        this.#timers.add(timer);
        return timer;
      },
      clear: (timer) => void this.#timers.delete(timer as ManualTimer),
    };
  }

  /** Lets `ms` pass, and the host have a few turns. */
  *pass(ms: number): Coroutine<void> {
    this.clock.advanceTo(this.clock.now() + ms);
    for (const timer of [...this.#timers]) {
      if (timer.due <= this.clock.now() && this.#timers.delete(timer)) timer.slice();
    }
    for (let i = 0; i < 5; i++) yield* hostTurn();
  }
}

/** Lets the host look after its sockets once. */
export function* hostTurn(): Coroutine<void> {
  yield* until(new Promise<void>((resolve) => setImmediate(resolve)));
}

/** Waits until nothing outside the loop is pending: every body that is under way is held back. */
export function* untilHeldBack(): Coroutine<void> {
  while (EventLoop.current().statistics().outside > 0) yield* hostTurn();
}
