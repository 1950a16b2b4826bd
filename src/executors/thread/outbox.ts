/**
 * Orders on their way to a worker: those of one step leave in one message, and each message rings the bell that an idle worker waits for.
 *
 * Jobs are named by numbers, which are explained to each worker when it first meets them.
 */
import type { MessagePort } from "node:worker_threads";
import { systemHost } from "../../core/index.ts";
import type { PoolJob } from "../pool.ts";
import { BELL } from "./protocol.ts";
import type { Order } from "./protocol.ts";
import { packEnds } from "./thread-channel.ts";

export type RunOrder = Extract<Order, readonly ["run", ...unknown[]]>;

let lastNumber = 0;
const numbers = new WeakMap<object, number>();

export interface OutboxSetup {
  readonly port: MessagePort;
  readonly words: Int32Array;
  /** Whether the worker waits for the bell. */
  readonly hasBell: boolean;
  /** A job could not be sent. */
  readonly refuse: (order: RunOrder, cause: unknown) => void;
}

export class Outbox {
  readonly #setup: OutboxSetup;
  readonly #known = new Set<number>();
  #orders: Order[] = [];
  #isFlushing = false;
  /** Messages that were posted. */
  #posted = 0;
  /** By slot: the number of the message that its last job went with. */
  readonly #messageOf: number[] = [];
  #isClosed = false;

  constructor(setup: OutboxSetup) {
    this.#setup = setup;
  }

  /** The number of the job, which the worker knows by then. */
  numberOf(job: PoolJob): number {
    let number = numbers.get(job.job);
    if (number === undefined) numbers.set(job.job, (number = ++lastNumber));
    if (!this.#known.has(number)) {
      this.#known.add(number);
      this.post(["define", number, job.job.url, job.job.name]);
    }
    return number;
  }

  /** The slots of the jobs that went with a message which the worker could not read. It held nothing else, see `post`. */
  lost(message: number): number[] {
    const slots: number[] = [];
    for (const [slot, number] of this.#messageOf.entries()) if (number === message) slots.push(slot);
    return slots;
  }

  /** With what else is sent in this step: many orders in one message wake the worker once. */
  send(order: Order): void {
    this.#orders.push(order);
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    systemHost.soon(this.#flush);
  }

  /**
   * At once, not even a microtask is waited for. What is no job has a message of its own: one with jobs is lost as a whole when the worker cannot
   * read an argument, and with it would go a cancellation, a question, or what a number means.
   */
  post(order: Order): void {
    if (order[0] === "run") this.#orders.push(order);
    this.#flush();
    if (order[0] !== "run" && !this.#isClosed) this.#postAlone(order);
  }

  /** With what is moved instead of cloned. */
  postMoving(order: RunOrder, job: PoolJob): void {
    this.#flush();
    const transfer = [...(job.transfer ?? [])];
    const moved = transfer.length;
    try {
      const [kind, slot, number, shape, , id, extras] = order;
      const args = packEnds(job.args, transfer);
      this.#setup.port.postMessage(
        [kind, slot, number, shape, args, id, extras] satisfies Order,
        transfer as ArrayBuffer[],
      );
      this.#messageOf[slot] = ++this.#posted;
      this.#ring();
    } catch (error) {
      for (const port of transfer.slice(moved)) (port as MessagePort).close(); // the other ends are told
      this.#setup.refuse(order, error);
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#orders = [];
  }

  readonly #flush = (): void => {
    this.#isFlushing = false;
    const orders = this.#orders;
    if (orders.length === 0 || this.#isClosed) return;
    this.#orders = [];
    if (orders.length === 1) this.#postAlone(orders[0]!);
    else {
      try {
        this.#setup.port.postMessage(["many", orders] satisfies Order);
        this.#posted++;
        for (const each of orders) if (each[0] === "run") this.#messageOf[each[1]] = this.#posted;
        this.#ring();
      } catch {
        for (const each of orders) this.#postAlone(each); // one of them cannot be cloned
      }
    }
  };

  #postAlone(order: Order): void {
    try {
      this.#setup.port.postMessage(order);
      this.#posted++;
      if (order[0] === "run") this.#messageOf[order[1]] = this.#posted;
      this.#ring();
    } catch (error) {
      if (order[0] === "run") this.#setup.refuse(order, error);
      else throw error;
    }
  }

  #ring(): void {
    if (!this.#setup.hasBell) return;
    Atomics.add(this.#setup.words, BELL, 1);
    Atomics.notify(this.#setup.words, BELL);
  }
}
