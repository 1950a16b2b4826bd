// Work that would hold up the loop goes to threads: passwords are hashed there, while the loop here goes on.
import { scryptSync } from "node:crypto";
import { isMainThread } from "node:worker_threads";
import { forEach, moveOnAfter, run, sleep, spawn, use } from "fibril";
import { isCancelled, job, progress, ThreadPool } from "fibril/executors";

const hash = job(
  import.meta.url,
  function hash(password: string): string {
    return scryptSync(password, "salt", 8).toString("hex");
  },
  { inMain: true }, // a program in one file; else jobs live in a module of their own
);

const findCollision = job(
  import.meta.url,
  function findCollision(): number {
    progress("searching");
    let tried = 0;
    while (!isCancelled()) tried++; // code that never waits asks
    return tried;
  },
  { inMain: true },
);

if (isMainThread) {
  await run(function* () {
    const pool = yield* use(new ThreadPool({ maxWorkers: 2 }));
    let ticks = 0;
    const ticking = spawn(function* () {
      for (;;) {
        yield* sleep(1);
        ticks++;
      }
    });
    yield* forEach(pool.map(hash, ["secret", "letmein", "123456"]), function* (digest) {
      console.log(digest);
    });
    console.log("the loop went on meanwhile:", ticks > 0);
    ticking.cancel();

    const searching = yield* pool.submit(findCollision);
    console.log(yield* moveOnAfter(50, searching)); // gives up waiting, not the job
    console.log((yield* searching.progress.next()).value);
    console.log("ended on its own:", !(yield* searching.cancel()), (yield* searching) > 0);
  });
}

// prints:
// 05ffaebcca41770a
// 7d1bf61dfcd9fef9
// 703453cc3a2dba8d
// the loop went on meanwhile: true
// undefined
// searching
// ended on its own: true true
