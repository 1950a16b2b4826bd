// What does every task wait for, and on which line? Ask the loop.
import { EventLoop, run, scope, sleep, spawn, timeout, yieldNow } from "fibril";
import type { Coroutine } from "fibril";

function* poll(name: string): Coroutine<void> {
  for (;;) {
    console.log(`polling ${name}`);
    yield* sleep(1_000);
  }
}

function* report(): Coroutine<void> {
  yield* yieldNow(); // let the others reach their first wait
  for (const task of EventLoop.current().tasks()) {
    const line = task.awaitStack[0] === undefined ? "" : `, line ${task.awaitStack[0].line}`;
    console.log(`${task.id} ${task.name}: ${task.state}, ${task.waitingFor ?? "runs"}${line}`);
  }
}

await run(function* main() {
  yield* scope(
    function* (background) {
      background.spawn({ name: "poll mail" }, poll, "mail");
      background.spawn({ name: "poll news" }, poll, "news");
      yield* timeout(100, spawn(report));
      background.cancel("seen enough");
    },
    { name: "background" },
  );
});

// prints:
// polling mail
// polling news
// 1 main: waiting, join task "report", line 25
// 2 poll mail: waiting, sleep 1000 ms, line 8
// 3 poll news: waiting, sleep 1000 ms, line 8
// 4 report: running, runs
