/**
 * What is told while the contestants run: bars that grow on a terminal, plain lines anywhere else.
 *
 * It goes to the standard error, so that the standard output has the result and nothing else.
 */
import type { WriteStream } from "node:tty";
import type { Audience } from "./conductor.ts";
import { CONTESTANTS } from "./contestants.ts";
import type { Contestant } from "./contestants.ts";
import { LiveRegion } from "./live-region.ts";
import type { ContestantEvent } from "./protocol.ts";
import type { RequestSpan, Row } from "./report.ts";
import type { Settings } from "./settings.ts";
import { milliseconds, seconds } from "./show/format.ts";
import { liveLines } from "./show/live.ts";
import type { LiveRow } from "./show/live.ts";

export interface Progress extends Audience {
  /** Nothing more will come: takes away what is not meant to stay. */
  end(): void;
}

export class SilentProgress implements Progress {
  contestantStarts(): void {}
  contestantSays(): void {}
  contestantEnds(): void {}
  end(): void {}
}

/** One line when a contestant starts and one when it has ended. */
export class PlainProgress implements Progress {
  readonly #write: (line: string) => void;
  readonly #settings: Settings;

  constructor(settings: Settings, write: (line: string) => void) {
    this.#settings = settings;
    this.#write = write;
  }

  contestantStarts(contestant: Contestant): void {
    const title = contestant.title(contestant.requests(this.#settings));
    this.#write(`${contestant.key}  ${title}: started, about ${milliseconds(contestant.idealMs(this.#settings))}`);
  }

  contestantSays(): void {}

  contestantEnds(row: Row): void {
    this.#write(
      `${row.key}  ${row.title}: ${row.outcome === "failed" ? `failed: ${row.error}` : `done in ${seconds(row.wallMs)}`}`,
    );
  }

  end(): void {}
}

const REDRAW_MS = 80;

/** Draws all contestants in place, the running one with a bar for each request. */
export class LiveProgress implements Progress {
  readonly #stream: WriteStream;
  readonly #colour: boolean;
  readonly #region: LiveRegion;
  readonly #rows: WatchedRow[];
  readonly #timer: NodeJS.Timeout;

  constructor(settings: Settings, stream: WriteStream, colour: boolean) {
    this.#stream = stream;
    this.#colour = colour;
    this.#region = new LiveRegion(stream);
    this.#rows = CONTESTANTS.filter(({ key }) => settings.only.includes(key)).map(
      (contestant) => new WatchedRow(contestant, settings),
    );
    this.#timer = setInterval(() => this.#draw(), REDRAW_MS);
    this.#draw();
  }

  contestantStarts(contestant: Contestant): void {
    this.#row(contestant.key)?.start();
  }

  contestantSays(contestant: Contestant, event: ContestantEvent): void {
    this.#row(contestant.key)?.hear(event);
  }

  contestantEnds(row: Row): void {
    this.#row(row.key)?.end(row);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#region.clear();
  }

  #row(key: string): WatchedRow | undefined {
    return this.#rows.find(({ contestant }) => contestant.key === key);
  }

  #draw(): void {
    const now = performance.now();
    const rows = this.#rows.map((row) => row.at(now));
    this.#region.draw(liveLines(rows, { width: this.#stream.columns, colour: this.#colour }));
  }
}

/** Follows one contestant by its events, on the clock of this process: good enough to watch. */
class WatchedRow {
  readonly contestant: Contestant;
  readonly #settings: Settings;
  readonly #requests: { startedAt: number; endedAt: number | undefined; ok: boolean }[] = [];
  #state: LiveRow["state"] = "waiting";
  #openedAt = 0;
  #wallMs = 0;

  constructor(contestant: Contestant, settings: Settings) {
    this.contestant = contestant;
    this.#settings = settings;
  }

  start(): void {
    this.#state = "starting";
  }

  hear(event: ContestantEvent): void {
    const now = performance.now();
    if (event.type === "open") {
      this.#state = "running";
      this.#openedAt = now;
    } else if (event.type === "begin") {
      this.#requests[event.request] = { startedAt: now, endedAt: undefined, ok: false };
    } else if (event.type === "end") {
      const request = this.#requests[event.request];
      if (request !== undefined) Object.assign(request, { endedAt: now, ok: event.ok });
    }
  }

  end(row: Row): void {
    this.#state = row.outcome;
    this.#wallMs = row.outcome === "finished" ? row.wallMs : 0;
  }

  at(now: number): LiveRow {
    const elapsedMs = this.#state === "running" ? now - this.#openedAt : this.#wallMs;
    const requests: RequestSpan[] = this.#requests.map(({ startedAt, endedAt, ok }) => ({
      startMs: startedAt - this.#openedAt,
      endMs: (endedAt ?? now) - this.#openedAt,
      ok,
    }));
    const total = this.contestant.requests(this.#settings);
    return {
      contestant: this.contestant,
      title: this.contestant.title(total),
      total,
      state: this.#state,
      elapsedMs,
      requests,
      // The bar of an ideal run just fits; a slower one keeps its right end in sight.
      scaleMs: Math.max(this.contestant.idealMs(this.#settings) * 1.05, elapsedMs),
    };
  }
}
