/**
 * What processes may leave behind, for the tests: themselves, their children, pipes, listeners.
 */
import type { ChildProcess } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { EventLoop, run, yieldNow } from "fibril";
import type { Coroutine, Operation, Task } from "fibril";
import { expect } from "vitest";

/** Ends every child program after 15 s, whatever happens. */
const BOUND = "setTimeout(() => process.exit(99), 15_000).unref();";

/** What a program that has nothing else to do needs to run on. */
export const RUN_ON = "setInterval(() => {}, 1_000);";

/** The arguments that make Node run `code`. */
export function node(code: string): string[] {
  return ["-e", `${BOUND}\n${code}`];
}

/** Whether it has ended; a zombie has. */
export function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return true;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat[stat.lastIndexOf(")") + 2] === "Z";
  } catch {
    return process.platform === "linux";
  }
}

/** Waits until it has ended: for one that was told to and that nobody here can wait for. */
export function* untilGone(pid: number): Coroutine<void> {
  while (!isGone(pid)) yield* yieldNow();
}

/** By their inodes, since the numbers are given out again. */
function openPipes(): string[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return /^(?:pipe|socket):/.test(target) ? [target] : [];
    } catch {
      return []; // the one that reads the directory
    }
  });
}

/** For the end of this process, by itself or by a signal. */
function listenersOfProcess(): unknown[] {
  const events = ["exit", "newListener", "removeListener", "SIGHUP", "SIGINT", "SIGTERM", "SIGQUIT"];
  return events.flatMap((event) => process.rawListeners(event));
}

/** What `after` has more than `before`. */
function added<T>(before: readonly T[], after: readonly T[]): T[] {
  const known = [...before];
  return after.filter((each) => {
    const at = known.indexOf(each);
    if (at !== -1) known.splice(at, 1);
    return at === -1;
  });
}

/** Node has been told of its end, or it has never run. */
function isReaped({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid === undefined || exitCode !== null || signalCode !== null;
}

/**
 * Runs `body`; fails when a process that was started meanwhile, a pipe or a listener is left. Gives the pids. What was there
 * before may go meanwhile: it is that of other files in this process, or vitest's own.
 */
export async function leavingNothing(body: () => Promise<unknown>): Promise<number[]> {
  const started: ChildProcess[] = [];
  const note = (message: unknown): void => void started.push((message as { process: ChildProcess }).process);
  const before = { pipes: openPipes(), listeners: listenersOfProcess() };
  subscribe("child_process", note);
  try {
    await body();
  } finally {
    unsubscribe("child_process", note);
  }
  const pids = started.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  const left = (): Record<string, unknown[]> => ({
    running: pids.filter((pid) => !isGone(pid)),
    unreaped: started.filter((child) => !isReaped(child)).map(({ pid }) => pid),
    pipes: added(before.pipes, openPipes()),
    listeners: added(before.listeners, listenersOfProcess()),
  });
  const isLeft = (): boolean => Object.values(left()).some(({ length }) => length > 0);
  // Node closes some turns later what it was told to close, and the pipes of a program that there is not.
  for (let turn = 0; turn < 100 && isLeft(); turn++) await setImmediate();
  expect(left()).toEqual({ running: [], unreaped: [], pipes: [], listeners: [] });
  return pids;
}

/** Runs `main` again and again, cancelled after each step of its loop in turn. Gives how many steps there are. */
export async function cancelAfterEachStep(main: () => Operation<unknown>): Promise<number> {
  for (let after = 1; ; after++) {
    let isCancelled = false;
    await leavingNothing(async () => {
      const reports: unknown[] = [];
      const loop = new EventLoop({ onReport: (report) => reports.push(report) });
      const task: Task<unknown> = loop.spawn({ name: "swept" }, main);
      let steps = 0;
      loop.addProbe({
        afterStep: () => {
          if (++steps !== after) return;
          loop.post(() => {
            isCancelled = !task.isSettled;
            task.cancel("swept");
          });
        },
      });
      await task.then(undefined, () => {});
      expect(reports).toEqual([]);
    });
    if (!isCancelled) return after;
  }
}

/** Runs it on a loop of its own; nothing may be left. */
export async function runLeavingNothing<T>(main: () => Operation<T>): Promise<T> {
  let result: T;
  await leavingNothing(async () => {
    result = await run(main);
  });
  return result!;
}
