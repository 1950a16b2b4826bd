/** Fibril through a module that passes its exports on: `settings.fibril.modules` names it. */
import { sleep, Lock, Channel, Queue } from "./fibril.ts";
import type { Coroutine, Receiver, Sender } from "./fibril.ts";

const stock = new Lock({ name: "stock" });
const jobs = new Queue<number>(10);
const { sender, receiver } = new Channel<number>(1);

export function* main(out: Sender<number>, input: Receiver<number>): Coroutine<void> {
  // found: no-floating-operation
  sleep(1);
  // found: no-floating-operation
  stock.acquire();
  // found: no-floating-operation
  jobs.put(1);
  // found: no-floating-operation
  sender.send(1);
  // found: no-floating-operation
  out.clone().send(2);
  // found: no-floating-operation
  input.receive();
  jobs.tryPut(1);
  receiver.close();
  sender.close();
  // found: no-floating-operation
  if (jobs.get()) yield* stock.acquire();
}
