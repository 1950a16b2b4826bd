/**
 * Jobs of the program's main module. A worker that imports it to find the job would run the program again, and that one would submit the job again.
 *
 * Links are followed: Node gives a module the URL of the file, and `argv` has the path as it was typed.
 */
import { realpathSync } from "node:fs";
import nodeProcess from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UsageError } from "../../core/index.ts";
import type { AnyJob } from "../job.ts";

let mainUrl: string | null | undefined = undefined;

/** The module with which the program began; `null` when that cannot be told. */
function mainModule(): string | null {
  if (mainUrl === undefined) {
    const [, path] = nodeProcess.argv;
    try {
      mainUrl = path === undefined ? null : pathToFileURL(realpathSync(path)).href;
    } catch {
      mainUrl = null;
    }
  }
  return mainUrl;
}

/** @throws {UsageError} when the job is defined in the main module and does not say that this is meant. */
export function refuseMain(job: AnyJob): void {
  if (job.inMain || mainModule() !== real(job.url)) return;
  throw new UsageError(
    `job "${job.name}" is defined in the program's main module, which a worker would run again; ` +
      "define it in a module of its own, or put the program behind `if (isMainThread)` and say { inMain: true }",
    "JOB_IN_MAIN",
  );
}

const realUrls = new Map<string, string>();

function real(url: string): string {
  let found = realUrls.get(url);
  if (found !== undefined) return found;
  try {
    found = url.startsWith("file:") ? pathToFileURL(realpathSync(fileURLToPath(url))).href : url;
  } catch {
    found = url;
  }
  realUrls.set(url, found);
  return found;
}
