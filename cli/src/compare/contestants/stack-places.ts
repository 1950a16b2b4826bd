/** The places in a stack text that belong to the coroutine which runs, innermost first. */
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { CodePlace } from "../report.ts";

/** The loop resumes a generator here; below it the stack is the loop's, not the coroutine's. */
const RESUMED = /\.next \(<anonymous>\)$/;
/** `at name (file:///a/b.ts:1:2)` or, without a name, `at file:///a/b.ts:1:2`. Node's own modules are no files. */
const PLACE = /^\s*at (?:(?<name>.+) \()?(?<file>(?:file:\/\/|\/|[A-Za-z]:\\).*):(?<line>\d+):(?<column>\d+)\)?$/;

export function placesOf(stack: string): CodePlace[] {
  const places: CodePlace[] = [];
  for (const frame of stack.split("\n")) {
    if (RESUMED.test(frame)) break;
    const { name = "", file, line, column } = PLACE.exec(frame)?.groups ?? {};
    if (file === undefined) continue;
    const path = file.startsWith("file:") ? fileURLToPath(file) : file;
    places.push({ file: basename(path), line: Number(line), column: Number(column), function: name });
  }
  return places;
}
