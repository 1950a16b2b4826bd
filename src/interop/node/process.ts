/**
 * Processes whose scope ends them.
 *
 * A process belongs to the scope that started it, as a task does, but a scope waits for its tasks and *stops* its processes:
 * SIGTERM to the whole group, SIGKILL after a time of grace, and then the scope goes on only when the process has been reaped
 * and its pipes are closed. So whatever happens, cancelled in any phase, no process, no descriptor and no listener is left.
 *
 * How a process stops (`stop`):
 *   1. SIGTERM to the group. Output that nobody will read is thrown away meanwhile: a full pipe would keep it from ending.
 *   2. It ends, or the grace is over: SIGKILL. Members of the group that outlive the leader get the same grace; nobody
 *      tells of their end, so that is asked for, ever more rarely.
 *   3. The pipes are closed from this side: a descendant that has left the group may still hold the others.
 *   4. Node says "close": reaped, nothing open.
 *
 * The start is a wait, so a task that is cancelled already starts nothing.
 */
import { spawn as spawnChild } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { describeValue, Future, sharedWait, UsageError, Wait } from "../../core/index.ts";
import type { Coroutine, LoopPort, Operation, Started, Waiter } from "../../core/index.ts";
import { closeWithScope } from "../scope-closing.ts";
import { ProcessSpawnError } from "./process-errors.ts";
import type { ProcessExit } from "./process-errors.ts";
import { HAS_GROUPS, ProcessGroup } from "./process-group.ts";
import { ProcessInput } from "./process-input.ts";
import { ProcessOutput } from "./process-output.ts";

/** `"pipe"`: to be used from here. `"ignore"`: nowhere. `"inherit"`: that of this process. */
export type ProcessStdio = "pipe" | "ignore" | "inherit";

export interface SpawnProcessOptions {
  /** For people. Default: the command. */
  readonly name?: string;
  /** The directory to start it in. Default: that of this process. */
  readonly cwd?: string;
  /** Its whole environment. Default: that of this process; to add to it write `{ ...process.env, KEY: "value" }`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Default: `"pipe"`. */
  readonly stdin?: ProcessStdio;
  /** Default: `"pipe"`: then somebody has to read it, or the process waits once the pipe is full. */
  readonly stdout?: ProcessStdio;
  /** Default: `"pipe"`, see `stdout`. */
  readonly stderr?: ProcessStdio;
  /**
   * Whether the command is a line for a shell, `true` for the system's own. Then there are no arguments, and nothing from outside
   * may be in the line. Default: `false`.
   */
  readonly shell?: boolean | string;
  /**
   * How long it may take to end after SIGTERM, in milliseconds, before SIGKILL. After a cancellation the scope's `cleanupMs` (5,000)
   * is the limit. Default: 2,000; `Infinity` is allowed.
   */
  readonly graceMs?: number;
  /**
   * Whether it gets a process group of its own, so that signals reach what it starts, and the terminal's Ctrl-C does not reach it
   * past us; when a signal that nobody handles ends us, it gets that signal as well, and SIGKILL 50 ms later. Without one, only the process itself is ended; on Windows that is always so. Default: unless stdin is inherited, because
   * only a program of the terminal's group may read from the terminal.
   */
  readonly ownGroup?: boolean;
}

/** Counts, for tests and dashboards. */
export interface ProcessStatistics {
  readonly pid: number;
  readonly isRunning: boolean;
  /** Bytes written to stdin that the pipe has not taken. */
  readonly inputBuffered: number;
}

const DEFAULT_GRACE_MS = 2_000;
const FIRST_LOOK_MS = 1; // at what is left of a group whose leader has ended
const LONGEST_LOOK_MS = 50;
const LOOK_CLOSER_MS = 4; // from the third look on: zombies may be all that is left, and to find that out is costly
const STDIO: readonly unknown[] = ["pipe", "ignore", "inherit"] satisfies ProcessStdio[];

/**
 * Starts a program, without a shell, and waits until it runs. It belongs to the current scope: when that ends, in whatever way,
 * the process is stopped and awaited (see `Subprocess.stop`), with everything that it has started and that has not left its group.
 *
 * A task that is cancelled already starts nothing. Cancelling the wait stops the process.
 * @throws {ProcessSpawnError} when it cannot be started: no such program, no right to, too many processes.
 * @throws {UsageError} for wrong arguments; outside a coroutine.
 * @example
 * const server = yield* spawnProcess("redis-server", ["--port", "0"], { stderr: "inherit" });
 * const lines = server.stdout!.lines();
 */
export function spawnProcess(
  command: string,
  args: readonly string[] = [],
  options: SpawnProcessOptions = {},
): Operation<Subprocess> {
  checkCommand(command, args, options);
  return new SpawnWait(command, args, options);
}

/** A process that was started with `spawnProcess`. */
export class Subprocess {
  /** For people. */
  readonly name: string;
  readonly pid: number;
  /** `null` unless it is a pipe. */
  readonly stdin: ProcessInput | null;
  /** `null` unless it is a pipe. */
  readonly stdout: ProcessOutput | null;
  /** `null` unless it is a pipe. */
  readonly stderr: ProcessOutput | null;
  readonly #group: ProcessGroup;
  readonly #loop: LoopPort;
  readonly #graceMs: number;
  readonly #exited: Future<ProcessExit>;
  readonly #closed: Future<void>;
  #exit: ProcessExit | null = null;
  #news: News | null = null;
  #stopped: Future<void> | null = null;

  /** Use `spawnProcess()`. @internal */
  constructor(child: ChildProcess, name: string, options: SpawnProcessOptions, loop: LoopPort) {
    this.name = name;
    this.pid = child.pid!;
    this.#loop = loop;
    this.#graceMs = options.graceMs ?? DEFAULT_GRACE_MS;
    this.#exited = new Future({ name: `end of process "${name}"`, external: true });
    this.#closed = new Future({ name: `pipes of process "${name}"`, external: true });
    this.#group = new ProcessGroup(child, hasOwnGroup(options));
    child.once("exit", (code, signal) => this.#hasExited({ code, signal }));
    child.once("close", () => this.#closed.tryResolve());
    child.on("error", () => {}); // a signal that could not be sent; `kill` has said so
    this.stdin = child.stdin === null ? null : new ProcessInput(child.stdin, `stdin of "${name}"`);
    this.stdout = child.stdout === null ? null : new ProcessOutput(child.stdout, `stdout of "${name}"`);
    this.stderr = child.stderr === null ? null : new ProcessOutput(child.stderr, `stderr of "${name}"`);
  }

  /** Whether anything is left of it that the scope has to stop. @internal */
  get hasRemains(): boolean {
    return this.#group.isAlive;
  }

  /** How it ended, or `null` while it runs. */
  get exit(): ProcessExit | null {
    return this.#exit;
  }

  /**
   * Waits until the process has ended, and says how. Any number of tasks may wait. What it has started may run on, and its
   * output may not have been read. Cancelling leaves it alone.
   */
  wait(): Operation<ProcessExit> {
    return this.#exited;
  }

  /**
   * Sends a signal to the process and its group. On Windows every signal ends it at once.
   * @param signal Default: `"SIGTERM"`.
   * @returns `false` when nothing is left that could get it.
   */
  kill(signal: NodeJS.Signals = "SIGTERM"): boolean {
    return this.#group.kill(signal);
  }

  /**
   * SIGTERM, SIGKILL after `graceMs`, and waits until nothing is left of it: what the scope does when it ends. Output that nobody has read is
   * thrown away. Calling it again waits for the same end. Cancelling does not take SIGTERM back; the scope does the rest.
   */
  *stop(): Coroutine<ProcessExit> {
    if (this.#stopped === null) {
      const stopped = (this.#stopped = new Future<void>({ name: `stop of process "${this.name}"` }));
      try {
        yield* this.#stop();
      } finally {
        this.#stopped = null; // one that was cancelled is begun again by the scope
        stopped.tryResolve();
      }
    } else {
      yield* this.#stopped;
      if (!this.#closed.isSettled) return yield* this.stop();
    }
    return this.#exit!;
  }

  statistics(): ProcessStatistics {
    return Object.freeze({
      pid: this.pid,
      isRunning: this.#exit === null,
      inputBuffered: this.stdin?.statistics().buffered ?? 0,
    });
  }

  *#stop(): Coroutine<void> {
    try {
      if (this.#group.isAlive) {
        this.kill("SIGTERM");
        void this.stdout?.close();
        void this.stderr?.close();
        yield* this.#grace();
      }
    } finally {
      // Also when the time for cleanup is over in the middle of the grace.
      this.#group.end();
      this.stdin?.destroy();
    }
    yield* this.#exited;
    this.stdout?.destroy();
    this.stderr?.destroy();
    yield* this.#closed;
  }

  *#grace(): Coroutine<void> {
    const until = this.#loop.now() + this.#graceMs;
    if (this.#exit === null) yield* (this.#news = new News(this.name, this.#graceMs));
    let look = FIRST_LOOK_MS;
    while (this.#group.isAlive) {
      const left = until - this.#loop.now();
      if (left <= 0) return;
      yield* (this.#news = new News(this.name, Math.min(look, left)));
      if (look >= LOOK_CLOSER_MS && !this.#group.hasLiving()) return;
      look = Math.min(2 * look, LONGEST_LOOK_MS);
    }
  }

  #hasExited(exit: ProcessExit): void {
    this.#exit = exit;
    void this.#group.isAlive; // an empty group must be known as such before its id can be given away
    this.#exited.resolve(exit);
    this.#news?.end();
  }
}

/** Waits for the end of the process, or for some time. */
class News extends Wait<void> {
  readonly #name: string;
  readonly #ms: number;
  #waiter: Waiter | null = null;

  constructor(name: string, ms: number) {
    super();
    this.#name = name;
    this.#ms = ms;
  }

  get reason(): string {
    return `process "${this.#name}" to stop`;
  }

  override get external(): boolean {
    return true;
  }

  protected start(task: Waiter): Started<void> {
    this.#waiter = task;
    if (this.#ms !== Infinity) task.loop.addTimer(task, task.loop.now() + this.#ms);
    return task.park(this);
  }

  withdraw(task: Waiter): boolean {
    task.loop.removeTimer(task);
    return true;
  }

  end(): void {
    if (this.#waiter?.wake(this, undefined) === true) this.#waiter.loop.removeTimer(this.#waiter);
  }
}

class SpawnWait extends Wait<Subprocess> {
  readonly #command: string;
  readonly #args: readonly string[];
  readonly #options: SpawnProcessOptions;
  #process: Subprocess | null = null;
  #isParked = false;

  constructor(command: string, args: readonly string[], options: SpawnProcessOptions) {
    super();
    this.#command = command;
    this.#args = args;
    this.#options = options;
  }

  get reason(): string {
    return `start of process "${this.#options.name ?? this.#command}"`;
  }

  override get external(): boolean {
    return true;
  }

  protected start(task: Waiter): Started<Subprocess> {
    if (this.#isParked) throw sharedWait(this.reason);
    this.#process = null;
    // Before the start: a scope that takes no more must not leave a process behind.
    const forget = closeWithScope("spawnProcess()", () => this.#process?.stop());
    let child: ChildProcess;
    try {
      child = startChild(this.#command, this.#args, this.#options);
    } catch (error) {
      forget();
      throw this.#failure(error as NodeJS.ErrnoException);
    }
    if (child.pid === undefined) {
      child.once("error", (error) => {
        forget();
        this.#isParked = false;
        task.wakeError(this, this.#failure(error));
      });
    } else {
      const started = new Subprocess(child, this.#options.name ?? this.#command, this.#options, task.loop);
      this.#process = started;
      child.once("close", () => {
        if (!started.hasRemains) forget();
      });
      child.once("spawn", () => {
        this.#isParked = false;
        task.wake(this, started);
      });
    }
    this.#isParked = true;
    return task.park(this);
  }

  /** Nobody will ever see the process; the scope waits for its end. */
  withdraw(): boolean {
    this.#isParked = false;
    this.#process?.kill("SIGTERM");
    return true;
  }

  #failure(error: NodeJS.ErrnoException): Error {
    if (error.code?.startsWith("ERR_") === true) {
      return new UsageError(`cannot start "${this.#command}": ${error.message}`, "USAGE", { cause: error });
    }
    return new ProcessSpawnError(this.#command, this.#options.cwd, error);
  }
}

function startChild(command: string, args: readonly string[], options: SpawnProcessOptions): ChildProcess {
  const { cwd, env, stdin = "pipe", stdout = "pipe", stderr = "pipe", shell = false } = options;
  return spawnChild(command, [...args], {
    stdio: [stdin, stdout, stderr],
    detached: hasOwnGroup(options),
    windowsHide: true,
    shell,
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env: { ...env } }),
  });
}

function hasOwnGroup(options: SpawnProcessOptions): boolean {
  return HAS_GROUPS && (options.ownGroup ?? options.stdin !== "inherit");
}

/** @throws {UsageError} @package */
export function checkCommand(command: unknown, args: unknown, options: SpawnProcessOptions): void {
  if (typeof command !== "string" || command === "") {
    throw new UsageError(`a process needs the name of a program, got ${describeValue(command)}`);
  }
  if (!Array.isArray(args) || args.some((it) => typeof it !== "string")) {
    throw new UsageError(`the arguments of "${command}" must be an array of strings; options come after them`);
  }
  if (options.shell !== undefined && options.shell !== false && args.length > 0) {
    throw new UsageError(`with a shell, "${command}" is the whole line: a shell would take the arguments apart again`);
  }
  const { graceMs = 0 } = options;
  if (typeof graceMs !== "number" || !(graceMs >= 0)) {
    throw new UsageError(`graceMs must be a number of milliseconds, 0 or more, got ${describeValue(graceMs)}`);
  }
  for (const stream of ["stdin", "stdout", "stderr"] as const) {
    const stdio = options[stream] ?? "pipe";
    if (!STDIO.includes(stdio)) {
      throw new UsageError(`${stream} must be one of ${STDIO.join(", ")}, got ${describeValue(stdio)}`);
    }
  }
}
