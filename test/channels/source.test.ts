/**
 * A channel as a source: whoever stops early lets go of the receiving end, and leaves the sending side alone.
 */
import { forEach, forEachConcurrent, mapConcurrent, scope, sleep, spawn } from "fibril";
import type { Coroutine, SequenceSource } from "fibril";
import { describe, expect, test } from "vitest";
import { sequenceOf } from "../../src/core/index.ts";
import { Channel, ChannelClosedError } from "../../src/channels/index.ts";
import { simulated } from "../core/simulated.ts";

const STOP = new Error("stop");

// oxlint-disable-next-line require-yield -- a body
function* failing(): Coroutine<never> {
  throw STOP;
}

const consumers: Record<string, (channel: Channel<number>) => Coroutine<unknown>> = {
  forEach: (channel) => forEach(channel, failing),
  forEachConcurrent: (channel) => forEachConcurrent(channel, failing, { limit: 1 }),
  mapConcurrent: (channel) => mapConcurrent(channel, failing, { limit: 1 }),
};

describe("who stops early", () => {
  for (const [name, consume] of Object.entries(consumers)) {
    test(`${name} closes the receiver: nothing is lost silently, and senders are told why`, () => {
      simulated(function* () {
        const undelivered: number[][] = [];
        const channel = new Channel<number>(2, { name: "jobs", onUndelivered: (values) => undelivered.push(values) });
        for (const value of [1, 2]) yield* channel.send(value);
        const sending = spawn(function* () {
          try {
            yield* channel.send(3);
            return yield* channel.send(4);
          } catch (error) {
            return String(error);
          }
        });
        yield* sleep(1);
        const error = yield* caught(consume(channel));
        expect(error).toBe(STOP);
        expect(yield* sending).toContain("its last receiver was closed");
        expect(undelivered.flat()).toEqual([2, 3]);
        expect(channel.statistics()).toMatchObject({ openSenders: 1, openReceivers: 0 });
      });
    });
  }

  test("leaves a clone of the receiver its values", () => {
    simulated(function* () {
      const channel = new Channel<number>(2);
      const other = channel.receiver.clone();
      for (const value of [1, 2]) yield* channel.send(value);
      yield* caught(forEach(channel, failing));
      yield* channel.send(3);
      expect([yield* other.receive(), yield* other.receive()]).toEqual([2, 3]);
    });
  });

  test("a source that ended is not closed", () => {
    simulated(function* () {
      const channel = new Channel<number>(1);
      yield* channel.send(1);
      channel.close();
      const seen: number[] = [];
      yield* forEach(channel, function* (value) {
        seen.push(value);
      });
      expect([seen, channel.receiver.isClosed]).toEqual([[1], false]);
    });
  });
});

test("sequenceOf gives the receiver of whatever has one, first of all", () => {
  const channel = new Channel<string>();
  const source: SequenceSource<string> = channel;
  expect(sequenceOf(source)).toBe(channel.receiver);
  expect("next" in channel).toBe(false);
});

test("a channel is closed at the end of its block", () => {
  simulated(function* () {
    const receiving = yield* scope(function* () {
      using channel = new Channel<number>();
      const task = spawn(() => caught(channel.receive()));
      yield* sleep(1);
      return task;
    });
    expect(yield* receiving).toBeInstanceOf(ChannelClosedError);
  });
});

function* caught(operation: object): Coroutine<unknown> {
  try {
    return yield* operation as Coroutine<unknown>;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return error;
  }
}
