/**
 * What Redis pushes to a `BullEngine`, on a connection of its own: outcomes and progress to who submits, requests to cancel to who serves.
 *
 * Whatever is lost with the connection is asked for elsewhere, by sweep and heartbeat; here it is only said that it was lost, and is there again.
 */
import type { Redis } from "ioredis";
import type { Coroutine, EventLoop, Operation } from "../../core/index.ts";
import { atMost } from "./bull-answer.ts";
import type { JobTidings, SubmitterListener } from "./engine.ts";
import { readRecord } from "./envelope.ts";

/** The connections as what is pushed needs them. */
export interface PushHost {
  readonly isClosed: boolean;
  ask<T>(what: string, act: (connected: { readonly subscriber: Redis }) => Promise<T>): Operation<T>;
  channel(kind: "reply" | "cancel", to: string): string;
}

const HEAR_MS = 1_000;

export class BullPushes {
  readonly #host: PushHost;
  #subscriber: Redis | null = null;
  readonly #submitters = new Map<string, Set<SubmitterListener>>();
  readonly #cancelListeners = new Set<(id: string, reason: string) => void>();
  /** Whether its connection has left one of us waiting, and still owes the answer. */
  #isSilent = false;

  constructor(host: PushHost) {
    this.#host = host;
  }

  /** @param subscriber Just made, and told not to subscribe again by itself. */
  open(subscriber: Redis): void {
    this.#subscriber = subscriber;
    subscriber.on("error", () => this.#tellAll(false));
    subscriber.on("close", () => {
      this.#isSilent = false;
      this.#tellAll(false);
    });
    subscriber.on("ready", () => void this.#subscribeAgain(subscriber));
    subscriber.on("message", (channel: string, message: string) => this.#heard(channel, message));
  }

  *subscribe(replyTo: string, listener: SubmitterListener): Coroutine<() => void> {
    const channel = this.#host.channel("reply", replyTo);
    let listeners = this.#submitters.get(channel);
    if (listeners === undefined) this.#submitters.set(channel, (listeners = new Set()));
    listeners.add(listener);
    const stop = (): void => {
      listeners.delete(listener);
      if (listeners.size > 0 || this.#submitters.get(channel) !== listeners) return;
      this.#submitters.delete(channel);
      if (!this.#host.isClosed) this.#subscriber?.unsubscribe(channel).catch(() => {});
    };
    yield* this.#listening(channel, stop);
    listener.connected(true);
    return stop;
  }

  *watchCancels(listener: (id: string, reason: string) => void): Coroutine<() => void> {
    this.#cancelListeners.add(listener);
    const stop = (): void => void this.#cancelListeners.delete(listener);
    yield* this.#listening(this.#host.channel("cancel", ""), stop);
    return stop;
  }

  /** @param stop What is undone when it fails, or is cancelled: then nobody gets it. */
  *#listening(channel: string, stop: () => void): Coroutine<void> {
    let isListening = false;
    try {
      yield* this.#host.ask("subscribe", ({ subscriber }) => subscriber.subscribe(channel));
      isListening = true;
    } finally {
      if (!isListening) stop();
    }
  }

  /**
   * What Redis has pushed until now has been heard. Answers and pushes come on connections of their own, so that an outcome that was asked for could overtake
   * the progress that was told before it. No longer than for a moment, and once: a connection that has died in silence must not hold outcomes up, nor
   * gather questions.
   */
  async hear(loop: EventLoop): Promise<void> {
    const subscriber = this.#subscriber;
    if (subscriber === null || this.#submitters.size === 0 || subscriber.status !== "ready" || this.#isSilent) return;
    let isOver = false;
    const over = (): void => {
      isOver = true;
      this.#isSilent = false;
    };
    await atMost(loop, HEAR_MS, subscriber.ping().then(over, over));
    // oxlint-disable-next-line typescript/no-unnecessary-condition -- `over` may have been called
    if (!isOver) this.#isSilent = true;
  }

  #heard(channel: string, message: string): void {
    const said = messageIn(message);
    if (said === null) return; // not one of ours; the sweep will tell
    const { id, reason, record, tidings } = said;
    if (channel === this.#host.channel("cancel", "")) {
      for (const listener of this.#cancelListeners) listener(id, String(reason));
      return;
    }
    for (const listener of this.#submitters.get(channel) ?? []) {
      if (record !== undefined) listener.settled(id, readRecord(record));
      else if (tidings !== undefined && tidings !== null) listener.told(id, tidings as JobTidings);
    }
  }

  /**
   * Rejected: that ioredis does it. Nobody hears of what becomes of those commands, so that one that Redis refuses, or that is under way when the engine
   * is closed, is an unhandled rejection and ends the process.
   */
  async #subscribeAgain(subscriber: Redis): Promise<void> {
    const channels = [...this.#submitters.keys()];
    if (this.#cancelListeners.size > 0) channels.push(this.#host.channel("cancel", ""));
    try {
      // One by one: a command for several that is sent again after half of its answers counts wrongly.
      await Promise.all(channels.map((channel) => subscriber.subscribe(channel)));
    } catch {
      return; // the connection is lost again, or Redis refuses: what would have been pushed is swept, and it is tried again with the next connection
    }
    if (subscriber.status === "ready") this.#tellAll(true);
  }

  #tellAll(isConnected: boolean): void {
    for (const listeners of this.#submitters.values()) {
      for (const listener of listeners) listener.connected(isConnected);
    }
  }
}

interface Message {
  readonly id: string;
  readonly reason?: unknown;
  readonly record?: unknown;
  readonly tidings?: unknown;
}

function messageIn(text: string): Message | null {
  try {
    const message = JSON.parse(text) as Message | null;
    return typeof message?.id === "string" ? message : null;
  } catch {
    return null;
  }
}
