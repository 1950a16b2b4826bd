/**
 * The answers to the peer's pings: one at a time, and then to the last one that has come (RFC 6455, 5.5.3, allows that).
 *
 * `ws` by itself answers each of them at once, so a peer that sends pings and reads nothing fills the memory with pongs.
 */
import type { RawWebSocket } from "./raw.ts";

export class Pongs {
  readonly #raw: RawWebSocket;
  #isWriting = false;
  /** The last ping that came while an answer was being written. */
  #owed: Uint8Array | null = null;

  constructor(raw: RawWebSocket) {
    this.#raw = raw;
  }

  readonly answer = (data: Uint8Array): void => {
    if (this.#isWriting) {
      this.#owed = data;
      return;
    }
    this.#isWriting = true;
    this.#raw.pong(data, undefined, this.#written);
  };

  readonly #written = (): void => {
    this.#isWriting = false;
    const owed = this.#owed;
    this.#owed = null;
    if (owed !== null && this.#raw.readyState === OPEN) this.answer(owed);
  };
}

const OPEN = 1;
