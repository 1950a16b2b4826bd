/**
 * The only file of the core that touches the platform: clock, turns, timers, signals, console.
 *
 * A loop never runs inside its caller. It asks the host for a slice: `soon` (a microtask) when work has just arrived,
 * because a macrotask costs about 2 µs and would come after the I/O that is waiting anyway; `afterIo` (a macrotask)
 * when it has used up its budget, so that timers and sockets of the host get their turn.
 */
export interface Clock {
  /** Milliseconds, monotonic; the origin is the clock's own. */
  now(): number;
}

export interface Host {
  /** Runs `slice` once, before the host turns to I/O again. */
  soon(slice: () => void): void;
  /** Runs `slice` once, after the host has looked after its I/O. */
  afterIo(slice: () => void): void;
  /**
   * Runs `slice` once, `delayMs` from now or a little later; returns what `clear` takes.
   * @param outside Whether something outside the loop may wake it earlier (a virtual clock must not jump then).
   */
  after(delayMs: number, outside: boolean, slice: () => void): unknown;
  clear(timer: unknown): void;
  /** From 0 up to 1, for jitter. Default: the platform's; a virtual host gives the same numbers in every run. */
  random?(): number;
  /** Prints a problem that no task can be told about. */
  report(message: string, error: unknown): void;
  /** Calls `handler` on each of the signals until the returned function is called. Absent where there are none. */
  onSignals?(signals: readonly string[], handler: (signal: string) => void): () => void;
  /** Ends the process as the signal would have. Absent where there are none. */
  exitBySignal?(signal: string): void;
}

// What the core knows of its platform, declared here because no one library describes Node, Bun, Deno and browsers.
interface Platform {
  setTimeout(callback: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
  setImmediate?(callback: () => void): unknown;
  queueMicrotask(callback: () => void): void;
  MessageChannel?: new () => {
    port1: { onmessage: (() => void) | null };
    port2: { postMessage(value: null): void };
  };
  performance: { now(): number };
  console: { error(...values: unknown[]): void };
  process?: {
    on?(event: string, handler: (signal: string) => void): void;
    off?(event: string, handler: (signal: string) => void): void;
    listenerCount?(event: string): number;
    exit?(code: number): never;
    kill?(pid: number, signal: string): void;
    pid?: number;
  };
}

const platform = globalThis as unknown as Platform;
const LONGEST_HOST_TIMER_MS = 2 ** 31 - 1; // hosts fire longer ones at once; the loop just asks again

/** Whether this thread has loaded the event loop: what is made for a thread without one looks here. */
export const kernelPresence: { isLoaded: boolean } = { isLoaded: false };

export const systemClock: Clock = { now: () => platform.performance.now() };

export const systemHost: Host = {
  soon: (slice) => platform.queueMicrotask(slice),
  afterIo: macrotask(),
  after: (delayMs, _outside, slice) =>
    // Rounded up: a timer that fires early would only find nothing due and ask again.
    platform.setTimeout(slice, Math.min(Math.ceil(delayMs), LONGEST_HOST_TIMER_MS)),
  clear: (timer) => platform.clearTimeout(timer),
  random: () => Math.random(),
  report: (message, error) => {
    if (error === undefined) platform.console.error(message);
    else platform.console.error(message, error);
  },
  ...(typeof platform.process?.on === "function" ? { onSignals, exitBySignal } : {}),
};

function macrotask(): (slice: () => void) => void {
  const { setImmediate, MessageChannel } = platform;
  if (setImmediate !== undefined) return (slice) => void setImmediate(slice);
  if (MessageChannel === undefined) return (slice) => void platform.setTimeout(slice, 0);
  // Browsers: setTimeout is clamped to 4 ms when nested, a message is not.
  const queue: (() => void)[] = [];
  const channel = new MessageChannel();
  channel.port1.onmessage = () => queue.shift()?.();
  return (slice) => {
    queue.push(slice);
    channel.port2.postMessage(null);
  };
}

function onSignals(signals: readonly string[], handler: (signal: string) => void): () => void {
  const process = platform.process!;
  for (const signal of signals) process.on!(signal, handler);
  return () => {
    for (const signal of signals) process.off!(signal, handler);
  };
}

function exitBySignal(signal: string): void {
  const process = platform.process!;
  // With a listener of somebody else's left, the signal would only call that one.
  if ((process.listenerCount?.(signal) ?? 0) > 0) process.exit!(128 + (SIGNAL_NUMBERS[signal] ?? 0));
  process.kill!(process.pid!, signal); // no listener is left, so the default action ends the process
}

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGINT: 2, SIGTERM: 15 };
