/**
 * Commands of one turn go to Redis in one write.
 *
 * ioredis writes each command by itself, and of a small command the system call is what costs most; a worker sends four for each job.
 * Rejected: its auto-pipelining. That makes objects of its own for each command, and what was answered in part when a connection is lost is
 * rejected instead of sent again.
 */
import { nextTick } from "node:process";
import type { Writable } from "node:stream";

/** @param stream A connection, before anything is written to it. */
export function writeTogether(stream: Writable): void {
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  let isHeld = false;
  const send = (): void => {
    isHeld = false;
    stream.uncork();
  };
  stream.write = (...args: unknown[]): boolean => {
    if (!isHeld) {
      isHeld = true;
      stream.cork();
      nextTick(send);
    }
    return write(...args);
  };
}
