/**
 * No orphans: what we have started ends when this process does, also when no scope gets to its end any more.
 *
 * A group of its own does not hear of the terminal's Ctrl-C, and nobody kills it when this process exits. So while any is
 * alive there is an `exit` listener that kills the rest. A signal that nobody handles ends Node without `exit`, so we listen to
 * those that people and systems send: the signal is passed on, what runs has a moment, the rest is killed, and the signal does
 * its work.
 *
 * We listen to a signal only while nobody else does. Where the program handles it, as `run(main, { handleSignals: true })` does,
 * how that ends is the program's business. And packages that clean up at signals (`signal-exit`, in many command lines) do nothing
 * beside a listener that they do not know, so beside ours they would make the program deaf. Alone they clean up, leave, and send
 * the signal again: by then we are back.
 *
 * Against a SIGKILL of this process nothing helps.
 */
import nodeProcess from "node:process";

/** What can be left behind. Must not throw. */
export interface Orphan {
  kill(signal: NodeJS.Signals): unknown;
}

const DEADLY: ReadonlySet<unknown> = new Set<NodeJS.Signals>(
  nodeProcess.platform === "win32" ? [] : ["SIGHUP", "SIGINT", "SIGTERM", "SIGQUIT"],
);
const MOMENT_MS = 50; // enough to remove a lock file, not long enough to be waited for

const alive = new Set<Orphan>();

/** From now on it is killed when this process ends. */
export function killAtEnd(orphan: Orphan): void {
  if (alive.size === 0) startListening();
  alive.add(orphan);
}

/** It has ended. */
export function forgetAtEnd(orphan: Orphan): void {
  if (alive.delete(orphan) && alive.size === 0) stopListening();
}

function startListening(): void {
  nodeProcess.on("exit", killAll);
  nodeProcess.on("newListener", listenerComes);
  nodeProcess.on("removeListener", listenerHasGone);
  for (const signal of DEADLY) listenIfNobodyDoes(signal as NodeJS.Signals);
}

function stopListening(): void {
  nodeProcess.off("exit", killAll);
  nodeProcess.off("newListener", listenerComes);
  nodeProcess.off("removeListener", listenerHasGone);
  for (const signal of DEADLY) nodeProcess.off(signal as NodeJS.Signals, signalled);
}

function listenIfNobodyDoes(signal: NodeJS.Signals): void {
  if (nodeProcess.listenerCount(signal) === 0) nodeProcess.on(signal, signalled);
}

// It has not come yet: if ours went at once, Node would find no listener and let go of the signal. No signal comes within a tick.
function listenerComes(event: string | symbol, listener: unknown): void {
  if (DEADLY.has(event) && listener !== signalled) nodeProcess.nextTick(leaveToOthers, event);
}

function leaveToOthers(signal: NodeJS.Signals): void {
  if (nodeProcess.listenerCount(signal) > 1) nodeProcess.off(signal, signalled);
}

function listenerHasGone(event: string | symbol, listener: unknown): void {
  if (DEADLY.has(event) && listener !== signalled) listenIfNobodyDoes(event as NodeJS.Signals);
}

function signalled(signal: NodeJS.Signals): void {
  stopListening();
  for (const orphan of alive) orphan.kill(signal);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, MOMENT_MS);
  killAll();
  alive.clear();
  nodeProcess.kill(nodeProcess.pid, signal); // nobody listens: the default action
}

function killAll(): void {
  for (const orphan of alive) orphan.kill("SIGKILL");
}
