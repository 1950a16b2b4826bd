// Jobs, ticks and a stop in one loop: `select` waits for all of them, and exactly one happens. It runs on virtual time, so it
// takes no time and prints the same every day; with `run(main)` it takes a second.
import { Channel, Event, interval, select, sleep, spawn } from "fibril";
import type { Coroutine } from "fibril";
import { simulate } from "fibril/testing";

function* customers(jobs: Channel<string>, stop: Event): Coroutine<void> {
  for (const job of ["bread", "cake", "pie"]) {
    yield* sleep(150);
    yield* jobs.send(job);
  }
  yield* sleep(350);
  stop.set();
}

function* main(): Coroutine<void> {
  const jobs = new Channel<string>(10, { name: "jobs" });
  const stop = new Event({ name: "stop" });
  const ticks = interval(200, { name: "oven clock" });
  spawn(customers, jobs, stop);
  for (;;) {
    const next = yield* select({ stop: stop.wait(), job: jobs.receive(), tick: ticks.next() });
    switch (next.key) {
      case "stop":
        return console.log("closed");
      case "job":
        console.log(`bake ${next.value}`);
        break;
      case "tick":
        console.log(`look into the oven (${next.value.value?.scheduledAt} ms)`);
    }
  }
}

await simulate(main);

// prints:
// bake bread
// look into the oven (200 ms)
// bake cake
// look into the oven (400 ms)
// bake pie
// look into the oven (600 ms)
// look into the oven (800 ms)
// closed
