/**
 * The mistake that the others are compared with: coroutines whose request call blocks the loop.
 *
 * They are coroutines like those of `session.ts`, spawned together on the same loop, and it helps nothing: a coroutine
 * gives the thread back at `yield*` only, and `requestSync` is an ordinary call.
 */
import { EventLoop, run, scope, spawn } from "fibril";
import type { Coroutine } from "fibril";
import type { Measured } from "../protocol.ts";
import type { Course } from "./contest.ts";
import { Network } from "./network.ts";
import { requestSync } from "./request-sync.ts";
import { Watchdog } from "./watchdog.ts";

export async function contest({ url, requests, delayMs, meter }: Course): Promise<Measured> {
  const network = new Network();
  const watchdog = new Watchdog({ limitMs: Math.min(100, delayMs / 2), warn: (warning) => meter.warn(warning) });
  await Promise.all([network.started(), watchdog.started()]);
  const port = network.port();
  meter.startedThreads(1);
  meter.addEquipment();

  // It never says `yield*`, and that is the mistake.
  function* get(index: number): Coroutine<void> {
    meter.begin(index);
    const { status } = requestSync(port, url);
    meter.end(index, status === 200);
  }

  return run(function* () {
    EventLoop.current().addProbe(watchdog);
    meter.open();
    yield* scope(function* () {
      for (let index = 0; index < requests; index++) {
        spawn({ name: `get ${index + 1}` }, get, index);
      }
    });
    return meter.close();
  });
}
