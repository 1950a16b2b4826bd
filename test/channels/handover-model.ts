/**
 * What a channel or a queue does, as plainly as it can be said.
 */
import { CLOSED, Model } from "./lockstep.ts";
import type { Arm, Counts, EndCommand, Item, Op } from "./lockstep.ts";

/** A channel with its ends, or a queue, which has one of each. */
export class HandoverModel extends Model {
  store: Item[] = [];
  senders: boolean[] = [true];
  receivers: boolean[] = [true];
  unfinished = 0;
  readonly #capacity: number;
  readonly #choose: (store: readonly Item[]) => number;

  /** @param choose Which of the stored items is taken next. */
  constructor(capacity: number, choose: (store: readonly Item[]) => number) {
    super();
    this.#capacity = capacity;
    this.#choose = choose;
  }

  get sinks(): number {
    return this.senders.length;
  }

  get sources(): number {
    return this.receivers.length;
  }

  counts(): Counts {
    return {
      stored: this.store.length,
      putters: this.putters.length,
      takers: this.takers.length,
      unfinished: this.unfinished,
      joiners: this.joiners.length,
    };
  }

  attempt(arm: Arm, op: Op | null): string | null {
    if (arm.kind === "put") {
      if (this.isRefusing(arm.end)) return CLOSED;
      return this.put(arm.item, op) ? "void" : null;
    }
    if (arm.kind === "join") return this.unfinished === 0 ? "void" : null;
    const ended = arm.kind === "next" ? "end" : CLOSED;
    if (!this.receivers[arm.end]) return ended;
    const item = this.take(op);
    if (item !== null) return `#${item.id}`;
    return this.senders.includes(true) ? null : ended;
  }

  isRefusing(end: number): boolean {
    return !this.senders[end] || !this.senders.includes(true) || !this.receivers.includes(true);
  }

  put(item: Item, op: Op | null): boolean {
    const taker = this.takers.find((it) => it.op !== op);
    if (taker !== undefined) {
      this.unfinished++;
      this.finish(taker.op, taker.arm, `#${item.id}`);
      return true;
    }
    if (this.store.length >= this.#capacity) return false;
    this.unfinished++;
    this.store.push(item);
    return true;
  }

  take(op: Op | null): Item | null {
    const next = this.putters.find((it) => it.op !== op);
    let item: Item | null = null;
    if (this.store.length > 0) item = this.store.splice(this.#choose(this.store), 1)[0]!;
    if (next === undefined) return item;
    const moved = next.op.arms[next.arm]!.item;
    this.unfinished++;
    if (item !== null) this.store.push(moved);
    this.finish(next.op, next.arm, "void");
    return item ?? moved;
  }

  allows(command: EndCommand, end: number): boolean {
    if (command === "cloneSender") return this.senders[end]!;
    if (command === "cloneReceiver") return this.receivers[end]!;
    return command !== "done" || this.unfinished > 0;
  }

  end(command: EndCommand, end: number): unknown {
    if (command === "done") return this.done(1);
    if (command === "throwOut") {
      this.closeSenders(this.senders.map((_, index) => index));
      const out: number[] = [];
      while (this.store.length > 0) out.push(this.store.splice(this.#choose(this.store), 1)[0]!.id);
      this.done(Math.min(out.length, this.unfinished));
      return out;
    }
    if (command === "cloneSender") return this.senders.push(true);
    if (command === "cloneReceiver") return this.receivers.push(true);
    if (command === "closeReceiver") return this.closeReceiver(end);
    return this.closeSenders(command === "closeAll" ? this.senders.map((_, index) => index) : [end]);
  }

  closeSenders(ends: readonly number[]): void {
    for (const end of ends) this.senders[end] = false;
    this.refuse((end) => ends.includes(end));
    if (!this.senders.includes(true)) this.endTakers(() => true);
  }

  closeReceiver(end: number): number[] {
    if (!this.receivers[end]) return [];
    this.receivers[end] = false;
    this.endTakers((it) => it === end);
    if (this.receivers.includes(true)) return [];
    this.refuse(() => true);
    return this.store.splice(0).map((item) => item.id);
  }

  done(count: number): void {
    this.unfinished -= count;
    if (this.unfinished > 0) return;
    while (this.joiners.length > 0) this.finish(this.joiners[0]!.op, this.joiners[0]!.arm, "void");
  }
}
