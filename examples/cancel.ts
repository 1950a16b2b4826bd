// Cancelling: cleanup runs and may wait, the canceller waits for it, and nothing after the wait is ever reached.
import { run, sleep, spawn } from "fibril";
import type { Coroutine } from "fibril";

function* upload(file: string): Coroutine<void> {
  console.log(`${file}: begins`);
  try {
    yield* sleep(60_000);
    console.log(`${file}: never printed`);
  } finally {
    yield* sleep(10); // say goodbye to the server
    console.log(`${file}: cleaned up`);
  }
}

await run(function* main() {
  const task = spawn(upload, "a.txt");
  yield* sleep(10);
  yield* task.cancel("the user has left");
  console.log(`main: ${task.name} was ${task.outcome?.status}`);
});

// prints:
// a.txt: begins
// a.txt: cleaned up
// main: upload was cancelled
