/**
 * Finds out that a silent peer is gone: a ping after a silence, and the end when nothing at all answers.
 *
 * One timer, set for the next moment at which there is something to decide; traffic only notes the time. So a busy
 * connection costs one timer for each `heartbeatMs`, and a peer that vanished is found within twice that time.
 */
import type { LoopPort } from "../../lowlevel.ts";
import { Alarm } from "../../time/alarm.ts";
import { WebSocketTimeoutError } from "./errors.ts";

/** How many bytes have come in so far: a socket of Node has it. */
export interface ByteCount {
  readonly bytesRead: number;
}

/** Whom the heartbeat serves. */
export interface HeartbeatTarget {
  readonly url: string;
  ping(): void;
  /** The peer did not answer. */
  lost(error: WebSocketTimeoutError): void;
}

export class Heartbeat {
  readonly #loop: LoopPort;
  readonly #everyMs: number;
  readonly #transport: ByteCount | null;
  readonly #target: HeartbeatTarget;
  readonly #alarm: Alarm = new Alarm(() => this.#look());
  #aliveAt = 0;
  #bytesRead = 0;
  #hasPinged = false;

  constructor(loop: LoopPort, everyMs: number, transport: ByteCount | null, target: HeartbeatTarget) {
    this.#loop = loop;
    this.#everyMs = everyMs;
    this.#transport = transport;
    this.#target = target;
  }

  /** Begins anew, as if the peer had just been heard. */
  start(): void {
    this.alive();
    this.#alarm.set(this.#loop, this.#aliveAt + this.#everyMs);
  }

  /** Stops. */
  rest(): void {
    this.#alarm.clear();
  }

  /** The peer was heard. */
  alive(): void {
    this.#aliveAt = this.#loop.now();
    this.#hasPinged = false;
    if (this.#transport !== null) this.#bytesRead = this.#transport.bytesRead;
  }

  #look(): void {
    // A part of a large message is a sign of life, too.
    if (this.#transport !== null && this.#transport.bytesRead !== this.#bytesRead) this.alive();
    const now = this.#loop.now();
    if (now >= this.#aliveAt + this.#everyMs) {
      if (this.#hasPinged) {
        this.#target.lost(new WebSocketTimeoutError(this.#target.url, "pong", this.#everyMs));
        return;
      }
      this.#hasPinged = true;
      this.#target.ping();
      this.#alarm.set(this.#loop, now + this.#everyMs);
      return;
    }
    this.#alarm.set(this.#loop, this.#aliveAt + this.#everyMs);
  }
}
