/**
 * The jobs that this thread knows: named by numbers that the executor explains once, found in their modules when the first order comes.
 *
 * A module is imported once and defines its jobs while it is; until then a number is only a URL and a name.
 */
import { describeValue } from "../../core/loopless.ts";
import { setImporting } from "../importing.ts";
import { findJob } from "../job.ts";
import type { AnyJob } from "../job.ts";
import { kernel, loadKernel, surelyWaits } from "./worker-kernel.ts";

export interface Definition {
  readonly url: string;
  readonly name: string;
  /** `null` until its module was imported. */
  job: AnyJob | null;
}

const known = new Map<number, Definition>();

export function define(number: number, url: string, name: string): void {
  known.set(number, { url, name, job: null });
}

export function definitionOf(number: number): Definition {
  return known.get(number)!;
}

/** The job, or why there is none. */
export async function load(definition: { readonly url: string; readonly name: string }): Promise<AnyJob | string> {
  setImporting(definition.url);
  try {
    await import(definition.url);
  } catch (error) {
    return `its module cannot be imported: ${describeValue(error)}`;
  } finally {
    setImporting(null);
  }
  const found = findJob(definition.url, definition.name);
  // What surely waits gets the kernel now: once it runs, its time to stop when it is cancelled (`graceMs`) is its own.
  // One that cannot be loaded is the failure of who then waits for it.
  if (typeof found !== "string" && kernel === null && surelyWaits(found.fn)) {
    await loadKernel().catch(() => {});
  }
  return found;
}
