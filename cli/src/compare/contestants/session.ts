/** Coroutines that share a `Session`; a few of them are (b), many are (e). */
import { run, scope, spawn } from "fibril";
import type { Coroutine } from "fibril";
import { Session } from "fibril/http";
import type { Measured } from "../protocol.ts";
import type { Course } from "./contest.ts";

export function contest({ url, requests, meter }: Course): Promise<Measured> {
  function* get(session: Session, index: number): Coroutine<void> {
    meter.begin(index);
    const response = yield* session.get(url);
    yield* response.text();
    meter.end(index, response.ok);
  }

  return run(function* () {
    // As many connections as requests: nobody stands in line here.
    const session = yield* Session.open({ limit: requests });
    meter.open();
    yield* scope(function* () {
      for (let index = 0; index < requests; index++) {
        spawn({ name: `get ${index + 1}` }, get, session, index);
      }
    });
    return meter.close();
  });
}
