/**
 * Where a suspended task stands: file, line and column of every frame, innermost first.
 *
 * A chain of generators can be resumed at any time while its wait is pending (see `operation.ts`): the wait then stands on
 * top of all their frames and an ordinary stack capture sees them. Costs 6–30 µs a task when asked and nothing before.
 * Frames made by `coroutine()` are not delegations of each other, so each is resumed in turn, from the top down.
 *
 * Source: the tracing polls of Tokio's task dumps, without their failure mode: only the runtime makes a wait READY.
 */
import { running } from "./operation.ts";
import type { Frame, RunningTask, Suspend } from "./operation.ts";
import { SUSPENDED } from "./operation.ts";
import { READY, WAITING } from "./task-state.ts";

export interface StackFrame {
  /** Function name, or `"(anonymous)"`. */
  readonly name: string;
  /** As the engine reports it: a path or a `file:` URL. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

interface CallSite {
  getFunctionName(): string | null;
  getFileName(): string | null | undefined;
  getLineNumber(): number | null;
  getColumnNumber(): number | null;
}

interface StackCapture {
  stackTraceLimit: number;
  prepareStackTrace?: ((error: Error, frames: CallSite[]) => unknown) | undefined;
  captureStackTrace?(target: object, below?: (...args: never[]) => unknown): void;
}

const capture = Error as unknown as StackCapture;
const MOST_FRAMES = 200; // of one chain of generators
const MOST_CALLS = 100; // framed calls; deeper ones are left out

/**
 * Where this library's files are: its own frames are not the user's business. Bundled into the user's file there is no telling
 * them apart, so all frames are shown.
 */
const LIBRARY = /^(?:file:\/\/)?(.*\/)core\/await-stack\.[jt]s$/.exec(import.meta.url)?.[1] ?? null;

/**
 * @returns Innermost first; empty for a task that is running, has not begun or has settled, and where the engine has no
 * structured stack capture.
 */
export function captureAwaitStack(
  task: RunningTask & { readonly top: Iterator<Suspend, unknown, unknown> | null; readonly frame: Frame | null },
): readonly StackFrame[] {
  if (task.wait === null || (task.stage !== WAITING && task.stage !== READY)) return [];
  if (capture.captureStackTrace === undefined || task.top === null) return [];
  const frames: StackFrame[] = [];
  let chain: Iterator<Suspend, unknown, unknown> | null = task.top;
  let frame = task.frame;
  for (let calls = 0; chain !== null && calls < MOST_CALLS; calls++) {
    frames.push(...captureChain(task, chain));
    chain = frame === null ? null : frame.caller;
    frame = frame === null ? null : frame.below;
  }
  return frames;
}

/**
 * Where a suspended chain of generators stands that somebody else drives. The last in it has to do as `Wait` does: resumed while it is
 * pending, it calls `running.capture` with its `next`, if that is set, and suspends again.
 * @returns Innermost first; empty where the engine has no structured stack capture.
 */
export function captureStackOf(chain: Iterator<unknown, unknown, unknown>): readonly StackFrame[] {
  if (capture.captureStackTrace === undefined) return [];
  return captureChain(null, chain as Iterator<Suspend, unknown, unknown>);
}

function captureChain(task: RunningTask | null, chain: Iterator<Suspend, unknown, unknown>): StackFrame[] {
  const saved = { task: running.task, capture: running.capture };
  const { stackTraceLimit, prepareStackTrace } = capture;
  let sites: CallSite[] = [];
  running.task = task;
  running.capture = (below) => {
    const holder: { stack?: unknown } = {};
    capture.captureStackTrace!(holder, below);
    if (Array.isArray(holder.stack)) sites = holder.stack as CallSite[]; // read while prepareStackTrace is ours
  };
  capture.stackTraceLimit = MOST_FRAMES;
  capture.prepareStackTrace = (_error, frames) => frames;
  try {
    resumeForStack(chain);
  } catch {
    // It is on the stack right now (a probe asks in the middle of a step), so it stands nowhere yet.
  } finally {
    capture.prepareStackTrace = prepareStackTrace;
    capture.stackTraceLimit = stackTraceLimit;
    running.task = saved.task;
    running.capture = saved.capture;
  }
  const end = sites.findIndex((site) => site.getFunctionName() === resumeForStack.name);
  return sites.slice(0, end === -1 ? undefined : end).flatMap(toFrame);
}

// Named: its own frame marks where the chain ends and the caller's stack begins.
function resumeForStack(chain: Iterator<Suspend, unknown, unknown>): void {
  const result = chain.next();
  if (result !== SUSPENDED) return; // an iterator written by hand is in the chain; it is unharmed, its lines are unknown
}

function toFrame(site: CallSite): StackFrame[] {
  const file = site.getFileName();
  if (typeof file !== "string" || (LIBRARY !== null && file.includes(LIBRARY))) return [];
  return [
    {
      name: site.getFunctionName() ?? "(anonymous)",
      file,
      line: site.getLineNumber() ?? 0,
      column: site.getColumnNumber() ?? 0,
    },
  ];
}

/** `name file:line:column`, as a stack shows it. */
export function formatFrame(frame: StackFrame): string {
  return `${frame.name} (${frame.file}:${frame.line}:${frame.column})`;
}
