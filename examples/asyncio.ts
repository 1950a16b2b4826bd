// A program of Python, line by line: a queue, workers in a group, a time limit. Times are in seconds here.
import { Queue, QueueShutDown, run, sleep, TaskGroup, timeout, TimeoutError } from "fibril/asyncio";
import type { Coroutine } from "fibril/asyncio";

function* worker(name: string, jobs: Queue<number>): Coroutine<number> {
  let done = 0;
  try {
    for (;;) {
      const job = yield* jobs.get();
      yield* sleep(0.01 * job);
      console.log(`${name} has done job ${job}`);
      jobs.taskDone();
      done++;
    }
  } catch (error) {
    if (!(error instanceof QueueShutDown)) throw error; // except QueueShutDown
    return done;
  }
}

function* main(): Coroutine<void> {
  const jobs = new Queue<number>(10);
  yield* new TaskGroup().with(function* (group) {
    const workers = ["ann", "bob"].map((name) => group.createTask(worker(name, jobs), { name }));
    for (const job of [15, 1, 1, 1]) yield* jobs.put(job);
    yield* jobs.join();
    jobs.shutdown();
    for (const it of workers) console.log(`${it.getName()}: ${yield* it} jobs`);
  });

  try {
    yield* timeout(0.01).with(function* (limit) {
      limit.reschedule(limit.when()! + 0.01);
      yield* sleep(60);
    });
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error; // except TimeoutError
    console.log("too slow");
  }
}

await run(main());

// prints:
// bob has done job 1
// bob has done job 1
// bob has done job 1
// ann has done job 15
// ann: 1 jobs
// bob: 3 jobs
// too slow
