import { run, sleep, spawn, UsageError, use } from "fibril";
import type { Coroutine, Task } from "fibril";
import { cancelSweep, simulateSync } from "fibril/testing";
import { WaitQueue } from "fibril/lowlevel";
import { describe, expect, test, vi } from "vitest";
import { Channel, ChannelClosedError, Receiver, Sender } from "../../src/channels/index.ts";
import { select } from "../../src/channels/select.ts";
import { failureOf, simulated, thrownBy } from "../core/simulated.ts";

/** Everything that comes out, until the end. */
function* rest<T>(of: Receiver<T> | Channel<T>): Coroutine<T[]> {
  const receiver = of instanceof Channel ? of.receiver : of;
  const values: T[] = [];
  for (;;) {
    const { done, value } = yield* receiver.next();
    if (done) return values;
    values.push(value);
  }
}

describe("handing over", () => {
  test("without a capacity a send ends when its value is received", () => {
    const log = simulated(function* () {
      const channel = new Channel<string>();
      const seen: string[] = [];
      spawn(function* () {
        for (const value of ["a", "b"]) {
          yield* channel.send(value);
          seen.push(`sent ${value}`);
        }
      });
      yield* sleep(1);
      expect(channel.statistics()).toMatchObject({ capacity: 0, buffered: 0, sent: 0, waitingSenders: 1 });
      for (let i = 0; i < 2; i++) {
        seen.push(`received ${yield* channel.receive()}`);
        yield* sleep(1);
      }
      return seen;
    });
    expect(log).toEqual(["received a", "sent a", "received b", "sent b"]);
  });

  test("any value can be sent: undefined, null, NaN, a promise, an error", () => {
    const values = [undefined, null, Number.NaN, Promise.resolve(1), new Error("only a value"), Symbol("x")];
    simulated(function* () {
      for (const capacity of [0, 1]) {
        const channel = new Channel<unknown>(capacity);
        for (const value of values) {
          const sending = spawn(() => channel.send(value));
          if (capacity === 1) yield* sending;
          expect((yield* channel.receiver.next()).value).toBe(value);
          if (capacity === 1) {
            expect(channel.trySend(value)).toBe(true);
            expect(channel.tryReceive()).toEqual({ value });
          }
          yield* sending;
        }
      }
    });
  });

  test("a value goes to the receiver that has waited longest, and nobody who comes later can take it", () => {
    const log = simulated(function* () {
      const channel = new Channel<number>(2);
      const seen: string[] = [];
      for (const name of ["first", "second"]) {
        spawn(function* () {
          seen.push(`${name} ${yield* channel.receive()}`);
        });
      }
      yield* sleep(1);
      yield* channel.send(1);
      expect(channel.tryReceive()).toBeUndefined();
      yield* channel.send(2);
      yield* channel.send(3);
      seen.push(`late ${yield* channel.receive()}`);
      yield* sleep(1);
      return seen;
    });
    expect(log).toEqual(["late 3", "first 1", "second 2"]);
  });

  test("a receiver that takes from a full buffer lets the longest waiting value in, in the same step", () => {
    simulated(function* () {
      const channel = new Channel<number>(1);
      yield* channel.send(0);
      for (const value of [1, 2]) spawn(() => channel.send(value));
      yield* sleep(1);
      expect(channel.tryReceive()).toEqual({ value: 0 });
      expect(channel.statistics()).toMatchObject({ buffered: 1, waitingSenders: 1 });
      expect(channel.trySend(9)).toBe(false);
      expect(channel.drain()).toEqual([1, 2]);
      expect(channel.drain()).toEqual([]);
    });
  });

  test("trySend hands over to who waits, fills the buffer, and then says no", () => {
    simulated(function* () {
      const channel = new Channel<number>(1);
      const receiving = spawn(() => channel.receive());
      yield* sleep(1);
      expect([channel.trySend(1), channel.trySend(2), channel.trySend(3)]).toEqual([true, true, false]);
      expect(yield* receiving).toBe(1);
      expect(yield* channel.receive()).toBe(2);
    });
  });

  test("a capacity of Infinity never makes a send wait", () => {
    simulated(function* () {
      const channel = new Channel<number>(Infinity);
      for (let i = 0; i < 2_000; i++) expect(channel.trySend(i)).toBe(true);
      channel.close();
      expect(yield* rest(channel)).toEqual(Array.from({ length: 2_000 }, (_, i) => i));
    });
  });

  test("values may be sent from outside any coroutine", async () => {
    const channel = new Channel<string>(1);
    channel.trySend("from outside");
    expect(await run(() => channel.receive())).toBe("from outside");
  });
});

describe("cancelling", () => {
  test("a cancelled send has sent nothing, a cancelled receive has taken nothing", () => {
    simulated(function* () {
      const channel = new Channel<string>();
      const lost = spawn(() => channel.send("never"));
      const next = spawn(() => channel.send("second"));
      yield* sleep(1);
      yield* lost.cancel();
      expect(channel.statistics().waitingSenders).toBe(1);
      expect(yield* channel.receive()).toBe("second");
      yield* next;
      const gone = spawn(() => channel.receive());
      const there = spawn(() => channel.receive());
      yield* sleep(1);
      yield* gone.cancel();
      yield* channel.send("third");
      expect(yield* there).toBe("third");
      expect(channel.statistics()).toMatchObject({ waitingReceivers: 0, waitingSenders: 0, sent: 2 });
    });
  });

  test("a receiver that was handed a value and cancelled in the same turn has the value", () => {
    simulated(function* () {
      const channel = new Channel<string>();
      const seen: string[] = [];
      const receiving: Task<void> = spawn(function* () {
        seen.push(yield* channel.receive());
      });
      yield* sleep(1);
      yield* channel.send("x");
      yield* receiving.cancel();
      expect(seen).toEqual(["x"]);
    });
  });

  for (const target of ["main", "stepped"] as const) {
    for (const seed of [undefined, 1, 2]) {
      test(`the sweep: ${target} cancelled at any step, seed ${seed}, and every value is where it should be`, () => {
        const { runs } = cancelSweep(
          () => {
            const sent: number[] = [];
            const seen: number[] = [];
            const channel = new Channel<number>(1, { onUndelivered: (values) => seen.push(...values) });
            function* main(): Coroutine<void> {
              yield* use(channel.receiver);
              for (let producer = 0; producer < 3; producer++) {
                spawn(function* () {
                  for (let i = 0; i < 3; i++) {
                    yield* channel.send(producer * 10 + i);
                    sent.push(producer * 10 + i);
                  }
                });
              }
              for (let i = 0; i < 9; i++) {
                const next = yield* select({ value: channel.receive(), silence: sleep(1_000) });
                if (next.key === "value") seen.push(next.value);
              }
            }
            return {
              main,
              check() {
                const { waitingReceivers, waitingSenders, buffered } = channel.statistics();
                expect({ waitingReceivers, waitingSenders, buffered }).toEqual({
                  waitingReceivers: 0,
                  waitingSenders: 0,
                  buffered: 0,
                });
                expect(new Set(seen)).toEqual(new Set(sent));
                expect(seen.length).toBe(sent.length);
              },
            };
          },
          { target, ...(seed === undefined ? {} : { seed }) },
        );
        expect(runs).toBeGreaterThan(10);
      });
    }
  }
});

describe("closing", () => {
  test("the last sender ends the channel after what is buffered; a clone keeps it open", () => {
    simulated(function* () {
      const { sender, receiver } = new Channel<number>(5);
      const other = sender.clone();
      yield* sender.send(1);
      sender.close();
      sender.close();
      expect([sender.isClosed, other.isClosed]).toEqual([true, false]);
      yield* other.send(2);
      expect(other.statistics()).toMatchObject({ openSenders: 1, openReceivers: 1, buffered: 2 });
      other.close();
      expect(yield* rest(receiver)).toEqual([1, 2]);
      expect(yield* receiver.next()).toEqual({ done: true, value: undefined });
    });
  });

  test("those who wait to receive are told of the end", () => {
    simulated(function* () {
      const channel = new Channel<number>(0, { name: "jobs" });
      const next = spawn(() => channel.receiver.next());
      const receive = spawn(function* () {
        try {
          return yield* channel.receive();
        } catch (error) {
          return error;
        }
      });
      yield* sleep(1);
      channel.close();
      expect(yield* next).toEqual({ done: true, value: undefined });
      const error = (yield* receive) as ChannelClosedError;
      expect(error).toBeInstanceOf(ChannelClosedError);
      expect(error.code).toBe("CHANNEL_CLOSED");
      expect(error.message).toContain('cannot receive from channel "jobs": every sender was closed');
      expect(thrownBy(() => channel.tryReceive())).toBeInstanceOf(ChannelClosedError);
    });
  });

  test("a sender fails the sends that wait at it, and only these", () => {
    simulated(function* () {
      const { sender, receiver } = new Channel<string>();
      const other = sender.clone();
      const failed = spawn(() => settled(sender.send("mine")));
      const fine = spawn(() => settled(other.send("theirs")));
      yield* sleep(1);
      sender.close();
      expect(yield* receiver.receive()).toBe("theirs");
      expect([yield* failed, yield* fine]).toEqual(["CHANNEL_CLOSED", "done"]);
      expect(receiver.statistics().sent).toBe(1);
    });
  });

  test("close of the channel closes every sender, clones too", () => {
    simulated(function* () {
      const channel = new Channel<number>(1);
      const clone = channel.sender.clone();
      yield* clone.send(1);
      const waiting = spawn(() => settled(clone.send(2)));
      yield* sleep(1);
      channel.close();
      channel.close();
      expect(yield* waiting).toBe("CHANNEL_CLOSED");
      expect(thrownBy(() => clone.trySend(3))).toMatchObject({ code: "CHANNEL_CLOSED" });
      clone.close();
      expect(channel.statistics().openSenders).toBe(0);
      expect(yield* rest(channel)).toEqual([1]);
    });
  });

  test("the last receiver makes those who send fail; a clone does not", () => {
    simulated(function* () {
      const { sender, receiver } = new Channel<string>(0, { name: "jobs" });
      const other = receiver.clone();
      const waiting = spawn(() => settled(sender.send("x")));
      const receiving = spawn(() => receiver.next());
      yield* sleep(1);
      expect(yield* waiting).toBe("done");
      yield* receiving;
      receiver.close();
      const mine = spawn(() => settled(sender.send("y")));
      yield* sleep(1);
      expect(sender.isClosed).toBe(false);
      other.close();
      other.close();
      expect(sender.isClosed).toBe(true);
      expect(yield* mine).toBe("CHANNEL_CLOSED");
      const error = thrownBy(() => sender.trySend("z")) as Error;
      expect(error.message).toBe(
        'cannot send to channel "jobs": its last receiver was closed, so nobody can receive the value',
      );
    });
  });

  test("a receiver ends the receives that wait at it, and only these", () => {
    simulated(function* () {
      const { sender, receiver } = new Channel<string>();
      const other = receiver.clone();
      const ended = spawn(() => receiver.next());
      const failed = spawn(() => settled(receiver.receive()));
      const fine = spawn(() => other.receive());
      yield* sleep(1);
      receiver.close();
      expect([yield* ended, yield* failed]).toEqual([{ done: true, value: undefined }, "CHANNEL_CLOSED"]);
      yield* sender.send("x");
      expect(yield* fine).toBe("x");
      expect(yield* receiver.next()).toEqual({ done: true, value: undefined });
      expect(thrownBy(() => receiver.tryReceive())).toMatchObject({
        message: expect.stringContaining("this receiver"),
      });
    });
  });

  test("what nobody can receive any more goes to onUndelivered, in order and once", () => {
    simulated(function* () {
      const given: number[][] = [];
      const channel = new Channel<number>(5, { onUndelivered: (values) => given.push(values) });
      for (const value of [1, 2, 3]) yield* channel.send(value);
      const clone = channel.receiver.clone();
      channel.receiver.close();
      expect([given, channel.drain()]).toEqual([[], []]);
      expect(yield* clone.receive()).toBe(1);
      clone.close();
      expect([given, channel.drain(), channel.statistics().buffered]).toEqual([[[2, 3]], [], 0]);
    });
  });

  test("without onUndelivered it stays for drain", () => {
    simulated(function* () {
      const channel = new Channel<number>(5);
      for (const value of [1, 2]) yield* channel.send(value);
      channel.receiver.close();
      expect(channel.statistics()).toMatchObject({ buffered: 2, openReceivers: 0 });
      expect(channel.drain()).toEqual([1, 2]);
    });
  });

  test("what onUndelivered throws comes out of close, and the receiver is closed", () => {
    const channel = new Channel<number>(1, {
      onUndelivered() {
        throw new Error("no place");
      },
    });
    channel.trySend(1);
    expect(() => channel.receiver.close()).toThrow("no place");
    expect([channel.receiver.isClosed, channel.sender.isClosed, channel.statistics().buffered]).toEqual([
      true,
      true,
      0,
    ]);
    channel.receiver.close();
  });

  test("the ends are resources: a scope closes them", () => {
    simulated(function* () {
      const channel = new Channel<number>(1);
      yield* spawn(function* () {
        const mine = yield* use(channel.sender);
        yield* mine.send(1);
      });
      expect(channel.sender.isClosed).toBe(true);
      expect(yield* rest(channel.receiver)).toEqual([1]);
      yield* spawn(function* () {
        yield* use(channel.receiver);
      });
      expect(channel.receiver.isClosed).toBe(true);
    });
  });

  test("a closed end cannot be cloned", () => {
    const channel = new Channel<number>();
    channel.sender.close();
    channel.receiver.close();
    expect(thrownBy(() => channel.sender.clone())).toMatchObject({ code: "CHANNEL_CLOSED" });
    expect(thrownBy(() => channel.receiver.clone())).toMatchObject({ code: "CHANNEL_CLOSED" });
    const other = new Channel<number>();
    const clone = other.sender.clone();
    other.close();
    expect(thrownBy(() => clone.clone())).toMatchObject({ code: "CHANNEL_CLOSED" });
  });

  test("closing withdraws the other arms of a select that waits on the same channel", () => {
    simulated(function* () {
      const channel = new Channel<number>();
      const waiting = spawn(() => settled(select([channel.receive(), channel.receive(), channel.send(1)])));
      yield* sleep(1);
      channel.close();
      expect(yield* waiting).toBe("CHANNEL_CLOSED");
      expect(channel.statistics()).toMatchObject({ waitingReceivers: 0, waitingSenders: 0 });
    });
  });
});

describe("closing one of many ends", () => {
  test("does not look at those who wait at other ends", () => {
    simulated(function* () {
      const channel = new Channel<number>();
      const clones = Array.from({ length: 50 }, () => channel.sender.clone());
      const idle = Array.from({ length: 50 }, () => channel.sender.clone());
      const tasks = clones.map((sender) =>
        spawn(function* () {
          using mine = sender;
          yield* mine.send(1);
        }),
      );
      yield* sleep(1);
      const walk = vi.spyOn(WaitQueue.prototype, Symbol.iterator);
      for (const sender of idle) sender.close();
      for (const _ of tasks) yield* channel.receive();
      for (const task of tasks) yield* task;
      const walks = walk.mock.calls.length;
      walk.mockRestore();
      expect(walks).toBe(0);
      expect(channel.statistics()).toMatchObject({ openSenders: 1, waitingSenders: 0 });
    });
  });

  test("ends exactly its own waits, also after some were cancelled, served or lost a select", () => {
    simulated(function* () {
      const channel = new Channel<number>();
      const [mine, other] = [channel.receiver.clone(), channel.receiver.clone()];
      const tasks = [mine, other, mine, other, mine].map((end) => spawn(() => end.next()));
      const chosen = spawn(() => select([mine.receive(), other.receive(), sleep(1)]));
      yield* sleep(2);
      expect((yield* chosen).key).toBe(2);
      yield* tasks[2]!.cancel();
      yield* channel.send(1);
      mine.close();
      yield* sleep(1);
      expect(tasks.map((task) => task.isSettled)).toEqual([true, false, true, false, true]);
      expect((yield* tasks[4]!).done).toBe(true);
      other.close();
      expect([(yield* tasks[1]!).done, (yield* tasks[3]!).done]).toEqual([true, true]);
    });
  });
});

describe("a select on one channel", () => {
  test("its send and its receive do not meet each other, in either order", () => {
    simulated(function* () {
      for (const isSendFirst of [true, false]) {
        const channel = new Channel<string>();
        const both = spawn(function* () {
          const arms = { send: channel.send("mine"), receive: channel.receive() };
          return yield* isSendFirst
            ? select({ send: arms.send, receive: arms.receive })
            : select({ receive: arms.receive, send: arms.send });
        });
        yield* sleep(1);
        expect(channel.statistics()).toMatchObject({ waitingSenders: 1, waitingReceivers: 1 });
        yield* channel.send("theirs");
        expect(yield* both).toEqual({ key: "receive", value: "theirs" });
        expect(channel.statistics()).toMatchObject({ waitingSenders: 0, waitingReceivers: 0, sent: 1 });
      }
    });
  });

  test("its receive from a full buffer does not let its own send in", () => {
    simulated(function* () {
      const channel = new Channel<string>(1);
      yield* channel.send("old");
      expect(yield* select([channel.send("mine"), channel.receive()])).toEqual({ key: 1, value: "old" });
      expect(channel.statistics()).toMatchObject({ buffered: 0, waitingSenders: 0, sent: 1 });
    });
  });

  test("its send goes to the one that waited before, past its own receive", () => {
    simulated(function* () {
      const channel = new Channel<string>();
      const theirs = spawn(() => channel.receive());
      yield* sleep(1);
      expect(yield* select([sleep(9), channel.send("a")])).toEqual({ key: 1, value: undefined });
      expect(yield* theirs).toBe("a");
      expect(channel.statistics()).toMatchObject({ waitingReceivers: 0, waitingSenders: 0 });
    });
  });
});

describe("misuse and looking in", () => {
  test.each([-1, 0.5, Number.NaN, "3", null, -Infinity])("a capacity of %s is refused", (capacity) => {
    expect(() => new Channel(capacity as number)).toThrow(UsageError);
    expect(() => new Channel(capacity as number, { name: "jobs" })).toThrow('the capacity of channel "jobs" must be');
  });

  test("a wait says what it is for", () => {
    simulated(function* () {
      const jobs = new Channel<number>(0, { name: "jobs" });
      const unnamed = new Channel<number>();
      const sending = spawn(() => jobs.send(1));
      const receiving = spawn(() => unnamed.receiver.next());
      yield* sleep(1);
      expect([sending.waitingFor, receiving.waitingFor]).toEqual(['send to channel "jobs"', "receive from channel"]);
      expect([jobs.name, unnamed.name, jobs.capacity]).toEqual(["jobs", "channel", 0]);
      yield* jobs.receive();
      unnamed.trySend(1);
    });
  });

  test("statistics are frozen and count both sides", () => {
    const channel = new Channel<number>(2, { name: "jobs" });
    channel.trySend(1);
    channel.sender.clone();
    const statistics = channel.statistics();
    expect(statistics).toEqual({
      name: "jobs",
      capacity: 2,
      buffered: 1,
      sent: 1,
      openSenders: 2,
      openReceivers: 1,
      waitingSenders: 0,
      waitingReceivers: 0,
    });
    expect(Object.isFrozen(statistics)).toBe(true);
    expect(channel.sender.statistics()).toEqual(statistics);
    expect(channel.receiver.statistics()).toEqual(statistics);
  });

  test("one operation cannot be awaited by two tasks at once, but again", () => {
    const error = failureOf(function* () {
      const channel = new Channel<number>();
      const operation = channel.receive();
      spawn(() => channel.send(1));
      yield* operation;
      spawn(() => operation);
      yield* sleep(1);
      yield* operation;
    });
    expect(error).toMatchObject({ code: "SHARED_WAIT" });
  });

  test("a program in which nobody sends is reported as stuck, with the channel's name", () => {
    const { outcome } = simulateSync(function* () {
      yield* new Channel<number>(0, { name: "jobs" }).receive();
    });
    expect(String((outcome as { error: Error }).error)).toContain('receive from channel "jobs"');
  });

  test("the ends have their classes", () => {
    const channel = new Channel<number>();
    expect([channel.sender instanceof Sender, channel.receiver instanceof Receiver]).toEqual([true, true]);
  });
});

/** `done`, or the code of what was thrown. */
function* settled(operation: object): Coroutine<string> {
  try {
    yield* operation as Coroutine<unknown>;
    return "done";
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return (error as ChannelClosedError).code;
  }
}
