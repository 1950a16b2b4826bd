/**
 * CPython as a function from programs to traces: a child process with pyodide, restarted when it hangs or breaks.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Program } from "./program.ts";

/** A batch takes about a second; loading about three. */
const LONGEST_ANSWER_MS = 60_000;

interface About {
  readonly version: string;
  /** Whether this Python has `TaskGroup.cancel()`. */
  readonly groupCancel: boolean;
}

type Answer = { readonly traces: string; readonly ms: number } | { readonly error: string };

export class Python {
  readonly #folder: string;
  #child: ChildProcess | undefined;
  /** Milliseconds that programs have run, without loading and without the way to the process and back. */
  busyMs = 0;
  about: About = { version: "?", groupCancel: false };

  /**
   * @param folder Where pyodide is. Default: `FIBRIL_PYODIDE`, so that another version can judge, else node_modules.
   */
  constructor(
    folder: string = process.env["FIBRIL_PYODIDE"] ?? fileURLToPath(new URL(".", import.meta.resolve("pyodide"))),
  ) {
    this.#folder = folder;
  }

  async start(): Promise<About> {
    if (this.#child === undefined) {
      this.#child = fork(new URL("python-child.mjs", import.meta.url), [this.#folder], {
        execArgv: [],
        stdio: ["ignore", "ignore", "pipe", "ipc"],
      });
      this.about = (await this.#answer(this.#child)) as About;
    }
    return this.about;
  }

  /** The traces of these programs, each as lines. */
  async record(programs: readonly Program[]): Promise<string[]> {
    await this.start();
    const child = this.#child as ChildProcess;
    const answered = this.#answer(child);
    child.send({ programs: JSON.stringify(programs) });
    const answer = (await answered) as Answer;
    if ("error" in answer) throw new Error(`CPython's interpreter failed:\n${answer.error}`);
    this.busyMs += answer.ms;
    return JSON.parse(answer.traces) as string[];
  }

  stop(): void {
    this.#child?.kill("SIGKILL");
    this.#child = undefined;
  }

  #answer(child: ChildProcess): Promise<unknown> {
    return new Promise((resolve, reject) => {
      let complaint = "";
      const hear = (chunk: Buffer): void => void (complaint += chunk.toString());
      const limit = AbortSignal.timeout(LONGEST_ANSWER_MS);
      const leave = (): void => {
        child.off("message", answered).off("exit", gone);
        child.stderr?.off("data", hear);
        limit.removeEventListener("abort", late);
      };
      const fail = (why: string): void => {
        leave();
        this.stop();
        reject(new Error(`CPython ${why}${complaint === "" ? "" : `:\n${complaint.slice(0, 4000)}`}`));
      };
      const answered = (message: unknown): void => {
        leave();
        resolve(message);
      };
      const gone = (): void => fail("ended unexpectedly");
      const late = (): void => fail(`did not answer within ${LONGEST_ANSWER_MS / 1000} seconds`);
      child.on("message", answered).on("exit", gone);
      child.stderr?.on("data", hear);
      limit.addEventListener("abort", late);
    });
  }
}
