/**
 * A small router: for tests, demos and services with a handful of routes. Who needs more takes fastify or hono.
 *
 * Routes without placeholders are found in a map; the others are tried in the order in which they were written, segment by segment.
 */
import { describeValue, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation } from "../../core/index.ts";
import { HttpFailure, MalformedRequest } from "./failure.ts";
import type { Handler } from "./listener.ts";
import type { Answer } from "./reply.ts";
import type { RouteParams, ServerRequest } from "./server-request.ts";

/** Handlers by method and pattern: `"GET /users/:id"`. `*` as the last segment stands for the rest, `params["*"]`. */
export type RouteTable = Readonly<Record<string, Handler>>;

interface Route {
  readonly pattern: string;
  readonly segments: readonly string[];
  readonly methods: Map<string, Handler>;
}

/**
 * One handler from many. 404 for an unknown path; 405 with `allow` for an unknown method; HEAD is answered by GET.
 *
 * The pattern becomes the request's `route`, which names its task and its line in the log.
 * @throws {UsageError} for a key that is not a method and a path.
 * @example
 * yield* serve(routes({
 *   "GET /users/:id": function* (request) { return yield* loadUser(request.params.id!) },
 *   "POST /users": function* (request) { return reply({ status: 201, json: yield* addUser(yield* request.json()) }) },
 * }));
 */
export function routes(table: RouteTable): Handler {
  const fixed = new Map<string, Route>();
  const patterns = new Map<string, Route>();
  for (const [key, handler] of Object.entries(table)) {
    const [, method, pattern] = /^([A-Z]+) (\/\S*)$/.exec(key) ?? [];
    if (method === undefined || pattern === undefined || typeof handler !== "function") {
      const what = typeof handler === "function" ? JSON.stringify(key) : `${key}: ${describeValue(handler)}`;
      throw new UsageError(`a route is a method, a space and a path, with a handler: "GET /users/:id"; got ${what}`);
    }
    const known = /[:*]/.test(pattern) ? patterns : fixed;
    let route = known.get(pattern);
    if (route === undefined)
      known.set(pattern, (route = { pattern, segments: pattern.split("/"), methods: new Map() }));
    route.methods.set(method, handler);
  }
  const inOrder = [...patterns.values()];
  return (request) => find(request, fixed, inOrder);
}

function find(
  request: ServerRequest,
  fixed: ReadonlyMap<string, Route>,
  patterns: readonly Route[],
): Operation<Answer> {
  const { path } = request;
  const route = fixed.get(path);
  if (route !== undefined) return handle(request, route);
  const segments = path.split("/");
  for (const candidate of patterns) {
    const params = match(candidate.segments, segments);
    if (params === null) continue;
    request.params = params;
    return handle(request, candidate);
  }
  return refused(new HttpFailure(404));
}

function handle(request: ServerRequest, route: Route): Operation<Answer> {
  request.route = route.pattern;
  const { methods } = route;
  const handler = methods.get(request.method) ?? (request.method === "HEAD" ? methods.get("GET") : undefined);
  if (handler !== undefined) return handler(request);
  const allow = [...methods.keys(), ...(methods.has("GET") && !methods.has("HEAD") ? ["HEAD"] : [])].join(", ");
  return refused(new HttpFailure(405, { headers: { allow } }));
}

function match(pattern: readonly string[], path: readonly string[]): RouteParams | null {
  const params: Record<string, string> = {};
  for (let i = 0; i < pattern.length; i++) {
    const segment = pattern[i]!;
    if (segment === "*" && i === pattern.length - 1) {
      if (i >= path.length) return null;
      params["*"] = decoded(path.slice(i).join("/"));
      return params;
    }
    const value = path[i];
    if (value === undefined) return null;
    if (segment.startsWith(":")) {
      if (value === "") return null;
      params[segment.slice(1)] = decoded(value);
    } else if (segment !== value) return null;
  }
  return pattern.length === path.length ? params : null;
}

function decoded(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch (error) {
    throw new MalformedRequest("The path is not well-formed.", error);
  }
}

function* refused(failure: HttpFailure): Coroutine<never> {
  throw failure;
}
