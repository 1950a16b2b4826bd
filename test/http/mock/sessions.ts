/**
 * A session whose network is a mock, on virtual time, and the proof that it left nothing behind.
 */
import { EventLoop } from "fibril";
import type { Coroutine } from "fibril";
import { Session } from "fibril/http";
import type { SessionOptions } from "fibril/http";
import { simulate } from "fibril/testing";
import { expect } from "vitest";
import { mockTransport } from "../../../src/http/mock/index.ts";
import type { MockTransport } from "../../../src/http/mock/index.ts";
import { failureOf } from "../harness.ts";

const BASE = "https://api.test/";

/** Runs `body` with a session at `https://api.test/` whose network is `mock`. */
export async function withMock<T>(
  options: SessionOptions,
  body: (session: Session, mock: MockTransport) => Coroutine<T>,
): Promise<T> {
  const mock = mockTransport();
  const reports: unknown[] = [];
  let loop: EventLoop | undefined;
  const value = await simulate(
    function* main(): Coroutine<T> {
      loop = EventLoop.current();
      const session = yield* Session.open({ baseUrl: BASE, transport: mock, ...options });
      return yield* body(session, mock);
    },
    { onReport: (report) => void reports.push(report) },
  );
  expect(loop!.statistics()).toMatchObject({ tasks: 0, ready: 0, timers: 0, outside: 0 });
  expect(reports).toEqual([]);
  return value;
}

export { failureOf };
