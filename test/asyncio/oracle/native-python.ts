/**
 * The same programs on a CPython of the machine, for the time they take. It judges nothing: the machine's Python is of
 * some version, and traces differ from version to version.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Program } from "./program.ts";

/** Of the oldest CPython that has everything the programs use: shutting queues down came with 3.13. */
const OLDEST_NATIVE = "3.13";

// The clock runs around the programs only: neither starting Python nor reading them counts.
const SCRIPT = `
import json, sys, time
sys.path.insert(0, sys.argv[1])
import interpreter
programs = sys.stdin.read()
begun = time.perf_counter()
traces = interpreter.record(programs)
ms = (time.perf_counter() - begun) * 1000
print(json.dumps({"version": sys.version.split()[0], "ms": ms, "traces": json.loads(traces)}))
`;

export interface NativeRun {
  readonly version: string;
  readonly ms: number;
  readonly traces: readonly string[];
}

/** @param command What starts Python: "python3", "python3.14", a path. */
export async function runNatively(command: string, programs: readonly Program[]): Promise<NativeRun> {
  const folder = fileURLToPath(new URL(".", import.meta.url));
  const python = spawn(command, ["-c", SCRIPT, folder], { stdio: ["pipe", "pipe", "pipe"] });
  let output = "";
  let complaint = "";
  python.stdout.on("data", (chunk: Buffer) => void (output += chunk.toString()));
  python.stderr.on("data", (chunk: Buffer) => void (complaint += chunk.toString()));
  python.stdin.on("error", () => {}); // it says why in its complaint
  python.stdin.end(JSON.stringify(programs));
  const [code] = (await once(python, "close")) as [number | null];
  if (code !== 0) {
    const last = complaint.trim().split("\n").at(-1) ?? "";
    throw new Error(`"${command}" cannot run the programs (CPython ${OLDEST_NATIVE} or later is needed): ${last}`);
  }
  return JSON.parse(output) as NativeRun;
}
