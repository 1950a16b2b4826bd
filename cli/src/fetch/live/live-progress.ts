/**
 * The live view on a terminal: a few lines that are drawn anew ten times a second, below what was printed, and keys that change the run.
 *
 * It is drawn by its own timer and not by a coroutine: a task that sleeps all the time would keep the event loop from ever seeing that a
 * program is stuck. The terminal is as it was on every way out: `end`, the end of the process, and the first signal, since a second
 * one may end the process without asking anybody.
 */
import { RateMeter } from "../progress.ts";
import type { Progress } from "../progress.ts";
import { frameOf } from "./frame.ts";
import type { LiveRun } from "./frame.ts";
import { Keyboard } from "./keyboard.ts";
import type { KeySignal, KeySource } from "./keyboard.ts";

/** A terminal that can be written to. */
export interface Screen {
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

/** The process, as far as it matters here. */
export interface Surroundings {
  now(): number;
  /** Sends a signal to this process. */
  signal(name: NodeJS.Signals): void;
  on(event: "exit" | NodeJS.Signals, listener: () => void): unknown;
  off(event: "exit" | NodeJS.Signals, listener: () => void): unknown;
}

const REDRAW_EVERY_MS = 100;
const USUAL_COLUMNS = 80;
const USUAL_ROWS = 24;
const HIDE_CURSOR = "\u001B[?25l";
const SHOW_CURSOR = "\u001B[?25h";
const ERASE_BELOW = "\u001B[J";
const FAREWELLS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const MOST_AT_ONCE = 10_000;
const STEP = 1.25;

export class LiveProgress implements Progress {
  readonly #run: LiveRun;
  readonly #screen: Screen;
  readonly #around: Surroundings;
  readonly #keyboard: Keyboard | null;
  readonly #rate = new RateMeter();
  readonly #timer: NodeJS.Timeout;
  /** How long each line is that stands there. */
  #drawn: number[] = [];
  #hasEnded = false;

  /** @param keys The terminal to read keys from; `null` when the standard input is needed for something else. */
  constructor(run: LiveRun, screen: Screen, keys: KeySource | null, around: Surroundings) {
    this.#run = run;
    this.#screen = screen;
    this.#around = around;
    this.#keyboard = keys === null ? null : new Keyboard(keys, this.#take, this.#signal);
    for (const name of FAREWELLS) around.on(name, this.#stop);
    around.on("exit", this.#stop);
    around.on("SIGCONT", this.#goOn);
    this.#goOn();
    this.#timer = setInterval(() => this.draw(), REDRAW_EVERY_MS);
  }

  log(line: string): void {
    if (this.#hasEnded) return void this.#screen.write(`${line}\n`);
    this.#screen.write(`${this.#erased()}${line}\n`);
    this.draw();
  }

  draw(): void {
    if (this.#hasEnded) return;
    const rate = this.#rate.at(this.#around.now(), this.#run.tally);
    const { columns = USUAL_COLUMNS, rows = USUAL_ROWS } = this.#screen;
    // What has scrolled out at the top could not be erased any more.
    const lines = frameOf(this.#run, rate, columns, this.#keyboard !== null).slice(0, Math.max(1, rows - 1));
    const text = this.#erased() + lines.map((line) => `${line}\n`).join("");
    this.#drawn = lines.map((line) => line.length);
    this.#screen.write(text);
  }

  end(): void {
    this.#stop();
  }

  /** A terminal that has become narrower since has broken the lines: then they stand in more rows than there are lines. */
  #erased(): string {
    const { columns = USUAL_COLUMNS } = this.#screen;
    let rows = 0;
    for (const length of this.#drawn) rows += Math.max(1, Math.ceil(length / columns));
    this.#drawn = [];
    return rows === 0 ? "" : `\u001B[${rows}A\r${ERASE_BELOW}`;
  }

  readonly #goOn = (): void => {
    if (this.#hasEnded) return;
    this.#keyboard?.open();
    this.#drawn = [];
    this.#screen.write(HIDE_CURSOR);
  };

  readonly #stop = (): void => {
    if (this.#hasEnded) return;
    clearInterval(this.#timer);
    this.#screen.write(this.#erased() + SHOW_CURSOR);
    this.#hasEnded = true;
    this.#keyboard?.close();
    for (const name of FAREWELLS) this.#around.off(name, this.#stop);
    this.#around.off("exit", this.#stop);
    this.#around.off("SIGCONT", this.#goOn);
  };

  readonly #signal = (signal: KeySignal): void => {
    if (signal !== "SIGTSTP") this.#stop();
    else {
      this.#screen.write(this.#erased() + SHOW_CURSOR);
      this.#keyboard?.close();
    }
    this.#around.signal(signal);
  };

  readonly #take = (key: string): void => {
    const run = this.#run;
    const { concurrency } = run;
    if (key === "q") return this.#signal("SIGINT");
    if (key === "p" || key === " ") {
      if (run.isPaused) run.resume();
      else run.pause();
    } else if (key === "+" || key === "=") {
      run.setConcurrency(Math.min(MOST_AT_ONCE, Math.max(concurrency + 1, Math.floor(concurrency * STEP))));
    } else if (key === "-" || key === "_") {
      run.setConcurrency(Math.max(1, Math.min(concurrency - 1, Math.ceil(concurrency / STEP))));
    } else return;
    this.draw();
  };
}
