/**
 * What a comparison is asked to do, read from the command line.
 *
 * Every bad value is refused here, before anything starts, in one sentence that says what would be accepted.
 */
import { CONTESTANTS } from "./contestants.ts";
import type { ContestantKey, Workload } from "./contestants.ts";
import { CommandLineError } from "../command-line-error.ts";

export interface Settings extends Workload {
  readonly only: readonly ContestantKey[];
}

/** The options as the command line gives them. */
export interface RawSettings {
  readonly delay: string;
  readonly count: string;
  readonly many: string;
  readonly only?: string;
}

/** A longer delay shows nothing new, and Node's own client gives up on slow servers after some minutes. */
const LONGEST_DELAY_MS = 60_000;
/** A thread takes about 12 MB, so even this many want a large machine. */
const MOST_REQUESTS = 1_000;

export const DEFAULTS: { readonly delay: string; readonly count: string; readonly many: string } = {
  delay: "3000",
  count: "4",
  many: "100",
};

/** @throws {CommandLineError} when a value is not acceptable. */
export function parseSettings(raw: RawSettings): Settings {
  return {
    delayMs: wholeNumber("--delay", raw.delay, LONGEST_DELAY_MS, "a whole number of milliseconds"),
    count: wholeNumber("--count", raw.count, MOST_REQUESTS, "a whole number of requests"),
    many: wholeNumber("--many", raw.many, MOST_REQUESTS, "a whole number of requests"),
    only: raw.only === undefined ? CONTESTANTS.map(({ key }) => key) : keys(raw.only),
  };
}

function wholeNumber(option: string, text: string, most: number, wanted: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > most) {
    throw new CommandLineError(`${option} takes ${wanted} from 1 to ${most.toLocaleString("en-US")}, not "${text}"`);
  }
  return value;
}

/** Letters or names, in any order; they run in the order of the table whatever the order here. */
function keys(text: string): ContestantKey[] {
  const wanted = text.split(",").map((part) => part.trim().toLowerCase());
  for (const word of wanted) {
    if (!CONTESTANTS.some(({ key, name }) => key === word || name === word)) {
      const known = CONTESTANTS.map(({ key, name }) => `${key} (${name})`).join(", ");
      throw new CommandLineError(`--only takes letters or names separated by commas, of ${known}; not "${word}"`);
    }
  }
  return CONTESTANTS.filter(({ key, name }) => wanted.includes(key) || wanted.includes(name)).map(({ key }) => key);
}
