/**
 * Waiting for two sources and taking what comes first; the value that is not taken must not be lost.
 *
 * Two tasks send through unbuffered channels, a third takes from whichever is ready. With promises the promise that has lost must be kept for
 * the next turn, or its value is gone; each `Promise.race` adds reactions to it. Effect races two fibers.
 * Effection takes no part: when both of its queues have a value, its `race` takes one from each and drops the second (4.1.1).
 */
import type { Queue as QueueOf } from "effect/Queue";
import { Deliveries } from "../meter.ts";
import { foreign } from "../row.ts";
import type { TimedRow } from "../row.ts";

const SOURCES = 2;

export const selectRow: TimedRow = {
  name: "select",
  kind: "time",
  title: "take from the first of two channels that has a value",
  operation: "value",
  sizeOf: "sources",
  sizes: [SOURCES],
  rounds: 3,
  contestants: [
    {
      name: "native",
      note: "Promise.race over two hand-written queues; the promise that lost is kept for the next race",
      async load() {
        type Arrived = { readonly source: number; readonly value: number };
        class Source {
          #sending: { readonly value: number; readonly resolve: () => void } | undefined;
          #receiving: ((value: number) => void) | undefined;

          send(value: number): Promise<void> {
            if (this.#receiving !== undefined) {
              this.#receiving(value);
              this.#receiving = undefined;
              return Promise.resolve();
            }
            return new Promise((resolve) => {
              this.#sending = { value, resolve };
            });
          }

          receive(): Promise<number> {
            if (this.#sending !== undefined) {
              const { value, resolve } = this.#sending;
              this.#sending = undefined;
              resolve();
              return Promise.resolve(value);
            }
            return new Promise((resolve) => {
              this.#receiving = resolve;
            });
          }
        }
        async function send(source: Source, deliveries: Deliveries, sender: number): Promise<void> {
          for (let i = 0; i < deliveries.perSender; i++) await source.send(deliveries.value(sender, i));
        }
        return async (_n, ops) => {
          const deliveries = new Deliveries(SOURCES, ops);
          const sources = [new Source(), new Source()];
          const senders = sources.map((source, i) => send(source, deliveries, i));
          const arrival = async (source: number): Promise<Arrived> => ({
            source,
            value: await sources[source]!.receive(),
          });
          const pending = [arrival(0), arrival(1)];
          for (let i = 0; i < deliveries.total; i++) {
            const { source, value } = await Promise.race(pending);
            pending[source] = arrival(source);
            deliveries.receive(value);
          }
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
        const { select } = await import("fibril");
        function* send(channel: InstanceType<typeof Channel<number>>, deliveries: Deliveries, sender: number) {
          for (let i = 0; i < deliveries.perSender; i++) yield* channel.send(deliveries.value(sender, i));
        }
        return async (_n, ops) => {
          const deliveries = new Deliveries(SOURCES, ops);
          await run(function* () {
            const a = new Channel<number>(0);
            const b = new Channel<number>(0);
            spawn(send, a, deliveries, 0);
            spawn(send, b, deliveries, 1);
            for (let i = 0; i < deliveries.total; i++) {
              const { value } = yield* select({ a: a.receive(), b: b.receive() });
              deliveries.receive(value);
            }
          });
          return deliveries.result();
        };
      },
    },
    {
      name: "effect",
      note: "raceFirst of two takes",
      async load() {
        const Effect = await import("effect/Effect");
        const Queue = await import("effect/Queue");
        const send = Effect.fnUntraced(function* (queue: QueueOf<number>, deliveries: Deliveries, sender: number) {
          for (let i = 0; i < deliveries.perSender; i++) yield* Queue.offer(queue, deliveries.value(sender, i));
        });
        return async (_n, ops) => {
          const deliveries = new Deliveries(SOURCES, ops);
          const main = Effect.gen(function* () {
            const a = yield* Queue.bounded<number>(0);
            const b = yield* Queue.bounded<number>(0);
            yield* Effect.forkChild(send(a, deliveries, 0));
            yield* Effect.forkChild(send(b, deliveries, 1));
            const first = Effect.raceFirst(Queue.take(a), Queue.take(b));
            for (let i = 0; i < deliveries.total; i++) deliveries.receive(yield* first);
          });
          await Effect.runPromise(main);
          return deliveries.result();
        };
      },
    },
    foreign("go", { note: "select over two channels" }),
  ],
  targets: [],
};
