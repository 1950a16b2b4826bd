/**
 * How many runs a law gets: quick by default, many with `FIBRIL_LONG=1`.
 */
const isLong = process.env["FIBRIL_LONG"] === "1";

/** `quick` runs, or fifty times as many: some 500,000 programs in all. */
export function runs(quick: number): { readonly numRuns: number } {
  return { numRuns: isLong ? quick * 50 : quick };
}

/** A law that runs long needs the time for it. */
export const LAW_TIMEOUT_MS: number = isLong ? 1_200_000 : 20_000;
