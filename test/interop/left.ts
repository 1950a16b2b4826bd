/**
 * What a bridge may not leave behind: listeners, and rejections that nobody handles.
 */
import { EventEmitter, getEventListeners } from "node:events";
import { EventLoop } from "fibril";
import { VirtualClock, VirtualHost } from "fibril/testing";
import { setImmediate } from "node:timers/promises";

/** How many listeners of any type are left on it. */
export function listenersOf(source: EventTarget | EventEmitter, ...types: string[]): number {
  if (source instanceof EventEmitter) {
    return source.eventNames().reduce((sum, name) => sum + source.listenerCount(name), 0);
  }
  return types.reduce((sum, type) => sum + getEventListeners(source, type).length, 0);
}

/** What `job` gives, and which rejections nobody had handled some turns after it. */
export async function withUnhandled<T>(job: () => Promise<T>): Promise<{ value: T; unhandled: unknown[] }> {
  const unhandled: unknown[] = [];
  const listener = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", listener);
  try {
    const value = await job();
    await turns();
    return { value, unhandled };
  } finally {
    process.off("unhandledRejection", listener);
  }
}

/** Lets the host do what it has to do. */
export async function turns(count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await setImmediate();
}

/** A loop on virtual time that nobody drains but the test. */
export function virtualLoop(): { loop: EventLoop; host: VirtualHost; reports: unknown[] } {
  const clock = new VirtualClock();
  const host = new VirtualHost(clock);
  const reports: unknown[] = [];
  return { loop: new EventLoop({ clock, host, onReport: (report) => void reports.push(report) }), host, reports };
}

/** What the promise rejects with. */
export async function rejectionOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not reject");
}
