/**
 * SIGTERM and SIGINT for a server: the first one ends it in good order, the second one ends the process at once.
 *
 * Unlike `handleSignals` of `run` this cancels nothing: whoever waits for `server.closed` goes on when the server has ended.
 */
import type { EventLoop } from "../../core/index.ts";
import type { Host } from "../../lowlevel.ts";

// A signal to a whole process group may reach us twice: from the system, and passed on by a parent such as npm.
const ONE_SIGNAL_MS = 100;

/** The returned function stops following. */
export function followSignals(host: Host, loop: EventLoop, shutDown: () => void): () => void {
  let first: { readonly signal: string; readonly at: number } | null = null;
  const stop = host.onSignals?.(["SIGTERM", "SIGINT"], (signal) => {
    const at = loop.now();
    if (first === null) {
      first = { signal, at };
      shutDown();
      return;
    }
    if (signal === first.signal && at - first.at < ONE_SIGNAL_MS) return;
    stop?.();
    host.exitBySignal?.(signal);
  });
  return stop ?? ((): void => {});
}
