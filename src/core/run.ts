/**
 * From promise code into the loop: one main coroutine, and its end as a promise.
 */
import { CancelledError, checkDuration, UsageError } from "./errors.ts";
import { EventLoop } from "./event-loop.ts";
import type { EventLoopOptions } from "./event-loop.ts";
import { systemHost } from "./host.ts";
import type { Host } from "./host.ts";
import type { Operation } from "./operation.ts";
import type { Scope } from "./scope.ts";
import type { Task } from "./task.ts";

export interface RunOptions extends EventLoopOptions {
  /** The loop to run on. Default: a new one, made from the other options. */
  readonly loop?: EventLoop;
  /** Cancels the main coroutine when it aborts; the promise rejects with its reason then. */
  readonly signal?: AbortSignal;
  /**
   * Whether to handle SIGINT and SIGTERM while it runs: the first cancels the main coroutine and lets cleanup finish, the
   * second ends the process at once; the same one again within 100 ms counts once. Default: `false`. Ignored where the platform has no signals.
   */
  readonly handleSignals?: boolean;
  /** How long cleanup may wait after a cancellation, in milliseconds. Default: 5,000; `Infinity` is allowed. */
  readonly cleanupMs?: number;
}

const SIGNALS = ["SIGINT", "SIGTERM"];
// A signal to a whole process group may reach us twice: from the system, and passed on by a parent such as npm.
const ONE_SIGNAL_MS = 100;

/**
 * Runs `main` to its end, with everything that it spawns.
 *
 * The promise rejects with what `main` threw; with the reason of the `AbortSignal`, the very value, when that has cancelled it; with
 * `CancelledError` when something else has, its `reason` being the name of a signal of the process; with `DeadlockError` when no task
 * can ever run again. Cancelled before it began, `main` still runs up to its first wait. A program that handles signals of
 * the process catches the `CancelledError` and sets its exit code.
 *
 * @example
 * await run(function* () { yield* sleep(100); console.log("hello") });
 */
export function run<T>(main: () => Operation<T>, options: RunOptions = {}): Promise<T> {
  const loop = options.loop ?? new EventLoop({ name: "main", ...options });
  return new Promise<T>((resolve, reject) => {
    const undo: (() => void)[] = [];
    const finish = (settle: () => void): void => {
      for (const step of undo.splice(0)) step();
      settle();
    };
    const name = main.name === "" ? "main" : main.name;
    if (typeof main !== "function") {
      throw new UsageError("run() takes a function that makes a coroutine: run(main), or run(() => job(1))");
    }
    if (options.cleanupMs !== undefined) checkDuration("cleanupMs", options.cleanupMs);
    const task = loop.spawn({ name }, main);
    const scope = task.ownScope() as Scope;
    if (options.cleanupMs !== undefined) scope.cleanupMs = options.cleanupMs;
    undo.push(superviseMain(loop, task as Task<unknown>, scope, (error) => finish(() => reject(error))));
    if (options.signal !== undefined) undo.push(followAbortSignal(options.signal, scope));
    if (options.handleSignals === true) undo.push(handleSignals(options.host ?? systemHost, scope));
    task.watch({
      before: null,
      after: null,
      taskSettled: () => {
        const outcome = task.outcome!;
        if (outcome.status === "succeeded") finish(() => resolve(outcome.value));
        else if (outcome.status === "failed") finish(() => reject(outcome.error));
        else {
          // Who gave an `AbortSignal` gets its reason, as from `fetch` and from `withSignal`; everybody else a `CancelledError`.
          const { source, reason } = outcome.cancelled;
          finish(() => reject(source === "abort-signal" ? reason : new CancelledError(`run of "${name}"`, reason)));
        }
      },
    });
  });
}

/** A stall fails the main task. When it comes back because even cleanup is stuck, there is no point in waiting on. */
function superviseMain(
  loop: EventLoop,
  task: Task<unknown>,
  scope: Scope,
  giveUp: (error: unknown) => void,
): () => void {
  let stalled = 0;
  return loop.supervise(task, (error) => {
    stalled++;
    if (stalled === 1) scope.fail(error);
    else if (stalled === 2) scope.expire();
    else giveUp(error);
  });
}

function followAbortSignal(signal: AbortSignal, scope: Scope): () => void {
  const cancel = (): void => scope.request("abort-signal", signal.reason);
  if (signal.aborted) {
    cancel();
    return () => {};
  }
  signal.addEventListener("abort", cancel, { once: true });
  return () => signal.removeEventListener("abort", cancel);
}

function handleSignals(host: Host, scope: Scope): () => void {
  let first: { readonly signal: string; readonly at: number } | null = null;
  const stop = host.onSignals?.(SIGNALS, (signal) => {
    const at = scope.loop.now();
    if (first === null) {
      first = { signal, at };
      scope.request("process-signal", signal);
      return;
    }
    if (signal === first.signal && at - first.at < ONE_SIGNAL_MS) return;
    stop?.();
    host.exitBySignal?.(signal);
  });
  return stop ?? (() => {});
}
