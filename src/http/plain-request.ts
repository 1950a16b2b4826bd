/**
 * What a single request says about itself: the options that every part of the pipeline can see.
 *
 * The features (retries, cookies, authentication, caching) add options of their own, and are written against `HttpRequest`,
 * which shows these. So these are a file of their own, below all features, and the whole is put together in `options.ts`.
 */
import type { ConditionalOptions } from "./body/conditional.ts";
import type { DecodeOptions } from "./body/decoding.ts";
import type { ProgressOptions } from "./body/incoming.ts";
import type { BodyOptions } from "./body/outgoing.ts";
import type { RangeOptions } from "./body/ranges.ts";
import type { HttpTimeouts } from "./errors.ts";
import type { ObserverOptions } from "./events.ts";
import type { HeadersInit } from "./headers.ts";
import type { StatusCheck } from "./limits.ts";
import type { Query } from "./target.ts";

/** Options of one request without those of the features. What is not given comes from the session. */
export interface PlainRequestOptions
  extends BodyOptions, ConditionalOptions, DecodeOptions, ObserverOptions, ProgressOptions, RangeOptions {
  /** Added to the session's, name by name; `undefined` takes one away. */
  readonly headers?: HeadersInit;
  /** Appended to the URL. */
  readonly query?: Query;
  /** Limits in milliseconds, each one on its own. */
  readonly timeout?: Partial<HttpTimeouts>;
  /** Which statuses throw `ResponseError`: `true` for 400 and more, a list, or a function of the status. Default: `false`. */
  readonly raiseForStatus?: StatusCheck;
  /** How many redirects to follow. Default: 10. */
  readonly maxRedirects?: number;
  /** `"manual"` gives the redirecting response itself. Default: `"follow"`. */
  readonly redirect?: "follow" | "manual";
  /** Limit of the response body. Default: 64 MiB for text, json and bytes; none for chunks. */
  readonly maxBodyBytes?: number;
}
