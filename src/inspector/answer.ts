/**
 * What a thread does when it is asked for a snapshot. It imports this module then, not before, so a thread that nobody looks at has none of it.
 */
import type { RunningJob } from "../core/index.ts";
import { Gathering } from "./gathering.ts";
import type { Request } from "./gathering.ts";
import type { ThreadRecord } from "./records.ts";

/** Called by the entry of the worker. @package */
export function answer(request: Request, jobs: readonly RunningJob[]): Promise<ThreadRecord> {
  return new Promise((resolve) => {
    const { whole } = new Gathering(request, jobs, resolve);
    if (whole !== null) resolve(whole);
  });
}
