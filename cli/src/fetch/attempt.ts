/** What one try has come to. */
import type { HttpResponse, RequestOptions } from "fibril/http";
import { failureOfRequest } from "./failure.ts";
import type { Failure } from "./failure.ts";
import type { Job } from "./job.ts";
import type { Result } from "./result.ts";
import { parseRetryAfter } from "./retry.ts";
import type { Settings } from "./settings.ts";

export interface Attempt extends Omit<Result, "line" | "url" | "attempts"> {
  readonly method: string;
  /** How long the server wants to be left alone. */
  readonly retryAfterMs: number | undefined;
  /** What the server has is what is there already. */
  readonly isUnchanged?: boolean;
  /** It was not asked, because the host does not want it. */
  readonly isLeftOut?: boolean;
  /** Further jobs that came to light: the next page of a list, the links of a page. */
  readonly found?: readonly Job[];
}

/** The method and the body of a job, with what the command line says about all of them. */
export function requestOf({ request }: Job, settings: Settings): { readonly method: string; readonly body: unknown } {
  const body = request?.body ?? settings.data;
  return { method: request?.method ?? settings.method ?? (body === undefined ? "GET" : "POST"), body };
}

export type HeaderList = [string, string | readonly string[]][];

const NO_HEADERS: HeaderList = [];
const NO_OPTIONS: RequestOptions = {};

export function requestOptions({ request }: Job, body: unknown, added: HeaderList = NO_HEADERS): RequestOptions {
  if (request === null && body === undefined && added.length === 0) return NO_OPTIONS;
  const headers = [...(request?.headers ?? []), ...added];
  return {
    ...(headers.length === 0 ? {} : { headers }),
    ...(body === undefined ? {} : typeof body === "string" ? { body } : { json: body }),
  };
}

export const NO_ANSWER = {
  status: null,
  finalUrl: null,
  bytes: null,
  sha256: null,
  output: null,
  retryAfterMs: undefined,
} as const;

/** The try ended before there was an answer. */
export function attemptWithoutAnswer(method: string, error: unknown, totalMs: number): Attempt {
  const timing = { queueMs: null, connectMs: null, headersMs: null, bodyMs: null, totalMs };
  return { ...NO_ANSWER, method, timing, failure: failureOfRequest(error) satisfies Failure };
}

export function retryAfterMs(response: HttpResponse): number | undefined {
  if (response.status !== 429 && response.status !== 503) return undefined;
  return parseRetryAfter(response.headers.get("retry-after"), Date.now());
}
