/**
 * A snapshot by signal: `kill -USR2 PID` prints what every task does, of a program that nobody has prepared for a debugger.
 */
import { constants } from "node:os";
import { isMainThread } from "node:worker_threads";
import { describeValue, systemHost, UsageError } from "../core/index.ts";
import { formatTree } from "./format-tree.ts";
import { Gathering } from "./gathering.ts";
import type { GatherOptions } from "./options.ts";
import { planOf, timeoutOf } from "./options.ts";
import { snapshotOf } from "./record-thread.ts";
import type { Snapshot, ThreadRecord } from "./records.ts";

/** Of these the system lets no program know. */
const UNHEARD: readonly string[] = ["SIGKILL", "SIGSTOP"];

export interface DumpOptions extends GatherOptions {
  /** Gets the snapshot. Default: prints the tree to standard error. */
  readonly onSnapshot?: (snapshot: Snapshot) => void;
}

/**
 * Prints the tasks of all threads whenever the process gets the signal. It keeps nothing alive. A loop that is blocked cannot hear of signals, as
 * nothing in Node can; the threads that it has started still can be asked by themselves.
 *
 * @param signal Default: `"SIGUSR2"`. Not `SIGUSR1`, which is Node's debugger.
 * @returns Ends it.
 * @throws {UsageError} when an option is wrong or no program can hear of the signal, and where there are no signals: in worker threads.
 * @example
 * dumpOnSignal();
 */
export function dumpOnSignal(signal = "SIGUSR2", options: DumpOptions = {}): () => void {
  planOf(options);
  timeoutOf(options);
  const { onSignals } = systemHost;
  if (!Object.hasOwn(constants.signals, signal) || UNHEARD.includes(signal)) {
    throw new UsageError(
      `no program can hear of the signal ${describeValue(signal)}; use "SIGUSR2" or another one of signal(7)`,
    );
  }
  if (onSignals === undefined || !isMainThread)
    throw new UsageError("there are no signals here; call snapshotHere() instead");
  const { onSnapshot = print } = options;
  const pending = new Set<Gathering>();
  const ignore = onSignals([signal], () => {
    const gathering = new Gathering(options, [], (thread) => {
      pending.delete(gathering);
      tell(onSnapshot, thread);
    });
    const { whole } = gathering;
    if (whole === null) pending.add(gathering);
    else tell(onSnapshot, whole);
  });
  return () => {
    ignore();
    for (const each of pending) each.stop();
  };
}

function tell(onSnapshot: (snapshot: Snapshot) => void, thread: ThreadRecord): void {
  try {
    onSnapshot(snapshotOf(thread));
  } catch (error) {
    systemHost.report("fibril: onSnapshot threw", error); // a look must not end the process
  }
}

function print(snapshot: Snapshot): void {
  systemHost.report(formatTree(snapshot), undefined);
}
