/**
 * Replay: the answers of a recording, without a network.
 *
 * Strict, the default, is for tests that check what a program asks: method, URL and body have to be those of the recording, and
 * each record answers once, in the order in which they were recorded. Loose is for tests that only need answers: the body
 * and the order of query parameters do not matter, and the last record of its kind answers again and again.
 */
import { describeValue, UsageError } from "../../core/index.ts";
import type { Coroutine } from "../../core/index.ts";
import type { HttpRequest } from "../http-request.ts";
import type { Transport } from "../middleware/middleware.ts";
import { HttpResponse } from "../response.ts";
import { ReplayMissError } from "./errors.ts";
import { grouped } from "./record.ts";
import { decodeBody, readRecording, REDACTED } from "./recording.ts";
import type { RecordedExchange } from "./recording.ts";
import { readRequestBody } from "./request-body.ts";

export interface ReplayOptions {
  /** Default: `"strict"`. */
  readonly mode?: "strict" | "loose";
}

/** A function for the option `transport`. */
export interface ReplayTransport extends Transport {
  /** Records that have answered nothing yet, as `GET https://…`. */
  readonly unused: readonly string[];
}

/**
 * The file is read by the call.
 * @throws {ReplayFileError} when it is not there or no recording.
 * @throws {ReplayMissError} from requests that it has no answer to.
 * @example
 * const session = yield* Session.open({ baseUrl: "https://api.example.org/", transport: replayTransport("users.json") });
 */
export function replayTransport(file: string, options: ReplayOptions = {}): ReplayTransport {
  const { mode = "strict" } = options;
  if (mode !== "strict" && mode !== "loose") {
    throw new UsageError(`the mode of a replay is "strict" or "loose", got ${describeValue(mode)}`);
  }
  const records = readRecording(file);
  const used = new Set<RecordedExchange>();
  const transport = function* replay(request: HttpRequest): Coroutine<HttpResponse> {
    const body = Buffer.from(yield* readRequestBody(request));
    const fitting = records.filter((record) =>
      mode === "strict" ? isSame(record, request, body) : isAlike(record, request),
    );
    const record = fitting.find((it) => !used.has(it)) ?? (mode === "loose" ? fitting.at(-1) : undefined);
    if (record === undefined)
      throw new ReplayMissError(file, request.method, request.url, nearest(records, used, request));
    used.add(record);
    const { status, headers, body: answer } = record.response;
    const kept = headers.filter(([, value]) => value !== REDACTED);
    return HttpResponse.of(request, { status, headers: grouped(kept), body: decodeBody(answer) });
  };
  return Object.defineProperties(transport, {
    unused: { get: () => records.filter((record) => !used.has(record)).map(nameOf) },
  }) as unknown as ReplayTransport;
}

function isSame({ request: recorded }: RecordedExchange, request: HttpRequest, body: Buffer): boolean {
  return recorded.method === request.method && recorded.url === request.url && body.equals(decodeBody(recorded.body));
}

function isAlike({ request: recorded }: RecordedExchange, request: HttpRequest): boolean {
  return recorded.method === request.method && sorted(recorded.url) === sorted(request.url);
}

function sorted(url: string): string {
  const parsed = new URL(url);
  parsed.searchParams.sort();
  return parsed.href;
}

/** Those for the same path, with what is different about them. */
function nearest(
  records: readonly RecordedExchange[],
  used: ReadonlySet<RecordedExchange>,
  { method, url }: HttpRequest,
): string[] {
  const { origin, pathname } = new URL(url);
  return records
    .filter(({ request }) => request.url.startsWith(origin + pathname))
    .map((record) => {
      const { request } = record;
      const why =
        request.method !== method
          ? "another method"
          : request.url !== url
            ? "another query"
            : used.has(record)
              ? "used already"
              : "another body";
      return `${nameOf(record)}: ${why}`;
    });
}

function nameOf({ request }: RecordedExchange): string {
  return `${request.method} ${request.url}`;
}
