/**
 * What all requests of a session share: the connections, and the defaults that each request starts from.
 *
 * A view of a session (`session.with`) is a second context with other defaults on the same connections. Everything is
 * checked when the context is made, so a wrong option is told where it was written and not by the first request.
 */
import { UsageError } from "../core/index.ts";
import type { LoopPort } from "../lowlevel.ts";
import { DEFAULT_DECODING, decodingOf } from "./body/decoding.ts";
import type { DecodeOptions, Decoding } from "./body/decoding.ts";
import { ACCEPT_ENCODING, withEncodings } from "./body/encodings.ts";
import type { ConnectionPool } from "./connect/pool.ts";
import type { HttpTimeouts } from "./errors.ts";
import type { ObserverHub } from "./events.ts";
import { mergeHeaders } from "./headers.ts";
import type { HeadersInit, OutgoingHeaders } from "./headers.ts";
import type { Holdings } from "./holdings.ts";
import { checkCount, checkStatusCheck, checkTimeouts, DEFAULT_TIMEOUTS } from "./limits.ts";
import type { StatusCheck } from "./limits.ts";
import { parseBaseUrl } from "./target.ts";
import type { BaseUrl } from "./target.ts";

/** @package */
export interface SessionContext {
  readonly loop: LoopPort;
  readonly pool: ConnectionPool;
  readonly holdings: Holdings;
  readonly observers: ObserverHub;
  readonly sessionName: string;
  readonly base: BaseUrl | undefined;
  readonly headers: OutgoingHeaders;
  readonly timeouts: HttpTimeouts;
  readonly raiseForStatus: StatusCheck;
  readonly maxRedirects: number;
  readonly maxBodyBytes: number | undefined;
  /** `null` when bodies are given as they come. */
  readonly decoding: Decoding | null;
}

/** The defaults of a session's requests. */
export interface DefaultOptions extends DecodeOptions {
  /** What relative URLs are relative to. Ends in "/". */
  readonly baseUrl?: string | URL;
  /** Sent with every request. Over the defaults `accept: *\/*`, `user-agent: fibril` and `accept-encoding`, see `decompress`. */
  readonly headers?: HeadersInit;
  /** Limits in milliseconds; see `HttpTimeouts` for the defaults. */
  readonly timeout?: Partial<HttpTimeouts>;
  /** Limit of a response body. Default: 64 MiB for text, json and bytes; none for chunks. */
  readonly maxBodyBytes?: number;
  /** How many redirects to follow. Default: 10. */
  readonly maxRedirects?: number;
  /** Which statuses throw `ResponseError`: `true` for 400 and more, a list, or a function of the status. Default: `false`. */
  readonly raiseForStatus?: StatusCheck;
}

type Defaults = Pick<
  SessionContext,
  "base" | "headers" | "timeouts" | "raiseForStatus" | "maxRedirects" | "maxBodyBytes" | "decoding"
>;

const FIRST_DEFAULTS: Defaults = Object.freeze({
  base: undefined,
  headers: Object.freeze(["accept", "*/*", "user-agent", "fibril", "accept-encoding", ACCEPT_ENCODING]),
  timeouts: DEFAULT_TIMEOUTS,
  raiseForStatus: false,
  maxRedirects: 10,
  maxBodyBytes: undefined,
  decoding: DEFAULT_DECODING,
});

/** `options` over the defaults of another session, or over those of the library. */
export function makeDefaults(options: DefaultOptions, over: Defaults = FIRST_DEFAULTS): Defaults {
  const { baseUrl, headers, timeout, raiseForStatus, maxRedirects, maxBodyBytes } = options;
  if (maxRedirects !== undefined) checkCount("maxRedirects", maxRedirects, 0);
  if (maxBodyBytes !== undefined) checkCount("maxBodyBytes", maxBodyBytes, 0);
  checkStatusCheck(raiseForStatus);
  const base = baseUrl === undefined ? over.base : parseBaseUrl(relativeTo(over.base, baseUrl));
  const subject = { method: "GET", url: base?.url.href ?? "" };
  const own = withEncodings(over.headers, options.decompress);
  return {
    base,
    headers: headers === undefined ? own : mergeHeaders(own, headers, subject),
    timeouts: checkTimeouts(timeout, over.timeouts),
    raiseForStatus: raiseForStatus ?? over.raiseForStatus,
    maxRedirects: maxRedirects ?? over.maxRedirects,
    maxBodyBytes: maxBodyBytes ?? over.maxBodyBytes,
    decoding: decodingOf(options, over.decoding),
  };
}

function relativeTo(base: BaseUrl | undefined, url: string | URL): string | URL {
  return base !== undefined && URL.canParse(String(url), base.url.href) ? new URL(String(url), base.url) : url;
}

/** @throws {UsageError} when the session belongs to another loop. */
export function checkLoop(context: SessionContext, loop: LoopPort): void {
  if (loop === context.loop) return;
  const other = context.loop.name === loop.name ? "another loop of that name" : `loop "${loop.name}"`;
  throw new UsageError(
    `session "${context.sessionName}" belongs to loop "${context.loop.name}" and cannot be used in ${other}; each run() has a loop of its own: open the session inside of it, or share one loop by { loop } or a Runner`,
  );
}
