/**
 * A channel against a naive model, and crowds that send and receive while somebody is cancelled at any step.
 */
import { spawn } from "fibril";
import type { Coroutine } from "fibril";
import { simulateSync } from "fibril/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Channel } from "../../src/channels/index.ts";
import type { Receiver, Sender } from "../../src/channels/index.ts";
import { HandoverModel } from "../channels/handover-model.ts";
import { commandsFor, runInLockstep } from "../channels/lockstep.ts";
import type { Item, Real } from "../channels/lockstep.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

const order = fc.option(fc.nat(), { nil: undefined });
const capacity = fc.constantFrom(0, 1, 2, 3, Infinity);

test(
  "law: in any program a channel does what a naive one does: who is served, with what, in which order, and who is told of a close",
  () => {
    fc.assert(
      fc.property(commandsFor("channel"), capacity, order, (commands, size, seed) => {
        runInLockstep(commands, new HandoverModel(size, () => 0), () => realChannel(size), seed);
      }),
      runs(400),
    );
  },
  LAW_TIMEOUT_MS,
);

function realChannel(size: number): Real {
  const given: number[] = [];
  const channel = new Channel<Item>(size, {
    onUndelivered: (items) => given.push(...items.map(({ id }) => id)),
  });
  const senders: Sender<Item>[] = [channel.sender];
  const receivers: Receiver<Item>[] = [channel.receiver];
  let accepted = 0;
  return {
    put: (end, item) => senders[end]!.send(item),
    take: (end) => receivers[end]!.receive(),
    next: (end) => receivers[end]!.next(),
    tryPut: (end, item) => senders[end]!.trySend(item),
    tryTake: (end) => receivers[end]!.tryReceive(),
    end(command, end) {
      if (command === "cloneSender") senders.push(senders[end]!.clone());
      else if (command === "cloneReceiver") receivers.push(receivers[end]!.clone());
      else if (command === "closeSender") senders[end]!.close();
      else if (command === "closeAll") channel.close();
      else {
        receivers[end]!.close();
        return given.splice(0);
      }
      return undefined;
    },
    counts() {
      const { buffered, sent, waitingSenders, waitingReceivers } = channel.statistics();
      expect(buffered).toBeLessThanOrEqual(size);
      expect(sent).toBeGreaterThanOrEqual(accepted);
      accepted = sent;
      return {
        stored: buffered,
        putters: waitingSenders,
        takers: waitingReceivers,
        unfinished: sent,
        joiners: 0,
      };
    },
  };
}

const crowd = fc.record({
  size: capacity,
  producers: fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 4 }),
  consumers: fc.array(fc.nat({ max: 12 }), { minLength: 1, maxLength: 4 }),
});

/** Producers and consumers that each close an end of their own; a consumer that has enough stops early. */
function execute(
  { size, producers, consumers }: { size: number; producers: number[]; consumers: number[] },
  seed: number | undefined,
  cancelAt: number,
): number {
  const sent: string[] = [];
  const received: string[] = [];
  const undelivered: string[] = [];
  const disorder: string[] = [];
  const channel = new Channel<readonly [number, number]>(size, {
    onUndelivered: (values) => undelivered.push(...values.map(String)),
  });
  function* produce(producer: number, count: number, sender: Sender<readonly [number, number]>): Coroutine<void> {
    using mine = sender;
    for (let i = 0; i < count; i++) {
      try {
        yield* mine.send([producer, i]);
      } catch (error) {
        if ((error as { code?: string }).code !== "CHANNEL_CLOSED") throw error;
        return;
      }
      sent.push(`${producer},${i}`);
    }
  }
  function* consume(most: number, receiver: Receiver<readonly [number, number]>): Coroutine<void> {
    using mine = receiver;
    const last: number[] = [];
    for (let i = 0; i < most; i++) {
      const { done, value } = yield* mine.next();
      if (done) return;
      const [producer, number] = value;
      received.push(String(value));
      if (number <= (last[producer] ?? -1)) disorder.push(String(value));
      last[producer] = number;
    }
  }
  function* main(): Coroutine<void> {
    for (const [index, count] of producers.entries()) {
      const sender = channel.sender.clone();
      spawn({ name: `producer ${index}` }, () => produce(index, count, sender));
    }
    for (const most of consumers) {
      const receiver = channel.receiver.clone();
      spawn(() => consume(most, receiver));
    }
    channel.sender.close();
    channel.receiver.close();
  }
  const simulation = simulateSync(main, seed === undefined ? {} : { seed }, (_main, stepped, steps) => {
    if (steps === cancelAt) stepped?.cancel("the law");
  });
  expect(simulation.leaks).toEqual([]);
  if (simulation.outcome.status === "failed") throw simulation.outcome.error;
  // A task that was cancelled before its first step has not closed what it was given.
  if (channel.statistics().openReceivers > 0) undelivered.push(...channel.drain().map(String));
  expect(disorder).toEqual([]);
  expect([...received, ...undelivered].sort()).toEqual([...sent].sort());
  return simulation.steps;
}

test(
  "law: every value that was sent is received or given back exactly once, in the order of its sender, whoever is cancelled at any step",
  () => {
    fc.assert(
      fc.property(crowd, order, fc.nat(), (program, seed, at) => {
        const steps = execute(program, seed, -1);
        execute(program, seed, at % (steps + 1));
      }),
      runs(300),
    );
  },
  LAW_TIMEOUT_MS,
);
