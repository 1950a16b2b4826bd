/**
 * What can go wrong with a process. The arguments are in no message: they may hold what is not for a log.
 */
import { FibrilError } from "../../core/index.ts";

/** How a process ended: by itself with a code, or by a signal. */
export interface ProcessExit {
  /** `null` when a signal ended it. */
  readonly code: number | null;
  /** `null` when it ended by itself. */
  readonly signal: NodeJS.Signals | null;
}

/** A process of `exec` ended with a code other than 0, or by a signal. Code: `PROCESS_FAILED`. */
export class ProcessError extends FibrilError {
  readonly command: string;
  /** `null` when a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What it wrote, as `exec` would have returned it. */
  readonly stdout: string | Uint8Array;
  /** What it wrote, as `exec` would have returned it. The message ends with its last lines. */
  readonly stderr: string | Uint8Array;
  readonly durationMs: number;

  constructor(
    command: string,
    exit: ProcessExit,
    result: { readonly stdout: string | Uint8Array; readonly stderr: string | Uint8Array; readonly durationMs: number },
    stderrTail: string,
  ) {
    const how = exit.signal === null ? `ended with code ${exit.code}` : `was ended by ${exit.signal}`;
    const said = stderrTail === "" ? "; it wrote nothing to stderr" : `; the end of its stderr:\n${stderrTail}`;
    super("PROCESS_FAILED", `"${command}" ${how} after ${Math.round(result.durationMs)} ms${said}`);
    this.command = command;
    this.exitCode = exit.code;
    this.signal = exit.signal;
    this.stdout = result.stdout;
    this.stderr = result.stderr;
    this.durationMs = result.durationMs;
  }
}

/** A process could not be started. Code: `PROCESS_SPAWN_FAILED`. The system's error is its `cause`. */
export class ProcessSpawnError extends FibrilError {
  readonly command: string;
  /** What the system said: `"ENOENT"`, `"EACCES"`, `"E2BIG"` … */
  readonly reason: string;

  constructor(command: string, cwd: string | undefined, cause: NodeJS.ErrnoException) {
    const reason = cause.code ?? "unknown";
    const where = cwd === undefined ? "" : ` in "${cwd}"`;
    super("PROCESS_SPAWN_FAILED", `cannot start "${command}"${where}: ${ADVICE[reason] ?? reason}`, { cause });
    this.command = command;
    this.reason = reason;
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  ENOENT: "ENOENT, there is no such program on the PATH, or `cwd` does not exist",
  EACCES: "EACCES, it is not executable or `cwd` must not be entered",
  E2BIG: "E2BIG, the arguments and the environment are too long; pass data by way of stdin",
  EAGAIN: "EAGAIN, the limit of processes is reached; start fewer at a time",
  EMFILE: "EMFILE, the limit of open files is reached; start fewer at a time",
};

/** A process wrote more than it was allowed to. Code: `PROCESS_OUTPUT_LIMIT`. `exec` has killed it then. */
export class ProcessOutputLimitError extends FibrilError {
  readonly maxBytes: number;

  constructor(what: string, maxBytes: number, advice: string) {
    super("PROCESS_OUTPUT_LIMIT", `${what} is longer than ${maxBytes} bytes; ${advice}`);
    this.maxBytes = maxBytes;
  }
}

/** A process does not take input any more: it closed its stdin, or it has ended. Code: `PROCESS_INPUT_CLOSED`. */
export class ProcessInputError extends FibrilError {
  constructor(what: string, options?: ErrorOptions) {
    super(
      "PROCESS_INPUT_CLOSED",
      `${what} is closed: the process closed it or has ended, or end() was called`,
      options,
    );
  }
}
