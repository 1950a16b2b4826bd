/**
 * The connections of a `BullEngine`: made when first needed, one for commands and one for what is pushed (`bull-pushes.ts`).
 *
 * Here is also what belongs to all of its parts: our keys and channels, the record of an outcome, and **the clock of Redis**. The clocks of the
 * machines differ, and a deadline of ten seconds must not have passed because one is a minute ahead; so how long a job has waited is told by
 * Redis' clock, at both ends.
 */
import type { Queue } from "bullmq";
import type { Redis } from "ioredis";
import type { EventLoop, Operation } from "../../core/index.ts";
import { Answer } from "./bull-answer.ts";
import { keyOf } from "./bull-orders.ts";
import { importBull } from "./bull-packages.ts";
import type { BullPackages } from "./bull-packages.ts";
import { BullPushes } from "./bull-pushes.ts";
import { writeTogether } from "./bull-writes.ts";
import { defineScripts } from "./bull-scripts.ts";
import type { ScriptedRedis } from "./bull-scripts.ts";
import type { JobOrder, JobTidings, OutcomeRecord } from "./engine.ts";
import { TELL_AT_ONCE } from "./engine.ts";
import { EngineClosedError, EngineRefusedError } from "./errors.ts";

export interface Connected {
  readonly packages: BullPackages;
  readonly redis: ScriptedRedis;
  readonly subscriber: Redis;
  readonly queue: Queue;
}

export interface ConnectionSetup {
  readonly url: string;
  readonly queue: string;
  /** Begins the keys of BullMQ, and ours; `null`: `bull`, and `fibril`. */
  readonly prefix: string | null;
}

const CONNECT_RETRY_MS = 250;
const LONGEST_CONNECT_RETRY_MS = 2_000;
const CLOCK_FRESH_MS = 10_000;
const REFUSAL = /^(WRONGPASS|NOAUTH|NOPERM)\b/;

export class BullConnection {
  isClosed = false;
  readonly setup: ConnectionSetup;
  readonly pushes: BullPushes = new BullPushes(this);
  #connecting: Promise<Connected> | null = null;
  #connected: Connected | null = null;
  readonly #asking = new Set<(error: unknown) => void>();
  #telling = 0;
  #wasReady = false;
  /** What Redis' clock is ahead of the one of `#clockLoop`, in milliseconds. */
  #aheadMs = 0;
  #clockLoop: EventLoop | null = null;
  #clockSeenAt = 0;

  constructor(setup: ConnectionSetup) {
    this.setup = setup;
  }

  /** @param what For people: what is waited for. */
  ask<T>(what: string, act: (connected: Connected, loop: EventLoop) => Promise<T>): Operation<T> {
    const reason = `${what} (queue ${this.setup.queue})`;
    return { [Symbol.iterator]: () => new Answer(reason, (loop) => this.#answer(act, loop))[Symbol.iterator]() };
  }

  /** Ends with the connection at the latest: ioredis leaves some commands without an answer when it is told to go while it connects. */
  #answer<T>(act: (connected: Connected, loop: EventLoop) => Promise<T>, loop: EventLoop): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => {
        this.#asking.delete(fail);
        reject(this.isClosed ? new EngineClosedError(this.setup.queue) : this.#understood(error));
      };
      this.#asking.add(fail);
      this.open()
        .then((connected) => act(connected, loop))
        .then((value) => {
          this.#asking.delete(fail);
          resolve(value);
        }, fail);
    });
  }

  /**
   * Redis does not let us in: a mistake, as long as it never has, and calls say so instead of waiting for ever. Later it is a trouble like others, that
   * somebody will end.
   */
  #understood(error: unknown): unknown {
    const isRefusal = error instanceof Error && REFUSAL.test(error.message);
    return isRefusal && !this.#wasReady
      ? new EngineRefusedError(this.setup.queue, hostOf(this.setup.url), error)
      : error;
  }

  /** Of a connection; without a listener an error would end the process. */
  readonly #failed = (error: Error): void => {
    if (this.#wasReady || !REFUSAL.test(error.message)) return; // it shows in `connected`, and in calls that wait
    for (const fail of [...this.#asking]) fail(error);
  };

  open(): Promise<Connected> {
    if (this.isClosed) return Promise.reject(new EngineClosedError(this.setup.queue));
    this.#connecting ??= this.#connect().catch((error: unknown) => {
      this.#connecting = null;
      throw error;
    });
    return this.#connecting;
  }

  /** The time of day, as Redis has it, in milliseconds since 1970. */
  async redisNow({ redis }: Connected, loop: EventLoop): Promise<number> {
    const isOld = loop.now() - this.#clockSeenAt > CLOCK_FRESH_MS; // clocks are set, and stand still while a machine is suspended
    if (this.#clockLoop !== loop || isOld) this.clockSeen(await redis.time(), loop);
    return Math.round(loop.now() + this.#aheadMs);
  }

  /** Redis has just said what time it is. */
  clockSeen(answer: unknown, loop: EventLoop): number {
    const [seconds, microseconds] = (answer as readonly (number | string)[]).map(Number) as [number, number];
    const redisMs = seconds * 1_000 + microseconds / 1_000;
    this.#aheadMs = redisMs - loop.now();
    this.#clockLoop = loop;
    this.#clockSeenAt = loop.now();
    return redisMs;
  }

  key(kind: "record" | "cancel" | "counters" | "firing" | "returned", id: string): string {
    return `${this.keysBegin}${kind}:${id}`;
  }

  /** What the keys of all kinds begin with. */
  get keysBegin(): string {
    return `${this.setup.prefix ?? "fibril"}:${this.setup.queue}:`;
  }

  channel(kind: "reply" | "cancel", to: string): string {
    return `${this.keysBegin}${kind}:${to}`;
  }

  /** Writes a record, and tells of it, once. @param lock `null`: nobody has the job. */
  async record(
    { redis, queue }: Connected,
    order: JobOrder,
    record: OutcomeRecord,
    lock: string | null,
  ): Promise<boolean> {
    const text = JSON.stringify(record);
    const channel = this.channel("reply", order.replyTo);
    const opening = `{"id":${JSON.stringify(order.id)},"record":`; // the record and a brace follow: it travels once
    const key = this.key("record", order.id);
    const ttl = Math.max(1, Math.ceil(order.resultTtlMs));
    if (lock === null) return (await redis.fibrilSettle(key, text, ttl, channel, opening)) === 1;
    const lockKey = `${queue.toKey(keyOf(order.id))}:lock`;
    return (await redis.fibrilFinish(key, lockKey, text, ttl, channel, opening, lock)) === 1;
  }

  tell(order: JobOrder, tidings: JobTidings): void {
    const redis = this.#connected?.redis;
    // Without a connection they would only pile up.
    if (redis === undefined || redis.status !== "ready" || this.#telling >= TELL_AT_ONCE) return;
    this.#telling++;
    const over = (): void => void this.#telling--;
    const message = JSON.stringify({ id: order.id, tidings });
    redis.publish(this.channel("reply", order.replyTo), message).then(over, over);
  }

  async tellCancel({ redis }: Connected, id: string, reason: string): Promise<void> {
    await redis.publish(this.channel("cancel", ""), JSON.stringify({ id, reason }));
  }

  async close(): Promise<void> {
    const connected = await this.#connecting?.catch(() => null);
    if (connected === undefined || connected === null) return;
    connected.redis.disconnect();
    connected.subscriber.disconnect();
    for (const fail of this.#asking) fail(null);
    // Not waited for: a queue of BullMQ that has never reached Redis waits for it before it closes.
    connected.queue.close().catch(() => {});
  }

  async #connect(): Promise<Connected> {
    const packages = await importBull();
    const { url, queue: name, prefix } = this.setup;
    // Commands wait while the connection is lost and are sent again when it is back: all of ours may be carried out twice.
    const redis = new packages.ioredis.Redis(url, {
      maxRetriesPerRequest: null,
      retryStrategy: (times) => Math.min(LONGEST_CONNECT_RETRY_MS, CONNECT_RETRY_MS * times),
    });
    defineScripts(redis);
    const subscriber = redis.duplicate({ autoResubscribe: false });
    redis.on("error", this.#failed);
    redis.on("ready", () => (this.#wasReady = true));
    redis.on("connect", () => writeTogether(redis.stream));
    redis.on("close", () => (this.#clockLoop = null)); // what comes back may be another Redis, or this machine from its sleep
    subscriber.on("error", this.#failed);
    this.pushes.open(subscriber);
    const queue = new packages.bullmq.Queue(name, {
      connection: redis as never,
      skipVersionCheck: true,
      ...(prefix === null ? {} : { prefix }),
    });
    queue.on("error", () => {});
    this.#connected = { packages, redis: redis as ScriptedRedis, subscriber, queue };
    return this.#connected;
  }
}

/** Without the password. */
function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "its URL";
}
