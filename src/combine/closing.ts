import { Scope } from "../core/index.ts";
import type { Coroutine, Sequence } from "../core/index.ts";

/**
 * Lets go of a source because of `error`, and throws that. The closing is shielded and may wait; what it throws does not
 * replace `error` but is kept with it: that is what the releases of a scope do.
 */
export function* closeAndThrow(sequence: Sequence<unknown>, error: unknown): Coroutine<never> {
  if (sequence.close === undefined) throw error;
  const scope = Scope.enter({ name: "close the source" });
  scope.defer(() => sequence.close!());
  yield* scope.run(throwing(error));
  throw error;
}

function* throwing(error: unknown): Coroutine<never> {
  throw error;
}
