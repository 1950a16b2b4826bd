/**
 * How much may stand between those who put in and those who take out, and what options such a thing takes.
 */
import { describeValue, UsageError } from "../core/index.ts";

/**
 * Of queues and broadcasts. Bounded, so that a slow consumer shows as waiting producers and not as memory; large enough
 * that a burst does not wait.
 */
export const DEFAULT_CAPACITY = 1_024;

/** @throws {UsageError} unless it is a whole number from `least` up, or `Infinity` where that is allowed. */
export function checkCapacity(of: string, capacity: unknown, least: number, mayBeUnbounded: boolean): void {
  if (Number.isSafeInteger(capacity) && (capacity as number) >= least) return;
  if (mayBeUnbounded && capacity === Infinity) return;
  const unbounded = mayBeUnbounded ? ", or Infinity for no bound" : "";
  const advice = typeof capacity === "number" ? "" : `; options come after it: (${DEFAULT_CAPACITY}, { name })`;
  throw new UsageError(
    `the capacity of ${of} must be a whole number from ${least} up${unbounded}; got ${describeValue(capacity)}${advice}`,
  );
}

/** What all of them take. */
export interface FeedOptions {
  /** Shown to those who wait. Default: the kind, such as `"channel"`. */
  readonly name?: string;
  /**
   * Whether something outside the loop will end its waits (another loop, a callback of the host), so that waiting at it is no
   * deadlock. Default: `false`.
   */
  readonly external?: boolean;
}

/** @throws {UsageError} when these are no options: most of all `new Channel(10, "jobs")`. */
export function checkOptions(kind: string, options: FeedOptions): Required<FeedOptions> {
  if (typeof options !== "object" || options === null) {
    const shown = typeof options === "string" ? JSON.stringify(options) : '"jobs"';
    throw new UsageError(
      `the options of a ${kind} are an object, got ${describeValue(options)}; write { name: ${shown} }`,
    );
  }
  const { name = kind, external = false } = options;
  if (typeof name !== "string") {
    throw new UsageError(`the name of a ${kind} must be a string, got ${describeValue(name)}`);
  }
  if (typeof external !== "boolean") {
    throw new UsageError(`\`external\` of a ${kind} must be true or false, got ${describeValue(external)}`);
  }
  return { name, external };
}

/** `channel "jobs"`; only `channel` when it has no name of its own. */
export function titleOf(kind: string, name: string): string {
  return name === kind ? kind : `${kind} "${name}"`;
}
