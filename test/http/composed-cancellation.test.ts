/**
 * Cancelling a request of the pipeline at each of its steps: redirects, retries, middlewares, streaming body.
 */
import { sleep, yieldNow } from "fibril";
import type { Coroutine } from "fibril";
import type { HttpResponse, Middleware, Session } from "fibril/http";
import { describe, expect, test } from "vitest";
import { startHttpServer } from "./servers.ts";
import type { HttpTestServer } from "./servers.ts";
import { socketSweep } from "./sweep.ts";
import { undiciVersions } from "./undici-versions.ts";

/** How often `/shaky` was asked in this run. */
let asked = 0;

/** `/moved` leads to `/shaky`, which works the second time, and gives 400 KB. */
function startShaky(): Promise<HttpTestServer> {
  asked = 0;
  return startHttpServer((request, response) => {
    if (request.url === "/moved")
      response.writeHead(307, { location: "/shaky", "content-length": 1_000_000 }).write("x");
    else if (asked++ === 0) response.writeHead(503).end("not now");
    else for (let i = 0; i < 4; i++) response[i < 3 ? "write" : "end"](Buffer.alloc(100_000));
  });
}

describe.each(undiciVersions)("cancelled at any step on %s", (_, undici) => {
  test("redirect, retry, middleware and streaming body leave nothing", async () => {
    await using server = await startShaky();
    let open = 0;
    const controller = new AbortController();
    const middleware: Middleware = function* (request, next) {
      open++;
      try {
        yield* yieldNow();
        const response = yield* next(request);
        yield* sleep(0);
        return response.status === 200 ? response.with({ body: halves(response) }) : response;
      } finally {
        open--;
      }
    };
    const again: Middleware = function* (request, next) {
      let response = yield* next(request);
      for (let i = 0; response.status === 503 && i < 3; i++) {
        yield* response.discard();
        yield* sleep(1);
        response = yield* next(request);
      }
      return response;
    };
    function* work(session: Session): Coroutine<void> {
      const response = yield* session.post("/moved", { body: ["a", "b"], signal: controller.signal });
      let size = 0;
      for (let chunk = yield* response.chunk(); chunk !== undefined; chunk = yield* response.chunk()) {
        size += chunk.byteLength;
      }
      expect(size).toBe(400_000);
    }
    const options = {
      undici,
      baseUrl: server.origin,
      limit: 1,
      middleware: [again, middleware],
      timeout: { totalMs: 20_000 },
    };
    const sweep = await socketSweep(server, options, work, () => {
      asked = 0;
      expect(open).toBe(0);
    });
    expect(sweep.cancelled).toBeGreaterThan(12);
  });

  test("so does the library's own retry", async () => {
    await using server = await startShaky();
    function* work(session: Session): Coroutine<void> {
      const response = yield* session.put("/shaky", { body: "x", retry: { attempts: 3, baseMs: 1 } });
      expect(yield* response.bytes()).toHaveLength(400_000);
    }
    const sweep = await socketSweep(server, { undici, baseUrl: server.origin, limit: 1 }, work, () => {
      asked = 0;
    });
    expect(sweep.cancelled).toBeGreaterThanOrEqual(4);
  });
});

function halves(response: HttpResponse): { next(): Coroutine<IteratorResult<Uint8Array, undefined>> } {
  let rest: Uint8Array | undefined;
  return {
    *next() {
      const value = rest ?? (yield* response.chunk());
      if (value === undefined) return { done: true, value };
      const half = value.byteLength >> 1;
      rest = rest === undefined && half > 0 ? value.subarray(half) : undefined;
      yield* yieldNow();
      return { done: false, value: rest === undefined ? value : value.subarray(0, half) };
    },
  };
}
