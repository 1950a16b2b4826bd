// Adding tasks to a loop that is running, from code that is no coroutine: here from a callback of the host.
import { EventLoop, sleep } from "fibril";
import type { Coroutine } from "fibril";

const loop = new EventLoop({ name: "workers" }); // any number of loops can live in one thread

function* double(value: number): Coroutine<number> {
  yield* sleep(20 * value);
  return value * 2;
}

const first = loop.spawn(double, 1);
void first.then(() => console.log("the first one has ended; the second was added meanwhile"));
queueMicrotask(() => {
  const second = loop.spawn(double, 2);
  void second.then((value) => console.log(`the second one says ${value}`));
});

// prints:
// the first one has ended; the second was added meanwhile
// the second one says 4
