/**
 * What makes outcomes sure: every `sweepMs` the submitter asks where its jobs stand, and at once when the engine is there again.
 *
 * A push may be lost, and then the sweep brings the outcome. A job that the engine does not know two sweeps long, although it was sent, was lost by the
 * engine; it is sent again under the same id. Requests to cancel are carried here too, until they have an answer.
 */
import type { Coroutine, EventLoop, Handle } from "../../core/index.ts";
import { sleep } from "../../time/index.ts";
import { isFinal, JobNotKeptError } from "./errors.ts";
import type { Track, TrackHost } from "./queue-track.ts";

const RETRY_MS = 500;
const SWEEP_AT_ONCE = 500;

export class QueueSweep {
  sweeps = 0;
  /** Outcomes that no push had told of. */
  found = 0;
  resent = 0;
  readonly #host: TrackHost;
  readonly #loop: EventLoop;
  readonly #resend: (track: Track) => void;
  #isSweeping = false;
  #isWanted = false;
  #timer: Handle | null = null;

  constructor(host: TrackHost, loop: EventLoop, resend: (track: Track) => void) {
    this.#host = host;
    this.#loop = loop;
    this.#resend = resend;
  }

  soon(delayMs: number): void {
    if (this.#host.isClosed) return;
    if (this.#isSweeping) {
      this.#isWanted ||= delayMs === 0;
      return;
    }
    if (this.#timer !== null) {
      if (delayMs > 0) return;
      this.#timer.cancel();
    }
    this.#timer = this.#loop.callLater(delayMs, () => {
      this.#timer = null;
      if (this.#isSweeping || this.#host.isClosed || !this.#host.hasTracks()) return;
      this.#isSweeping = true;
      this.#host.launch("sweep", () => this.#sweep());
    });
  }

  /** There is nothing to ask for. */
  rest(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  requestCancel(track: Track): void {
    if (track.isCancelling || this.#host.isClosed) return;
    track.isCancelling = true;
    this.#host.launch("cancellation", () => this.#carryCancel(track));
  }

  *#sweep(): Coroutine<void> {
    const host = this.#host;
    this.#isWanted = false;
    try {
      this.sweeps++;
      const sent = host.sent();
      for (let from = 0; from < sent.length && !host.isClosed; from += SWEEP_AT_ONCE) {
        const tracks = sent.slice(from, from + SWEEP_AT_ONCE);
        const standings = yield* host.engine.states(tracks.map((track) => track.id));
        for (const [index, track] of tracks.entries()) {
          if (!host.isTracked(track) || host.isClosed) continue; // told meanwhile
          const standing = standings[index]!;
          if (standing.state === "settled") {
            this.found++;
            host.settle(track, standing.record);
          } else this.#note(track, standing.state);
        }
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (isFinal(error)) for (const track of host.sent()) host.fail(track, () => error);
      // Else it is out of reach: the next sweep asks again.
    } finally {
      this.#isSweeping = false;
      if (host.hasTracks()) this.soon(this.#isWanted ? 0 : host.settings.sweepMs);
    }
  }

  #note(track: Track, state: "waiting" | "running" | "unknown"): void {
    if (state !== "unknown") {
      track.hasBegun ||= state === "running";
      track.missing = 0;
      // Its worker was told, and gave it back at that moment: now it can be removed.
      if (state === "waiting" && track.cancelReason !== null) this.requestCancel(track);
      return;
    }
    if (track.order === null) {
      this.#host.fail(track, (job) => new JobNotKeptError(job, track.id));
      return;
    }
    if (++track.missing < 2) return; // it may have ended, or been sent, between two questions
    track.missing = 0;
    this.resent++;
    this.#resend(track);
  }

  *#carryCancel(track: Track): Coroutine<void> {
    try {
      yield* this.#askForEnd(track);
    } finally {
      track.isCancelling = false;
    }
  }

  *#askForEnd(track: Track): Coroutine<void> {
    const host = this.#host;
    const reason = track.cancelReason ?? "";
    while (host.isTracked(track) && !host.isClosed) {
      try {
        if (track.stage !== "sent") {
          yield* sleep(1); // it is on its way; the engine has to know it first
          continue;
        }
        const answer = yield* host.engine.requestCancel(track.id, reason);
        if (!host.isTracked(track)) return;
        if (answer === "removed" || (answer === "unknown" && track.missing > 0)) {
          host.settle(track, { status: "cancelled", delivery: 0, worker: "", runMs: 0, body: reason });
        } else if (answer === "settled") this.soon(0);
        if (answer !== "unknown") return;
        track.missing++;
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        if (isFinal(error)) {
          if (host.isTracked(track)) host.fail(track, () => error);
          return;
        }
      }
      yield* sleep(RETRY_MS);
    }
  }
}
