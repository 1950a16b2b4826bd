/**
 * Values of options: numbers, durations, sizes, rates, headers. Each bad one is refused in a sentence that says what would be accepted.
 */
import { CommandLineError } from "../command-line-error.ts";

export function wholeNumber(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new CommandLineError(
      `${option} takes a whole number from ${least} to ${most.toLocaleString("en-US")}, not "${text}"`,
    );
  }
  return value;
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `30` and `30s` are thirty seconds; `500ms`, `2m`, `1h`, `1.5s`, `7d`. */
export function duration(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim());
  const value = match === null ? 0 : Number(match[1]) * UNITS_MS[match[2] ?? "s"]!;
  if (value > 0) return value;
  throw new CommandLineError(
    `${option} takes a duration such as 30s, 500ms or 2m (a plain number is seconds), not "${text}"`,
  );
}

const UNITS_BYTES: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** `1000000`, `64k`, `10M`, `2G`; the letters are powers of 1,024, as in curl. */
export function byteCount(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmg]?)b?$/i.exec(text.trim());
  if (match !== null) return Math.floor(Number(match[1]) * UNITS_BYTES[match[2]!.toLowerCase()]!);
  throw new CommandLineError(`${option} takes a number of bytes such as 1000000, 64k, 10M or 2G, not "${text}"`);
}

/** `100/s`, `30/m`, `0.5/s`, `5000/h`; a plain number is for a second. @returns for a second. */
export function rate(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(?:\/(s|m|h|d))?$/.exec(text.trim());
  const value = match === null ? 0 : (Number(match[1]) * 1_000) / UNITS_MS[match[2] ?? "s"]!;
  if (value > 0) return value;
  throw new CommandLineError(
    `${option} takes a rate such as 100/s, 30/m or 0.5/s (a plain number is for a second), not "${text}"`,
  );
}

export function oneOf<Choice extends string>(option: string, text: string, choices: readonly Choice[]): Choice {
  if ((choices as readonly string[]).includes(text)) return text as Choice;
  throw new CommandLineError(`${option} takes ${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}, not "${text}"`);
}

/** Several headers of one name are sent as several. */
export function headerList(texts: readonly string[]): [string, string[]][] {
  const byName = new Map<string, string[]>();
  for (const text of texts) {
    const match = /^([!#$%&'*+.^_`|~0-9a-z-]+):[ \t]*([^\r\n\0]*)$/i.exec(text);
    if (match === null) throw new CommandLineError(`--header takes "Name: value", not "${text}"`);
    const name = match[1]!.toLowerCase();
    const values = byName.get(name) ?? [];
    values.push(match[2]!.trim());
    byName.set(name, values);
  }
  return [...byName];
}
