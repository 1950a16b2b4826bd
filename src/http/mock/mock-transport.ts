/**
 * A transport that answers what a test says, without a socket: the rest of the session is the real one.
 *
 * Redirects, retries, cookies, credentials, caches and limits work as they do with a server, and on a loop with a virtual
 * clock a server that is slow takes no time. A request that no route wants is an error, never a call to the network.
 */
import type { Coroutine } from "../../core/index.ts";
import type { HttpRequest } from "../http-request.ts";
import type { Transport } from "../middleware/middleware.ts";
import type { HttpResponse } from "../response.ts";
import { MockCall } from "./calls.ts";
import { MockNotDoneError, UnmatchedRequestError } from "./errors.ts";
import type { UrlPattern } from "./patterns.ts";
import { headersOf, readRequestBody } from "./request-body.ts";
import { MockRoute } from "./route.ts";

/** A function for the option `transport`, and what a test says and asks. */
export interface MockTransport extends Transport {
  /** Every request so far that a route has answered, in order. */
  readonly calls: readonly MockCall[];
  /**
   * Adds a route; the first one that fits answers. Without a reply it answers 200 with nothing.
   * @param method Such as `"GET"`; `"*"` for all.
   * @param url `"/users/:id"` at any host, `"https://api.example.org/users/:id"`, a RegExp for the whole URL, or a function.
   */
  on(method: string, url: UrlPattern): MockRoute;
  /** @throws {MockNotDoneError} when a route was not asked as often as `times` says, or not at all. */
  assertDone(): void;
  /** Takes all routes and calls away. */
  reset(): void;
}

/**
 * @example
 * const mock = mockTransport();
 * mock.on("GET", "/users/:id").reply((call) => ({ json: { id: Number(call.params.id) } }));
 * const session = yield* Session.open({ baseUrl: "https://api.example.org/", transport: mock });
 * console.log(yield* (yield* session.get("users/7")).json());   // { id: 7 }
 */
export function mockTransport(): MockTransport {
  const book = new MockBook();
  const transport = function mock(request: HttpRequest): Coroutine<HttpResponse> {
    return book.answer(request);
  };
  return Object.defineProperties(transport, {
    calls: { get: () => book.calls },
    on: { value: (method: string, url: UrlPattern) => book.on(method, url) },
    assertDone: { value: () => book.assertDone() },
    reset: { value: () => book.reset() },
  }) as unknown as MockTransport;
}

class MockBook {
  calls: MockCall[] = [];
  #routes: MockRoute[] = [];

  on(method: string, url: UrlPattern): MockRoute {
    const route = new MockRoute(method, url);
    this.#routes.push(route);
    return route;
  }

  assertDone(): void {
    const open = this.#routes.filter((route) => !route.isDone);
    if (open.length > 0) throw new MockNotDoneError(open.map(String));
  }

  reset(): void {
    this.calls = [];
    this.#routes = [];
  }

  *answer(request: HttpRequest): Coroutine<HttpResponse> {
    const body = yield* readRequestBody(request);
    const url = new URL(request.url);
    const text = Buffer.from(body).toString("utf8");
    const whyNot: string[] = [];
    for (const route of this.#routes) {
      const params = route.match(request, url, text);
      if (typeof params === "string") {
        whyNot.push(`${String(route)}: ${params}`);
        continue;
      }
      const { method, attempt } = request;
      const at = request.call.loop.now();
      const call = new MockCall({ method, url: request.url, headers: headersOf(request), body, params, attempt, at });
      this.calls.push(call);
      return yield* route.answer(request, call);
    }
    throw new UnmatchedRequestError(request.method, request.url, whyNot);
  }
}
