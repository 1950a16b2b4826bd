/**
 * Values from task to task: `channel` is a rendezvous (a send ends when the value is received), `channel-buffered` has room
 * for 64, `channel-many` has many senders that stand in line for one receiver.
 *
 * Native promises have no channel, so theirs is the one that everybody writes: queues of resolvers, two promises for each
 * value (one of the send, one of the receive). It cannot be cancelled or closed. Each contestant's receiver checks that the
 * values of a sender come in order, and that all come.
 */
import type { Operation } from "effection";
import type { Queue as QueueOf } from "effect/Queue";
import { Deliveries } from "../meter.ts";
import { foreign } from "../row.ts";
import type { Contestant, Foreigner, TimedProgram, TimedRow } from "../row.ts";

const ROOM = 64;
const SENDERS = 100;

export const channelRow: TimedRow = {
  ...row("channel", "hand a value over, unbuffered", [1], contestants(0)),
  targets: [{ n: 1, of: "fibril", to: "native", atMost: 1.0 }],
};

export const channelBufferedRow: TimedRow = row(
  "channel-buffered",
  `send through a buffer of ${ROOM}`,
  [1],
  contestants(ROOM),
);

export const channelManyRow: TimedRow = row(
  "channel-many",
  "many senders, one receiver, unbuffered",
  [SENDERS],
  contestants(0),
);

function row(
  name: string,
  title: string,
  sizes: readonly number[],
  all: readonly (Contestant<TimedProgram> | Foreigner)[],
): TimedRow {
  return {
    name,
    kind: "time",
    title,
    operation: "value",
    sizeOf: "senders",
    sizes,
    rounds: 3,
    contestants: all,
    targets: [],
  };
}

function contestants(capacity: number): (Contestant<TimedProgram> | Foreigner)[] {
  return [
    {
      name: "native",
      note: "a hand-written queue of resolvers, two promises for each value",
      async load() {
        async function send(channel: PromiseChannel, deliveries: Deliveries, sender: number): Promise<void> {
          for (let i = 0; i < deliveries.perSender; i++) await channel.send(deliveries.value(sender, i));
        }
        return async (n, ops) => {
          const deliveries = new Deliveries(n, ops);
          const channel = new PromiseChannel(capacity);
          const senders: Promise<void>[] = [];
          for (let i = 0; i < n; i++) senders.push(send(channel, deliveries, i));
          for (let i = 0; i < deliveries.total; i++) deliveries.receive(await channel.receive());
          await Promise.all(senders);
          return deliveries.result();
        };
      },
    },
    {
      name: "fibril",
      async load() {
        const { run, spawn } = await import("fibril");
        const { Channel } = await import("fibril");
        type Ends = InstanceType<typeof Channel<number>>;
        function* send(channel: Ends, deliveries: Deliveries, sender: number) {
          for (let i = 0; i < deliveries.perSender; i++) yield* channel.send(deliveries.value(sender, i));
        }
        return async (n, ops) => {
          const deliveries = new Deliveries(n, ops);
          await run(function* () {
            const channel = new Channel<number>(capacity);
            for (let i = 0; i < n; i++) spawn(send, channel, deliveries, i);
            for (let i = 0; i < deliveries.total; i++) deliveries.receive(yield* channel.receive());
          });
          return deliveries.result();
        };
      },
    },
    {
      name: "effect",
      async load() {
        const Effect = await import("effect/Effect");
        const Queue = await import("effect/Queue");
        const send = Effect.fnUntraced(function* (queue: QueueOf<number>, deliveries: Deliveries, sender: number) {
          for (let i = 0; i < deliveries.perSender; i++) yield* Queue.offer(queue, deliveries.value(sender, i));
        });
        return async (n, ops) => {
          const deliveries = new Deliveries(n, ops);
          const main = Effect.gen(function* () {
            const queue = yield* Queue.bounded<number>(capacity);
            for (let i = 0; i < n; i++) yield* Effect.forkChild(send(queue, deliveries, i));
            for (let i = 0; i < deliveries.total; i++) deliveries.receive(yield* Queue.take(queue));
          });
          await Effect.runPromise(main);
          return deliveries.result();
        };
      },
    },
    {
      name: "effection",
      note: "its queue has no limit, so every sender waits for a word of the receiver: after each value, or for room",
      async load() {
        const { createQueue, run, spawn } = await import("effection");
        type Queue<T> = ReturnType<typeof createQueue<T, void>>;
        function* send(
          values: Queue<number>,
          room: Queue<void>,
          deliveries: Deliveries,
          sender: number,
        ): Operation<void> {
          for (let i = 0; i < deliveries.perSender; i++) {
            if (capacity > 0) yield* room.next();
            values.add(deliveries.value(sender, i));
            if (capacity === 0) yield* room.next();
          }
        }
        return async (n, ops) => {
          const deliveries = new Deliveries(n, ops);
          await run(function* () {
            const values = createQueue<number, void>();
            const rooms: Queue<void>[] = [];
            for (let i = 0; i < n; i++) {
              const room = createQueue<void, void>();
              for (let free = 0; free < capacity; free++) room.add();
              rooms.push(room);
              void (yield* spawn(() => send(values, room, deliveries, i)));
            }
            for (let i = 0; i < deliveries.total; i++) {
              const { value } = yield* values.next();
              deliveries.receive(value as number);
              rooms[(value as number) % n]!.add();
            }
          });
          return deliveries.result();
        };
      },
    },
    foreign("python", { note: capacity === 0 ? "asyncio.Queue(1): it has no rendezvous" : `asyncio.Queue(${ROOM})` }),
    foreign("go"),
  ];
}

/** As it is written by hand in many programs: no cancelling, no closing, an array for each line. */
class PromiseChannel {
  readonly #capacity: number;
  #values: number[] = [];
  #sending: { readonly value: number; readonly resolve: () => void }[] = [];
  #receiving: ((value: number) => void)[] = [];

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  send(value: number): Promise<void> {
    const receive = this.#receiving.shift();
    if (receive !== undefined) {
      receive(value);
      return Promise.resolve();
    }
    if (this.#values.length < this.#capacity) {
      this.#values.push(value);
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#sending.push({ value, resolve });
    });
  }

  receive(): Promise<number> {
    const next = this.#sending.shift();
    const value = this.#values.shift();
    if (next !== undefined) {
      next.resolve();
      if (value === undefined) return Promise.resolve(next.value);
      this.#values.push(next.value);
    }
    if (value !== undefined) return Promise.resolve(value);
    return new Promise((resolve) => {
      this.#receiving.push(resolve);
    });
  }
}
