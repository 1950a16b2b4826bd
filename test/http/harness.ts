/**
 * What most tests with sockets need: a session on a given undici inside a loop of its own, and the proof that it left
 * nothing behind.
 */
import { EventLoop, run } from "fibril";
import type { Coroutine, EventLoopOptions } from "fibril";
import { Session } from "fibril/http";
import type { SessionOptions, UndiciModule } from "fibril/http";
import { expect } from "vitest";

/** Runs `body` with a session, and checks after its end that nothing of it is left: no place, connection, timer or wait. */
export async function withSession<T>(
  undici: UndiciModule,
  options: SessionOptions,
  body: (session: Session) => Coroutine<T>,
  loopOptions: EventLoopOptions = {},
): Promise<T> {
  let session: Session | undefined;
  const reports: unknown[] = [];
  const loop = new EventLoop({ ...loopOptions, onReport: (report) => void reports.push(report) });
  try {
    return await run(
      function* main(): Coroutine<T> {
        session = yield* Session.open({ undici, ...options });
        return yield* body(session);
      },
      { loop },
    );
  } finally {
    if (session !== undefined) expect(session.statistics()).toMatchObject({ ...NOTHING, hosts: 0 });
    expect(loop.statistics()).toMatchObject({ tasks: 0, ready: 0, timers: 0, outside: 0 });
    expect(reports).toEqual([]);
  }
}

/** The statistics of a session that does nothing and keeps no connection. */
export const NOTHING = { active: 0, queued: 0, connecting: 0, idle: 0 };

/** The statistics without limits and hosts. */
export function atRest(session: Session): typeof NOTHING {
  const { active, queued, connecting, idle } = session.statistics();
  return { active, queued, connecting, idle };
}

/** What an operation throws. */
export function* failureOf(operation: Iterable<unknown>): Coroutine<unknown> {
  try {
    yield* operation as Coroutine<unknown>;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}
