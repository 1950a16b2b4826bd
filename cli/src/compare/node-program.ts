/**
 * A Node process that is certain to end: a resource for `use()`.
 *
 * The slow server and each contestant run as one of these. Their standard input stays open and empty; when this process
 * ends for whatever reason, even `kill -9`, the system closes it and they go as well. Disposing kills at once: none of
 * them has anything to save.
 */
import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last lines that it wrote to its standard error. */
  readonly complaint: string;
}

/** Enough for an error message with its stack. */
const COMPLAINT_CHARACTERS = 4_000;

export class NodeProgram implements AsyncDisposable {
  /** Resolves when the process is gone and its output read. Rejects when it cannot be started. */
  readonly ended: Promise<Ending>;
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  #complaint = "";

  constructor(program: URL, args: readonly string[], onLine: (line: string) => void) {
    this.#process = spawn(process.execPath, [...nodeFlags(), fileURLToPath(program), ...args], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    createInterface({ input: this.#process.stdout }).on("line", onLine);
    this.#process.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-COMPLAINT_CHARACTERS);
    });
    // Writing to a process that is gone: its ending says more than this error.
    this.#process.stdin.on("error", () => undefined);
    this.ended = new Promise((resolve, reject) => {
      this.#process.once("error", reject);
      this.#process.once("close", (code, signal) => resolve({ code, signal, complaint: this.#complaint.trim() }));
    });
    // Whoever waits for the end still gets the error; nobody waiting is no reason to crash.
    this.ended.catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.ended.catch(() => undefined);
  }
}

/** The program file `name` beside the module at `base`: `.ts` when the sources run, `.js` in the build. */
export function programBeside(base: string, name: string): URL {
  return new URL(`${name}${base.endsWith(".ts") ? ".ts" : ".js"}`, base);
}

/** The flags that this process was started with, but no second debugger on the same port. */
function nodeFlags(): string[] {
  return process.execArgv.filter((flag) => !flag.startsWith("--inspect"));
}
