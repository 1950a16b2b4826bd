/** What is done with each URL: the part of a run that differs between `get`, `check` and `api`. */
import type { Coroutine } from "fibril";
import type { Session } from "fibril/http";
import type { Attempt } from "./attempt.ts";
import type { Job } from "./job.ts";
import type { Timing } from "./result.ts";

export type Received = (timing: Timing) => void;

export interface FetchTask {
  /** Whether an attempt may find further jobs; then the run is not over while one is under way. */
  readonly findsMore: boolean;
  /** Whether what was tried can be tried again: not when half of it stands on the standard output already. */
  readonly mayRepeat: boolean;
  /** Whether it tells of failures itself, as its result. */
  readonly printsFailures: boolean;
  begin(session: Session): void;
  /**
   * Asked in the order of the input, before the job is queued.
   * @returns `"finished"`: there is nothing to do. `{ problem }`: it cannot be done.
   */
  admit(job: Job, n: number): "finished" | { readonly problem: string } | undefined;
  /**
   * One try. It fails as a value; it throws only what ends the run.
   * @param received May be called once, when the server has done its part and what is left to do is done here.
   */
  attempt(job: Job, received: Received): Coroutine<Attempt>;
  /** Told when the last try is over, before the result is printed. */
  concluded(job: Job, attempt: Attempt): Coroutine<void>;
  close(): void;
}
