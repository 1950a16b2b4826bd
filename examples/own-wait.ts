// A wait of your own: one event of an EventTarget. start() begins it, withdraw() leaves no trace of it.
import { moveOnAfter, run, spawn } from "fibril";
import { Wait } from "fibril/lowlevel";
import type { Started, Waiter } from "fibril/lowlevel";

class NextEvent extends Wait<Event> {
  #listener: ((event: Event) => void) | null = null;
  readonly target: EventTarget;
  readonly type: string;

  constructor(target: EventTarget, type: string) {
    super();
    this.target = target;
    this.type = type;
  }

  get reason(): string {
    return `event "${this.type}"`; // shown by loop.tasks() and in messages
  }

  override get external(): boolean {
    return true; // something outside the loop ends it, so waiting for it is no deadlock
  }

  protected start(task: Waiter): Started<Event> {
    this.#listener = (event) => void task.wake(this, event);
    this.target.addEventListener(this.type, this.#listener, { once: true });
    return task.park(this);
  }

  withdraw(): boolean {
    this.target.removeEventListener(this.type, this.#listener!);
    return true;
  }
}

await run(function* () {
  const target = new EventTarget();
  spawn(function* () {
    target.dispatchEvent(new Event("ready"));
  });
  const event = yield* new NextEvent(target, "ready");
  console.log(`got ${event.type}`);
  console.log(yield* moveOnAfter(10, new NextEvent(target, "never")));
});

// prints:
// got ready
// undefined
