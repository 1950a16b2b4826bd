/** Locks, channels and queues, used wrongly. */
import type { Coroutine } from "fibril";
import { Channel, Queue } from "../../../src/channels/index.ts";
import { Lock } from "../../../src/sync/index.ts";

export function* locks(): Coroutine<void> {
  const lock = new Lock();
  // error TS2741
  yield lock.acquire();
  // error TS7053
  lock.acquire()[Symbol.dispose]();
  // error TS2345
  yield* lock.use(async () => {});
  // error TS2345
  yield* lock.use(() => 1);
  // error TS2322
  const held: number = yield* lock.acquire();
  void held;
}

export function* channels(): Coroutine<void> {
  const channel = new Channel<number>(1);
  // error TS2345
  yield* channel.send("1");
  // error TS2554
  yield* channel.sender.send();
  // error TS2322
  const text: string = yield* channel.receive();
  // error TS2322
  const value: number = yield* channel.receiver.next();
  // error TS2339
  channel.sender.receive();
  // error TS2345
  new Channel<number>("1");
  // error TS2488
  for (const item of channel.receiver) void item;
  void [text, value];
}

export function* queues(): Coroutine<void> {
  const queue = new Queue<{ readonly id: number }>(1);
  // error TS2322
  yield* queue.put({ id: "1" });
  // error TS2345
  yield* queue.put(1);
  // error TS2339
  const { name } = yield* queue.get();
  // error TS2322
  const item: { id: number } = queue.tryGet();
  void [name, item];
}
