/**
 * From an order to the call: the words in shared memory say, once, that a job has begun.
 *
 * Until then the executor may take it back without asking, and what was given to it (ends of channels) is let go of here.
 */
import { encodeError } from "../remote-error.ts";
import { dropEnds } from "./luggage.ts";
import { ENDED, LOADING, QUEUED, RUNNING } from "./protocol.ts";
import type { RunOrder } from "./thread-run.ts";
import { start } from "./worker-calls.ts";
import { definitionOf, load } from "./worker-jobs.ts";
import type { Definition } from "./worker-jobs.ts";
import { giveTurn, pump, takeTurn } from "./worker-line.ts";
import { post, postOutcome, words } from "./worker-link.ts";

/**
 * A job has begun when its module is imported for it: what that does, and that it may never end, is the job's doing. So it is not given to another
 * thread when this one dies of it, and cancelling it ends this thread when the import does not.
 */
export function begin(order: RunOrder): void {
  const slot = order[1];
  const definition = definitionOf(order[2]);
  const { job } = definition;
  if (Atomics.compareExchange(words, slot, QUEUED, job === null ? LOADING : RUNNING) !== QUEUED) {
    dropEnds(order[4]);
    post(["skipped", slot]);
    return;
  }
  if (job !== null) {
    start(order, job);
    return;
  }
  takeTurn(); // the order of the orders holds
  void load(definition).then((found) => {
    giveTurn();
    if (typeof found === "string") refuse(order, definition, found);
    else {
      definition.job = found;
      if (Atomics.compareExchange(words, slot, LOADING, RUNNING) === LOADING) start(order, found);
      else dropCancelled(order);
    }
    pump();
  });
}

/** It was cancelled while its module was imported. */
function dropCancelled(order: RunOrder): void {
  const slot = order[1];
  dropEnds(order[4]);
  Atomics.store(words, slot, ENDED);
  postOutcome(["cancelled", slot, undefined, 0]);
}

function refuse(order: RunOrder, definition: Definition, why: string): void {
  const slot = order[1];
  if (Atomics.compareExchange(words, slot, LOADING, ENDED) !== LOADING) {
    dropCancelled(order);
    return;
  }
  dropEnds(order[4]);
  const error = encodeError(new Error(`${definition.url}: ${why}`));
  postOutcome(["error", slot, { reason: "not-found", error, text: why, done: null, index: null }, 0]);
}
