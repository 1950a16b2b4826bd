/**
 * A cancel sweep over real sockets: the program is run again and again, and cancelled after its first step, its second, and so on.
 *
 * `cancelSweep` of fibril/testing does the same on virtual time; sockets need the host, so here the loop is a real one and each
 * run is awaited. Afterwards nothing may be left of a run: no place, no connection, no timer, no wait, no socket at the server.
 */
import { EventLoop, run } from "fibril";
import type { Coroutine } from "fibril";
import { Session } from "fibril/http";
import type { SessionOptions } from "fibril/http";
import { expect } from "vitest";
import { NOTHING } from "./harness.ts";
import type { TestServer } from "./servers.ts";

export interface SocketSweep {
  /** How many runs were made. */
  readonly runs: number;
  /** In how many of them the program was cut short. */
  readonly cancelled: number;
}

/** @param after Called after each run; throws when something of it is left. */
export async function socketSweep(
  server: TestServer,
  options: SessionOptions,
  body: (session: Session) => Coroutine<unknown>,
  after: () => void = () => {},
): Promise<SocketSweep> {
  let cancelled = 0;
  for (let step = 1; ; step++) {
    const isCut = await runOnce(server, options, body, step);
    after();
    if (!isCut) return { runs: step, cancelled };
    cancelled++;
  }
}

async function runOnce(
  server: TestServer,
  options: SessionOptions,
  body: (session: Session) => Coroutine<unknown>,
  cancelAt: number,
): Promise<boolean> {
  const reports: unknown[] = [];
  const loop = new EventLoop({ onReport: (report) => void reports.push(report) });
  let isCut = false;
  let session: Session | undefined;
  await run(
    function* main(): Coroutine<void> {
      const opened = (session = yield* Session.open(options));
      const work = loop.spawn({ name: "work" }, () => body(opened));
      let steps = 0;
      const detach = loop.addProbe({
        afterStep: (stepped) => {
          if (stepped.name !== "work" || ++steps !== cancelAt || work.outcome !== undefined) return;
          isCut = true;
          void work.cancel("sweep");
        },
      });
      try {
        yield* work;
      } catch (error) {
        if (!isCut) throw error;
        expect(error).toMatchObject({ code: "CANCELLED" });
      }
      detach();
      expect(opened.statistics(), `cancelled after step ${cancelAt}`).toMatchObject({
        ...NOTHING,
        idle: expect.any(Number) as number,
      });
    },
    { loop },
  );
  const when = `cancelled after step ${cancelAt}`;
  expect(session!.statistics(), when).toMatchObject({ ...NOTHING, hosts: 0 });
  expect(loop.statistics(), when).toMatchObject({ tasks: 0, ready: 0, timers: 0, outside: 0 });
  expect(reports, when).toEqual([]);
  await server.untilOpen(0);
  return isCut;
}
