/**
 * What an executor has to do when a scope ends, for those things that mostly end before: maps, streams, failures that somebody has still to look at.
 *
 * `scope.defer` cannot be taken back, so a server that maps once for each request in a scope of its own life would keep every one of
 * them. Here one release for each scope looks after a set that things leave. One set for each executor, registered when that is first used in the
 * scope: so it runs before the release of the executor itself, which waits for all jobs.
 */
import type { Coroutine, Operation, Scope, Task } from "../core/index.ts";

type Release = () => Operation<void>;

export class ScopeReleases {
  readonly #sets = new WeakMap<Scope, Set<Release>>();

  /** Runs `release` when the scope ends, unless what it gives was called before. */
  add(scope: Scope, release: Release): () => void {
    let set = this.#sets.get(scope);
    if (set === undefined) {
      const made = (set = new Set());
      scope.defer(() => releaseAll(made));
      this.#sets.set(scope, made);
    }
    const known = set;
    known.add(release);
    return () => void known.delete(release);
  }
}

/** All are asked to end before the first one is waited for; an error does not spare the others. */
function* releaseAll(releases: ReadonlySet<Release>): Coroutine<void> {
  const errors: unknown[] = [];
  const ends: Operation<void>[] = [];
  for (const release of [...releases].reverse()) ends.push(release());
  for (const end of ends) {
    try {
      yield* end;
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0)
    throw errors.length === 1 ? errors[0] : new AggregateError(errors, "several could not be closed");
}

const MOST_KEPT = 4_096;
const SWEEP_FROM = 64;

interface Failure {
  readonly task: Task<unknown>;
  readonly error: unknown;
}

/** Failures of jobs at whose handles nobody has looked yet: told when the scope ends, or when there are too many to keep. */
export class UnobservedFailures {
  readonly #lists = new WeakMap<Scope, Failure[]>();

  add(scope: Scope, task: Task<unknown>, error: unknown): void {
    let list = this.#lists.get(scope);
    if (list === undefined) {
      const made: Failure[] = (list = []);
      scope.defer(() => made.forEach((each) => tell(scope, each)));
      this.#lists.set(scope, made);
    }
    list.push({ task, error });
    if (list.length < SWEEP_FROM || (list.length & (list.length - 1)) !== 0) return; // now and then
    const open = list.filter((each) => !each.task.isObserved);
    const tooMany = Math.max(0, open.length - MOST_KEPT / 2);
    if (open.length >= MOST_KEPT) for (const each of open.splice(0, tooMany)) tell(scope, each);
    list.splice(0, list.length, ...open);
  }
}

function tell(scope: Scope, { task, error }: Failure): void {
  if (task.isObserved) return;
  const message = `job "${task.name}" failed and nobody looked at its handle:`;
  scope.loop.report({ kind: "unobserved-failure", message, error });
}
