/** How numbers look to a reader, in the terminal and on the page. */

const english = (value: number, digits: number): string =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** `1,504 ms`: for what is compared to the millisecond. */
export function milliseconds(value: number): string {
  return `${english(value, 0)} ms`;
}

/** `6.02 s`; below a tenth of a second in milliseconds. */
export function seconds(ms: number): string {
  return ms < 100 ? milliseconds(ms) : `${english(ms / 1_000, 2)} s`;
}

/** `92 MB` */
export function megabytes(value: number): string {
  return `${english(value, 0)} MB`;
}

/** `3.9 ×`, and whole numbers from ten on. */
export function times(value: number): string {
  return `${english(value, value < 9.95 ? 1 : 0)} ×`;
}

/** `3 requests`, `1 request` */
export function count(value: number, noun: string): string {
  return `${english(value, 0)} ${noun}${value === 1 ? "" : "s"}`;
}
