/**
 * A hundred jobs on a hundred threads of a `ThreadPool`, each blocking until its answer is there.
 *
 * The threads come as they are, without resource limits (the tightest ones that work save a sixth of the memory). They are all
 * started, and have the library and the job loaded, before the clock of the requests is; what that took is the row's set-up time.
 */
import { forEach, run, scope, spawn, use } from "fibril";
import type { Coroutine } from "fibril";
import { ThreadPool } from "fibril/executors";
import type { Measured } from "../protocol.ts";
import type { Course } from "./contest.ts";
import { Network } from "./network.ts";
import { get, meet } from "./pool-jobs.ts";

export async function contest({ url, requests, meter }: Course): Promise<Measured> {
  const network = new Network();
  await network.started();
  meter.startedThreads(1 + requests);

  function* getOne(pool: ThreadPool, index: number): Coroutine<void> {
    const port = network.port();
    const handle = yield* pool.submit({ name: `get ${index + 1}`, transfer: [port] }, get, url, port);
    yield* forEach(handle.progress, function* () {
      meter.begin(index);
    });
    meter.end(index, yield* handle);
  }

  return run(function* () {
    const pool = yield* use(new ThreadPool({ maxWorkers: requests, minWorkers: requests }));
    const arrived = new Int32Array(new SharedArrayBuffer(4));
    yield* scope(function* () {
      for (let index = 0; index < requests; index++) spawn(() => pool.call(meet, arrived, requests));
    });
    meter.open();
    yield* scope(function* () {
      for (let index = 0; index < requests; index++) spawn(getOne, pool, index);
    });
    return meter.close();
  });
}
