/**
 * A broadcast against a naive model: the list of everything that was published, and a position in it for each subscription.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Broadcast } from "../../src/channels/index.ts";
import type { LagPolicy, Subscription } from "../../src/channels/index.ts";
import { CLOSED, commandsFor, Model, runInLockstep } from "../channels/lockstep.ts";
import type { Arm, Counts, EndCommand, Item, Op, Real } from "../channels/lockstep.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

const order = fc.option(fc.nat(), { nil: undefined });

for (const policy of ["error", "dropOldest", "wait"] as const) {
  test(
    `law: in any program every subscription of a broadcast (onLag: "${policy}") receives what a naive one gives it`,
    () => {
      fc.assert(
        fc.property(commandsFor("broadcast"), fc.integer({ min: 1, max: 4 }), order, (commands, size, seed) => {
          runInLockstep(commands, new BroadcastModel(size, policy), () => realBroadcast(size, policy), seed);
        }),
        runs(150),
      );
    },
    LAW_TIMEOUT_MS,
  );
}

class BroadcastModel extends Model {
  readonly sinks = 1;
  readonly #capacity: number;
  readonly #policy: LagPolicy;
  readonly #published: Item[] = [];
  readonly #subscriptions: { position: number; isOpen: boolean }[] = [{ position: 0, isOpen: true }];
  #isClosed = false;

  constructor(capacity: number, policy: LagPolicy) {
    super();
    this.#capacity = capacity;
    this.#policy = policy;
  }

  get sources(): number {
    return this.#subscriptions.length;
  }

  get oldest(): number {
    return Math.max(0, this.#published.length - this.#capacity);
  }

  unread(): number {
    const open = this.#subscriptions.filter((it) => it.isOpen);
    return Math.max(0, ...open.map(({ position }) => this.#published.length - Math.max(position, this.oldest)));
  }

  counts(): Counts {
    const subscriptions = this.#subscriptions.filter((it) => it.isOpen).length;
    return {
      stored: this.unread(),
      putters: this.putters.length,
      takers: this.takers.length,
      unfinished: this.#published.length,
      joiners: subscriptions,
    };
  }

  allows(): boolean {
    return true;
  }

  attempt(arm: Arm, op: Op | null): string | null {
    if (arm.kind === "put") {
      if (this.#isClosed) return CLOSED;
      if (this.#policy === "wait" && this.unread() >= this.#capacity) return null;
      this.#publish(arm.item, op);
      return "void";
    }
    const ended = arm.kind === "next" ? "end" : CLOSED;
    const subscription = this.#subscriptions[arm.end]!;
    if (!subscription.isOpen) return ended;
    const missed = this.oldest - subscription.position;
    if (missed > 0) {
      subscription.position = this.oldest;
      if (this.#policy === "error") return `lagged ${missed}`;
    }
    const item = this.#published[subscription.position];
    if (item === undefined) return this.#isClosed ? ended : null;
    subscription.position++;
    this.#admit(op);
    return `#${item.id}`;
  }

  end(command: EndCommand, end: number): void {
    if (command === "cloneReceiver") {
      this.#subscriptions.push({ position: this.#published.length, isOpen: true });
    } else if (command === "closeAll") {
      this.#isClosed = true;
      this.refuse(() => true);
      for (const subscription of this.#subscriptions.keys()) this.endTakers((it) => it === subscription);
    } else {
      this.#subscriptions[end]!.isOpen = false;
      this.endTakers((it) => it === end);
      this.#admit(null);
    }
  }

  #publish(item: Item, op: Op | null): void {
    this.#published.push(item);
    for (const [end, subscription] of this.#subscriptions.entries()) {
      const taker = this.takers.find((it) => it.op !== op && it.op.arms[it.arm]!.end === end);
      if (taker === undefined) continue;
      subscription.position++;
      this.finish(taker.op, taker.arm, `#${item.id}`);
    }
  }

  #admit(op: Op | null): void {
    while (this.unread() < this.#capacity) {
      const put = this.putters.find((it) => it.op !== op);
      if (put === undefined) return;
      this.finish(put.op, put.arm, "void");
      this.#publish(put.op.arms[put.arm]!.item, op);
    }
  }
}

function realBroadcast(size: number, onLag: LagPolicy): Real {
  const broadcast = new Broadcast<Item>(size, { onLag });
  const subscriptions: Subscription<Item>[] = [broadcast.subscribe()];
  return {
    put: (_end, item) => broadcast.publish(item),
    take: (end) => subscriptions[end]!.receive(),
    next: (end) => subscriptions[end]!.next(),
    tryPut: (_end, item) => broadcast.tryPublish(item),
    tryTake: (end) => subscriptions[end]!.tryReceive(),
    end(command, end) {
      if (command === "cloneReceiver") subscriptions.push(broadcast.subscribe());
      else if (command === "closeAll") broadcast.close();
      else subscriptions[end]!.close();
      return undefined;
    },
    counts() {
      const all = broadcast.statistics();
      const each = subscriptions.map((it) => it.statistics());
      expect(all.waitingReceivers).toBe(each.reduce((sum, it) => sum + it.waiting, 0));
      expect(all.unread).toBe(Math.max(...each.map((it) => it.unread)));
      return {
        stored: all.unread,
        putters: all.waitingPublishers,
        takers: all.waitingReceivers,
        unfinished: all.published,
        joiners: all.subscriptions,
      };
    },
  };
}
