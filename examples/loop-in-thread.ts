// A loop of its own in a thread of its own: calls go there as messages, outcomes come back; cancelling goes there, too.
import { once } from "node:events";
import { isMainThread, parentPort, threadId, Worker } from "node:worker_threads";
import { all, EventLoop, Future, moveOnAfter, run, sleep, until } from "fibril";
import type { Coroutine, Task } from "fibril";

function* double(value: number): Coroutine<string> {
  if (value < 0) throw new RangeError("not below zero");
  yield* sleep(10 * value);
  return `${value * 2} from thread ${threadId}`;
}

type Call = { id: number; value: number };
type Reply = { id: number; result: string } | { id: number; error: unknown };

function serve(): void {
  const loop = new EventLoop({ name: `thread ${threadId}` });
  const tasks = new Map<number, Task<string>>();
  parentPort!.on("message", (message: Call | { cancel: number } | "close") => {
    if (message === "close") parentPort!.close(); // the thread ends once its last task has
    else if ("cancel" in message) tasks.get(message.cancel)?.cancel();
    else {
      const { id, value } = message;
      const task = loop.spawn(double, value);
      tasks.set(id, task);
      const reply = (outcome: object): void => {
        tasks.delete(id);
        parentPort!.postMessage({ id, ...outcome });
      };
      void task.then(
        (result) => reply({ result }),
        (error: unknown) => reply({ error }),
      );
    }
  });
}

async function main(): Promise<void> {
  const worker = new Worker(new URL(import.meta.url));
  const calls = new Map<number, Future<string>>();
  let lastId = 0;
  worker.on("message", (reply: Reply) => {
    if ("error" in reply) calls.get(reply.id)?.reject(reply.error);
    else calls.get(reply.id)?.resolve(reply.result);
    calls.delete(reply.id);
  });

  function* call(value: number): Coroutine<string> {
    const id = ++lastId;
    const outcome = new Future<string>({ name: "reply of the thread", external: true });
    calls.set(id, outcome);
    worker.postMessage({ id, value });
    try {
      return yield* outcome;
    } finally {
      if (calls.delete(id)) worker.postMessage({ cancel: id }); // cancelled while it waited
    }
  }

  await run(function* () {
    console.log(yield* all([call(4), call(2)]));
    console.log(yield* moveOnAfter(50, call(6_000)));
    try {
      yield* call(-1);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      console.log(error.message);
    }
    worker.postMessage("close");
    const [exitCode] = yield* until(once(worker, "exit"));
    console.log(`the thread has ended with ${exitCode}`);
  });
}

if (isMainThread) await main();
else serve();

// prints:
// [ '8 from thread 1', '4 from thread 1' ]
// undefined
// not below zero
// the thread has ended with 0
