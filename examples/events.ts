// Events, signals and promises: what the platform calls back becomes a wait, and a coroutine becomes a promise.
import { EventEmitter } from "node:events";
import { Cancelled, forEach, run, sleep, spawn } from "fibril";
import type { Coroutine } from "fibril";
import { asyncFunction, on, scopeSignal, withSignal } from "fibril/interop";
import { on as onEmitter } from "fibril/interop/node";

await run(function* main() {
  const button = new EventTarget();
  const clicks = on(button, "click", { capacity: 2, overflow: "dropOldest" }); // listens until main ends
  for (let i = 0; i < 5; i++) button.dispatchEvent(new Event("click"));
  console.log(clicks.statistics());

  const feed = new EventEmitter();
  const news = onEmitter<[string]>(feed, "news", { close: ["end"] });
  spawn(function* () {
    feed.emit("news", "it rains");
    yield* sleep(1);
    feed.emit("news", "it stopped");
    feed.emit("end");
  });
  yield* forEach(news, function* ([headline]) {
    console.log(headline);
  });

  const controller = new AbortController();
  spawn(function* () {
    yield* sleep(5);
    controller.abort("the user has left");
  });
  try {
    yield* withSignal(controller.signal, function* () {
      scopeSignal().addEventListener("abort", () => console.log("passed on to fetch and the like"));
      yield* sleep(60_000);
    });
  } catch (reason) {
    if (reason instanceof Cancelled) throw reason; // that would be somebody else's
    console.log(`aborted: ${String(reason)}`);
  }
});

const load = asyncFunction(function* load(id: number): Coroutine<string> {
  yield* sleep(1);
  return `user ${id}`;
});
console.log(await Promise.all([load(1), load(2)]));

// prints:
// { capacity: 2, buffered: 2, waiting: 0, received: 5, dropped: 3 }
// it rains
// it stopped
// passed on to fetch and the like
// aborted: the user has left
// [ 'user 1', 'user 2' ]
