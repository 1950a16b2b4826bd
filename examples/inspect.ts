// What does every task do, in this thread and in the others? Take a snapshot; print it, or read it.
import { isMainThread } from "node:worker_threads";
import { Lock, run, sleep, spawn } from "fibril";
import { job, LoopThread } from "fibril/executors";
import { formatTree, snapshot } from "fibril/inspector";

const follow = job(
  import.meta.url,
  function* follow(begun: Int32Array) {
    Atomics.store(begun, 0, 1);
    yield* sleep(60_000);
  },
  { inMain: true },
);

if (isMainThread) {
  await run(function* service() {
    const thread = yield* LoopThread.start({ name: "feeds" });
    const disk = new Lock({ name: "disk" });
    const begun = new Int32Array(new SharedArrayBuffer(4));
    const following = thread.spawn(follow, begun);
    const writing = spawn({ name: "writer" }, () => disk.use(() => sleep(60_000)));
    const reading = spawn({ name: "reader" }, () => disk.use(() => sleep(1)));
    while (Atomics.load(begun, 0) === 0) yield* sleep(1);

    const taken = yield* snapshot({ timeoutMs: 5_000 });
    for (const { role, loops } of [taken.thread, ...taken.thread.threads]) {
      for (const task of loops.flatMap((loop) => loop.tasks)) {
        console.log(`${role}, ${task.name}: ${task.wait?.reason ?? task.state}`);
      }
    }
    if (process.stdout.isTTY) console.log(formatTree(taken, { colours: true, width: process.stdout.columns }));
    for (const it of [reading, writing, following]) yield* it.cancel("seen enough");
  });
}

// prints:
// main, service: running
// main, follow: job "follow" #2 (running in feeds)
// main, writer: sleep 60000 ms
// main, reader: lock "disk" (held by "writer")
// loop thread, follow: sleep 60000 ms
