/**
 * One route of a mock: which requests it answers, with what, and how often.
 */
import { describeValue, isOperation, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation } from "../../core/index.ts";
import { checkCount } from "../limits.ts";
import type { HttpRequest } from "../http-request.ts";
import type { HttpResponse } from "../response.ts";
import type { MockCall } from "./calls.ts";
import { misfit, urlMatcher } from "./patterns.ts";
import type { Params, RequestPattern, UrlMatcher, UrlPattern } from "./patterns.ts";
import { answer, checkReply, failAs } from "./replies.ts";
import type { MockFailure, MockFailureOptions, MockReply } from "./replies.ts";

/** A reply, or what makes one for a call; it may wait. */
export type ReplySource = MockReply | ((call: MockCall) => MockReply | Operation<MockReply>);

type Step = (request: HttpRequest, call: MockCall) => Operation<HttpResponse>;

/**
 * Replies and failures are used one after the other, each for one request; the last one for all that follow.
 * @example
 * mock.on("GET", "/users/:id").fail("reset").reply({ status: 503 }).reply({ json: { id: 7 } });
 */
export class MockRoute {
  readonly method: string;
  /** The calls that it has answered. */
  readonly calls: MockCall[] = [];
  readonly #label: string;
  readonly #url: UrlMatcher;
  readonly #patterns: RequestPattern[] = [];
  readonly #steps: Step[] = [];
  #limit = Infinity;

  /** Use `mock.on()`. @internal */
  constructor(method: string, url: UrlPattern) {
    if (typeof method !== "string")
      throw new UsageError(`the method of a route is a text, got ${describeValue(method)}`);
    this.method = method.toUpperCase();
    this.#url = urlMatcher(url);
    this.#label = `${this.method} ${typeof url === "function" ? `(function ${url.name})` : String(url)}`;
  }

  /** Narrows it: headers, query, body. All of several have to fit. */
  where(pattern: RequestPattern): this {
    this.#patterns.push(pattern);
    return this;
  }

  /** Adds a reply. */
  reply(reply: ReplySource): this {
    if (typeof reply !== "function") checkReply(reply);
    this.#steps.push(function* (request, call): Coroutine<HttpResponse> {
      const made = typeof reply === "function" ? reply(call) : reply;
      return yield* answer(
        request,
        checkReply(isOperation(made) ? yield* made as Operation<MockReply> : (made as MockReply)),
      );
    });
    return this;
  }

  /** Adds a failure. */
  fail(failure: MockFailure, options: MockFailureOptions = {}): this {
    checkReply(options);
    this.#steps.push((request) => failAs(request, failure, options));
    return this;
  }

  /** Adds a redirect. One to itself is a loop. */
  redirect(location: string, status: 301 | 302 | 303 | 307 | 308 = 302): this {
    return this.reply({ status, headers: { location } });
  }

  /** Answers one request; then it is as if it were not there, and `assertDone` wants that one. */
  once(): this {
    return this.times(1);
  }

  /** Answers this many requests, and `assertDone` wants all of them. */
  times(count: number): this {
    checkCount("times", count, 1);
    this.#limit = count;
    return this;
  }

  /** Answers any number of requests: the default. */
  persist(): this {
    this.#limit = Infinity;
    return this;
  }

  /** Whether it was asked as often as was said: at least once without `times`. @internal */
  get isDone(): boolean {
    return this.calls.length >= (this.#limit === Infinity ? 1 : this.#limit);
  }

  /** For messages: what it answers and how often it has. */
  toString(): string {
    const wanted = this.#limit === Infinity ? "" : ` of ${this.#limit}`;
    return `${this.#label} (asked ${this.calls.length}${wanted} time${this.calls.length === 1 && wanted === "" ? "" : "s"})`;
  }

  /** The parameters when it fits, else why it does not. @internal */
  match(request: HttpRequest, url: URL, text: string): Params | string {
    if (this.calls.length >= this.#limit) return "used up";
    if (this.method !== "*" && this.method !== request.method) return "another method";
    const params = this.#url(url);
    if (params === null) return "another URL";
    const view = { url, text, header: (name: string) => request.header(name) };
    for (const pattern of this.#patterns) {
      const why = misfit(pattern, view);
      if (why !== null) return why;
    }
    return params;
  }

  /** @internal */
  answer(request: HttpRequest, call: MockCall): Operation<HttpResponse> {
    const step = this.#steps[Math.min(this.calls.length, this.#steps.length - 1)];
    this.calls.push(call);
    return step === undefined ? answer(request, {}) : step(request, call);
  }
}
