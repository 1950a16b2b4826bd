// A pipeline: one coroutine reads, three download at a time, and a stop ends it without losing a page. In a service the stop
// would come from `waitForSignal("SIGTERM")` of "fibril/interop/node", and `run(main)` would start it; here time is virtual.
import { Channel, Event, mapConcurrent, select, sleep, spawn } from "fibril";
import type { Coroutine, Sender } from "fibril";
import { simulate } from "fibril/testing";

const stop = new Event({ name: "stop" });

function* read(pages: Sender<number>): Coroutine<void> {
  using end = pages; // closed when the reading ends, so the channel ends for those who receive
  for (let page = 1; ; page++) {
    const done = yield* select({ stop: stop.wait(), sent: end.send(page) }); // waits while two pages lie in the channel
    if (done.key === "stop") return console.log(`the reader stops; page ${page} was not sent`);
  }
}

function* download(page: number): Coroutine<string> {
  if (page === 4) stop.set();
  yield* sleep(20);
  console.log(`page ${page}`);
  return `${page}: ok`;
}

await simulate(function* main() {
  const pages = new Channel<number>(2, { name: "pages" });
  spawn(read, pages.sender);
  const results = yield* mapConcurrent(pages.receiver, download, { limit: 3 });
  console.log(`every page that was sent is done: ${results.join(", ")}`);
});

// prints:
// page 1
// page 2
// page 3
// the reader stops; page 7 was not sent
// page 4
// page 5
// page 6
// every page that was sent is done: 1: ok, 2: ok, 3: ok, 4: ok, 5: ok, 6: ok
