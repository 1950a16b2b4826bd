/**
 * What a response is told by: the exchange that brought it, its body, and the call that it belongs to.
 *
 * A response from the network and one that was made are read in the same ways. What they have in common is here: the class itself
 * knows neither sockets nor sources.
 */
import type { Operation } from "../core/index.ts";
import type { LoopPort } from "../lowlevel.ts";
import type { Redirect, RequestSubject } from "./errors.ts";
import type { Holdings } from "./holdings.ts";

/** Headers as undici gives them: lower-case names. @package */
export type HeaderFields = Readonly<Record<string, string | string[] | undefined>>;

/** Where the time went, in milliseconds. With redirects, the phases are the sums over all requests. */
export interface HttpTimings {
  /** In line for a connection. */
  readonly queueMs: number;
  /** Until the connection stood; next to nothing on one that was kept. */
  readonly connectMs: number;
  /** From then to the response headers. */
  readonly headersMs: number;
  /** From the headers to the end of the body; so far, while it has not ended. */
  readonly bodyMs: number;
  /** From the call to the end of the body; so far, while it has not ended. */
  readonly totalMs: number;
}

/** What brought a response, a transfer or whoever made it, as far as the response tells of it. @package */
export interface ResponseCarrier {
  readonly subject: RequestSubject;
  readonly status: number;
  readonly statusText: string;
  readonly responseHeaders: HeaderFields;
  /** "ended" when the body has ended. */
  readonly phase: string;
  /** When it entered that phase, on the loop's clock. */
  readonly since: number;
  readonly queueMs: number;
  readonly connectMs: number;
  readonly headersMs: number;
  readonly bodyMs: number;
}

/** What an aborted signal ends, and what tells it that there is nothing left to end. @package */
export interface BodyEnding {
  /** Ends a body that has not ended, with an error for whoever reads. */
  fail(error: unknown): void;
  /** Called once, when the body ends. */
  onEnd: (() => void) | null;
}

/** The body, however it comes. @package */
export interface BodyAccess {
  /** The content encodings that are undone, in this order. */
  readonly encodings?: readonly { readonly name: string }[] | null;
  readonly ending: BodyEnding;
  /** Gives it to the current scope, unless it has ended. */
  adopt(): void;
  chunk(): Operation<Uint8Array | undefined>;
  collect(limitBytes: number): Operation<readonly Uint8Array[]>;
  discard(): Operation<void>;
  /** Takes it from its scope: whoever has the response has the body now. */
  release(): void;
  iterate(): AsyncIterableIterator<Uint8Array>;
  close(): void;
}

/** The time of the exchanges before. @package */
export type EarlierTimes = Pick<HttpTimings, "queueMs" | "connectMs" | "headersMs" | "bodyMs">;

/** What came before the exchange that brought the response. @package */
export class ResponseOrigin {
  readonly loop: LoopPort;
  readonly holdings: Holdings | null;
  /** When the request was made, on the loop's clock. */
  readonly startedAt: number;
  readonly redirects: readonly Redirect[];
  readonly earlier: EarlierTimes;
  /** Limit of text, json and bytes. */
  readonly maxBodyBytes: number;

  constructor(
    { loop, holdings }: { readonly loop: LoopPort; readonly holdings: Holdings | null },
    startedAt: number,
    redirects: readonly Redirect[],
    earlier: EarlierTimes,
    maxBodyBytes: number,
  ) {
    this.loop = loop;
    this.holdings = holdings;
    this.startedAt = startedAt;
    this.redirects = redirects;
    this.earlier = earlier;
    this.maxBodyBytes = maxBodyBytes;
  }
}
