import { connect } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { Channel, sleep, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import { HttpFailure } from "fibril/http/server";
import type { Handler, ServeOptions } from "fibril/http/server";
import { expect, test } from "vitest";
import { eventually, withServer } from "./harness.ts";

function* answerOf(
  session: ClientHttp2Session,
  path: string,
  body?: string,
): Coroutine<{ status: number; text: string }> {
  const stream = session.request({ ":path": path, ":method": body === undefined ? "GET" : "POST" });
  stream.end(body);
  let status = 0;
  stream.on("response", (headers) => void (status = headers[":status"] ?? 0));
  let text = "";
  stream.on("data", (data: Buffer) => void (text += data.toString()));
  yield* until(new Promise((resolve) => stream.once("close", resolve)));
  return { status, text };
}

function withHttp2(
  handler: Handler,
  body: (session: ClientHttp2Session, it: Parameters<Parameters<typeof withServer>[2]>[0]) => Coroutine<void>,
  options: ServeOptions = {},
): Promise<void> {
  return withServer(handler, { ...options, http2: true }, function* (it) {
    const session = connect(`http://127.0.0.1:${it.port}`);
    session.on("error", () => undefined);
    yield* body(session, it);
    session.destroy();
  });
}

test("answers, bodies, failures and streams over HTTP/2", async () => {
  await withHttp2(
    function* (request) {
      yield* sleep(1);
      if (request.path === "/body") return yield* request.text();
      if (request.path === "/failure") throw new HttpFailure(413, { headers: { connection: "close" } });
      if (request.path !== "/stream") return { path: request.path, host: request.url.hostname };
      const channel = new Channel<string>();
      spawn(function* () {
        for (const piece of ["a", "b"]) yield* channel.send(piece);
        channel.close();
      });
      return channel;
    },
    function* (session, { ends, errors }) {
      expect(yield* answerOf(session, "/x?y")).toEqual({ status: 200, text: '{"path":"/x","host":"127.0.0.1"}' });
      expect(yield* answerOf(session, "/body", "hello")).toEqual({ status: 200, text: "hello" });
      expect(yield* answerOf(session, "/failure")).toMatchObject({ status: 413 });
      expect(yield* answerOf(session, "/stream")).toEqual({ status: 200, text: "ab" });
      yield* eventually(() => ends.length === 4);
      expect(ends.map((it) => it.outcome)).toEqual(["completed", "completed", "failed", "completed"]);
      expect(ends[0]!.bytes).toBeUndefined();
      expect(errors).toEqual([]);
    },
  );
});

test("a request that is refused is over once, too", async () => {
  await withHttp2(
    () => sleep(1_000_000),
    function* (session, { ends, server }) {
      session.request({ ":path": "/first" }).on("error", () => undefined);
      yield* eventually(() => server.statistics().active === 1);
      for (const path of ["/second", "/third"]) expect(yield* answerOf(session, path)).toMatchObject({ status: 503 });
      yield* eventually(() => ends.length === 2);
      expect(ends).toMatchObject([
        { path: "/second", status: 503, outcome: "rejected" },
        { path: "/third", status: 503, outcome: "rejected" },
      ]);
    },
    { limit: 1, queueLimit: 0 },
  );
});

test.each(["cancel", "ignore", "detach"] as const)(
  "a handler that closes its stream before it first waits is not left waiting: %s",
  async (onDisconnect) => {
    await withHttp2(
      // oxlint-disable-next-line require-yield -- it does not wait
      function* (request) {
        (request.raw as unknown as { readonly stream: { close(): void } }).stream.close();
        let left = 10;
        return {
          *next(): Coroutine<IteratorResult<string, undefined>> {
            return left-- > 0 ? { done: false, value: "x".repeat(100_000) } : { done: true, value: undefined };
          },
        };
      },
      function* (session, { ends, server }) {
        session.request({ ":path": "/" }).on("error", () => undefined);
        yield* eventually(() => ends.length === 1 && server.statistics().handlers === 0);
        expect(ends).toMatchObject([{ outcome: "disconnected" }]);
        expect(server.statistics()).toMatchObject({ active: 0, handlers: 0 });
      },
      { onDisconnect },
    );
  },
);

test("an answer without a body that is given while the server ends is sent", async () => {
  for (let i = 0; i < 10; i++) {
    let close = (): unknown => undefined;
    await withHttp2(
      function* (request) {
        close();
        if (request.path === "/waits") yield* sleep(2);
      },
      function* (session, { server }) {
        close = () => server.close();
        const answer = yield* answerOf(session, i % 2 === 0 ? "/" : "/waits");
        expect(answer).toMatchObject({ status: 204 });
        yield* server.closed;
      },
      { drainMs: 50_000 },
    );
  }
});

test("a stream that the client cancels cancels its handler, and no other", async () => {
  let cancelled = 0;
  await withHttp2(
    function* (request) {
      if (request.path === "/quick") return "x";
      try {
        yield* sleep(1_000_000);
      } finally {
        cancelled++;
      }
      return "late";
    },
    function* (session, { server, ends }) {
      const streams: ClientHttp2Stream[] = [1, 2, 3].map((i) => session.request({ ":path": `/${i}` }));
      for (const stream of streams) stream.on("error", () => undefined);
      yield* eventually(() => server.statistics().handlers === 3);
      streams[1]!.close(8); // CANCEL
      yield* eventually(() => ends.length === 1);
      expect(ends).toMatchObject([{ path: "/2", status: 499, outcome: "disconnected" }]);
      expect(cancelled).toBe(1);
      expect((yield* answerOf(session, "/quick")).text).toBe("x");
      session.destroy();
      yield* eventually(() => ends.length === 4);
      expect(cancelled).toBe(3);
    },
  );
});
