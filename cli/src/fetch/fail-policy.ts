/**
 * What counts as a failure of the run, for its exit code (`--fail-on 5xx,network`). What is not on the list is still told and counted.
 */
import { CommandLineError } from "../command-line-error.ts";
import type { Failure } from "./failure.ts";

/** What kind of failure it is, for people who choose among them. */
export type FailureKind = "status" | "network" | "input" | "output" | "checksum";

const NAMES = ["any", "none", "network", "input", "output", "checksum"];

export class FailPolicy {
  readonly #names: ReadonlySet<string>;

  /** @throws {CommandLineError} */
  constructor(text: string) {
    const names = text.split(",").map((name) => name.trim().toLowerCase());
    for (const name of names) {
      if (NAMES.includes(name) || /^[1-5](?:xx|\d\d)$/.test(name)) continue;
      throw new CommandLineError(`--fail-on takes a list of 4xx, 5xx, 404 and ${NAMES.join(", ")}, not "${name}"`);
    }
    this.#names = new Set(names);
  }

  counts(failure: Failure, status: number | null): boolean {
    if (this.#names.has("any")) return true;
    const kind = kindOfFailure(failure);
    if (kind !== "status" || status === null) return this.#names.has(kind);
    return this.#names.has(String(status)) || this.#names.has(`${Math.floor(status / 100)}xx`);
  }
}

function kindOfFailure({ code, phase }: Failure): FailureKind {
  if (code === "HTTP_STATUS") return "status";
  if (code === "CHECKSUM_MISMATCH") return "checksum";
  return phase === "input" ? "input" : phase === "output" ? "output" : "network";
}
