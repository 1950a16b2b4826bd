/** One try: a request, and its body to where it belongs. Whatever goes wrong with it becomes part of the answer. */
import { createHash } from "node:crypto";
import { Cancelled, EventLoop } from "fibril";
import type { Coroutine } from "fibril";
import type { HttpResponse, RequestOptions, Session } from "fibril/http";
import { NOWHERE } from "./body-sink.ts";
import type { BodySink } from "./body-sink.ts";
import { failureOfOutput, failureOfRequest, failureOfStatus } from "./failure.ts";
import type { Failure } from "./failure.ts";
import type { Job } from "./job.ts";
import { OutputClosed } from "./output-stream.ts";
import type { Result } from "./result.ts";
import { parseRetryAfter } from "./retry.ts";
import type { Settings } from "./settings.ts";
import type { Tally } from "./tally.ts";

export interface Attempt extends Omit<Result, "line" | "url" | "attempts"> {
  readonly method: string;
  /** How long the server wants to be left alone. */
  readonly retryAfterMs: number | undefined;
}

export class Download {
  readonly #session: Session;
  readonly #settings: Settings;
  readonly #tally: Tally;

  constructor(session: Session, settings: Settings, tally: Tally) {
    this.#session = session;
    this.#settings = settings;
    this.#tally = tally;
  }

  /**
   * Cancelling leaves nothing in `sink`.
   * @throws {OutputClosed} when the sink is the standard output and nobody reads it any more.
   */
  *attempt(job: Job, sink: BodySink): Coroutine<Attempt> {
    job.tries++;
    const body = job.request?.body ?? this.#settings.data;
    const method = job.request?.method ?? this.#settings.method ?? (body === undefined ? "GET" : "POST");
    const startedAt = EventLoop.current().now();
    let response: HttpResponse;
    try {
      response = yield* this.#session.request(method, job.url, requestOptions(job, body));
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      const totalMs = EventLoop.current().now() - startedAt;
      const timing = { queueMs: null, connectMs: null, headersMs: null, bodyMs: null, totalMs };
      return { ...NO_ANSWER, method, timing, failure: failureOfRequest(error) };
    }
    const { status } = response;
    const received = yield* this.#receive(response, sink);
    const failure = received.failure ?? (status >= 400 ? failureOfStatus(status) : null);
    return {
      method,
      status,
      finalUrl: response.url,
      ...received,
      failure,
      timing: response.timings,
      retryAfterMs: retryAfterMs(response),
    };
  }

  *#receive(response: HttpResponse, wanted: BodySink): Coroutine<Received> {
    // An error page must not be taken for the file. On a screen it explains more than the status does.
    const sink = response.status >= 400 && !this.#settings.wanted.body ? NOWHERE : wanted;
    const hash = createHash("sha256");
    let bytes = 0;
    let isWriting = false;
    try {
      for (let chunk = yield* response.chunk(); chunk !== undefined; chunk = yield* response.chunk()) {
        bytes += chunk.byteLength;
        this.#tally.receivedBytes += chunk.byteLength;
        hash.update(chunk);
        isWriting = true;
        yield* sink.write(chunk);
        isWriting = false;
      }
      isWriting = true;
      const output = yield* sink.finish();
      return { bytes, sha256: hash.digest("hex"), output, failure: null };
    } catch (error) {
      response.close();
      yield* sink.abandon();
      if (error instanceof Cancelled || error instanceof OutputClosed) throw error;
      return {
        bytes,
        sha256: null,
        output: null,
        failure: isWriting ? failureOfOutput(error) : failureOfRequest(error),
      };
    }
  }
}

function requestOptions({ request }: Job, body: unknown): RequestOptions {
  return {
    ...(request === null ? {} : { headers: request.headers }),
    ...(body === undefined ? {} : typeof body === "string" ? { body } : { json: body }),
  };
}

interface Received {
  readonly bytes: number;
  readonly sha256: string | null;
  readonly output: string | null;
  readonly failure: Failure | null;
}

const NO_ANSWER = { status: null, finalUrl: null, bytes: null, sha256: null, output: null, retryAfterMs: undefined };

function retryAfterMs(response: HttpResponse): number | undefined {
  if (response.status !== 429 && response.status !== 503) return undefined;
  return parseRetryAfter(response.headers.get("retry-after"), Date.now());
}
