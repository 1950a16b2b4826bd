/**
 * Requests cancelled after every number of the host's turns, over every kind of connection: whatever phase that hits, the others get their
 * answers and nothing is left.
 */
import { all, spawn, until } from "fibril";
import type { Coroutine } from "fibril";
import type { Session, SessionOptions } from "fibril/http";
import { createSecureServer } from "node:http2";
import { expect, test } from "vitest";
import { certificate, privateKey } from "../certificate.ts";
import { atRest, withSession } from "../harness.ts";
import { hostTurn } from "../manual-time.ts";
import { listening } from "../servers.ts";
import { undiciVersions } from "../undici-versions.ts";
import { startHttpProxy, startSocksProxy } from "./proxy-servers.ts";

const MOST_TURNS = 24; // by then an answer has mostly come over each kind of connection

test.each(undiciVersions)("a cancelled request leaves nothing, whenever it was cancelled, on %s", async (_, undici) => {
  const secure = createSecureServer({ cert: certificate, key: privateKey, allowHTTP1: true }, (request, response) => {
    response.end(request.url);
  });
  secure.on("sessionError", () => undefined);
  await using server = await listening(secure);
  await using http = await startHttpProxy();
  await using socks = await startSocksProxy();
  const kinds: SessionOptions[] = [
    {},
    { http2: true },
    { http2: true, maxConcurrentStreams: 1 },
    { proxy: http.origin },
    { proxy: http.origin, http2: true },
    { proxy: socks.origin.replace("http", "socks5h") },
  ];
  const baseUrl = `https://localhost:${server.port}/`;
  let cancelled = 0;
  let finished = 0;
  for (const kind of kinds) {
    // Names are looked up and keys are made elsewhere, so on a slow machine it may take more turns until enough got through.
    const enough = finished + 3;
    for (let turns = 0; turns < MOST_TURNS || finished < enough; turns += turns < MOST_TURNS ? 2 : turns) {
      await withSession(undici, { baseUrl, tls: { ca: certificate }, ...kind }, function* (session) {
        const tasks = ["/1", "/2", "/3"].map((url) => spawn(fetchText, session, url));
        for (let i = 0; i < turns; i++) yield* hostTurn();
        for (const task of [tasks[0]!, tasks[2]!]) {
          if (task.isSettled) finished++;
          else cancelled++;
          yield* task.cancel();
        }
        expect(yield* tasks[1]!).toBe("/2");
        expect(yield* all([1, 2].map((i) => () => fetchText(session, `/after/${i}`)))).toEqual([
          "/after/1",
          "/after/2",
        ]);
        expect(atRest(session)).toMatchObject({ active: 0, queued: 0, connecting: 0 });
        const { idle } = session.statistics();
        yield* until(server.untilOpen(idle));
      });
      await server.untilOpen(0);
    }
  }
  await http.untilOpen(0);
  await socks.untilOpen(0);
  expect(Math.min(cancelled, finished)).toBeGreaterThan(MOST_TURNS / 2);
});

function* fetchText(session: Session, url: string): Coroutine<string> {
  const response = yield* session.get(url);
  return yield* response.text();
}
