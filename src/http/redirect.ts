/**
 * Where a redirect of the composed path leads: the next request, or none.
 *
 * The rules are those of the plain path (`target.ts`). The next request is made from the one before the middlewares, because they
 * run on it again; the target is relative to where the response came from, which a middleware may have changed.
 */
import { NO_BODY } from "./body/outgoing.ts";
import { BodyConsumedError, TooManyRedirects } from "./errors.ts";
import type { HttpRequest } from "./http-request.ts";
import type { HttpResponse } from "./response.ts";
import { isRedirect, redirectHeaders, redirectMethod, redirectTarget } from "./target.ts";

/**
 * What `response` sends `request` on to; `null` when it is the answer.
 * @throws {TooManyRedirects} {InvalidUrlError} {BodyConsumedError}
 */
export function nextHop(request: HttpRequest, response: HttpResponse, maxRedirects: number): HttpRequest | null {
  const { status } = response;
  if (!isRedirect(status) || request.options.redirect === "manual") return null;
  const [location, another] = response.headers.getAll("location");
  if (location === undefined || another !== undefined) return null; // as the plain path: several are as good as none
  const { parts } = request;
  const target = redirectTarget(request.method, response.url, location);
  const step = { status, url: response.url, location: target.url };
  const redirects = [...request.redirects, step];
  if (redirects.length > maxRedirects) throw new TooManyRedirects(request, redirects);
  const method = redirectMethod(request.method, status);
  const keepsBody = method === request.method;
  if (keepsBody && !request.isReplayable) throw new BodyConsumedError(request, status);
  const headers = redirectHeaders(parts.headers, request.origin, target.origin, keepsBody);
  return request.redirected({ method, target, headers, body: keepsBody ? parts.body : NO_BODY }, step);
}
