/**
 * How orders arrive: by Node's event loop, and for a moment after each of them by the bell in shared memory.
 *
 * Being woken by the bell takes half as long as by way of Node's loop, and sleeping costs no CPU. Only a moment, and only when nothing waits in this
 * thread, or timers and sockets would freeze with it, as they do in pools that wait without a bound. Before it sleeps the thread may look for the bell, where
 * that has been seen to gain something (`BellWatch`).
 */
import { availableParallelism } from "node:os";
import { receiveMessageOnPort } from "node:worker_threads";
import { systemClock } from "../../core/loopless.ts";
import { encodeError } from "../remote-error.ts";
import { BellWatch, LOOK_MS } from "./bell-watch.ts";
import { BELL } from "./protocol.ts";
import type { Order } from "./protocol.ts";
import { port, post, setup, words } from "./worker-link.ts";

/**
 * For the next job. Measured in a virtual machine: with 2 ms a round trip on one core took 1.1 to 1.2 × as long as with 5 ms, and 5, 8, 20 and 100 ms
 * were alike. Presumably a sleep that would end before the system's next tick sets a timer of the processor for itself, and a longer one does not.
 */
const LINGER_MS = 5;
/** Then Node's loop has its turn, however many jobs come: what a timer of this thread may be late by is both together. */
const LONGEST_LINGER_MS = 5;

/** Between two looks at the clock, which cost as much as many at the bell. */
const LOOKS_A_CLOCK = 32;

/** With one core nobody could ring it meanwhile. */
const mayLook = availableParallelism() > 1;
const watch = new BellWatch();

/** Messages that have arrived, read or not. */
let arrived = 0;

/** @param mayLinger Whether nothing goes on in this thread. */
export function listen(receive: (order: Order) => void, mayLinger: () => boolean): void {
  port.on("message", (order: Order) => {
    arrived++;
    receive(order);
    if (!setup.isConcurrent && order[0] !== "many") linger(receive, mayLinger); // jobs that come in bundles gain more by larger bundles
  });
  port.on("messageerror", unread);
}

function linger(receive: (order: Order) => void, mayLinger: () => boolean): void {
  const until = systemClock.now() + LONGEST_LINGER_MS;
  while (mayLinger()) {
    const rung = Atomics.load(words, BELL);
    const next = take();
    if (next !== null) {
      receive(next);
      if (next[0] === "many") return;
    } else if (!hear(rung)) return;
    if (systemClock.now() >= until) return;
  }
}

/** Waits until the bell has rung again. `false`: it did not. */
function hear(rung: number): boolean {
  const since = systemClock.now();
  const looks = mayLook && watch.choose();
  const isHeard = (looks && look(rung, since + LOOK_MS)) || Atomics.wait(words, BELL, rung, LINGER_MS) !== "timed-out";
  watch.record(looks, isHeard ? systemClock.now() - since : Infinity);
  return isHeard;
}

function look(rung: number, until: number): boolean {
  do {
    for (let i = 0; i < LOOKS_A_CLOCK; i++) if (Atomics.load(words, BELL) !== rung) return true;
  } while (systemClock.now() < until);
  return false;
}

function take(): Order | null {
  for (;;) {
    try {
      const next = receiveMessageOnPort(port) as { readonly message: Order } | undefined;
      if (next === undefined) return null;
      arrived++;
      return next.message;
    } catch (error) {
      unread(error);
    }
  }
}

function unread(error: unknown): void {
  post(["unread", ++arrived, encodeError(error)]);
}
