/** Runs `fibril fetch` as a user does: a process of its own. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

const BIN = fileURLToPath(new URL("../../bin/fibril.js", import.meta.url));
const FLAGS = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning"];
const PEAK_MEMORY = fileURLToPath(new URL("./peak-memory.mjs", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class FetchProgram {
  readonly child: ChildProcess;
  readonly #stdout: Buffer[] = [];
  #stderr = "";
  #isEnded = false;

  /** @param nodeFlags Flags for Node itself. */
  constructor(args: readonly string[], nodeFlags: readonly string[] = []) {
    this.child = spawn(process.execPath, [...FLAGS, ...nodeFlags, BIN, "fetch", ...args], { stdio: "pipe" });
    this.child.stdout!.on("data", (chunk: Buffer) => void this.#stdout.push(chunk));
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.#stderr += text));
    this.child.stdin!.on("error", () => undefined); // it may end before it has read everything
    this.child.once("exit", () => (this.#isEnded = true));
    onTestFinished(() => void (this.#isEnded || this.child.kill("SIGKILL")));
  }

  async ended(): Promise<Ended> {
    const [code, signal] = (await once(this.child, "close")) as [number | null, NodeJS.Signals | null];
    return { code, signal, stdout: Buffer.concat(this.#stdout).toString(), stderr: this.#stderr };
  }

  /** The next piece of the output. Throws when the program ends instead, with what it said. */
  async next(name: "stdout" | "stderr"): Promise<string> {
    const end = new AbortController();
    const died = once(this.child, "close", { signal: end.signal }).then(([code]) => {
      throw new Error(`it ended with code ${code} before it wrote anything: ${this.#stderr}`);
    });
    died.catch(() => undefined);
    const [piece] = (await Promise.race([once(this.child[name]!, "data"), died])) as [Buffer | string];
    end.abort();
    return String(piece);
  }
}

export function runFetch(args: readonly string[], input?: string): Promise<Ended> {
  const program = new FetchProgram(args);
  program.child.stdin!.end(input ?? "");
  return program.ended();
}

/** Runs it and tells how many megabytes of memory it had at most. */
export async function measureFetch(args: readonly string[]): Promise<Ended & { readonly peakMb: number }> {
  const program = new FetchProgram(args, ["--import", PEAK_MEMORY]);
  program.child.stdin!.end();
  const ended = await program.ended();
  const peak = /peak memory: (\d+) kB/.exec(ended.stderr);
  if (peak === null) throw new Error(`it did not say its peak memory:\n${ended.stderr}`);
  return { ...ended, peakMb: Number(peak[1]) / 1_024 };
}
