/**
 * A watch against a naive model: a value, its version, and the version that each observer has seen.
 */
import fc from "fast-check";
import { test } from "vitest";
import { Watch } from "../../src/channels/index.ts";
import type { Observer } from "../../src/channels/index.ts";
import { CLOSED, commandsFor, Model, runInLockstep } from "../channels/lockstep.ts";
import type { Arm, Counts, EndCommand, Item, Op, Real } from "../channels/lockstep.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

const order = fc.option(fc.nat(), { nil: undefined });
const INITIAL: Item = { id: -1, rank: 0 };

test(
  "law: in any program every observer of a watch sees what a naive one shows it, and no condition misses its value",
  () => {
    fc.assert(
      fc.property(commandsFor("watch"), order, (commands, seed) => {
        runInLockstep(commands, new WatchModel(), realWatch, seed);
      }),
      runs(300),
    );
  },
  LAW_TIMEOUT_MS,
);

class WatchModel extends Model {
  readonly sinks = 1;
  #value = INITIAL;
  #version = 0;
  #isClosed = false;
  readonly #observers: { seen: number; isOpen: boolean }[] = [{ seen: 0, isOpen: true }];

  get sources(): number {
    return this.#observers.length;
  }

  counts(): Counts {
    return {
      stored: this.#observers.filter(({ seen, isOpen }) => isOpen && seen !== this.#version).length,
      putters: 0,
      takers: this.takers.length,
      unfinished: this.#version,
      joiners: this.joiners.length,
    };
  }

  allows(): boolean {
    return true;
  }

  attempt(arm: Arm, _op: Op | null): string | null {
    if (arm.kind === "put") return this.#set(arm.item);
    if (arm.kind === "join") {
      if (this.#value.rank === arm.item.rank) return `#${this.#value.id}`;
      return this.#isClosed ? CLOSED : null;
    }
    const ended = arm.kind === "next" ? "end" : CLOSED;
    const observer = this.#observers[arm.end]!;
    if (!observer.isOpen) return ended;
    if (observer.seen === this.#version) return this.#isClosed ? ended : null;
    observer.seen = this.#version;
    return `#${this.#value.id}`;
  }

  end(command: EndCommand, end: number): void {
    if (command === "cloneReceiver") {
      // Observers with an odd number include the value of now.
      const isOdd = this.#observers.length % 2 === 1;
      this.#observers.push({ seen: isOdd ? this.#version - 1 : this.#version, isOpen: true });
    } else if (command === "closeAll") {
      this.#isClosed = true;
      this.endTakers(() => true);
      for (const it of [...this.joiners]) if (this.joiners.includes(it)) this.finish(it.op, it.arm, CLOSED);
    } else {
      this.#observers[end]!.isOpen = false;
      this.endTakers((it) => it === end);
    }
  }

  #set(item: Item): string {
    if (this.#isClosed) return CLOSED;
    this.#value = item;
    this.#version++;
    for (const it of [...this.takers]) {
      if (!this.takers.includes(it)) continue;
      this.#observers[it.op.arms[it.arm]!.end]!.seen = this.#version;
      this.finish(it.op, it.arm, `#${item.id}`);
    }
    for (const it of [...this.joiners]) {
      const isMeant = it.op.arms[it.arm]!.item.rank === item.rank;
      if (isMeant && this.joiners.includes(it)) this.finish(it.op, it.arm, `#${item.id}`);
    }
    return "void";
  }
}

function realWatch(): Real {
  const watch = new Watch<Item>(INITIAL);
  const observers: Observer<Item>[] = [watch.observe()];
  return {
    take: (end) => observers[end]!.changed(),
    next: (end) => observers[end]!.next(),
    join: ({ rank }) => watch.waitFor((item) => item.rank === rank),
    tryPut: (_end, item) => watch.update(() => item) === item,
    tryTake: (end) => observers[end]!.tryChanged(),
    end(command, end) {
      if (command === "cloneReceiver") observers.push(watch.observe({ includeCurrent: observers.length % 2 === 1 }));
      else if (command === "closeAll") watch.close();
      else observers[end]!.close();
      return undefined;
    },
    counts() {
      const { changes, waitingObservers, waitingConditions } = watch.statistics();
      const stored = observers.filter((it) => it.hasChanged).length;
      return { stored, putters: 0, takers: waitingObservers, unfinished: changes, joiners: waitingConditions };
    },
  };
}
