/**
 * Who awaits whom, and where: the call graph of a task.
 *
 * Everything that makes one task wait for others notes it on the futures (`addAwaiter`): the step of a task, `gather`, `wait`, `shield`, groups.
 * Where a coroutine stands is captured by resuming it while its future is pending, which has no effect (see `future.ts`).
 */
import { describeValue, systemHost, UsageError } from "../core/index.ts";
import type { StackFrame } from "../core/index.ts";
import { RuntimeError } from "./errors.ts";
import type { EventLoop } from "./event-loop.ts";
import { current, Future } from "./future.ts";
import { Task } from "./task.ts";

/** One future, where its coroutine stands, and the same for each that awaits it. Plain, frozen data. */
export interface FutureCallGraph {
  readonly future: Future<unknown>;
  /** Innermost first; empty for a plain future, and for a task before its first step. */
  readonly callStack: readonly StackFrame[];
  readonly awaitedBy: readonly FutureCallGraph[];
}

export interface CallGraphOptions {
  /** How many frames of each stack: the innermost ones for a positive number, the outermost for a negative. Default: all. */
  readonly limit?: number;
}

export interface PrintOptions extends CallGraphOptions {
  /** Where to print, such as `process.stdout`. Default: the console's error stream. */
  readonly file?: { write(text: string): unknown };
}

/**
 * The call graph of a future or task.
 * @param future Default: the running task; in a callback of the loop there is none, and the result is `null`.
 * @throws {RuntimeError} outside a loop when no future is given.
 */
export function captureCallGraph(future?: Future<unknown>, options: CallGraphOptions = {}): FutureCallGraph | null {
  if (future !== undefined && !(future instanceof Future)) {
    throw new UsageError(`a call graph is that of a future or task, got ${describeValue(future)}`);
  }
  const loop = current.loop as EventLoop | null;
  if (future === undefined && loop === null) {
    throw new RuntimeError("there is no running event loop here; say which future the call graph is of");
  }
  const start = future ?? loop!.runningTask;
  return start === null ? null : build(start, options.limit, loop?.runningTask ?? null, new Set());
}

function build(
  future: Future<unknown>,
  limit: number | undefined,
  runningTask: Future<unknown> | null,
  above: Set<Future<unknown>>,
): FutureCallGraph {
  const frames = limit === 0 ? [] : future === runningTask ? runningStack() : future.callStack();
  above.add(future);
  // Tasks that await each other in a circle would have no end.
  const awaiters = future.awaitedBy.filter((it) => !above.has(it));
  const awaitedBy = awaiters.map((it) => build(it, limit, runningTask, above));
  above.delete(future);
  const callStack = limit === undefined ? frames : limit < 0 ? frames.slice(limit) : frames.slice(0, limit);
  return Object.freeze({ future, callStack: Object.freeze(callStack), awaitedBy: Object.freeze(awaitedBy) });
}

const LINE = /^\s*at (?:async )?(?:(.*?) \()?(.+?):(\d+):(\d+)\)?$/;
const OWN_FOLDER = new URL(".", import.meta.url).href.replace("file://", "");

/** A coroutine that runs cannot be resumed, but it stands on the stack: from here down to the step of its task. */
function runningStack(): StackFrame[] {
  const frames: StackFrame[] = [];
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 200;
  const { stack = "" } = new Error();
  Error.stackTraceLimit = stackTraceLimit;
  for (const line of stack.split("\n").slice(1)) {
    if (line.includes("Task.advance")) break;
    const [, name, file, row, column] = LINE.exec(line) ?? [];
    if (file === undefined || file.replace("file://", "").startsWith(OWN_FOLDER) || file.includes("<anonymous>"))
      continue;
    const plainName = (name ?? "(anonymous)").replace(/\.next$/, "").replace(/^Generator\./, "");
    frames.push({ name: plainName, file, line: Number(row), column: Number(column) });
  }
  return frames;
}

/** The call graph as text, in Python's form; empty when there is none. */
export function formatCallGraph(future?: Future<unknown>, options: CallGraphOptions = {}): string {
  const graph = captureCallGraph(future, options);
  if (graph === null) return "";
  const lines: string[] = [];
  render(graph, "", lines);
  return lines.join("\n");
}

function render(graph: FutureCallGraph, indent: string, lines: string[]): void {
  const { future, callStack, awaitedBy } = graph;
  const name = future instanceof Task ? `Task(name='${future.getName()}', ` : "Future(";
  lines.push(`${indent}* ${name}id=0x${idOf(future).toString(16)})`);
  if (callStack.length > 0) {
    lines.push(`${indent}  + Call stack:`);
    for (const frame of callStack) {
      lines.push(
        `${indent}  |   File '${frame.file.replace("file://", "")}', line ${frame.line}, in generator ${frame.name}()`,
      );
    }
  }
  if (awaitedBy.length === 0) return;
  lines.push(`${indent}  + Awaited by:`);
  for (const awaiter of awaitedBy) render(awaiter, `${indent}    `, lines);
}

const ids = new WeakMap<Future<unknown>, number>();
let lastId = 0;

function idOf(future: Future<unknown>): number {
  let id = ids.get(future);
  if (id === undefined) ids.set(future, (id = ++lastId));
  return id;
}

/**
 * Prints the call graph of a future or task; of the running task if none is given.
 * @example
 * printCallGraph(task); // where it stands, and who waits for it
 */
export function printCallGraph(future?: Future<unknown>, options: PrintOptions = {}): void {
  const text = formatCallGraph(future, options);
  if (options.file !== undefined) options.file.write(`${text}\n`);
  else ((current.loop as EventLoop | null)?.host ?? systemHost).report(text, undefined);
}
