/**
 * What a session and a request say about encoded bodies, put together.
 */
import { UsageError } from "../../core/index.ts";

/** Options of a session, and of each request. */
export interface DecodeOptions {
  /**
   * Asks for compressed bodies (`accept-encoding`: gzip, deflate, br, and zstd where this Node has it) and decodes them. `false`: asks for
   * none, and gives every body as it came. Default: `true`.
   */
  readonly decompress?: boolean;
  /**
   * How many times larger than what came over the network a body may become that is read in pieces; the first MiB is free.
   * `Infinity` is no limit. Default: 200. Does not count for text, json and bytes, which have `maxBodyBytes`, unless they go through a
   * cache: that is in pieces. What a cache gives again was unpacked before, so there it does not count.
   */
  readonly maxInflation?: number;
}

/** The options, checked and put together. @package */
export interface Decoding {
  /** Of what is read in pieces, after decoding. */
  readonly limitBytes: number;
  readonly maxInflation: number;
}

/** Those of a request over those of its session; `null` when nothing is to be decoded. */
export function decodingOf(
  options: DecodeOptions & { readonly maxBodyBytes?: number },
  base: Decoding | null = DEFAULT_DECODING,
): Decoding | null {
  const { decompress, maxInflation, maxBodyBytes } = options;
  if (maxInflation !== undefined) checkMaxInflation(maxInflation);
  if (decompress === false || (base === null && decompress !== true)) return null;
  if (maxInflation === undefined && maxBodyBytes === undefined) return base ?? DEFAULT_DECODING;
  const { limitBytes, maxInflation: usual } = base ?? DEFAULT_DECODING;
  return { limitBytes: maxBodyBytes ?? limitBytes, maxInflation: maxInflation ?? usual };
}

const DEFAULT_MAX_INFLATION = 200; // JSON and logs reach 50; deflate ends at 1,032, br and zstd far above

export const DEFAULT_DECODING: Decoding = Object.freeze({ limitBytes: Infinity, maxInflation: DEFAULT_MAX_INFLATION });

function checkMaxInflation(maxInflation: number): void {
  if (typeof maxInflation === "number" && maxInflation >= 1) return;
  throw new UsageError(`maxInflation must be a number of at least 1, or Infinity; got ${String(maxInflation)}`);
}
