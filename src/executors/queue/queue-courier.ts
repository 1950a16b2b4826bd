/**
 * Sends what lies in the outbox of a submitter: all that lies there in one call, as long as there is something.
 *
 * While the engine cannot be reached the outbox fills up, to its bound. What lies there can be withdrawn; so it stays until the engine has it.
 */
import type { Coroutine } from "../../core/index.ts";
import { sleep } from "../../time/index.ts";
import type { SubmitterListener } from "./engine.ts";
import { isFinal } from "./errors.ts";
import type { Track, TrackHost } from "./queue-track.ts";

const RETRY_MS = 500;
const SEND_AT_ONCE = 200;

export class QueueCourier {
  readonly #host: TrackHost;
  readonly #listener: SubmitterListener;
  readonly #outbox = new Set<Track>();
  #isSending = false;
  #isHandingOver = false;
  #unsubscribe: (() => void) | null = null;

  constructor(host: TrackHost, listener: SubmitterListener) {
    this.#host = host;
    this.#listener = listener;
  }

  /** Whether the engine is being given jobs at this moment. */
  get isHandingOver(): boolean {
    return this.#isHandingOver;
  }

  get size(): number {
    return this.#outbox.size;
  }

  /** @param track `null`: nothing is to be sent, but outcomes are to be heard of. */
  send(track: Track | null): void {
    if (track !== null) {
      track.stage = "outbox";
      this.#outbox.add(track);
    }
    if (this.#isSending || this.#host.isClosed) return;
    this.#isSending = true;
    this.#host.launch("courier", () => this.#carry());
  }

  forget(track: Track): void {
    this.#outbox.delete(track);
  }

  close(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = null;
  }

  *#carry(): Coroutine<void> {
    const { engine, address } = this.#host;
    try {
      while ((this.#outbox.size > 0 || this.#unsubscribe === null) && !this.#host.isClosed) {
        let tracks: Track[] = [];
        try {
          // First: what is told before anybody listens is lost.
          this.#unsubscribe ??= yield* engine.subscribe(address, this.#listener);
          tracks = this.#first(SEND_AT_ONCE);
          if (tracks.length === 0) continue;
          for (const track of tracks) track.stage = "sending";
          this.#isHandingOver = true;
          yield* engine.enqueue(tracks.map((track) => track.order!));
          this.#isHandingOver = false;
          for (const track of tracks) {
            track.stage = "sent";
            this.#outbox.delete(track);
          }
        } catch (error) {
          this.#isHandingOver = false;
          if (!(error instanceof Error)) throw error;
          if (isFinal(error)) {
            for (const track of [...this.#outbox]) this.#host.fail(track, () => error);
            return;
          }
          for (const track of tracks) if (track.stage === "sending") track.missing = 0;
          yield* sleep(RETRY_MS);
        }
      }
    } finally {
      this.#isSending = false;
    }
  }

  #first(count: number): Track[] {
    const tracks: Track[] = [];
    for (const track of this.#outbox) if (tracks.push(track) === count) break;
    return tracks;
  }
}
