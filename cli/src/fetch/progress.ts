/**
 * What is told on the standard error while a run lasts: the live view on a terminal (see `live/`), nothing in a pipe, and a line
 * now and then in a pipe for those who ask.
 */
import { byteSize, perSecond, timeSpan, whole } from "./format.ts";
import type { Tally } from "./tally.ts";

/** What can be seen of a run at any moment. */
export interface View {
  readonly tally: Tally;
  /** How many lines there will be, and whether that is certain. */
  readonly expected: number | undefined;
  readonly isExpectedExact: boolean;
  /** URLs that wait for another try. */
  readonly away: number;
  /** Hosts that asked to be left alone for a while. */
  readonly heldHosts: number;
}

export interface Progress {
  /** Prints a line that stays. */
  log(line: string): void;
  /** Takes away what is not meant to stay. */
  end(): void;
}

type Print = (text: string) => void;

export class SilentProgress implements Progress {
  readonly #print: Print;

  constructor(print: Print) {
    this.#print = print;
  }

  log(line: string): void {
    this.#print(`${line}\n`);
  }

  end(): void {}
}

const LINE_EVERY_MS = 2_000;

export class LineProgress implements Progress {
  readonly #print: Print;
  readonly #timer: NodeJS.Timeout;

  constructor(view: View, print: Print) {
    this.#print = print;
    const rate = new RateMeter();
    this.#timer = setInterval(
      () => print(`${progressText(view, rate.at(performance.now(), view.tally))}\n`),
      LINE_EVERY_MS,
    );
  }

  log(line: string): void {
    this.#print(`${line}\n`);
  }

  end(): void {
    clearInterval(this.#timer);
  }
}

const WIDEST_BAR = 40;
const NARROWEST_BAR = 8;

/** The text, with a bar in front as far as there is room. Pure. */
export function progressLine(
  view: View,
  rate: Rate,
  columns: number,
  drawBar: (share: number, size: number) => string,
): string {
  const text = progressText(view, rate);
  const room = Math.min(WIDEST_BAR, columns - 1 - text.length - 2);
  const { expected } = view;
  if (expected === undefined || room < NARROWEST_BAR) return text.slice(0, columns - 1);
  return `${drawBar(expected === 0 ? 0 : Math.min(1, view.tally.done / expected), room)}  ${text}`;
}

export function progressText({ tally, expected, isExpectedExact, away, heldHosts }: View, rate: Rate): string {
  const { done } = tally;
  const left = expected === undefined ? undefined : expected - done;
  return [
    ...(expected === undefined || expected === 0 ? [] : [`${Math.floor((100 * done) / expected)} %`]),
    expected === undefined
      ? `${whole(done)} done`
      : `${whole(done)} of ${isExpectedExact ? "" : "about "}${whole(expected)}`,
    perSecond(rate.done, rate.ms),
    `${byteSize((rate.bytes * 1_000) / Math.max(rate.ms, 1))}/s`,
    ...(tally.failed > 0 ? [`${whole(tally.failed)} failed`] : []),
    ...(away > 0 ? [`${whole(away)} to retry`] : []),
    ...(heldHosts > 0 ? [`${whole(heldHosts)} ${heldHosts === 1 ? "host" : "hosts"} asked to wait`] : []),
    ...(left !== undefined && left > 0 && rate.done > 0 && rate.ms >= SOONEST_FORECAST_MS
      ? [`${timeSpan((left * rate.ms) / rate.done)} left`]
      : []),
  ].join("  ");
}

/** What was done in the last few seconds. */
export interface Rate {
  readonly ms: number;
  readonly done: number;
  readonly bytes: number;
}

const WINDOW_MS = 5_000;
/** Connections and caches warm up first; a forecast from that would be hours off. */
const SOONEST_FORECAST_MS = 1_500;

/** Asked again and again, it compares with what it was told about five seconds ago. */
export class RateMeter {
  readonly #samples: { readonly at: number; readonly done: number; readonly bytes: number }[] = [];

  at(now: number, tally: Pick<Tally, "done" | "receivedBytes">): Rate {
    const sample = { at: now, done: tally.done, bytes: tally.receivedBytes };
    this.#samples.push(sample);
    while (this.#samples.length > 2 && now - this.#samples[1]!.at >= WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0]!;
    return { ms: now - first.at, done: sample.done - first.done, bytes: sample.bytes - first.bytes };
  }
}
