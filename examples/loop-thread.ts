// An event loop in a thread of its own: tasks are added to it while it runs, and a channel leads from here to there.
import { isMainThread } from "node:worker_threads";
import { run, scope, sleep } from "fibril";
import { job, LoopThread, ThreadChannel } from "fibril/executors";
import type { ThreadReceiver } from "fibril/executors";

const watchPrices = job(
  import.meta.url,
  function* watchPrices(prices: ThreadReceiver<number>) {
    let highest = 0;
    for (let step = yield* prices.next(); !step.done; step = yield* prices.next()) {
      highest = Math.max(highest, step.value);
    }
    return highest;
  },
  { inMain: true },
);

const heartbeat = job(
  import.meta.url,
  function* heartbeat(beats: Int32Array) {
    try {
      for (;;) {
        yield* sleep(1);
        Atomics.add(beats, 0, 1);
      }
    } finally {
      Atomics.store(beats, 1, 1); // also when the scope over there, in the main thread, ends
    }
  },
  { inMain: true },
);

if (isMainThread) {
  await run(function* () {
    const beats = new Int32Array(new SharedArrayBuffer(8));
    yield* scope(function* (own) {
      const thread = yield* LoopThread.start({ name: "market" });
      const beating = thread.spawn(heartbeat, beats);
      const prices = new ThreadChannel<number>(4);
      const watching = thread.spawn(watchPrices, prices.receiver);
      for (const price of [3, 9, 4]) yield* prices.sender.send(price);
      while (Atomics.load(beats, 0) === 0) yield* sleep(1);
      const names = (yield* thread.tasks()).map((task) => task.name);
      console.log(names.join(", "));
      prices.sender.close();
      console.log("highest:", yield* watching);
      console.log(beating.state);
      void own.cancel();
    });
    console.log("the heart was stopped with its scope:", beats[1] === 1);
  });
}

// prints:
// heartbeat, watchPrices
// highest: 9
// running
// the heart was stopped with its scope: true
