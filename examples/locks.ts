// A lock belongs to a task: who waits, for whom, and what becomes of a lock whose owner died.
import { BrokenLockError, EventLoop, Lock, run, scope, sleep, spawn, yieldNow } from "fibril";
import type { Coroutine } from "fibril";

const stock = { apples: 3 };
const lock = new Lock({ name: "stock" });

function* sell(customer: string): Coroutine<void> {
  yield* lock.use(function* () {
    const left = stock.apples;
    yield* sleep(200); // nobody else is in here meanwhile
    stock.apples = left - 1;
    console.log(`${customer} has an apple, ${stock.apples} left`);
  });
}

function* forget(): Coroutine<void> {
  yield* lock.acquire(); // without `using`, and never released
}

await run(function* main() {
  yield* scope(function* (shop) {
    for (const customer of ["Ann", "Bob", "Cid"]) shop.spawn({ name: customer }, sell, customer);
    yield* yieldNow(); // let them reach their first wait
    for (const task of EventLoop.current().tasks()) console.log(`  ${task.name}: ${task.waitingFor ?? "runs"}`);
  });
  yield* spawn(forget);
  try {
    yield* sell("Dan");
  } catch (error) {
    if (!(error instanceof BrokenLockError)) throw error;
    console.log(error.message);
    lock.repair();
  }
  console.log(lock.statistics());
});

// prints:
//   main: runs
//   Ann: sleep 200 ms
//   Bob: lock "stock" (held by "Ann")
//   Cid: lock "stock" (held by "Ann")
// Ann has an apple, 2 left
// Bob has an apple, 1 left
// Cid has an apple, 0 left
// lock "stock" is broken: task "forget" ended while it held it, so what it guards may be half changed; put that in order and call repair(), and let that task release it however it ends: use(body)
// {
//   name: 'stock',
//   isLocked: false,
//   isBroken: false,
//   owner: null,
//   waiting: 0
// }
