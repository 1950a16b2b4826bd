/**
 * The other languages: whether this machine has them, and how their contestants are started.
 *
 * Python is run from its source, Go is built once into a temporary folder. A language that is not there is no failure:
 * its contestants are left out, and the report says so.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Language } from "./row.ts";

const GO = "go";
const HERE = fileURLToPath(new URL(".", import.meta.url));

export interface Found {
  readonly version: string;
  /** The command before the arguments of a child process: row, size, sleep, window. */
  command(): readonly string[];
  /** The command that runs one piece of code. */
  readonly evaluate: readonly string[] | undefined;
}

/** The languages that are there, with what must be cleaned up when the run is over. */
export class Languages implements Disposable {
  readonly #found = new Map<Language, Found>();
  #folder: string | undefined;
  #goProgram: string | undefined;

  constructor() {
    const python = versionOf("python3", ["--version"], /Python (\S+)/);
    if (python !== undefined) {
      this.#found.set("python", {
        version: python,
        command: () => ["python3", join(HERE, "python", "bench.py")],
        evaluate: ["python3", "-c"],
      });
    }
    const go = versionOf(GO, ["version"], /go(\d\S*)/);
    if (go !== undefined) {
      // The counters of main.go are plain numbers: goroutines that share a processor may only change at a wait.
      process.env["GODEBUG"] = "asyncpreemptoff=1";
      this.#found.set("go", { version: go, command: () => [this.#buildGo()], evaluate: undefined });
    }
  }

  get(language: Language): Found | undefined {
    return this.#found.get(language);
  }

  /** For the head of the report. */
  versions(): Record<Language, string> {
    const absent = "not on this machine";
    return { python: this.get("python")?.version ?? absent, go: this.get("go")?.version ?? absent };
  }

  [Symbol.dispose](): void {
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }

  #buildGo(): string {
    if (this.#goProgram !== undefined) return this.#goProgram;
    this.#folder ??= mkdtempSync(join(tmpdir(), "fibril-bench-go-"));
    const program = join(this.#folder, "bench");
    execFileSync(GO, ["build", "-o", program, join(HERE, "go", "main.go")], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, GO111MODULE: "off", GOCACHE: join(this.#folder, "cache") },
    });
    this.#goProgram = program;
    return program;
  }
}

function versionOf(program: string, args: readonly string[], pattern: RegExp): string | undefined {
  try {
    const said = execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return pattern.exec(said)?.[1];
  } catch {
    return undefined;
  }
}
