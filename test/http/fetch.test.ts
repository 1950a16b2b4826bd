/**
 * `session.fetch` beside the standard: the same program on both has to see the same, except for the connections.
 */
import { run, sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import { HttpResponse, Session } from "fibril/http";
import type { Fetch, Middleware, SessionOptions, Transport } from "fibril/http";
import { describe, expect, test } from "vitest";
import { atRest, NOTHING, withSession } from "./harness.ts";
import { hostTurn } from "./manual-time.ts";
import { bodyOf, startHttpServer, startRawServer } from "./servers.ts";
import type { HttpTestServer } from "./servers.ts";
import { undiciVersions } from "./undici-versions.ts";

const undici = undiciVersions[0]![1];
const platformFetch = fetch;
const WITH_BODY: RequestInit = { body: "x" };

type Sendable = ConstructorParameters<typeof Response>[0];

interface Echo {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Shows what arrived; `/go/302?to=/x` redirects; `/large` gives a megabyte. */
function startEcho(): Promise<HttpTestServer> {
  return startHttpServer((request, response) => {
    const url = new URL(request.url!, "http://h");
    const status = /^\/go\/(\d+)$/.exec(url.pathname)?.[1];
    if (status !== undefined)
      response.writeHead(Number(status), { location: url.searchParams.get("to")! }).end("moved");
    else if (url.pathname === "/large") response.end(Buffer.alloc(1_000_000, "x"));
    else if (url.pathname === "/endless") response.write("x");
    else if (url.pathname === "/empty") response.writeHead(204, { "x-a": "1" }).end();
    else if (url.pathname === "/teapot")
      response.writeHead(418, "Short and stout", { "set-cookie": ["a=1", "b=2"] }).end("no");
    else {
      void bodyOf(request).then((body) => {
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body }));
      });
    }
  });
}

/** Runs promise code with the `fetch` of a session, and sees that nothing is left of it. */
async function withFetch<T>(
  use: (fetch: Fetch, session: Session) => Promise<T>,
  options: SessionOptions = {},
): Promise<T> {
  return await withSession(undici, options, function* (session) {
    return yield* until(use(session.fetch, session));
  });
}

/** What a promise rejects with. */
async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

describe("fetch of a session", () => {
  type Use = (fetch: Fetch, origin: string) => Promise<unknown>;

  const same: Record<string, Use> = {
    "a GET": async (fetch, origin) => await shown(await fetch(`${origin}/a?b#c`)),
    "a URL object": async (fetch, origin) => await shown(await fetch(new URL("/a", origin))),
    "a method in lower case": async (fetch, origin) =>
      await shown(await fetch(`${origin}/a`, { method: "put", body: "x" })),
    "a method of one's own": async (fetch, origin) => await shown(await fetch(`${origin}/a`, { method: "REPORT" })),
    HEAD: async (fetch, origin) => await shown(await fetch(`${origin}/a`, { method: "HEAD" })),
    "no content": async (fetch, origin) => await shown(await fetch(`${origin}/empty`)),
    "an error status": async (fetch, origin) => {
      const response = await fetch(`${origin}/teapot`);
      return [await shown(response), response.statusText, response.ok, response.headers.getSetCookie()];
    },
    "headers as a record, pairs, Headers": async (fetch, origin) => {
      const texts: unknown[] = [];
      for (const headers of [{ "X-A": "1" }, [["x-a", "2"]] as [string, string][], new Headers({ "x-a": "3" })]) {
        texts.push((await echoed(await fetch(origin, { headers }))).headers["x-a"]);
      }
      return texts;
    },
    "a text body": async (fetch, origin) => await sent(fetch, origin, "grüße"),
    bytes: async (fetch, origin) => await sent(fetch, origin, new TextEncoder().encode("bytes")),
    "an ArrayBuffer": async (fetch, origin) => await sent(fetch, origin, new TextEncoder().encode("bytes").buffer),
    "a form": async (fetch, origin) => await sent(fetch, origin, new URLSearchParams({ a: "1 2", b: "ü" })),
    "a Blob": async (fetch, origin) => await sent(fetch, origin, new Blob(["blob"], { type: "text/x-blob" })),
    "a Blob without type": async (fetch, origin) => await sent(fetch, origin, new Blob(["blob"])),
    "an empty text": async (fetch, origin) => await sent(fetch, origin, ""),
    FormData: async (fetch, origin) => {
      const form = new FormData();
      form.set("a", "1");
      form.set("file", new File(["content"], "a.txt", { type: "text/plain" }));
      const { headers, body } = await echoed(await fetch(origin, { method: "POST", body: form }));
      const boundary = /^multipart\/form-data; ?boundary="?([^"]+)"?$/.exec(headers["content-type"]!)?.[1];
      const parts = body.split(`--${boundary}`).map((part) => part.trim().split("\r\n").toSorted());
      return parts.filter((part) => part[0] !== "" || part.length > 1);
    },
    "a stream": async (fetch, origin) => {
      const body = new Blob(["a", "b"]).stream();
      return (await echoed(await fetch(origin, { method: "POST", body, duplex: "half" } as RequestInit))).body;
    },
    "a Request": async (fetch, origin) => {
      const request = new Request(`${origin}/r`, { method: "POST", body: "of the request", headers: { "x-a": "1" } });
      const { method, url, headers, body } = await echoed(await fetch(request));
      return [method, url, headers["x-a"], headers["content-type"], headers["content-length"], body];
    },
    "a Request and changes to it": async (fetch, origin) => {
      const request = new Request(`${origin}/r`, { method: "POST", body: "old", headers: { "x-a": "1" } });
      const init = { method: "PUT", body: "new", headers: { "x-b": "2" } };
      const { method, headers, body } = await echoed(await fetch(request, init));
      return [method, headers["x-a"], headers["x-b"], headers["content-type"], body];
    },
    redirects: async (fetch, origin) => {
      const response = await fetch(`${origin}/go/302?to=/go/301%3Fto%3D%2Fend`, { method: "POST", body: "x" });
      const { method, url, body } = await echoed(response.clone());
      return [
        response.url.slice(origin.length),
        response.redirected,
        method,
        url,
        body,
        (await response.json()) !== null,
      ];
    },
    "a redirect that asks for the body again": async (fetch, origin) => {
      return (await echoed(await fetch(`${origin}/go/307?to=/end`, { method: "POST", body: "again" }))).body;
    },
    "a redirect of a Request that asks for the body again": async (fetch, origin) => {
      const request = new Request(`${origin}/go/308?to=/end`, { method: "PUT", body: "again" });
      return (await echoed(await fetch(request))).body;
    },
    "redirect: manual": async (fetch, origin) => {
      const response = await fetch(`${origin}/go/302?to=/end`, { redirect: "manual" });
      return [response.status, response.headers.get("location"), response.redirected, await response.text()];
    },
    "redirect: error": async (fetch, origin) => await failure(fetch(`${origin}/go/302?to=/end`, { redirect: "error" })),
    "a body with GET": async (fetch, origin) => await failure(fetch(origin, { ...WITH_BODY })),
    "a stream without duplex": async (fetch, origin) =>
      await failure(fetch(origin, { method: "POST", body: new Blob(["x"]).stream() })),
    "no URL": async (fetch) => await failure(fetch("http://")),
    "a refused connection": async (fetch) => await failure(fetch("http://127.0.0.1:1/")),
    "a signal that has aborted": async (fetch, origin) => await failure(fetch(origin, { signal: AbortSignal.abort() })),
    "a signal that aborts with a reason": async (fetch, origin) => {
      const controller = new AbortController();
      const promise = failure(fetch(`${origin}/hold`, { signal: controller.signal }));
      setTimeout(() => controller.abort(new RangeError("mine")), 20);
      return await promise;
    },
    "a signal of a Request": async (fetch, origin) => {
      const signal = AbortSignal.timeout(20);
      return await failure(fetch(new Request(`${origin}/hold`, { signal })));
    },
    "a signal that aborts in the body": async (fetch, origin) => {
      const controller = new AbortController();
      const response = await fetch(`${origin}/endless`, { signal: controller.signal });
      const text = failure(response.text());
      controller.abort();
      return await text;
    },
    "the pieces of a body": async (fetch, origin) => {
      let size = 0;
      for await (const chunk of (await fetch(`${origin}/large`)).body!) size += chunk.byteLength;
      return size;
    },
    "a BYOB reader": async (fetch, origin) => {
      const reader = (await fetch(`${origin}/large`)).body!.getReader({ mode: "byob" });
      let size = 0;
      for (;;) {
        const { done, value } = await reader.read(new Uint8Array(10_000));
        if (done) return size;
        size += value.byteLength;
      }
    },
    "a clone": async (fetch, origin) => {
      const response = await fetch(`${origin}/teapot`);
      const clone = response.clone();
      return [clone.url.slice(origin.length), await clone.text(), await response.text(), clone.type];
    },
    "arrayBuffer, blob, formData": async (fetch, origin) => {
      const buffer = await (await fetch(`${origin}/large`)).arrayBuffer();
      const blob = await (await fetch(`${origin}/a`)).blob();
      return [buffer.byteLength, blob.type];
    },
  };

  test.each(Object.keys(same))("does as the platform's does: %s", async (name) => {
    await using server = await startEcho();
    const expected = await same[name]!(platformFetch as Fetch, server.origin);
    const seen = await withFetch((fetch) => same[name]!(fetch, server.origin));
    expect(seen).toEqual(expected);
  });

  test("needs no this, is one function, and gives a real Response", async () => {
    await using server = await startEcho();
    await withFetch(
      async (_, session) => {
        const { fetch } = session;
        expect(fetch).toBe(session.fetch);
        const response = await fetch("relative", { method: "POST", body: "x" });
        expect(response).toBeInstanceOf(Response);
        expect(response.body).toBeInstanceOf(ReadableStream);
        expect(await response.json()).toMatchObject({ url: "/base/relative", headers: { "x-session": "1" } });
      },
      { baseUrl: `${server.origin}/base/`, headers: { "x-session": "1" } },
    );
  });

  test("has the connections, the limits and the middlewares of its session", async () => {
    await using server = await startEcho();
    const middleware: Middleware = (request, next) => next(request.with({ headers: { "x-a": request.method } }));
    await withFetch(
      async (fetch, session) => {
        const echoes = await Promise.all([1, 2, 3, 4].map(async () => await echoed(await fetch("/"))));
        expect(echoes.map((echo) => echo.headers["x-a"])).toEqual(["GET", "GET", "GET", "GET"]);
        expect(server.accepted).toBeLessThanOrEqual(2);
        expect(atRest(session)).toEqual({ ...NOTHING, idle: server.accepted });
      },
      { baseUrl: server.origin, limit: 2, middleware },
    );
  });

  test("holds the connection back while nobody reads; cancelling the body closes it", async () => {
    const pieces = 200;
    let written = 0;
    await using server = await startHttpServer((_request, response) => {
      const write = (): void => {
        while (written < pieces && !response.destroyed) {
          written++;
          if (!response.write(Buffer.alloc(64 * 1024))) return void response.once("drain", write);
        }
        response.end();
      };
      write();
    });
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const response = yield* until(session.fetch("/"));
      const reader = response.body!.getReader();
      yield* until(reader.read());
      let before = -1;
      for (let i = 0; i < 40 || written !== before; i++) {
        before = written;
        yield* sleep(1);
      }
      expect(written).toBeLessThan(pieces);
      expect(atRest(session).active).toBe(1);
      yield* until(reader.cancel());
      expect(atRest(session)).toEqual(NOTHING);
      yield* until(server.untilOpen(0));
    });
  });

  test("a failure is a TypeError with the library's error as cause", async () => {
    await using server = await startRawServer((socket) => socket.destroy());
    await withFetch(async (fetch) => {
      const error = (await rejection(fetch(server.origin))) as TypeError;
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toMatch(/^fetch failed: http GET /);
      expect(error.cause).toMatchObject({ code: "HTTP_PROTOCOL" });
      expect(await rejection(fetch("http://127.0.0.1:1/"))).toMatchObject({ cause: { systemCode: "ECONNREFUSED" } });
      const timeout = withTimeout(fetch);
      expect(await rejection(timeout)).toMatchObject({ name: "TimeoutError" });
    });
    await using broken = await startRawServer((socket) =>
      socket.end("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"),
    );
    await withFetch(async (fetch) => {
      const error = (await rejection((await fetch(broken.origin)).text())) as TypeError;
      expect([error.constructor, error.message]).toEqual([TypeError, "terminated"]);
      expect(error.cause).toMatchObject({ code: "HTTP_PROTOCOL" });
    });

    async function withTimeout(fetch: Fetch): Promise<unknown> {
      await using silent = await startRawServer(() => undefined);
      return await fetch(silent.origin, { signal: AbortSignal.timeout(10) });
    }
  });

  test("a redirect that is an error leaves no connection to it", async () => {
    await using server = await startHttpServer((_request, response) => {
      response.writeHead(302, { location: "/", "content-length": 1_000_000 }).write("x");
    });
    await withFetch(async (fetch, session) => {
      expect(await rejection(fetch(server.origin, { redirect: "error" }))).toBeInstanceOf(TypeError);
      expect(atRest(session)).toEqual(NOTHING);
    });
  });

  test("a redirect mode that does not exist is refused, and null is nothing given", async () => {
    await using server = await startHttpServer();
    await withFetch(async (fetch) => {
      expect(await rejection(fetch(server.origin, { redirect: "nope" as never }))).toMatchObject({
        constructor: TypeError,
        message: expect.stringContaining('got "nope"') as string,
      });
      expect((await fetch(server.origin, null as never)).status).toBe(200);
      expect(await rejection(fetch(null as never))).toMatchObject({
        message: expect.stringContaining("null") as string,
      });
    });
    expect(server.log).toEqual(["GET /"]);
  });

  test("a Request whose body is slow is sent as a stream; one that is short with its length", async () => {
    await using server = await startEcho();
    await withFetch(async (fetch) => {
      const slow = new ReadableStream({
        async start(controller) {
          for (const piece of ["a", "b", "c"]) {
            controller.enqueue(new TextEncoder().encode(piece));
            await new Promise((resolve) => setTimeout(resolve, 15));
          }
          controller.close();
        },
      });
      const request = (body: Sendable): Request =>
        new Request(server.origin, { method: "POST", body, duplex: "half" } as RequestInit);
      const chunked = await echoed(await fetch(request(slow)));
      expect([chunked.headers["transfer-encoding"], chunked.body]).toEqual(["chunked", "abc"]);
      const large = await echoed(await fetch(request("x".repeat(200_000))));
      expect([large.headers["transfer-encoding"], large.body.length]).toEqual(["chunked", 200_000]);
      const short = await echoed(await fetch(request("abc")));
      expect([short.headers["content-length"], short.body]).toEqual(["3", "abc"]);
    });
  });

  test("lets go of a body that is never sent", async () => {
    const bodies: ReadableStream[] = [];
    const cancelled: unknown[] = [];
    const endless = (): ReadableStream => {
      const stream = new ReadableStream({
        start: (controller) => controller.enqueue(new Uint8Array(1)),
        cancel: (reason) => void cancelled.push(reason),
      });
      bodies.push(stream);
      return stream;
    };
    await withFetch(async (fetch) => {
      const init = (): RequestInit => ({ method: "POST", body: endless(), duplex: "half" }) as RequestInit;
      await rejection(fetch("http://127.0.0.1:1/", init()));
      await rejection(fetch("http://h/", { ...init(), signal: AbortSignal.abort("over") }));
      await rejection(fetch(new Request("http://127.0.0.1:1/", init())));
    });
    for (let i = 0; i < 100 && cancelled.length < 3; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(cancelled).toHaveLength(3);
  });

  test("works from outside while the session is open, and says clearly when it is not", async () => {
    await using server = await startEcho();
    let kept!: Fetch;
    let bodyText!: Promise<unknown>;
    let pending!: Promise<unknown>;
    let slept!: Promise<unknown>;
    await run(function* () {
      const session = yield* Session.open({ undici, baseUrl: server.origin, name: "of the test" });
      kept = session.fetch;
      const view = session.with({
        transport: function* (): Coroutine<HttpResponse> {
          yield* sleep(60_000);
          throw new Error("never");
        } satisfies Transport,
      });
      yield* until(new Promise((resolve) => setTimeout(() => void kept("/a").then(resolve), 1)));
      const response = yield* until(kept("/endless"));
      bodyText = rejection(response.text());
      pending = rejection(kept("/hold"));
      slept = rejection(view.fetch("/x"));
      yield* until(server.until(() => server.held.length === 1));
    });
    for (const error of [await pending, await slept, await rejection(kept("/b"))]) {
      expect(error).toBeInstanceOf(TypeError);
      expect(error).toMatchObject({ cause: { code: "HTTP_SESSION_CLOSED" } });
      expect((error as Error).message).toContain('session "of the test" is closed');
    }
    expect(await bodyText).toMatchObject({ message: "terminated" });
    await server.untilOpen(0);
  });

  test("a task that is cancelled while it waits for fetch cancels it by the signal", async () => {
    await using server = await startEcho();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const task = spawn(() => until((signal) => session.fetch("/hold", { signal })));
      yield* until(server.until(() => server.held.length === 1));
      yield* task.cancel();
      for (let i = 0; i < 100 && atRest(session).active > 0; i++) yield* hostTurn();
      expect(atRest(session)).toEqual(NOTHING);
    });
  });
});

describe("libraries on the fetch of a session", () => {
  test("ky", async () => {
    await using server = await startEcho();
    const { default: ky } = await import("ky");
    let asked = 0;
    const middleware: Middleware = function* (request, next) {
      if (request.url.endsWith("/shaky") && asked++ === 0) return HttpResponse.of(request, { status: 503 });
      return yield* next(request);
    };
    await withFetch(
      async (fetch) => {
        const api = ky.create({ fetch: fetch as typeof globalThis.fetch, retry: { limit: 2, delay: () => 1 } });
        const created = await api
          .post(`${server.origin}/items`, { json: { a: 1 }, searchParams: { q: "x" } })
          .json<Echo>();
        expect(created).toMatchObject({ method: "POST", url: "/items?q=x", body: '{"a":1}' });
        expect(created.headers).toMatchObject({ "content-type": "application/json", "content-length": "7" });
        expect(await api.put(`${server.origin}/shaky`, { body: "x" }).json<Echo>()).toMatchObject({ method: "PUT" });
        expect(asked).toBe(2);
        const error = await rejection(api.get(`${server.origin}/teapot`).text());
        expect(error).toMatchObject({ name: "HTTPError", response: { status: 418 } });
        const late = await rejection(api.get(`${server.origin}/hold`, { timeout: 20, retry: 0 }).text());
        expect(late).toMatchObject({ name: "TimeoutError" });
      },
      { middleware },
    );
  });

  test("axios", async () => {
    await using server = await startEcho();
    const { default: axios } = await import("axios");
    await withFetch(async (fetch) => {
      const client = axios.create({ adapter: "fetch", baseURL: server.origin, env: { fetch } } as never);
      const { data, status } = await client.post<Echo>("/items", { a: 1 }, { params: { q: 1 } });
      expect([status, data.method, data.url, data.body]).toEqual([200, "POST", "/items?q=1", '{"a":1}']);
      expect(await rejection(client.get("/teapot"))).toMatchObject({ response: { status: 418, data: "no" } });
      const controller = new AbortController();
      const cancelled = rejection(client.get("/hold", { signal: controller.signal }));
      setTimeout(() => controller.abort(), 20);
      expect(await cancelled).toMatchObject({ code: "ERR_CANCELED" });
    });
  });

  test("a generated client that streams events, gives up, and closes the body", async () => {
    await using server = await startHttpServer((_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write('data: {"n":1}\n\n');
      response.write('data: {"n":2}\n\n');
    });
    await withSession(undici, {}, function* (session) {
      const client = new StreamingClient(server.origin, session.fetch);
      expect(yield* until(client.firstEvents(2))).toEqual([{ n: 1 }, { n: 2 }]);
      expect(atRest(session)).toEqual(NOTHING);
      yield* until(server.untilOpen(0));
    });
  });
});

/** The way of the clients that are made for AI services. */
class StreamingClient {
  readonly #origin: string;
  readonly #fetch: Fetch;

  constructor(origin: string, fetch: Fetch) {
    this.#origin = origin;
    this.#fetch = fetch;
  }

  async firstEvents(count: number): Promise<unknown[]> {
    const controller = new AbortController();
    const response = await this.#fetch.call(undefined, `${this.#origin}/v1/chat`, {
      method: "post",
      headers: new Headers({ "content-type": "application/json", "content-length": "14" }),
      body: JSON.stringify({ stream: true }).slice(0, 14),
      signal: controller.signal,
    });
    const events: unknown[] = [];
    let text = "";
    for await (const chunk of response.body!) {
      text += new TextDecoder().decode(chunk);
      const messages = text.split("\n\n");
      text = messages.pop()!;
      for (const message of messages) events.push(JSON.parse(message.slice("data: ".length)));
      if (events.length >= count) break;
    }
    controller.abort();
    return events;
  }
}

async function echoed(response: Response): Promise<Echo> {
  return (await response.json()) as Echo;
}

/** What both must have in common. */
async function shown(response: Response): Promise<unknown> {
  const { status, redirected, type } = response;
  const text = await response.text();
  const { method, url, body } = (text.startsWith("{") ? JSON.parse(text) : {}) as Partial<Echo>;
  return [status, redirected, type, new URL(response.url).pathname, response.body === null, method, url, body];
}

async function sent(fetch: Fetch, origin: string, body: Sendable): Promise<unknown> {
  const echo = await echoed(await fetch(origin, { method: "POST", body: body! }));
  return [echo.body, echo.headers["content-type"], echo.headers["content-length"], echo.headers["transfer-encoding"]];
}

/** The kind of an error, as the platform's fetch has it, too. */
async function failure(promise: Promise<unknown>): Promise<unknown> {
  const error = (await rejection(promise)) as Error;
  return [error.constructor.name, error.name];
}
