/**
 * What primitives are called in messages, and which numbers they take.
 */
import { describeValue, UsageError } from "../core/index.ts";

/** Every primitive takes these. */
export interface NameOptions {
  /** Shown to those who wait, in messages and in the inspector. Default: the kind of the primitive, such as `"lock"`. */
  readonly name?: string;
}

/** What somebody else ends takes this one, too. */
export interface SignalOptions extends NameOptions {
  /**
   * Whether something outside the loop will end its waits (another loop, a callback of the host), so that waiting for it is no
   * deadlock. Default: `false`.
   */
  readonly external?: boolean;
}

/** @throws {UsageError} when these are no options: most of all `new Lock("stock")`. */
export function nameIn(kind: string, options: NameOptions): string {
  if (typeof options !== "object" || options === null) {
    const shown = typeof options === "string" ? JSON.stringify(options) : '"stock"';
    throw new UsageError(
      `the options of a ${kind} are an object, got ${describeValue(options)}; write { name: ${shown} }`,
    );
  }
  const { name = kind } = options;
  if (typeof name === "string") return name;
  throw new UsageError(`the name of a ${kind} must be a string, got ${describeValue(name)}`);
}

/** @throws {UsageError} when `external` is no boolean. */
export function isExternal(kind: string, options: SignalOptions): boolean {
  const { external = false } = options;
  if (typeof external === "boolean") return external;
  throw new UsageError(`\`external\` of a ${kind} must be true or false, got ${describeValue(external)}`);
}

/** `lock "stock"`; only `lock` when it has no name of its own. */
export function titleOf(kind: string, name: string): string {
  return name === kind ? kind : `${kind} "${name}"`;
}

/** @throws {UsageError} when it is not a whole number of at least `least`. */
export function checkCount(what: string, count: unknown, least: number): void {
  if (Number.isSafeInteger(count) && (count as number) >= least) return;
  throw new UsageError(`${what} must be a whole number of at least ${least}, got ${describeValue(count)}`);
}

/** Like `checkCount`, but `Infinity` is fine too. */
export function checkLimit(what: string, limit: unknown, least: number): void {
  if (limit !== Infinity) checkCount(what, limit, least);
}
