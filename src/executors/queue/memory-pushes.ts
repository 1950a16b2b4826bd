/**
 * What a `MemoryEngine` tells by itself: outcomes and tidings to submitters, requests to cancel to workers. Late, twice or never, as its faults say.
 */
import type { EventLoop } from "../../core/index.ts";
import type { JobTidings, OutcomeRecord, SubmitterListener } from "./engine.ts";
import { TELL_AT_ONCE } from "./engine.ts";
import type { Dice } from "./faults.ts";

export class MemoryPushes {
  dropped = 0;
  isDown = false;
  readonly #loop: EventLoop;
  readonly #dice: Dice;
  readonly #submitters = new Map<string, Set<SubmitterListener>>();
  readonly #cancelListeners = new Set<(id: string, reason: string) => void>();
  /** Tidings of this turn. */
  #telling = 0;

  constructor(loop: EventLoop, dice: Dice) {
    this.#loop = loop;
    this.#dice = dice;
  }

  subscribe(replyTo: string, listener: SubmitterListener): () => void {
    let listeners = this.#submitters.get(replyTo);
    if (listeners === undefined) this.#submitters.set(replyTo, (listeners = new Set()));
    listeners.add(listener);
    listener.connected(true);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#submitters.get(replyTo) === listeners) this.#submitters.delete(replyTo);
    };
  }

  watchCancels(listener: (id: string, reason: string) => void): () => void {
    this.#cancelListeners.add(listener);
    return () => void this.#cancelListeners.delete(listener);
  }

  settled(replyTo: string, id: string, record: OutcomeRecord): void {
    if (this.#dice.throws("dropOutcome")) this.dropped++;
    else this.#toSubmitter(replyTo, (listener) => listener.settled(id, record));
  }

  told(replyTo: string, id: string, tidings: JobTidings): void {
    if (this.#telling >= TELL_AT_ONCE) return;
    if (this.#telling++ === 0) this.#loop.callSoon(() => (this.#telling = 0));
    this.#toSubmitter(replyTo, (listener) => listener.told(id, tidings));
  }

  cancelRequested(id: string, reason: string): void {
    this.#later(() => {
      for (const listener of this.#cancelListeners) listener(id, reason);
    });
  }

  connected(isConnected: boolean): void {
    this.isDown = !isConnected;
    for (const listeners of this.#submitters.values()) {
      for (const listener of listeners) listener.connected(isConnected);
    }
  }

  #toSubmitter(replyTo: string, tell: (listener: SubmitterListener) => void): void {
    this.#later(() => {
      for (const listener of this.#submitters.get(replyTo) ?? []) tell(listener);
    });
  }

  /** In a turn of its own, since whoever calls is in the middle of something; or later, twice or never. */
  #later(push: () => void): void {
    if (this.#dice.throws("dropPush")) {
      this.dropped++;
      return;
    }
    const times = this.#dice.throws("repeatPush") ? 2 : 1;
    for (let i = 0; i < times; i++) {
      const lateMs = this.#dice.upTo(this.#dice.faults.delayPushMs);
      const tell = (): void => (this.isDown ? undefined : push());
      if (lateMs === 0) this.#loop.callSoon(tell);
      else this.#loop.callLater(lateMs, tell);
    }
  }
}
