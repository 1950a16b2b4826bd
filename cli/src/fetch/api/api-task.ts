/**
 * `api`: lists that come in pages, as lines of JSON.
 *
 * A page is a job of its own that comes back through the queue, so that rates, limits and pauses hold between the pages of a list, and a
 * page that failed is tried again by itself. The items of a page are printed when the whole page is there: never half of them.
 */
import { Cancelled, EventLoop } from "fibril";
import type { Coroutine } from "fibril";
import type { HttpResponse, Session } from "fibril/http";
import { attemptWithoutAnswer, NO_ANSWER, requestOf, requestOptions, retryAfterMs } from "../attempt.ts";
import type { Attempt } from "../attempt.ts";
import { failureOfStatus } from "../failure.ts";
import type { Failure } from "../failure.ts";
import type { Job } from "../job.ts";
import { OutputClosed, OutputFailed } from "../output-stream.ts";
import type { OutputStream } from "../output-stream.ts";
import type { Settings } from "../settings.ts";
import type { Tally } from "../tally.ts";
import type { FetchTask } from "../task.ts";
import { valueAt } from "../template.ts";
import { nextByCursor, nextLink } from "./next-page.ts";

export class ApiTask implements FetchTask {
  readonly findsMore = true;
  readonly mayRepeat = true;
  readonly printsFailures = false;
  readonly #settings: Settings;
  readonly #tally: Tally;
  readonly #output: OutputStream;
  #session: Session | null = null;

  constructor(settings: Settings, tally: Tally, output: OutputStream) {
    this.#settings = settings;
    this.#tally = tally;
    this.#output = output;
  }

  begin(session: Session): void {
    this.#session = session;
  }

  admit(): undefined {
    return undefined;
  }

  *attempt(job: Job): Coroutine<Attempt> {
    const { method, body } = requestOf(job, this.#settings);
    const startedAt = EventLoop.current().now();
    this.#tally.inHeaders++;
    try {
      const response = yield* this.#session!.request(method, job.url, requestOptions(job, body));
      if (response.status < 400) return yield* this.#emit(job, method, response);
      yield* response.discard();
      return { ...answered(method, response), failure: failureOfStatus(response.status) };
    } catch (error) {
      if (error instanceof Cancelled || error instanceof OutputClosed || error instanceof OutputFailed) throw error;
      return attemptWithoutAnswer(method, error, EventLoop.current().now() - startedAt);
    } finally {
      this.#tally.inHeaders--;
    }
  }

  *concluded(): Coroutine<void> {}

  close(): void {}

  *#emit(job: Job, method: string, response: HttpResponse): Coroutine<Attempt> {
    const answer = yield* response.json();
    const { api, maxPages } = this.#settings;
    const items = itemsOf(answer, api.items);
    const attempt = { ...answered(method, response), bytes: Number(response.headers.get("content-length") ?? 0) };
    this.#tally.receivedBytes += attempt.bytes;
    if (items === undefined)
      return { ...attempt, failure: failure("API_ITEMS", `there is no field "${api.items}" in the answer`) };
    const lines = items.map((item) => `${JSON.stringify(api.pick === undefined ? item : picked(item, api.pick))}\n`);
    if (lines.length > 0) yield* this.#output.write(lines.join(""));
    const next =
      api.cursor === undefined
        ? nextLink(response.headers.get("link"))
        : nextByCursor(answer, api.cursor, api.cursorParameter, job.url);
    if (next === undefined) return { ...attempt, failure: null };
    const page = (job.depth ?? 1) + 1;
    if (page > maxPages)
      return {
        ...attempt,
        failure: failure("API_PAGES", `there are more than ${maxPages} pages; --max-pages allows more`),
      };
    if (!URL.canParse(next, response.url))
      return { ...attempt, failure: failure("API_NEXT", `the next page is at no URL: ${next}`) };
    const url = new URL(next, response.url);
    if (url.href === response.url)
      return { ...attempt, failure: failure("API_NEXT", "the next page is this one again") };
    // The headers of the command line may have a key, and the answer must not choose who gets it.
    if (url.origin !== job.origin) {
      return { ...attempt, failure: failure("API_NEXT", `the next page is on another host: ${url.href}`) };
    }
    return { ...attempt, failure: null, found: [{ ...job, url: url.href, tries: 0, pardons: 0, depth: page }] };
  }
}

function answered(method: string, response: HttpResponse): Attempt {
  const { status, url: finalUrl, timings: timing } = response;
  return { ...NO_ANSWER, method, status, finalUrl, timing, failure: null, retryAfterMs: retryAfterMs(response) };
}

function failure(code: string, message: string): Failure {
  return { code, message, phase: "body", label: code, isTransient: false };
}

/** A list is its items, and anything else is one. */
function itemsOf(answer: unknown, field: string | undefined): readonly unknown[] | undefined {
  const value = field === undefined ? answer : valueAt(answer, field);
  if (value === undefined) return undefined;
  return Array.isArray(value) ? (value as unknown[]) : value === null ? [] : [value];
}

function picked(item: unknown, fields: readonly string[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(fields.map((field) => [field, valueAt(item, field) ?? null]));
}
